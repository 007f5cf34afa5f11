"""Going on in the background: the caller waits until the process in the background is usable or has failed."""

import os
import signal
import sys
from collections.abc import Callable

READY = b"R"
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def detach(main: Callable[[Callable[[], None]], int]) -> int:
    """Run `main` in a process of its own session.  `main` is given a function to call once it is usable.

    Returns in the caller only: 0 as soon as it is usable, or the exit code of what has failed before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    told, tell = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)  # until it is known whom to pass an interrupt on to
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(told)
        os.setsid()
        if os.fork():
            os._exit(0)
        _become(main, tell)
    os.close(tell)
    os.waitpid(child, 0)
    with os.fdopen(told, "rb", buffering=0) as pipe:
        pid = int(pipe.readline() or 0)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            answer = pipe.read(1)
        except KeyboardInterrupt:
            if pid:
                os.kill(pid, signal.SIGTERM)
            raise
    return 0 if answer == READY else int(answer or b"1")


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
