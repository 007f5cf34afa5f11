"""Claims: messages held by one worker for a while."""

import secrets
from collections.abc import Sequence

from messaging import metadata as meta
from messaging.catalogue import Catalogue, Placement
from messaging.drivers.base import ClaimTerms, NewMessage, dead_claim
from messaging.errors import ClaimNotFound
from messaging.names import CLAIM_TTL, GRACE, body_text, check_queue
from messaging.values import Claim, Message

DEAD_LETTER_CLIENT = "dead-letters"


class Claims:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def create(self, project: str, queue: str, ttl: int = 300, grace: int = 60, limit: int = 10) -> Claim | None:
        """Hold up to `limit` free messages for `ttl` seconds; None when there are none.  A message that would expire before lives on
        for `grace` seconds more than the claim.  In a queue with _max_claim_count and _dead_letter_queue messages claimed so
        often before go there instead (at least once, should the process die in between).

        Raises InvalidRequest (400)."""
        check_queue(project, queue)
        CLAIM_TTL.check(ttl)
        GRACE.check(grace)
        placement = self._catalogue.find(project, queue)
        if placement is None:
            return None
        dead_letters = placement.metadata.get(meta.DEAD_LETTERS)
        max_claims = placement.metadata.get(meta.MAX_CLAIMS) if dead_letters else None
        terms = ClaimTerms(secrets.token_hex(12), ttl, grace, limit, max_claims)
        claimed = self._catalogue.run(project, queue, lambda store, key: store.claim(key, terms), None)
        if claimed is None:
            return None
        if claimed.dead:
            self._bury(placement, str(dead_letters), claimed.dead, terms.claim_id)
        return Claim(terms.claim_id, ttl, 0, claimed.messages) if claimed.messages else None

    def get(self, project: str, queue: str, claim_id: str) -> Claim:
        """Raises ClaimNotFound (404: unknown, expired, or none of its messages is left)."""
        check_queue(project, queue)
        claim = self._catalogue.run(project, queue, lambda store, key: store.get_claim(key, claim_id), None)
        if claim is None:
            raise ClaimNotFound(f"Claim {claim_id} does not exist.")
        return claim

    def renew(self, project: str, queue: str, claim_id: str, ttl: int = 300, grace: int = 60) -> None:
        """Let the claim last `ttl` seconds from now.  Raises InvalidRequest (400), ClaimNotFound (404)."""
        check_queue(project, queue)
        CLAIM_TTL.check(ttl)
        GRACE.check(grace)
        if self._catalogue.find(project, queue) is None:
            raise ClaimNotFound(f"Claim {claim_id} does not exist.")
        self._catalogue.run(project, queue, lambda store, key: store.renew_claim(key, claim_id, ttl, grace), None)

    def release(self, project: str, queue: str, claim_id: str) -> None:
        """Free its messages; an unknown claim is fine."""
        check_queue(project, queue)
        self._catalogue.run(project, queue, lambda store, key: store.release_claim(key, claim_id), None)

    def _bury(self, source: Placement, queue: str, dead: Sequence[Message], claim_id: str) -> None:
        """File the messages in the dead letter queue, which may be in another pool, and only then remove them here."""
        project, name = source.key.project, source.key.name
        ttl = source.metadata.get(meta.DEAD_LETTERS_TTL)
        letters = [NewMessage(body_text(message.body), ttl or message.ttl, 0) for message in dead]
        flavor = {key: value for key, value in source.metadata.items() if key == meta.FLAVOR}
        self._catalogue.run_or_create(project, queue, lambda store, key: store.post(key, letters, DEAD_LETTER_CLIENT), flavor)
        ids = [message.id for message in dead]
        self._catalogue.run(project, name, lambda store, key: store.delete_many(key, ids, [dead_claim(claim_id)]), 0)
