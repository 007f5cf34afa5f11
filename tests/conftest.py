import time
from typing import Any

from workflows.registry import WORKFLOWS

_began = time.monotonic()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The durability suite closes with what it has tried."""
    called = [r for reports in terminalreporter.stats.values() for r in reports if getattr(r, "when", "") in ("call", "setup")]
    points = {r.nodeid: r for r in called if r.nodeid.startswith("tests/durability/")}
    if points:
        failures = sum(r.outcome == "failed" for r in points.values())
        terminalreporter.write_line(
            f"{len(WORKFLOWS)} workflows, {len(points)} fault points, {failures} failures in {time.monotonic() - _began:.0f} s"
        )
