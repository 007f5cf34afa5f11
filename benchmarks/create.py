"""POST -> ACTIVE of a MariaDB, against a bare shell script that does the same engine work from nothing.

Coffer is measured as its users have it: new servers are copies of an empty database that `coffer up` has made.  The table says so.
"""

import os
import pwd
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.stack import Stack

FLOOR = r"""
set -eu
home=$1 user=$2
mariadb-install-db --no-defaults --datadir="$home/data" --tmpdir="$home" --user="$user" --skip-test-db \
    --auth-root-authentication-method=socket >"$home/log" 2>&1
/usr/sbin/mariadbd --no-defaults --datadir="$home/data" --tmpdir="$home" --user="$user" \
    --socket="$home/s" --pid-file="$home/pid" --bind-address=127.63.0.1 --port=3306 --innodb-buffer-pool-size=128M >>"$home/log" 2>&1 &
until mariadb-admin --no-defaults --socket="$home/s" ping >/dev/null 2>&1; do sleep 0.02; done
mariadb --no-defaults --socket="$home/s" <<'SQL'
CREATE USER os_admin@localhost IDENTIFIED BY 'a-Password-1';
GRANT ALL ON *.* TO os_admin@localhost WITH GRANT OPTION;
CREATE DATABASE app;
CREATE USER ada@'%' IDENTIFIED BY 'a-Password-2';
GRANT ALL ON app.* TO ada@'%';
SQL
"""


def shell_floor() -> float:
    """Seconds the bare script takes to a usable MariaDB; what it made is removed."""
    home = Path(tempfile.mkdtemp(prefix="cbf-", dir="/tmp"))
    user = "mysql" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:
        shutil.chown(home, user)
    begin = time.monotonic()
    subprocess.run(["/bin/sh", "-c", FLOOR, "floor", str(home), user], check=True, timeout=60)
    took = time.monotonic() - begin
    os.kill(int((home / "pid").read_text()), signal.SIGKILL)
    shutil.rmtree(home, ignore_errors=True)
    return took


def coffer_create(stack: Stack) -> tuple[float, float]:
    """Seconds from POST to ACTIVE, and the part of it that is not the guest's own job."""
    body = {
        "name": "bench",
        "flavorRef": "1",
        "volume": {"size": 1},
        "datastore": {"type": "mariadb", "version": "10.11"},
        "databases": [{"name": "app"}],
        "users": [{"name": "ada", "password": "a-Password-2", "databases": [{"name": "app"}]}],
    }
    begin = time.monotonic()
    instance = stack.call("POST", "/instances", {"instance": body})["instance"]
    stack.until_status(instance["id"], "ACTIVE")
    took = time.monotonic() - begin
    job = _job_seconds(stack)
    stack.call("DELETE", f"/instances/{instance['id']}")
    _until_gone(stack, instance["id"])
    return took, took - job


def _job_seconds(stack: Stack) -> float:
    """How long the guest's own work took: from the job's arrival, when its generation is written down, to the journal's last word."""
    (state,) = (stack.state / "cloud" / "servers").glob("*/state")
    (journal,) = (state / "jobs").glob("*-prepare.json")
    return journal.stat().st_mtime - (state / "generation").stat().st_mtime


def _starting_point(stack: Stack) -> str:
    return "a copy" if any((stack.state / "cloud" / "images").glob("mariadb-*")) else "install-db"


def _until_gone(stack: Stack, instance_id: str) -> None:
    while any(i["id"] == instance_id for i in stack.call("GET", "/instances")["instances"]):
        time.sleep(0.05)


def rows(stack: Stack, runs: int) -> list[tuple[str, str, str, bool]]:
    """(what, measured, goal, met)."""
    floor, whole, share = [], [], []
    for _ in range(runs):
        floor.append(shell_floor())
        one = coffer_create(stack)
        whole.append(one[0])
        share.append(one[1])
    ratio = statistics.median(w / f for w, f in zip(whole, floor, strict=True))
    return [
        ("bare shell script (from install-db), s", f"{statistics.median(floor):.2f}", "", True),
        (f"POST -> ACTIVE (from {_starting_point(stack)}), s", f"{statistics.median(whole):.2f}", "", True),
        ("ratio to the script", f"{ratio:.2f}", "<= 1.5", ratio <= 1.5),
        ("control plane's share, s", f"{statistics.median(share):.2f}", "<= 1.0", statistics.median(share) <= 1.0),
    ]
