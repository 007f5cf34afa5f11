"""Runs begun by an earlier release go on under today's code."""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from security import keyring
from security.codec import data_converter
from workflows.kinds import KINDS
from workflows.registry import WORKFLOWS

HISTORIES = Path(__file__).parents[1] / "histories"
RECORDED = sorted(HISTORIES.glob("*/*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_recorded_history_replays(path: Path) -> None:
    converter = data_converter(keyring.load(HISTORIES / "keyring.json"), "default")
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    asyncio.run(Replayer(workflows=WORKFLOWS, data_converter=converter).replay_workflow(history))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda w: w.__name__)
def test_every_workflow_has_histories_of_each_ending(workflow: type) -> None:
    endings = {p.stem.split("@")[0].split("-")[0] for p in RECORDED if p.parent.name == workflow.__name__}
    wanted = {"success"}
    if workflow.__name__ in KINDS:
        wanted |= {"failed"} | ({"cancelled"} if KINDS[workflow.__name__].cancellable else set())
    assert wanted <= endings
