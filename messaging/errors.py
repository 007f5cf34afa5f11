"""What can go wrong, each with the HTTP status that says it."""

from typing import ClassVar


class MessagingError(Exception):
    """Base of all; the text is fit for the client and holds no secret."""

    status: ClassVar[int] = 500


class InvalidRequest(MessagingError):
    status = 400


class UnsupportedUri(InvalidRequest):
    """No storage driver for this URI."""


class PoolUnreachable(InvalidRequest):
    """The store behind a pool's URI gave no answer when the pool was to be registered."""


class UnknownFlavor(InvalidRequest):
    """A queue names a flavor that does not exist."""


class UnknownPools(InvalidRequest):
    """A flavor's pool_list names pools that do not exist."""


class MixedCapabilities(InvalidRequest):
    """The pools of a flavor would not all give the same capabilities."""


class BadClaim(InvalidRequest):
    """A claim was given for a message that is not claimed, or the claim is unknown or has expired."""


class Forbidden(MessagingError):
    status = 403


class LastPoolOfFlavor(Forbidden):
    """The pool is the last one of a flavor."""


class MessageClaimed(Forbidden):
    """The message is held by another claim than the one given."""


class NotFound(MessagingError):
    status = 404


class PoolNotFound(NotFound):
    pass


class FlavorNotFound(NotFound):
    pass


class QueueNotFound(NotFound):
    pass


class MessageNotFound(NotFound):
    pass


class ClaimNotFound(NotFound):
    """Unknown, expired, or none of its messages is left."""


class BadSignature(NotFound):
    """A signed URL that does not hold for this request, whatever the reason."""


class Conflict(MessagingError):
    status = 409


class StoreTaken(Conflict):
    """Another pool has this URI, or another URI of the same store."""


class PoolHasQueues(Conflict):
    """Queues are placed in the pool."""


class FlavorWouldBeEmpty(Conflict):
    """The change would take the last pool away from another flavor."""


class QueueCannotMove(Conflict):
    """No pool would take the queue under its new flavor."""


class MetadataConflict(Conflict):
    """A metadata key is to be replaced or removed that is not there."""


class Unavailable(MessagingError):
    status = 503


class NoPool(Unavailable):
    """No pool has room for the queue: none of its flavor, or all of weight 0."""


class StoreUnavailable(Unavailable):
    """The store gave no answer, or none in time.  Whether a write took effect is unknown."""


class QueueMoving(Unavailable):
    """The queue is on its way to another pool; try again."""
