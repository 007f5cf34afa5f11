"""What jobs leave on disk: one file a job, the highest generation seen, and the key that recognises a spec."""

import hashlib
import hmac
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from guest_agent.files import remove_durably, write_durably

IN_PROGRESS = "in_progress"
SUCCEEDED = "succeeded"
FAILED = "failed"


@dataclass(frozen=True)
class JobRecord:
    """A job as journaled. `step` is the step that has begun; `spec` and `notes` are gone once the job has ended."""

    job_id: str
    order: int
    kind: str
    digest: str
    spec: dict[str, Any] | None
    step: str
    done: int
    total: int
    state: str = IN_PROGRESS
    revision: int = 1
    notes: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    error: dict[str, str] | None = None

    @property
    def ended(self) -> bool:
        return self.state != IN_PROGRESS

    @classmethod
    def parse(cls, text: str) -> "JobRecord":
        """What a release before or after this one wrote: fields it did not know have defaults, fields it added are not kept."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})

    def status(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "revision": self.revision,
            "progress": {"step": self.step, "done": self.done, "total": self.total},
            "result": self.result if self.state == SUCCEEDED else None,
            "error": self.error,
        }


NOT_STARTED: dict[str, Any] = {"state": "not_started", "revision": 0, "progress": None, "result": None, "error": None}


class Journal:
    """The directory that the agent's memory of its jobs can be rebuilt from at any instant."""

    def __init__(self, state_dir: Path) -> None:
        self._jobs = state_dir / "jobs"
        self._jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._generation_file = state_dir / "generation"
        self._key = self._load_key(state_dir / "digest.key")

    def load(self) -> list[JobRecord]:
        """All jobs, in order of arrival."""
        for unfinished_write in self._jobs.glob("*.new"):
            unfinished_write.unlink()
        records = [JobRecord.parse(path.read_text(encoding="utf-8")) for path in self._jobs.glob("*.json")]
        return sorted(records, key=lambda record: record.order)

    def save(self, record: JobRecord) -> None:
        write_durably(self._path(record.job_id), json.dumps(asdict(record)).encode())

    def remove(self, job_id: str) -> None:
        remove_durably(self._path(job_id))

    def load_generation(self) -> int:
        if not self._generation_file.exists():
            return 0
        return int(self._generation_file.read_text(encoding="ascii"))

    def save_generation(self, generation: int) -> None:
        write_durably(str(self._generation_file), f"{generation}\n".encode())

    def digest(self, kind: str, spec: dict[str, Any]) -> str:
        """Recognises a spec without keeping it. Keyed: a bare hash would let a short password be guessed from the disk."""
        canonical = json.dumps([kind, spec], sort_keys=True, separators=(",", ":"))
        return hmac.new(self._key, canonical.encode(), hashlib.sha256).hexdigest()

    def _path(self, job_id: str) -> str:
        return str(self._jobs / f"{job_id}.json")

    @staticmethod
    def _load_key(path: Path) -> bytes:
        if not path.exists():
            write_durably(str(path), os.urandom(32))
        return path.read_bytes()
