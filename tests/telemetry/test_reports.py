"""What is read as a report and what is not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.reports import Forged, Malformed, parse
from tests.telemetry.reporting import engine, job, report, text

ID = "4d3f6f4e-96c5-4c5a-9a1b-0c2a1b6d7e8f"


def test_a_report_is_read() -> None:
    found = parse(ID, text(report(ID, 7, 3, jobs=[job("op-prepare"), job("op-x", "in_progress")], later_field={"x": 1})))
    assert (found.place, found.ended_jobs()) == ((3, 7), ["op-prepare"])


def test_what_is_not_known_may_be_null() -> None:
    found = parse(ID, text(report(ID, volume=None, root_enabled=None, engine=engine("none"))))
    assert (found.volume_used, found.root_enabled, found.engine_version) == (None, None, None)


def test_who_speaks_for_another_is_a_forger() -> None:
    with pytest.raises(Forged):
        parse(ID, text(report("another")))


BAD: list[dict[str, Any]] = [
    {"v": 2},
    {"v": "1"},
    {"epoch": -1},
    {"epoch": True},
    {"epoch": 1.0},
    {"epoch": "1"},
    {"number": 2**63},
    {"number": 10**400},
    {"number": None},
    {"agent": 1},
    {"agent": "x" * 65},
    {"boot_id": "a\x00b"},
    {"boot_id": "\ud800"},
    {"generation": -1},
    {"engine": None},
    {"engine": []},
    {"engine": {}},
    {"engine": {**engine("running"), "state": "fine"}},
    {"engine": {**engine("running"), "state": ["running"]}},
    {"engine": {**engine("running"), "wanted": 1}},
    {"engine": {**engine("running"), "deaths": None}},
    {"engine": {**engine("running"), "version": {}}},
    {"volume": 5},
    {"volume": {"total": 1}},
    {"volume": {"total": 1, "used": -1}},
    {"load": None},
    {"load": [1, 2, 3, 4]},
    {"load": [float("nan")]},
    {"load": [float("inf")]},
    {"load": ["1"]},
    {"load": [True]},
    {"root_enabled": 1},
    {"jobs": None},
    {"jobs": {}},
    {"jobs": ["x"]},
    {"jobs": [None]},
    {"jobs": [{}]},
    {"jobs": [{**job("j"), "state": "done"}]},
    {"jobs": [{**job("j"), "job_id": "x" * 129}]},
    {"jobs": [{**job("j"), "progress": []}]},
    {"jobs": [job("j")] * 129},
]


@pytest.mark.parametrize("change", BAD, ids=lambda change: str(change)[:60])
def test_what_is_no_report(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parse(ID, text(report(ID, **change)))


@pytest.mark.parametrize("name", [name for name in report(ID) if name != "reason"])
def test_every_field_is_needed(name: str) -> None:
    body = report(ID)
    del body[name]
    with pytest.raises(Malformed):
        parse(ID, text(body))


@pytest.mark.parametrize("raw", ["", "{", "null", "[]", "7", '"x"', "[" * 100_000, "{}", "\x00"], ids=lambda raw: raw[:8])
def test_what_is_no_object(raw: str) -> None:
    with pytest.raises(Malformed):
        parse(ID, raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(sorted(report(ID))), JSON)
def test_whatever_a_field_holds_is_read_or_refused(name: str, value: Any) -> None:
    body = {**report(ID), name: value}
    try:
        found = parse(ID, json.dumps(body))
    except (Malformed, Forged):
        return
    assert found.instance_id == ID
