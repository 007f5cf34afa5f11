"""What can go wrong between the control plane and a guest.  No message ever holds a key or a request's parameters."""


class GuestError(Exception):
    """The guest understood and said no.  `type` is wire format (docs/developer/guest-protocol.md)."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return (self.__class__, (self.type, self.message))


class JobFailed(GuestError):
    """The named job ended in state `failed`."""


class GuestUnreachable(Exception):
    """No answer in time, or no connection: the same call may succeed later.

    `sent` tells whether the guest may have received the request.
    """

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class HostKeyMismatch(Exception):
    """Something else answers at the guest's address.  Final: trying again would give the same, or worse."""


class NoProgress(Exception):
    """A job has shown no new revision for as long as its caller is willing to wait."""
