import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from workflows.registry import WORKFLOWS

if TYPE_CHECKING:
    from tests.support.testbed import Bed

_began = time.monotonic()


@pytest.fixture(scope="session")
def bed() -> "Iterator[Bed]":
    """The OpenStack that COFFER_TESTBED_CLOUDS names."""
    if not os.environ.get("COFFER_TESTBED_CLOUDS"):
        pytest.skip("COFFER_TESTBED_CLOUDS names no OpenStack")
    from tests.support.testbed import testbed

    with testbed() as found:
        yield found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The durability suite closes with what it has tried."""
    called = [r for reports in terminalreporter.stats.values() for r in reports if getattr(r, "when", "") in ("call", "setup")]
    points = {r.nodeid: r for r in called if r.nodeid.startswith("tests/durability/")}
    if points:
        failures = sum(r.outcome == "failed" for r in points.values())
        terminalreporter.write_line(
            f"{len(WORKFLOWS)} workflows, {len(points)} fault points, {failures} failures in {time.monotonic() - _began:.0f} s"
        )
