"""The queue of each guest, and the signed URL that lets it post there and do nothing else."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from oslo_config.cfg import ConfigOpts

from messaging.signing import Signer

PREFIX = "guest-"
INSTANCE_ID_LENGTH = 36


def queue_of(instance_id: str) -> str:
    return f"{PREFIX}{instance_id}"


def instance_of(queue: str) -> str | None:
    """Whose queue it is; None for one that is no guest's."""
    instance_id = queue.removeprefix(PREFIX)
    return instance_id if queue.startswith(PREFIX) and len(instance_id) == INSTANCE_ID_LENGTH else None


class GuestUrls:
    """What it gives holds signatures: it goes to guests only, never into a payload or a log."""

    def __init__(self, conf: ConfigOpts, signer: Signer) -> None:
        self._conf, self._signer = conf, signer

    @property
    def project(self) -> str:
        return str(self._conf.telemetry.project)

    @property
    def lifetime(self) -> timedelta:
        return timedelta(seconds=min(self._conf.telemetry.url_lifetime, self._conf.messaging.signed_url_lifetime))

    def settings(self, instance_id: str) -> Mapping[str, Any]:
        """All that a guest has to know to report: `{"post_to", "period"}`."""
        return {"post_to": self.post_to(instance_id), "period": self._conf.telemetry.period}

    def post_to(self, instance_id: str) -> dict[str, str]:
        queue, now = queue_of(instance_id), datetime.now(UTC)
        signed = self._signer.sign(
            self.project,
            queue,
            ["messages"],
            ["POST"],
            now + self.lifetime,
            epoch=self._conf.messaging.signed_url_epoch,
            now=now,
        )
        return {
            "url": f"{self._endpoint()}/v2/queues/{queue}/messages",
            "project": signed.project,
            "paths": ",".join(signed.paths),
            "methods": ",".join(signed.methods),
            "expires": signed.expires,
            "signature": signed.signature,
        }

    def is_guests(self, project: str, queue: str) -> bool:
        return project == self.project and instance_of(queue) is not None

    def next(self, project: str, queue: str, expires: str) -> dict[str, str] | None:
        """What replaces a URL of a guest's queue that ends at `expires`, once half of its life is over."""
        instance_id = instance_of(queue)
        if instance_id is None or project != self.project:
            return None
        until = datetime.fromisoformat(expires).replace(tzinfo=UTC)
        return self.post_to(instance_id) if until - datetime.now(UTC) < self.lifetime / 2 else None

    def _endpoint(self) -> str:
        if self._conf.telemetry.endpoint:
            return str(self._conf.telemetry.endpoint).rstrip("/")
        host = str(self._conf.api.bind_host)
        here = f"http://{f'[{host}]' if ':' in host else host}:{self._conf.api.bind_port}"
        return f"{str(self._conf.api.public_endpoint or here).rstrip('/')}/messaging"
