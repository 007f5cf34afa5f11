"""Going on in the background: the caller waits until the process in the background is usable or has failed."""

import os
import signal
import sys
from collections.abc import Callable

READY = b"R"


def detach(main: Callable[[Callable[[], None]], int]) -> int:
    """Run `main` in a process of its own session.  `main` is given a function to call once it is usable.

    Returns in the caller only: 0 as soon as it is usable, or the exit code of what has failed before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.setsid()
        if os.fork():
            os._exit(0)
        _become(main, tell)
    os.close(tell)
    os.waitpid(child, 0)
    with os.fdopen(told, "rb") as pipe:
        return _wait(pipe.read)


def _become(main: Callable[[Callable[[], None]], int], tell: int) -> None:
    code = 1
    try:
        os.write(tell, f"{os.getpid()}\n".encode())
        code = main(lambda: _tell(tell, READY))
    except BaseException:  # noqa: BLE001  # nobody above could say it
        sys.excepthook(*sys.exc_info())
    finally:
        _tell(tell, f"{code}".encode())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell(fd: int, what: bytes) -> None:
    try:
        os.write(fd, what)
    except BrokenPipeError:
        return  # the caller has left, as it does once we are usable


def _wait(read: Callable[[int], bytes]) -> int:
    pid = b""
    while not pid.endswith(b"\n"):
        piece = read(1)
        if not piece:
            return 1
        pid += piece
    try:
        answer = read(1)
    except KeyboardInterrupt:
        os.kill(int(pid), signal.SIGTERM)
        raise
    return 0 if answer == READY else int(answer or b"1")
