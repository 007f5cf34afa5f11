"""A throw-away Coffer to measure, as `coffer up` starts it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

COFFER = str(Path(sys.executable).parent / "coffer")


@dataclass(frozen=True)
class Stack:
    state: Path
    api: str
    token: str
    project_id: str

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request under /v1.0/{project}."""
        url = f"{self.api}/v1.0/{self.project_id}{path}"
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310  (our own API)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            text = answer.read()
        return dict(json.loads(text)) if text else {}

    def pid(self, name: str) -> int:
        return int((self.state / "run" / f"{name}.pid").read_text())

    def until_status(self, instance_id: str, status: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while (now := self.call("GET", f"/instances/{instance_id}")["instance"]["status"]) != status:
            if now == "ERROR" or time.monotonic() > end:
                raise RuntimeError(f"instance {instance_id} is {now}")
            time.sleep(0.02)


@contextmanager
def running(environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Up on free ports, purged at the end.  `environment`: options of the configuration, as oslo.config reads them there."""
    state = Path(tempfile.mkdtemp(prefix="cb-", dir="/tmp"))
    state.chmod(0o755)
    command = [COFFER, "up", "--state", str(state), "--api-port", "0", "--temporal-port", "0", "--ui-port", "0", "--detach"]
    try:
        ready = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=120, env={**os.environ, **(environment or {})}
        ).stdout
        found = re.search(r"READY api=(\S+)", ready)
        if not found:
            raise RuntimeError(f"no READY line: {ready!r}")
        yield Stack(state, found[1], *sign_in(state))
    finally:
        subprocess.run([COFFER, "down", "--state", str(state), "--purge"], check=False, capture_output=True, timeout=120)
        shutil.rmtree(state, ignore_errors=True)


def sign_in(state: Path, account: str = "coffer") -> tuple[str, str]:
    """(token, project id)"""
    cloud = yaml.safe_load((state / "clouds.yaml").read_text())["clouds"][account]["auth"]
    user = {
        "name": cloud["username"],
        "password": cloud["password"],
        "domain": {"name": cloud.get("user_domain_name", "Default")},
    }
    scope = {"project": {"name": cloud["project_name"], "domain": {"name": cloud.get("project_domain_name", "Default")}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    request = urllib.request.Request(  # noqa: S310
        f"{cloud['auth_url']}/auth/tokens", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return answer.headers["X-Subject-Token"], json.load(answer)["token"]["project"]["id"]
