"""`trove.instance.exists`: for each instance and period one notification, which those who bill for it count.

A period is as long as the interval and begins at a multiple of it since 1970.  A round tells of those that have ended; what was missed while
nobody was there is told later, as long as it is not more than a day.  The instance's row says how far it has been told, so a round may run
twice, or twice at a time.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select, update

from models import Database, EventSubscription, Instance
from models.base import utcnow
from models.event_types import EXISTS, wanted
from models.outbox import Event, exists_id, moment, record

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CATCH_UP = timedelta(days=1)
PAGE = 200


class Existence:
    """`every`: length of a period; zero: there are none."""

    def __init__(self, database: Database, every: timedelta) -> None:
        self._database, self.every = database, every

    def tell(self, still_wanted: Callable[[], None] = lambda: None, now: datetime | None = None) -> int:
        """Write what is due at `now`; gives for how many instances.  `still_wanted` is called between them, and may raise."""
        if not self.every:
            return 0
        now = now or utcnow()
        ending = now - (now - EPOCH) % self.every
        told, after = 0, ""
        projects = self._projects()
        while projects and (page := self._untold(projects, ending, after)):
            for instance_id in page:
                still_wanted()
                told += self._tell(instance_id, ending)
            after = page[-1]
        return told

    def _projects(self) -> list[str]:
        """Those in which somebody wants to know."""
        with self._database.read() as s:
            found = s.execute(select(EventSubscription.project_id, EventSubscription.types))
            return sorted({project_id for project_id, types in found if wanted(types, EXISTS)})

    def _untold(self, projects: list[str], ending: datetime, after: str) -> list[str]:
        untold = or_(Instance.exists_until.is_(None), Instance.exists_until < ending)
        there = Instance.deleted_at.is_(None), Instance.server_key.is_not(None), Instance.created_at < ending
        found = select(Instance.id).where(Instance.project_id.in_(projects), *there, untold, Instance.id > after)
        with self._database.read() as s:
            return list(s.scalars(found.order_by(Instance.id).limit(PAGE)))

    def _tell(self, instance_id: str, ending: datetime) -> bool:
        with self._database.write() as s:
            instance = s.get_one(Instance, instance_id, with_for_update=True)
            if instance.deleted_at or (instance.exists_until and instance.exists_until >= ending):
                return False
            events = [self._event(instance_id, end) for end in self._missed(instance, ending)]
            mine = update(Instance).where(Instance.id == instance_id)
            s.execute(mine.values(exists_until=ending, updated_at=Instance.updated_at))  # to the tenant nothing has changed
            return bool(record(s, instance, events))

    def _missed(self, instance: Instance, ending: datetime) -> list[datetime]:
        """Ends of the periods to be told of, oldest first."""
        first = max(instance.exists_until or ending - self.every, ending - CATCH_UP, instance.created_at)
        count = max(1, -(-(ending - first) // self.every))
        return [ending - self.every * before for before in reversed(range(count))]

    def _event(self, instance_id: str, ending: datetime) -> Event:
        period = {"audit_period_beginning": moment(ending - self.every), "audit_period_ending": moment(ending)}
        return Event(EXISTS, period, exists_id(instance_id, ending), before=ending)
