"""Sends the agent to a guest and has the guest put it in the place of the one it runs (docs/developer/guest-protocol.md, "Upgrade")."""

import base64
from collections.abc import Callable
from contextlib import AbstractContextManager

from guests.archive import Archive
from guests.client import GuestClient, Result
from guests.errors import GuestError
from guests.jobs import JobStatus, Progress, run_job

PIECE = 512 << 10
"""Bytes in one call: with base64 and the frame around it still below the longest line."""
JOB = "upgrade_agent"

Connect = Callable[[], AbstractContextManager[GuestClient]]


def upgrade_agent(
    connect: Connect,
    job_id: str,
    generation: int,
    archive: Archive,
    *,
    on_progress: Callable[[JobStatus], None],
    patience: float | None = None,
    no_progress_deadline: float = 900.0,
) -> Result:
    """`{"release", "previous"}` once the new agent answers.  May be repeated with the same job id, from any process.

    `patience`: seconds that the new agent has for its first answer.  Raises JobFailed UpgradeFailed when the guest has taken
    the one before back, and whatever guests.jobs.run_job raises.
    """
    with connect() as client:
        known = JobStatus.parse(client.call("job.status", {"job_id": job_id}))
        if known.state == "not_started":
            send_archive(client, archive, on_progress)
    spec = {"sha256": archive.sha256} | ({"patience": patience} if patience else {})
    return run_job(connect, job_id, generation, JOB, spec, on_progress=on_progress, no_progress_deadline=no_progress_deadline)


def send_archive(client: GuestClient, archive: Archive, on_progress: Callable[[JobStatus], None]) -> None:
    """Goes on where an earlier attempt broke off.  Raises GuestError and GuestUnreachable."""
    size, description = len(archive.content), {"sha256": archive.sha256, "size": len(archive.content)}
    received = int(client.call("agent.receive", description)["received"])
    while received < size:
        on_progress(JobStatus(progress=Progress("send", received, size)))
        piece = base64.b64encode(archive.content[received : received + PIECE]).decode("ascii")
        answer = client.call("agent.receive", {**description, "offset": received, "data": piece}, deadline=60)
        if int(answer["received"]) <= received:
            raise GuestError("Internal", "the guest does not take the archive")
        received = int(answer["received"])
