"""What guests report arrives whatever dies on the way, and workflows go on when a guest says so."""

import os
import signal
from collections.abc import Iterator

import pytest

from models import OperationRow, OperationState, StepState
from tests.durability.scenarios import create_done, create_failed
from tests.support.telling import Telling
from tests.support.world import Temporal, World, Zygote
from tests.telemetry.reporting import engine, report

pytestmark = pytest.mark.durability

LONG = ("claim", "1", "2", "3", "4", "5", "6", "7", "8", "finish")
"""A create whose job takes longer than a worker stays with it."""


@pytest.fixture
def telling(temporal: Temporal, zygote: Zygote) -> Iterator[Telling]:
    w = Telling(temporal, zygote)
    yield w
    w.close()


def names(world: World, row: OperationRow) -> list[str]:
    return [step.name for step in world.steps(row)]


def test_a_long_create_ends_on_the_guests_own_word(telling: Telling) -> None:
    with telling.open(), telling.worker("hold:InstanceCreate:7:before"):
        row = telling.create()
        telling.eventually(lambda: telling.heard(row.instance_id))
        (telling.directory / "release").touch()
        assert telling.settle(row).state == OperationState.DONE
        create_done(telling, row)
        assert names(telling, row).count("guest.start_job") == 2
        assert "guest.run_job" not in names(telling, row)
        assert telling.signals(row) >= 1


def test_a_guest_that_cannot_report_is_polled(telling: Telling) -> None:
    with telling.worker():
        row = telling.create()
        assert telling.settle(row).state == OperationState.DONE
        create_done(telling, row)
        assert "guest.run_job" in names(telling, row)
        assert telling.signals(row) == 0


def test_cancel_while_the_guest_is_waited_for_unwinds(telling: Telling) -> None:
    """It has been heard, so that it is relied on; and can report no more, so that the wait is long."""
    with telling.worker("hold:InstanceCreate:7:before"):
        with telling.open():
            row = telling.create()
            telling.eventually(lambda: telling.heard(row.instance_id))
        (telling.directory / "release").touch()
        telling.eventually(lambda: any(s.id == "7" and s.state == StepState.DONE for s in telling.steps(row)))
        telling.temporal.loop.run(telling.handle(row).cancel())
        assert telling.settle(row).state == OperationState.CANCELLED
        create_failed(telling, row)


@pytest.mark.parametrize("step", LONG[5:])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_worker_killed_around_the_waiting_completes(telling: Telling, step: str, moment: str) -> None:
    with telling.open(), telling.worker(f"kill:InstanceCreate:{step}:{moment}"):
        row = telling.create()
        assert telling.settle(row).state == OperationState.DONE
        assert telling.deaths == 1
        create_done(telling, row)


@pytest.mark.parametrize("step", ["7", "8"])
def test_failure_around_the_waiting_leaves_a_clean_slate(telling: Telling, step: str) -> None:
    with telling.open(), telling.worker(f"fail:InstanceCreate:{step}:after"):
        row = telling.create()
        assert telling.settle(row).error_type == "Injected"
        create_failed(telling, row)
        assert telling.heard(row.instance_id) is None


def test_a_worker_that_dies_hands_the_drain_over_within_seconds(telling: Telling) -> None:
    with telling.open(), telling.worker():
        instance_id = telling.ready_instance()
        first = telling.eventually(lambda: telling.heard(instance_id))
        assert first is not None
        telling.kill_worker()
        telling.say(instance_id, report(instance_id, 1, first.epoch + 1, engine=engine("blocked")))
        telling.eventually(lambda: (found := telling.heard(instance_id)) and found.epoch == first.epoch + 1, 15)
        assert telling.deaths == 1
        telling.eventually(lambda: telling.left_to_drain(instance_id) == 0)


def test_nothing_that_a_guest_says_stops_the_drain(telling: Telling) -> None:
    """Malformed, forged, stale and replayed reports are dropped, and the good ones between them count."""
    with telling.open(), telling.worker():
        one, other = telling.ready_instance(), telling.ready_instance()
        before = telling.eventually(lambda: telling.heard(other))
        assert before is not None
        newest = report(one, 9, 1000, engine=engine("blocked"))
        lies = report(other, 9, 5000, engine=engine("stopped"))
        telling.say(one, "no report", {"v": 9}, [], lies, newest, report(one, 8, 1000), report(one, 10, 999), newest, None)
        telling.eventually(lambda: (found := telling.heard(one)) and found.epoch == 1000)
        telling.eventually(lambda: telling.left_to_drain(one) == 0)
        found, untouched = telling.heard(one), telling.heard(other)
        assert found
        assert untouched
        assert (found.epoch, found.number, found.engine_state) == (1000, 9, "blocked")
        assert (untouched.epoch, untouched.engine_state) == (before.epoch, "running")
    assert telling.log().count("speaks for another instance") == 1


def test_a_guest_that_has_lost_its_state_is_heard_again_and_nothing_old_counts(telling: Telling) -> None:
    with telling.open(), telling.worker():
        instance_id = telling.ready_instance()
        assert telling.eventually(lambda: telling.heard(instance_id))
        old = report(instance_id, 9, 1000, engine=engine("blocked"))
        telling.say(instance_id, old)
        telling.eventually(lambda: (found := telling.heard(instance_id)) and found.epoch == 1000)
        found = telling.eventually(lambda: (now := telling.heard(instance_id)) and now.epoch == 1001 and now, 25)
        assert found
        assert found.engine_state == "running"
        telling.say(instance_id, old)
        telling.eventually(lambda: telling.left_to_drain(instance_id) == 0)
        kept = telling.heard(instance_id)
        assert kept
        assert (kept.epoch, kept.engine_state) == (1001, "running")


def test_guests_without_a_valid_url_are_told_a_new_one(temporal: Temporal, zygote: Zygote) -> None:
    """Their URLs end before anybody is there to post to; one guest is dead, which keeps the other waiting for nothing."""
    world = Telling(temporal, zygote, url_lifetime=2)
    try:
        with world.worker():
            dead, alive = world.ready_instance(), world.ready_instance()
            server = next(entry for entry in (world.directory / "c" / "servers").glob("*.json") if dead in entry.read_text())
            agent = int((server.with_suffix("") / "run" / "agent.pid").read_text())
            os.kill(agent, signal.SIGSTOP)
            world.eventually(lambda: "unreachable" in world.log())
            with world.open():
                first = world.eventually(lambda: world.heard(alive), 25)
                assert first is not None
                # Posting renews it from now on, long beyond the life of the one that it was told.
                world.eventually(lambda: (now := world.heard(alive)) and (now.received_at - first.received_at).seconds > 5)
                assert world.heard(dead) is None
                os.kill(agent, signal.SIGCONT)
                world.eventually(lambda: world.heard(dead))
    finally:
        world.close()
