"""Keeps the control plane's processes running: starts them in order, restarts what dies, stops them in order.

Background.  `coffer up` must be safe to kill at any moment, and databases must not notice.

How it works.  Each part is a child in a session of its own, so that Ctrl-C in a terminal reaches only the supervisor, which then stops the
parts one after the other.  A part that dies is started again after a pause that doubles with each early death.

What if we crash here.  The parts go on without a supervisor.  The next `up` or `down` finds them by their command lines, which
carry the state directory, and stops them: what they were doing is durable and goes on in their successors.
"""

import asyncio
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cli import processes
from cli.errors import CliError
from cli.parts import PROJECT, Part
from cli.readiness import Check, until
from cli.statedir import StateDir

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
LASTING = 60.0
"""Seconds of life after which a part's next death is treated like its first."""
HOPELESS = 4
"""Early deaths in a row, before the control plane was ever usable, that are taken for a fault that no restart cures."""
READY_WITHIN = 90.0
KILLED_WITHIN = 5.0

Say = Callable[[str], None]


@dataclass
class Backoff:
    """Pauses before restarts: doubling, and short again for what has lived long."""

    deaths: int = 0

    def after(self, lived: float) -> float:
        if lived >= LASTING:
            self.deaths = 0
        self.deaths += 1
        return float(min(FIRST_PAUSE * 2 ** (self.deaths - 1), LONGEST_PAUSE))


class Supervisor:
    def __init__(
        self, state: StateDir, parts: Sequence[Part], checks: Mapping[str, Check], say: Say, env: Mapping[str, str]
    ) -> None:
        self._state, self._parts, self._checks, self._say, self._env = state, parts, checks, say, env
        self._running: dict[str, Process] = {}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._usable = False

    async def run(self, on_ready: Callable[[], Awaitable[None]]) -> None:
        """Until SIGTERM, SIGINT or SIGHUP; a second one makes haste.  Raises CliError when the parts don't become usable."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop)
        keepers: dict[str, asyncio.Task[None]] = {}
        starting = asyncio.create_task(self._start(keepers, on_ready))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await self._watch(stopping, keepers)
        finally:
            self._stop.set()
            starting.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await self._stop_all(keepers)

    def stop(self) -> None:
        (self._hurry if self._stop.is_set() else self._stop).set()

    async def _start(self, keepers: dict[str, asyncio.Task[None]], on_ready: Callable[[], Awaitable[None]]) -> None:
        """Start the parts; each waits for none, but the last ones find what they need at once when the first are up."""
        try:
            async with asyncio.timeout(READY_WITHIN):
                for part in self._parts:
                    keepers[part.name] = asyncio.create_task(self._keep(part))
                for part in self._parts:
                    await self._until_usable(part, keepers)
        except TimeoutError as e:
            waiting = part.name
            raise CliError(f"{waiting} is not usable after {READY_WITHIN:.0f} s", f"see {self._state.log(waiting)}") from e
        self._usable = True
        await on_ready()

    async def _until_usable(self, part: Part, keepers: Mapping[str, asyncio.Task[None]]) -> None:
        began = time.monotonic()
        check = asyncio.create_task(until(self._checks[part.name]))
        try:
            await asyncio.wait([check, *keepers.values()], return_when=asyncio.FIRST_COMPLETED)
            for keeper in keepers.values():
                if keeper.done():
                    keeper.result()
            await check
        finally:
            check.cancel()
        self._say(f"{part.name} is ready ({time.monotonic() - began:.1f} s)")

    async def _watch(self, stopping: asyncio.Task[bool], keepers: Mapping[str, asyncio.Task[None]]) -> None:
        await asyncio.wait([stopping, *keepers.values()], return_when=asyncio.FIRST_COMPLETED)
        for keeper in keepers.values():
            if keeper.done():
                keeper.result()

    async def _keep(self, part: Part) -> None:
        """Have the part running until the stop.  Raises CliError when that is hopeless."""
        backoff = Backoff()
        while not self._stop.is_set():
            await self._clear(part)
            began = time.monotonic()
            process = await self._spawn(part)
            code = await process.wait()
            self._state.pid(part.name).unlink(missing_ok=True)
            if self._stop.is_set():
                return
            lived = time.monotonic() - began
            pause = backoff.after(lived)
            if not self._usable and backoff.deaths >= HOPELESS:
                raise CliError(
                    f"{part.name} ends as soon as it is started: {self._last_words(part)}", f"see {self._state.log(part.name)}"
                )
            self._say(f"{part.name} (pid {process.pid}) {_ended(code)} after {lived:.1f} s; again in {pause:.1f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    async def _clear(self, part: Part) -> None:
        """End what is left of an earlier life: of a killed supervisor, or children of a killed parent that hold its port."""
        if pids := processes.find(part.mark):
            await asyncio.to_thread(processes.stop, part.mark, pids, part.patience)

    async def _spawn(self, part: Part) -> Process:
        try:
            with self._state.log(part.name).open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *part.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=PROJECT,
                    env=self._env,
                    start_new_session=True,
                    umask=part.umask,
                )
        except OSError as e:
            raise CliError(f"{part.name} can't be started: {e}") from e
        self._running[part.name] = process
        self._state.pid(part.name).write_text(f"{process.pid}\n")
        return process

    async def _stop_all(self, keepers: Mapping[str, asyncio.Task[None]]) -> None:
        for part in reversed(self._parts):
            process = self._running.get(part.name)
            if process is not None and process.returncode is None:
                await self._stop_one(part, process)
        for keeper in keepers.values():
            keeper.cancel()
        await asyncio.gather(*keepers.values(), return_exceptions=True)
        for part in self._parts:
            await self._clear(part)
            self._state.pid(part.name).unlink(missing_ok=True)

    async def _stop_one(self, part: Part, process: Process) -> None:
        self._say(f"stopping {part.name}")
        with suppress(ProcessLookupError):
            process.terminate()
        ended, hurried = asyncio.create_task(process.wait()), asyncio.create_task(self._hurry.wait())
        await asyncio.wait([ended, hurried], timeout=part.patience, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not ended.done():
            self._say(f"{part.name} does not end: killed")
            with suppress(ProcessLookupError):
                process.kill()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended, KILLED_WITHIN)

    def _last_words(self, part: Part) -> str:
        lines = self._state.log(part.name).read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it says nothing"


def _ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
