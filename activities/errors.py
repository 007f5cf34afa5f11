"""Error types that cross the workflow boundary.  Names are wire format: never changed, never reused."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.exceptions import ApplicationError

from clouds.ports import CloudError
from guests.errors import GuestError, GuestUnreachable, HostKeyMismatch, JobFailed, NoProgress

QUOTA = "QuotaExceeded"
REJECTED = "CloudRejected"
SERVER_FAILED = "ServerFailed"
VOLUME_FAILED = "VolumeFailed"
RECORD_FAILED = "RecordFailed"
HOST_KEY_MISMATCH = "HostKeyMismatch"
GUEST_UNREACHABLE = "GuestUnreachable"
NO_PROGRESS = "NoProgress"
SHUTTING_DOWN = "WorkerShuttingDown"

FINAL_STATUSES = {400: REJECTED, 403: QUOTA, 413: QUOTA}
TRANSIENT_GUEST_ERRORS = {"EngineUnavailable", "Internal"}


def final(error_type: str, message: str) -> ApplicationError:
    return ApplicationError(message, type=error_type, non_retryable=True)


@contextmanager
def cloud_errors() -> Iterator[None]:
    """What we asked wrongly is final; the rest is retried by Temporal."""
    try:
        yield
    except CloudError as e:
        if e.status in FINAL_STATUSES:
            raise final(FINAL_STATUSES[e.status], str(e)) from e
        delay = timedelta(seconds=e.retry_after) if e.retry_after else None
        raise ApplicationError(str(e), type="CloudUnavailable", next_retry_delay=delay) from e


@contextmanager
def guest_errors() -> Iterator[None]:
    """A guest's own word keeps its type (docs/developer/guest-protocol.md); silence is retried."""
    try:
        yield
    except (GuestError, JobFailed) as e:
        lasting = e.type not in TRANSIENT_GUEST_ERRORS or isinstance(e, JobFailed)
        raise ApplicationError(e.message, type=e.type, non_retryable=lasting) from e
    except HostKeyMismatch as e:
        raise final(HOST_KEY_MISMATCH, str(e)) from e
    except NoProgress as e:
        raise final(NO_PROGRESS, str(e)) from e
    except GuestUnreachable as e:
        raise ApplicationError(str(e), type=GUEST_UNREACHABLE) from e
