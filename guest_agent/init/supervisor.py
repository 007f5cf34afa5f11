# os.path throughout: pathlib would cost init a megabyte of memory.
# ruff: noqa: PTH100, PTH103, PTH108, PTH118, PTH123
"""The event loop: signals, exits, readiness messages, deadlines and requests, one at a time in one thread."""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable

from guest_agent.init.process import become_subreaper
from guest_agent.init.service import Done, Service
from guest_agent.init.units import UnitError, UnitStore

Handler = Callable[[], None]


class Supervisor:
    """All units of one server."""

    def __init__(self, server: str) -> None:
        self.server = os.path.abspath(server)
        self.run_dir = os.path.join(self.server, "run")
        os.makedirs(self.run_dir, exist_ok=True)
        self.selector = selectors.DefaultSelector()
        self._store = UnitStore(os.path.join(self.server, "units"))
        self._boot_id = os.urandom(16).hex()
        self._services: dict[str, Service] = {}
        self._start_order: list[str] = []
        self._watched: dict[str, socket.socket] = {}
        self._shutting_down = False
        self._running = True

    def run(self) -> None:
        """Start every enabled unit and serve until SIGTERM has stopped them all."""
        become_subreaper()
        self._catch_signals()
        pid_file = os.path.join(self.run_dir, "init.pid")
        with open(pid_file, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        self._boot()
        while self._running:
            self._watch_notify_sockets()
            for key, _ in self.selector.select(self._next_deadline()):
                handler: Handler = key.data
                handler()
            self._expire()
        self._end_orphans()
        os.unlink(pid_file)

    def define(self, name: str, fields: object) -> None:
        unit = self._store.write(name, fields)
        if name in self._services:
            self._services[name].unit = unit

    def remove(self, name: str, done: Done) -> None:
        service = self._service(name)

        def forget(error: UnitError | None) -> None:
            self._store.remove(name)
            self._services.pop(name, None)
            done(error)

        service.stop(forget)

    def start(self, name: str, done: Done | None = None) -> None:
        if self._shutting_down:
            raise UnitError("ShuttingDown", "This server is shutting down.")
        service = self._service(name)
        if service.pid is None:
            if name in self._start_order:
                self._start_order.remove(name)
            self._start_order.append(name)
        service.start(done)

    def stop(self, name: str, done: Done) -> None:
        self._service(name).stop(done)

    def restart(self, name: str, done: Done) -> None:
        service = self._service(name)
        if service.pid is None:
            self.start(name, done)
        else:
            service.stop()
            self.start(name, done)

    def status(self, name: str) -> dict[str, object]:
        return self._service(name).status()

    def _boot(self) -> None:
        for name in self._store.names():
            try:
                if self._service(name).unit.enabled:
                    self.start(name)
            except UnitError as error:
                # One bad unit file must not keep the others from running.
                report(f"{name}: {error}")

    def _service(self, name: str) -> Service:
        if name not in self._services:
            self._services[name] = Service(name, self._store.read(name), self.server, self._boot_id)
        return self._services[name]

    def _catch_signals(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        # A full pipe loses nothing: the loop is about to wake and reaps whatever has ended by then.
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._wakeup_ends = (reader, writer)
        self.selector.register(reader, selectors.EVENT_READ, self._on_signal)

    def _on_signal(self) -> None:
        received = self._wakeup_ends[0].recv(4096)
        if signal.SIGCHLD in received:
            self._reap()
        if (signal.SIGTERM in received or signal.SIGINT in received) and not self._shutting_down:
            self._shutting_down = True
            self._stop_next(None)

    def _reap(self) -> None:
        """Collect ended children: units, and the orphans that units have left behind."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            service = next((one for one in self._services.values() if one.pid == ended.si_pid), None)
            if service:
                # Still unreaped, so its process group cannot have been given to anybody else.
                self._end_group(ended.si_pid)
            _, wait_status = os.waitpid(ended.si_pid, 0)
            if service:
                exit_code = os.waitstatus_to_exitcode(wait_status)
                if service.state != "stopping":
                    report(f"{service.name} ended with {exit_code}")
                self._unwatch(service.name)
                service.exited(exit_code)

    @staticmethod
    def _end_group(pid: int) -> None:
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # Nothing is left of the group, or only its unreaped leader.
            return

    def _stop_next(self, _: UnitError | None) -> None:
        """During shutdown: stop what was started last, and go on when it is gone."""
        while self._start_order:
            service = self._services.get(self._start_order.pop())
            if service:
                service.stop(self._stop_next)
                return
        self._running = False

    def _end_orphans(self) -> None:
        """What units have left behind ends with the server; their own orphans appear here in turn."""
        while True:
            with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
                children = [int(pid) for pid in file.read().split()]
            if not children:
                return
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            for pid in children:
                os.waitpid(pid, 0)

    def _watch_notify_sockets(self) -> None:
        for service in self._services.values():
            if service.notify and service.name not in self._watched:
                self.selector.register(service.notify.socket, selectors.EVENT_READ, service.message)
                self._watched[service.name] = service.notify.socket

    def _unwatch(self, name: str) -> None:
        watched = self._watched.pop(name, None)
        if watched:
            self.selector.unregister(watched)

    def _next_deadline(self) -> float | None:
        deadlines = [service.deadline for service in self._services.values() if service.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _expire(self) -> None:
        now = time.monotonic()
        for service in list(self._services.values()):
            if service.deadline is not None and service.deadline <= now:
                service.expired()


def report(message: str) -> None:
    sys.stderr.write(f"init: {message}\n")
    sys.stderr.flush()
