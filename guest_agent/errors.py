"""Errors of the guest protocol. `type` is wire format: never renamed, never reused."""

from typing import ClassVar


class GuestError(Exception):
    """Something the control plane is told. The message never holds a secret."""

    type: ClassVar[str] = "Internal"


class Internal(GuestError):
    """A bug in the agent."""


class InvalidRequest(GuestError):
    type = "InvalidRequest"


class UnknownMethod(GuestError):
    type = "UnknownMethod"


class NotSupported(GuestError):
    type = "NotSupported"


class SpecChanged(GuestError):
    type = "SpecChanged"


class StaleGeneration(GuestError):
    type = "StaleGeneration"


class DatabaseExists(GuestError):
    type = "DatabaseExists"


class UserExists(GuestError):
    type = "UserExists"


class DatabaseNotFound(GuestError):
    type = "DatabaseNotFound"


class UserNotFound(GuestError):
    type = "UserNotFound"


class RootNotEnabled(GuestError):
    type = "RootNotEnabled"


class EngineUnavailable(GuestError):
    """The engine does not answer now; it may in a moment."""

    type = "EngineUnavailable"


class EngineFailed(GuestError):
    type = "EngineFailed"


class UpgradeFailed(GuestError):
    """The agent is the one that it was before."""

    type = "UpgradeFailed"


class TransferFailed(GuestError):
    """The object store, a program at this end of it, or what came through is not as it should be."""

    type = "TransferFailed"
