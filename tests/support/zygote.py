"""Starts workers in milliseconds: one process imports everything, each worker is a fork of it.

Reads lines of JSON on stdin ({"config", "plan", "directory", "log", "environment"}), forks, and answers with the child's pid;
`{"wait": pid}` is answered with the child's exit status, negative for a signal, or null while it lives.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import config
import worker
from tests.support.chaos import Chaos


def become_worker(order: dict[str, Any]) -> None:
    os.environ.update(order.get("environment", {}))
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    asyncio.run(worker.run(config.load(order["config"]), [Chaos(order["plan"], Path(order["directory"]))]))


def answer(value: int | None) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            pid, status = os.waitpid(order["wait"], os.WNOHANG)
            answer(os.waitstatus_to_exitcode(status) if pid else None)
            continue
        child = os.fork()
        if child == 0:
            code = 1
            try:
                become_worker(order)
                code = 0
            finally:
                os._exit(code)
        answer(child)


if __name__ == "__main__":
    main()
