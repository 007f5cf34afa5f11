"""Messages of a queue."""

from collections.abc import Mapping, Sequence

from messaging import metadata as meta
from messaging.catalogue import Catalogue
from messaging.drivers.base import NewMessage, Selection, parse_id
from messaging.errors import InvalidRequest, MessageNotFound, QueueNotFound
from messaging.names import DELAY, MESSAGE_TTL, body_text, check_queue
from messaging.values import Draft, Json, Message, Page

MOST_CLIENT = 64
_NONE: Sequence[Message] = ()


class Messages:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def post(
        self, project: str, queue: str, drafts: Sequence[Draft], client: str, *, size: int = 0, create: bool = True
    ) -> Sequence[str]:
        """Add all or none, in this order; gives their ids.  Makes the queue when it is missing, unless told not to.
        `size`: bytes of the request, held against the queue's limit.

        Raises InvalidRequest (400), QueueNotFound (404), NoPool (503)."""
        check_queue(project, queue)
        if len(client) > MOST_CLIENT:
            raise InvalidRequest(f"The client's id has at most {MOST_CLIENT} characters.")
        if not drafts:
            raise InvalidRequest("There is no message to post.")
        placement = self._catalogue.find_or_create(project, queue) if create else self._catalogue.find(project, queue)
        if placement is None:
            raise QueueNotFound(f"Queue {queue} does not exist.")
        metadata = meta.shown(placement.metadata)
        if size > metadata[meta.POST_SIZE]:
            raise InvalidRequest(f"A post to this queue must not be larger than {metadata[meta.POST_SIZE]} bytes.")
        new = [_new(draft, metadata) for draft in drafts]
        if create:
            return self._catalogue.run_or_create(project, queue, lambda store, key: store.post(key, new, client))
        nothing: Sequence[str] = ()
        ids = self._catalogue.run(project, queue, lambda store, key: store.post(key, new, client), nothing)
        if not ids:
            raise QueueNotFound(f"Queue {queue} does not exist.")
        return ids

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


def _new(draft: Draft, metadata: Mapping[str, Json]) -> NewMessage:
    ttl = metadata[meta.TTL] if draft.ttl is None else MESSAGE_TTL.check(draft.ttl)
    delay = metadata[meta.DELAY_KEY] if draft.delay is None else DELAY.check(draft.delay)
    return NewMessage(body_text(draft.body), ttl, delay)
