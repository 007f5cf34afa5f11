"""A database server for tests: a directory, an address, init, and the agent as a unit of it."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
ADDRESSES = itertools.count(1)
JOB_NUMBERS = itertools.count(1)

T = TypeVar("T")


class RpcError(Exception):
    def __init__(self, error: dict[str, str]) -> None:
        super().__init__(f"{error['type']}: {error['message']}")
        self.type = error["type"]


class Client:
    """JSON lines over a Unix socket: the agent's and init's."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self._answers = self.socket.makefile("rb")
        self._ids = itertools.count(1)

    def call(self, method: str, **params: Any) -> Any:
        return self.exchange({"id": next(self._ids), "method": method, "params": params})

    def exchange(self, request: object) -> Any:
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return self.read()

    def read(self) -> Any:
        line = self._answers.readline()
        if not line:
            raise ConnectionResetError("the other side has closed the connection")
        answer = json.loads(line)
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        self._answers.close()
        self.socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def until(probe: Callable[[], T], timeout: float = 30) -> T:
    """The first true value of `probe`, asked every few milliseconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{probe} did not become true within {timeout} s")
        time.sleep(0.005)


def next_address() -> str:
    """A loopback address no other test of this machine is using: the process's own number is in it."""
    return f"127.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}.{next(ADDRESSES)}"


class Server:
    """SERVER, laid out as the clouds lay it out."""

    def __init__(
        self,
        manager: str,
        agent_module: str = "guest_agent",
        agent_arguments: tuple[str, ...] = (),
        template_dir: Path | None = None,
        telemetry: dict[str, Any] | None = None,
        ca_file: str | None = None,
    ) -> None:
        # Short, for the sake of Unix socket paths; open, for the sake of the engines' own accounts.
        self.path = Path(tempfile.mkdtemp(prefix="cg", dir="/tmp"))
        self.path.chmod(0o755)
        self.address = next_address()
        self.init: subprocess.Popen[bytes] | None = None
        self.agent_socket = self.path / "run" / "agent.sock"
        self.init_socket = self.path / "run" / "init.sock"
        for name in ("units", "run", "log", "state", "data"):
            (self.path / name).mkdir()
        settings = {
            "instance_id": "7a6b1f0e-1111-4222-8333-944455556666",
            "manager": manager,
            "version": "1.0",
            "ram_mb": 512,
            "bind_address": self.address,
            "port": None,
            "data_dir": str(self.path / "data"),
            "state_dir": str(self.path / "state"),
            "run_dir": str(self.path / "run"),
            "log_dir": str(self.path / "log"),
            "socket": str(self.agent_socket),
            "init_socket": str(self.init_socket),
            "engine_user": None,
            "template_dir": str(template_dir) if template_dir else None,
            "telemetry": telemetry,
            "ca_file": ca_file,
        }
        (self.path / "agent.json").write_text(json.dumps(settings))
        argv = [sys.executable, "-m", agent_module, str(self.path / "agent.json"), *agent_arguments]
        self.write_unit("agent", argv=argv, type="notify", log=str(self.path / "log" / "agent.log"))

    def write_unit(self, name: str, **unit: Any) -> None:
        unit = {"env": {"PYTHONPATH": str(ROOT)}, **unit}
        (self.path / "units" / f"{name}.json").write_text(json.dumps(unit))

    def boot(self) -> None:
        with (self.path / "log" / "init.log").open("ab") as log:
            self.init = subprocess.Popen(
                [sys.executable, "-S", "-m", "guest_agent.init", str(self.path)],
                env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
                stderr=log,
            )
        until(self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), self.init_client() as init:
            return bool(init.call("status", name="agent")["state"] == "running")
        return False

    def agent(self) -> Client:
        return Client(self.agent_socket)

    def init_client(self) -> Client:
        return Client(self.init_socket)

    def call(self, method: str, **params: Any) -> Any:
        with self.agent() as agent:
            return agent.call(method, **params)

    def pid(self, unit: str) -> int:
        return int((self.path / "run" / f"{unit}.pid").read_text())

    def run(self, kind: str, job_id: str | None = None, generation: int = 1, **spec: Any) -> Any:
        """Run a job to its end, however often the agent dies meanwhile, and give its result."""
        status = self.wait(self.start(kind, job_id, generation, **spec))
        if status["state"] == "failed":
            raise RpcError(status["error"])
        return status["result"]

    def start(self, kind: str, job_id: str | None = None, generation: int = 1, **spec: Any) -> str:
        job_id = job_id or f"job-{next(JOB_NUMBERS)}"
        self.call("job.start", job_id=job_id, generation=generation, kind=kind, spec=spec)
        return job_id

    def wait(self, job_id: str, timeout: float = 60) -> Any:
        def ended() -> Any:
            with contextlib.suppress(OSError), self.agent() as agent:
                status = {"state": "in_progress", "revision": 0}
                while status["state"] == "in_progress":
                    status = agent.call("job.status", job_id=job_id, wait=10, after=status["revision"])
                return status

        return until(ended, timeout)

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted((self.path / "log").iterdir()))

    def power_off(self) -> None:
        """All at once, as a lost machine is."""
        assert self.init
        self.init.kill()
        self.init.wait()
        self.init = None

    def shut_down(self) -> None:
        assert self.init
        self.init.send_signal(signal.SIGTERM)
        self.init.wait(90)
        self.init = None

    def destroy(self) -> None:
        if self.init:
            self.shut_down()
        shutil.rmtree(self.path)


@contextlib.contextmanager
def running_server(manager: str, **options: Any) -> Iterator[Server]:
    server = Server(manager, **options)
    try:
        server.boot()
        yield server
    except BaseException:
        print(server.logs())  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        server.destroy()
