"""Guests that are silent are told again where to report to, over the command channel.  A round that a schedule begins.

Many that fall silent at once are most likely not heard because we do not keep up with them, and to dial them all would take the time that
we lack.  So there is a rate that no round exceeds, and none is dialled while reports wait to be drained.
"""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from itertools import count

import structlog
from sqlalchemy import or_, select
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.guest import GuestActivities
from activities.messages import MessageActivities
from activities.waiting import still_wanted
from guests.errors import GuestError, GuestUnreachable, HostKeyMismatch
from models import Database, GuestTelemetry, Instance, InstanceState
from models.base import utcnow
from telemetry.engines import tell_silence
from telemetry.records import forget_gone
from telemetry.urls import GuestUrls
from workflows.contracts import Duty

AT_A_TIME = 16
PER_SECOND = 10.0
DEADLINE_SECONDS = 5.0
ROUND_SECONDS = 50.0
LOOK_SECONDS = 1.0
_turn = threading.Event()

log = structlog.get_logger(__name__)


class RenewalActivities:
    """`silence`: for so long a guest may not be heard of before it is dialled."""

    def __init__(
        self, database: Database, guests: GuestActivities, messages: MessageActivities, urls: GuestUrls, silence: timedelta
    ) -> None:
        self._database, self._guests, self._messages, self._urls = database, guests, messages, urls
        self._silence = silence

    @activity.defn(name="telemetry.renew", no_thread_cancel_exception=True)
    def renew(self, duty: Duty) -> None:
        """Dial every silent guest once, some at a time; those first whose URL may be void, and else in no order, so that none that is
        dead stands before the others.  Whom there is no time for is dialled by one of the next rounds."""
        forget_gone(self._database)
        silent = self._silent()
        if not silent or not self._messages.has_pool():
            return
        if (waiting := self._messages.delay()) > self._silence.total_seconds() / 2:
            log.warning("silent guests are left alone: reports wait to be drained", silent=len(silent), seconds=waiting)
            return
        outcomes = _each(silent, self._tell)
        log.info("silent guests were told where to report to", silent=len(silent), **outcomes)

    def _silent(self) -> list[str]:
        now = utcnow()
        void = or_(GuestTelemetry.instance_id.is_(None), GuestTelemetry.url_expires_at < now)
        quiet = or_(void, GuestTelemetry.received_at < now - self._silence)
        ready = select(Instance.id, void.label("void")).outerjoin(GuestTelemetry, GuestTelemetry.instance_id == Instance.id)
        # One that something runs on may have no engine or no server at this moment.
        free = Instance.operation_id.is_(None), Instance.delete_operation_id.is_(None), Instance.deleted_at.is_(None)
        with self._database.read() as s:
            found = list(s.execute(ready.where(Instance.state == InstanceState.READY, *free, quiet)))
        random.shuffle(found)
        return [row.id for row in sorted(found, key=lambda row: not row.void)]

    def _tell(self, instance_id: str) -> str:
        if not self._messages.ensure_queue(instance_id):
            return "without_queue"
        try:
            self._guests.configure_telemetry(instance_id, self._urls.settings(instance_id), DEADLINE_SECONDS)
        except GuestError:
            # An agent of an earlier release does not know the method.
            return "refused"
        except (GuestUnreachable, HostKeyMismatch):
            self._tell_owner(instance_id)
            return "unreachable"
        except ApplicationError:
            # Its server went after the look.
            return "gone"
        return "told"

    def _tell_owner(self, instance_id: str) -> None:
        """Only of one that does not answer either: a guest may be silent because it is us who did not listen."""
        with self._database.write() as s:
            tell_silence(s, instance_id, utcnow() - self._silence)


def _each(items: list[str], do: Callable[[str], str]) -> Counter[str]:
    """How often which outcome came, until all are done or the round's time is over."""
    outcomes: Counter[str] = Counter()
    begun, left, running = time.monotonic(), deque(items), set[Future[str]]()
    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="renew") as pool:
        for number in count():
            while len(running) == AT_A_TIME or (running and not left):
                done, running = wait(running, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                outcomes.update(future.result() for future in done)
                still_wanted(str(dict(outcomes)))
            if time.monotonic() > begun + ROUND_SECONDS:
                left.clear()
            if not left and not running:
                return outcomes
            if left:
                _turn.wait(max(0.0, begun + number / PER_SECOND - time.monotonic()))
                running.add(pool.submit(do, left.popleft()))
    raise AssertionError("the round ends when nobody is left")
