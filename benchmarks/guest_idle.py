"""What an idle guest that reports every ten seconds takes: `python -m benchmarks.guest_idle [--seconds 60]`."""

import argparse
import threading
from pathlib import Path

from tests.guest_agent.engines import ENGINES, rss_kb
from tests.guest_agent.receiver import engine_is, open_receiver
from tests.guest_agent.server import running_server

PERIOD = 10.0
SETTLE_SECONDS = 2.0


def cpu_seconds(pid: int) -> float:
    """Time on a CPU of all threads that live."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def measure(manager: str, seconds: float) -> str:
    with open_receiver() as receiver, running_server(manager, telemetry=receiver.telemetry(PERIOD)) as server:
        server.run("prepare")
        receiver.wait(engine_is("running"))
        threading.Event().wait(SETTLE_SECONDS)
        pid, posts = server.pid("agent"), len(receiver.posts)
        before = cpu_seconds(pid)
        threading.Event().wait(seconds)
        spent = (cpu_seconds(pid) - before) * 60 / seconds
        return (
            f"{manager:<11} {rss_kb(pid) / 1024:5.1f} MB resident, {spent * 1000:5.1f} ms of CPU a minute, "
            f"{len(receiver.posts) - posts} reports in {seconds:g} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.guest_idle")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each engine's guest is watched")
    options = parser.parse_args()
    for manager in ENGINES:
        print(measure(manager, options.seconds))


if __name__ == "__main__":
    main()
