"""What telemetry leaves on disk: how often the agent has started, where to post, and a report that could not be posted."""

import json
import time
from pathlib import Path
from typing import Any

from guest_agent.errors import InvalidRequest
from guest_agent.files import remove_durably, write_durably
from guest_agent.telemetry import addresses
from guest_agent.telemetry.addresses import Destination

Report = dict[str, Any]


class Memory:
    """Below `state_dir`, mode 0600. A destination or report that is damaged is as if it were not there."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "telemetry"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._epoch = self._directory / "epoch"
        self._destination = self._directory / "destination.json"
        self._report = self._directory / "report.json"

    def count_start(self, above: int = 0) -> int:
        """The number of this start of the agent, from 1 and greater than `above`; on disk when this returns."""
        try:
            epoch = int(self._epoch.read_bytes()) + 1
        except FileNotFoundError:
            epoch = 1
        except ValueError:
            # Damaged: the time is above any count there can have been, and that is all it has to be.
            epoch = int(time.time())
        epoch = max(epoch, above + 1)
        write_durably(str(self._epoch), f"{epoch}\n".encode())
        return epoch

    def load_destination(self) -> Destination | None:
        try:
            return addresses.destination(_read(self._destination), "destination")
        except (InvalidRequest, ValueError):
            return None

    def save_destination(self, destination: Destination) -> None:
        write_durably(str(self._destination), json.dumps(destination.as_json()).encode())

    def load_report(self) -> Report | None:
        try:
            report = _read(self._report)
        except ValueError:
            return None
        return report if isinstance(report, dict) and {"epoch", "number"} <= set(report) else None

    def save_report(self, report: Report) -> None:
        write_durably(str(self._report), json.dumps(report).encode())

    def forget_report(self) -> None:
        remove_durably(str(self._report))


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.exists() else None
