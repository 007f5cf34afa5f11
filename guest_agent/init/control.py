# os.path throughout: pathlib would cost init a megabyte of memory.
# ruff: noqa: PTH108, PTH110, PTH118
"""The control socket: JSON lines, framed as the agent's own protocol is."""

import json
import os
import selectors
import socket

from guest_agent.init.supervisor import Supervisor
from guest_agent.init.units import UnitError

MAX_LINE = 1 << 20
METHODS: dict[str, tuple[str, ...]] = {
    "define": ("name", "unit"),
    "remove": ("name",),
    "start": ("name",),
    "stop": ("name",),
    "restart": ("name",),
    "status": ("name",),
}


class ControlServer:
    """Accepts connections on SERVER/run/init.sock."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        path = os.path.join(supervisor.run_dir, "init.sock")
        if os.path.exists(path):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        umask = os.umask(0o177)
        self._listener.bind(path)
        os.umask(umask)
        self._listener.listen(16)
        supervisor.selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        Connection(self._supervisor, connection)


class Connection:
    """One client. Its requests are answered in order: while one waits for its unit, the next is not looked at."""

    def __init__(self, supervisor: Supervisor, connection: socket.socket) -> None:
        self._supervisor = supervisor
        self._socket = connection
        self._buffer = b""
        self._waiting = False
        self._closed = False
        connection.setblocking(False)
        supervisor.selector.register(connection, selectors.EVENT_READ, self._readable)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buffer += data
        if not data or len(self._buffer) > MAX_LINE:
            self._close()
        else:
            self._next()

    def _next(self) -> None:
        while not self._waiting and not self._closed and b"\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\n", 1)
            self._handle(line)

    def _handle(self, line: bytes) -> None:
        id_ = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise UnitError("InvalidRequest", "A request is a JSON object.")
            id_ = request.get("id")
            self._call(id_, request.get("method"), request.get("params", {}))
        except ValueError:
            self._answer_error(id_, UnitError("InvalidRequest", "That is not JSON."))
        except UnitError as error:
            self._answer_error(id_, error)

    def _call(self, id_: object, method: object, params: object) -> None:
        if not isinstance(method, str) or method not in METHODS:
            raise UnitError("UnknownMethod", f"init knows {', '.join(METHODS)}.")
        if not isinstance(params, dict) or set(params) != set(METHODS[method]):
            raise UnitError("InvalidRequest", f"{method} takes {', '.join(METHODS[method])}.")
        name = params["name"]
        if not isinstance(name, str):
            raise UnitError("InvalidRequest", "name is a string.")
        if method == "define":
            self._supervisor.define(name, params["unit"])
            self._answer(id_, {"result": {}})
        elif method == "status":
            self._answer(id_, {"result": self._supervisor.status(name)})
        else:
            self._begin(id_, method, name)

    def _begin(self, id_: object, method: str, name: str) -> None:
        """A call that is answered when the unit has got there."""

        def done(error: UnitError | None) -> None:
            self._waiting = False
            if error:
                self._answer_error(id_, error)
            else:
                self._answer(id_, {"result": {}})
            self._next()

        self._waiting = True
        try:
            getattr(self._supervisor, method)(name, done)
        except UnitError as error:
            done(error)

    def _answer_error(self, id_: object, error: UnitError) -> None:
        self._answer(id_, {"error": {"type": error.type, "message": str(error)}})

    def _answer(self, id_: object, body: dict[str, object]) -> None:
        if self._closed:
            return
        try:
            self._socket.sendall(json.dumps({"id": id_, **body}).encode() + b"\n")
        except OSError:
            # Gone, or not reading its answers: either way it is not a client any more.
            self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._supervisor.selector.unregister(self._socket)
            self._socket.close()
