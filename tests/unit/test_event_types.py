"""The words of events, and that no kind of operation is without some."""

import pytest

from activities.records import SETTLE
from models.event_types import ENDS, OPERATION_ENDS, TYPES, unknown, wanted
from models.operation import OperationState
from workflows.kinds import KINDS


def test_every_end_of_every_operation_is_told() -> None:
    assert ENDS.keys() == SETTLE.keys() == KINDS.keys()
    assert {state.value for state in OperationState} - {state.value for state in OperationState.open()} == OPERATION_ENDS.keys()


@pytest.mark.parametrize(
    ("patterns", "type", "is_wanted"),
    [
        (None, "instance.created", True),
        (["instance.created"], "instance.created", True),
        (["instance.created"], "instance.deleted", False),
        (["operation.failed", "instance.*"], "instance.deleted", True),
        (["instance.*"], "trove.instance.create", False),
        (["trove.*"], "trove.instance.create", True),
        (["trove.instance.*"], "trove.instance.exists", True),
    ],
)
def test_what_is_wanted(patterns: list[str] | None, type: str, is_wanted: bool) -> None:
    assert wanted(patterns, type) is is_wanted


def test_what_is_unknown() -> None:
    assert unknown([*TYPES, "instance.*", "trove.*", "trove.instance.*"]) == []
    nonsense = [".*", "*", "inst.*", "instance", "instance.", "instance.created.*", "backup.completed"]
    assert unknown(nonsense) == sorted(nonsense)
