"""Memory of the guest agent, and how long things take to start."""

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.stack import COFFER, Stack


def agent_rss_mb(stack: Stack) -> float:
    """Resident memory of the idle agent of the newest server."""
    newest = max((stack.state / "cloud" / "servers").glob("*/run/agent.pid"), key=lambda p: p.stat().st_mtime)
    status = Path(f"/proc/{newest.read_text().strip()}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def api_start_seconds(stack: Stack) -> float:
    """From exec of an API worker's interpreter to an application that can answer."""
    code = "from api.app import from_config; from_config()"
    begin = time.monotonic()
    environment = {**os.environ, "COFFER_CONFIG": str(stack.state / "coffer.conf")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60, capture_output=True)
    return time.monotonic() - begin


def demo_seconds() -> float:
    """`coffer demo` from nothing, on a machine that is set up, to a MariaDB that has answered SQL."""
    state = f"/tmp/cbd-{os.getpid()}"  # noqa: S108
    command = [COFFER, "demo", "--state", state, "--api-port", "0", "--temporal-port", "0", "--ui-port", "0"]
    begin = time.monotonic()
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in demo.stdout or ():
            if "://" in line and "mysql" in line.lower():
                return time.monotonic() - begin
        raise RuntimeError("the demo ended without a connection string")
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
        subprocess.run([COFFER, "down", "--state", state, "--purge"], check=False, capture_output=True, timeout=120)


def rows(stack: Stack, runs: int) -> list[tuple[str, str, str, bool]]:
    """(what, measured, goal, met)"""
    body = {"name": "idle", "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mariadb"}}
    instance = stack.call("POST", "/instances", {"instance": body})["instance"]
    stack.until_status(instance["id"], "ACTIVE")
    rss = agent_rss_mb(stack)
    stack.call("DELETE", f"/instances/{instance['id']}")
    start = statistics.median(api_start_seconds(stack) for _ in range(runs))
    demo = statistics.median(demo_seconds() for _ in range(runs))
    return [
        ("guest agent idle, resident MB", f"{rss:.1f}", "<= 45", rss <= 45),
        ("API worker start, s", f"{start:.2f}", "<= 2", start <= 2),
        ("demo to a usable MariaDB, s", f"{demo:.1f}", "<= 20", demo <= 20),
    ]
