"""What the agent asks of the watcher, and what the watcher answers: one file, which says at any instant how far it is.

Its format is for ever: the watcher of an image is as old as the image, the agent that asks it as new as the last upgrade.
Unknown fields are kept out of the way; none is renamed.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from guest_agent.files import write_durably

FILE = "upgrade.json"
TRIAL = "trial"
ROLLING_BACK = "rolling_back"
ACCEPTED = "accepted"
ROLLED_BACK = "rolled_back"
OPEN = (TRIAL, ROLLING_BACK)


@dataclass(frozen=True)
class Plan:
    """`release`, `previous`: what the link `current` is to say, and what it said before.  `patience`: seconds for an answer."""

    id: str
    release: str
    previous: str
    patience: float
    phase: str = TRIAL
    reason: str = ""

    @property
    def open(self) -> bool:
        return self.phase in OPEN


def load(directory: Path) -> Plan | None:
    path = directory / FILE
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Plan)}
    return Plan(**{name: value for name, value in values.items() if name in known})


def save(directory: Path, plan: Plan) -> None:
    write_durably(str(directory / FILE), json.dumps(asdict(plan)).encode())
