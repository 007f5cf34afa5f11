"""Messages of a queue."""

from collections.abc import Sequence

from messaging import metadata as meta
from messaging.catalogue import Catalogue, Placement
from messaging.drivers.base import NewMessage, Selection, parse_id
from messaging.errors import InvalidRequest, MessageNotFound
from messaging.names import DELAY, MESSAGE_TTL, check_queue
from messaging.values import Draft, Message, Page

_NONE: Sequence[Message] = ()


class Messages:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def post(self, project: str, queue: str, drafts: Sequence[Draft], client: str) -> Sequence[str]:
        """Add all or none, in this order; gives their ids.  Makes the queue when it is missing.

        Raises InvalidRequest (400), NoPool (503)."""
        check_queue(project, queue)
        if not drafts:
            raise InvalidRequest("There is no message to post.")
        placement = self._catalogue.find_or_create(project, queue)
        new = [_new(draft, placement) for draft in drafts]
        return self._catalogue.run_or_create(project, queue, lambda store, key: store.post(key, new, client))

    def list(
        self,
        project: str,
        queue: str,
        marker: str | None = None,
        limit: int = 10,
        *,
        client: str = "",
        echo: bool = False,
        include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Page[Message]:
        """In the order of posting, behind the message `marker`, which need not exist any more.  Without `echo` not those of `client`.
        Empty for a queue that does not exist.  Raises InvalidRequest (400: a marker that is no message id)."""
        check_queue(project, queue)
        place = parse_id(marker) if marker else (0, "")
        if place is None:
            raise InvalidRequest("The marker must be the id of a message.")
        selection = Selection(place[0], limit, None if echo else client, include_claimed, include_delayed)
        found = tuple(self._catalogue.run(project, queue, lambda store, key: store.select(key, selection), _NONE))
        return Page(found, found[-1].id if found else None)

    def get(self, project: str, queue: str, message_id: str) -> Message:
        """Raises MessageNotFound (404)."""
        found = self.get_many(project, queue, [message_id])
        if not found:
            raise MessageNotFound(f"Message {message_id} does not exist.")
        return found[0]

    def get_many(self, project: str, queue: str, ids: Sequence[str]) -> Sequence[Message]:
        """Those that are there."""
        check_queue(project, queue)
        return self._catalogue.run(project, queue, lambda store, key: store.get(key, ids), _NONE)

    def delete(self, project: str, queue: str, message_id: str, claim_id: str | None = None) -> None:
        """A missing message is fine.  Raises MessageClaimed (403), BadClaim (400)."""
        check_queue(project, queue)
        self._catalogue.run(project, queue, lambda store, key: store.delete(key, message_id, claim_id), None)

    def delete_many(self, project: str, queue: str, ids: Sequence[str], claim_ids: Sequence[str] | None = None) -> int:
        """Delete whoever claims them; with `claim_ids` only what these claims hold now.  Tells how many."""
        check_queue(project, queue)
        return self._catalogue.run(project, queue, lambda store, key: store.delete_many(key, ids, claim_ids), 0)

    def pop(self, project: str, queue: str, limit: int = 1) -> Sequence[Message]:
        """Take the first free messages away."""
        check_queue(project, queue)
        return self._catalogue.run(project, queue, lambda store, key: store.pop(key, limit), _NONE)


def _new(draft: Draft, placement: Placement) -> NewMessage:
    defaults = meta.shown(placement.metadata)
    ttl = defaults[meta.TTL] if draft.ttl is None else MESSAGE_TTL.check(draft.ttl)
    delay = defaults[meta.DELAY_KEY] if draft.delay is None else DELAY.check(draft.delay)
    return NewMessage(draft.body, ttl, delay)
