"""The agent's own part of its replacement: the job `upgrade_agent`.

It is begun by one release and ended by another, or by the same one when the new one was taken back.
"""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from guest_agent import fields
from guest_agent.errors import NotSupported, UpgradeFailed
from guest_agent.jobs import Notes, Step
from guest_agent.services import Services, UnitNotFound
from guest_agent.settings import Settings
from guest_agent.upgrade import incoming, plan
from guest_agent.upgrade.incoming import Incoming
from guest_agent.upgrade.plan import Plan
from guest_agent.upgrade.releases import BASE, Releases

KIND = "upgrade_agent"
UNIT = "upgrade"
PATIENCE = 60
LONGEST_PATIENCE = 600
DECISION_MARGIN = 60
POLL_SECONDS = 0.05


class Upgrades:
    """What a server needs of its agent to replace it."""

    def __init__(self, settings: Settings, services: Services) -> None:
        self._settings = settings
        self._services = services
        self._directory = settings.releases_dir
        self._incoming = Incoming(settings.releases_dir / "incoming") if settings.releases_dir else None

    def receive(self, params: dict[str, Any]) -> dict[str, Any]:
        """Method `agent.receive`."""
        return self._require_incoming().receive(params)

    def steps(self, spec: dict[str, Any]) -> list[Step]:
        taken = fields.take(spec, "spec", {"sha256": incoming.sha256}, {"patience": fields.number(1, LONGEST_PATIENCE)})
        digest, patience = taken["sha256"], taken["patience"] or PATIENCE
        self._require_directory()

        def unpack(notes: Notes) -> None:
            notes.put("release", self._releases().install(self._require_incoming().whole(digest), digest))

        def switch(notes: Notes) -> None:
            self._watched(self._planned(notes, patience))

        def confirm(notes: Notes) -> dict[str, Any]:
            return self._confirm(notes)

        return [Step("unpack", unpack), Step("switch", switch), Step("confirm", confirm)]

    def _planned(self, notes: Notes, patience: float) -> Plan:
        """The plan of this job, made once whoever runs the step again."""
        directory = self._require_directory()
        if not notes.get("plan"):
            notes.put("plan", os.urandom(8).hex())
        known = plan.load(directory)
        if known and known.id == notes.get("plan"):
            return known
        wanted = Plan(notes.get("plan"), notes.get("release"), self._releases().current(), patience)
        plan.save(directory, wanted)
        return wanted

    def _watched(self, wanted: Plan) -> None:
        """Returns when the watcher has decided, in which time it ends this very process at least once."""
        if not wanted.open:
            return
        self._services.define(UNIT, self._unit())
        self._services.start(UNIT)
        until = time.monotonic() + 2 * wanted.patience + DECISION_MARGIN
        never = threading.Event()
        while (known := plan.load(self._require_directory())) and known.open:
            if time.monotonic() > until:
                raise UpgradeFailed("Whether the new agent works has not been found out in time.")
            never.wait(POLL_SECONDS)

    def _confirm(self, notes: Notes) -> dict[str, Any]:
        outcome = plan.load(self._require_directory())
        with contextlib.suppress(UnitNotFound):
            self._services.remove(UNIT)
        self._require_incoming().clear()
        if outcome is None or outcome.id != notes.get("plan") or outcome.phase != plan.ACCEPTED:
            reason = outcome.reason if outcome else "its plan is gone"
            raise UpgradeFailed(f"Release {notes.get('release')} was taken back: {reason}.")
        return {"release": outcome.release, "previous": outcome.previous}

    def _unit(self) -> dict[str, Any]:
        """The watcher is the server's first release, whatever runs as agent."""
        directory = self._require_directory()
        arguments = [str(path) for path in (directory, self._settings.socket, self._settings.init_socket)]
        return {
            "argv": [sys.executable, "-S", "-m", "guest_agent.upgrade.watch", *arguments],
            "env": {"PYTHONPATH": str(directory / BASE), "PYTHONSAFEPATH": "1"},
            "restart": "on-failure",
            "log": str(self._settings.log_dir / "upgrade.log"),
        }

    def _require_directory(self) -> Path:
        if self._directory is None or not (self._directory / BASE).exists():
            raise NotSupported("The agent of this server cannot be replaced: build the server anew from a newer image.")
        return self._directory

    def _releases(self) -> Releases:
        return Releases(self._require_directory())

    def _require_incoming(self) -> Incoming:
        self._require_directory()
        assert self._incoming is not None
        return self._incoming
