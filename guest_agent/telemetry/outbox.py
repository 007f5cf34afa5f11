"""The newest report on its way out. Whoever puts one in never waits; what is newer takes the place of what is older."""

import hashlib
import json
import logging
import random
import threading
import time
from typing import Any

from guest_agent.errors import InvalidRequest
from guest_agent.telemetry import addresses
from guest_agent.telemetry.addresses import Destination, PostTo
from guest_agent.telemetry.memory import Memory, Report
from guest_agent.telemetry.posting import NotPosted, post
from guest_agent.telemetry.threads import keep_doing

LOG = logging.getLogger(__name__)

TTL = 300
FIRST_PAUSE = 1.0
MOST_DOUBLINGS = 12
NOT_FOUND = 404
SHORTEST_JITTER, LONGEST_JITTER = 0.9, 1.1


class Outbox:
    """One thread that posts. `wait_for_destination` is for whoever has nothing to do before there is one."""

    def __init__(self, memory: Memory, instance_id: str, destination: Destination | None, ca_file: str | None) -> None:
        self._memory = memory
        self._client_id = _client_id(instance_id)
        self._ca_file = ca_file
        self._changed = threading.Condition()
        self._destination = destination
        self._report: Report | None = None
        self._kept = memory.load_report()
        self._failures = 0
        self._not_before = 0.0
        self._complaint = ""
        self.posted: tuple[int, int] | None = None
        """Epoch and number of the last report that was taken in."""

    @property
    def period(self) -> float:
        assert self._destination
        return self._destination.period

    def start(self) -> None:
        keep_doing("telemetry-post", self._take_care)

    def put_kept(self, boot_id: str) -> None:
        """What an earlier agent could not post, unless it is of the time before the server was off."""
        if self._kept and self._kept.get("boot_id") == boot_id:
            self.put(self._kept)

    def put(self, report: Report) -> None:
        with self._changed:
            self._report = report
            self._changed.notify_all()

    def readdress(self, destination: Destination) -> None:
        """Post there from now on, and at once if anything is left to be posted. On disk when this returns."""
        with self._changed:
            known = destination == self._destination
            self._destination = destination
            self._not_before, self._failures = 0.0, 0
            self._changed.notify_all()
        if not known:
            self._memory.save_destination(destination)

    def wait_for_destination(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._destination)

    def _take_care(self) -> None:
        report, destination = self._next()
        if destination is None:
            self._keep(report)
            return
        try:
            answer = post(destination.post_to.url, self._headers(destination.post_to), _body(report), self._ca_file)
        except NotPosted as error:
            self._put_off(error, destination)
        else:
            self._taken_in(report, destination, answer)

    def _next(self) -> tuple[Report, Destination | None]:
        """The next report and where to post it; to nowhere if it cannot be posted now and is not on disk yet."""
        with self._changed:
            while True:
                wait = None
                if self._report and self._destination:
                    wait = self._not_before - time.monotonic()
                    if wait <= 0:
                        return self._report, self._destination
                    if self._report is not self._kept:
                        return self._report, None
                self._changed.wait(wait)

    def _keep(self, report: Report) -> None:
        self._kept = report
        try:
            self._memory.save_report(report)
        except OSError as error:
            self._say(f"a report cannot be kept: {error.strerror}")

    def _put_off(self, error: NotPosted, destination: Destination) -> None:
        self._say(f"reports do not get through to {error}")
        with self._changed:
            if self._destination is not destination:
                return
            self._failures += 1
            pause = min(destination.period, FIRST_PAUSE * 2 ** min(self._failures - 1, MOST_DOUBLINGS))
            if error.status == NOT_FOUND:
                # Expired, revoked or gone: only another destination helps.
                pause = destination.period
            self._not_before = time.monotonic() + jittered(pause)

    def _taken_in(self, report: Report, destination: Destination, answer: Any) -> None:
        self._say("")
        with self._changed:
            if self._report is report:
                self._report = None
            self.posted = report["epoch"], report["number"]
            self._not_before, self._failures = 0.0, 0
            current = self._destination is destination
        if self._kept:
            self._kept = None
            self._memory.forget_report()
        offered = answer.get("post_to") if isinstance(answer, dict) else None
        if offered is not None and current:
            self._accept(offered, destination.period)

    def _accept(self, offered: object, period: float) -> None:
        try:
            self.readdress(Destination(addresses.post_to(offered, "post_to"), period))
        except InvalidRequest as error:
            LOG.warning("telemetry: an answer is no good: %s", error)
        except OSError as error:
            LOG.warning("telemetry: the new destination cannot be kept: %s", error.strerror)

    def _say(self, complaint: str) -> None:
        """Each complaint once, not once a try."""
        if complaint != self._complaint:
            self._complaint = complaint
            LOG.info("telemetry: %s", complaint or "reports get through")

    def _headers(self, post_to: PostTo) -> dict[str, str]:
        return {**post_to.headers(), "Client-ID": self._client_id, "Content-Type": "application/json"}


def jittered(seconds: float) -> float:
    """By a tenth, so that many guests do not come at once."""
    return seconds * random.uniform(SHORTEST_JITTER, LONGEST_JITTER)  # noqa: S311 - spreads callers, guards nothing


def _body(report: Report) -> bytes:
    return json.dumps({"messages": [{"ttl": TTL, "body": report}]}).encode()


def _client_id(instance_id: str) -> str:
    """The API wants a UUID here, and means nothing by it."""
    digest = hashlib.sha256(instance_id.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
