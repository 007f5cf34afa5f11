"""Going on in the background: the caller returns when it is usable, or with its failure."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

START = "import os, signal, sys\nfrom cli import background\n"
WAITS = """
def main(ready):
    open(sys.argv[1], 'w').write(f'{os.getpid()} {os.getsid(0)}')
    ready()
    signal.pause()
sys.exit(background.detach(main))
"""
FAILS = """
def main(ready):
    print('no port', file=sys.stderr)
    return 3
sys.exit(background.detach(main))
"""
BREAKS = "sys.exit(background.detach(lambda ready: 1 // 0))"
NEVER = """
def main(ready):
    open(sys.argv[1], 'w').write(f'{os.getpid()} {os.getsid(0)}')
    print('started', flush=True)
    signal.pause()
sys.exit(background.detach(main))
"""


def run(code: str, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", START + code, *args], capture_output=True, text=True, timeout=30, check=False)


def ended(pid: int) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


def test_the_caller_returns_while_the_process_goes_on_in_a_session_of_its_own(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    caller = subprocess.Popen([sys.executable, "-c", START + WAITS, str(told)])
    assert caller.wait(30) == 0
    pid, session = map(int, told.read_text().split())
    assert session not in (os.getsid(0), pid)
    os.kill(pid, signal.SIGKILL)
    assert ended(pid)


def test_a_failure_is_the_callers() -> None:
    done = run(FAILS)
    assert (done.returncode, done.stderr) == (3, "no port\n")


def test_a_bug_is_not_swallowed() -> None:
    done = run(BREAKS)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_interrupting_the_wait_stops_the_process(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    caller = subprocess.Popen([sys.executable, "-c", START + NEVER, str(told)], stdout=subprocess.PIPE)
    assert caller.stdout is not None
    assert caller.stdout.readline() == b"started\n"
    caller.send_signal(signal.SIGINT)
    assert caller.wait(30) != 0
    assert ended(int(told.read_text().split()[0]))
    caller.stdout.close()
