"""Deleting, cancelling and losing parts of the world at the worst moment."""

import json
import os
import signal

import pytest
import requests

from clouds.objects import ObjectKey
from models import InstanceState, OperationRow, OperationState
from models.base import new_id
from models.instance import Busy
from tests.durability.scenarios import SCENARIOS, create_failed, delete_done
from tests.support.world import PASSWORD, World
from workflows.contracts import CHECKS

pytestmark = pytest.mark.durability
URL_SIGNATURE = "temp_url_sig"
"""In every temporary URL of the object store."""


@pytest.mark.parametrize("step", SCENARIOS["InstanceCreate"].steps)
def test_delete_while_building_cancels_waits_and_removes(world: World, step: str) -> None:
    with world.worker(f"hold:InstanceCreate:{step}:before"):
        create = world.create()
        world.eventually((world.directory / "holding").exists)
        delete = world.delete(create.instance_id)
        world.eventually(lambda: world.operation(delete.id).state == OperationState.RUNNING)
        (world.directory / "release").touch()
        assert world.settle(delete).state == OperationState.DONE
        ended = world.operation(create.id)
        assert ended.state in (OperationState.CANCELLED, OperationState.DONE), ended.error_message
        delete_done(world, delete)


def test_delete_of_a_create_that_never_began(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.worker(), monkeypatch.context() as patched:
        patched.setattr(world.operations, "start", lambda row: None)
        create = world.create()
        patched.undo()
        delete = world.delete(create.instance_id)
        assert world.settle(delete).state == OperationState.DONE
        assert world.operation(create.id).state in (OperationState.CANCELLED, OperationState.DONE)
        delete_done(world, delete)


def test_second_delete_is_refused_and_gives_quota_back_once(world: World) -> None:
    with world.worker():
        instance_id = world.ready_instance()
        delete = world.delete(instance_id)
        with pytest.raises(Busy):
            world.delete(instance_id)
        world.settle(delete)
        with pytest.raises(Busy):
            world.delete(instance_id)
        delete_done(world, delete)


def test_delete_of_an_instance_whose_guest_is_dead(world: World) -> None:
    with world.worker():
        instance_id = world.ready_instance()
        os.kill(init_pid(world), signal.SIGKILL)
        delete = world.delete(instance_id)
        assert world.settle(delete).state == OperationState.DONE
        delete_done(world, delete)


def test_what_a_check_has_left_in_the_object_store_goes_with_the_instance(world: World) -> None:
    """Its guest has sent once more what it was granted, after all was removed.  What is another's stays."""
    with world.worker():
        instance_id = world.ready_instance()
        check = world.check_objects(instance_id)
        world.settle(check)
        left, others = (ObjectKey(check.project_id, f"{CHECKS}{id}") for id in (check.id, new_id()))
        for key in (left, others):
            [url] = world.cloud.objects.segment_urls(key, 1, 1)
            requests.put(url, b"late", timeout=30).raise_for_status()
        delete = world.delete(instance_id)
        assert world.settle(delete).state == OperationState.DONE
        assert [stored.key for stored in world.cloud.objects.objects(check.project_id)] == [others]


def test_delete_of_a_failed_create_gives_no_quota_back_twice(world: World) -> None:
    with world.worker("fail:InstanceCreate:5:after"):
        create = world.create()
        world.settle(create)
        create_failed(world, create)
        delete = world.delete(create.instance_id)
        assert world.settle(delete).state == OperationState.DONE
        delete_done(world, delete)


def test_cancel_before_the_run_began_unwinds(world: World) -> None:
    create = world.create()
    world.operations.cancel(create.id)
    with world.worker():
        assert world.settle(create).state == OperationState.CANCELLED
        create_failed(world, create)


def test_guest_away_for_a_while_is_waited_for(world: World) -> None:
    with world.worker():
        instance_id = world.ready_instance()
        agent = unit_pid(world, "agent")
        os.kill(agent, signal.SIGSTOP)
        restart = world.restart(instance_id)
        world.eventually(lambda: any(s.attempts for s in world.steps(restart) if s.name == "guest.run_job"))
        os.kill(agent, signal.SIGCONT)
        assert world.settle(restart).state == OperationState.DONE


@pytest.mark.parametrize("kind", ["InstanceRestart", "GuestWrite"])
def test_agent_killed_during_the_job_changes_nothing(world: World, kind: str) -> None:
    with world.worker():
        instance_id = world.ready_instance()
        row = SCENARIOS[kind].begin(world, instance_id)
        os.kill(unit_pid(world, "agent"), signal.SIGKILL)
        assert world.settle(row).state == OperationState.DONE
        SCENARIOS[kind].done(world, row)


def test_server_rebooted_under_a_restart_comes_back(world: World) -> None:
    with world.worker():
        instance_id = world.ready_instance()
        row = world.restart(instance_id)
        world.cloud.compute.reboot_server(str(world.instance(instance_id).server_key))
        assert world.settle(row).state == OperationState.DONE


def test_retry_now_wakes_a_waiting_step(world: World) -> None:
    with world.worker():
        instance_id = world.ready_instance()
        os.kill(unit_pid(world, "sshd"), signal.SIGSTOP)
        row = world.restart(instance_id)
        world.eventually(lambda: any(s.name == "guest.run_job" for s in world.steps(row)))
        os.kill(unit_pid(world, "sshd"), signal.SIGCONT)
        assert world.settle(row).state == OperationState.DONE


def test_no_secret_in_any_history_or_log(world: World) -> None:
    """Payloads are read as Temporal keeps them and as a key holder would decode them."""
    with world.worker():
        rows: list[OperationRow] = []
        create = world.create()
        world.settle(create)
        rows.append(create)
        for begin in (world.restart, world.write, world.check_objects):
            row = begin(create.instance_id)
            world.settle(row)
            rows.append(row)
        [settings] = (world.directory / "c" / "servers").glob("*/agent.json")
        signature = json.loads(settings.read_text())["telemetry"]["post_to"]["signature"]
        for row in rows:
            history = world.temporal.loop.run(world.handle(row).fetch_history())
            for words in (history.to_json(), json.dumps(decoded(world, history))):
                assert PASSWORD not in words
                assert "PRIVATE KEY" not in words
                assert signature not in words
                assert URL_SIGNATURE not in words
        assert PASSWORD not in world.log()
        assert signature not in world.log()
        assert URL_SIGNATURE not in world.log()
        for file in [*settings.parent.glob("log/*.log"), *settings.parent.glob("state/jobs/*.json")]:
            assert URL_SIGNATURE.encode() not in file.read_bytes(), file
        database = (world.directory / "coffer.db").read_bytes() + (world.directory / "coffer.db-wal").read_bytes()
        assert PASSWORD.encode() not in database
        assert b"PRIVATE KEY" not in database
        assert signature.encode() not in database
        assert URL_SIGNATURE.encode() not in database


def test_temporal_away_leaves_the_row_to_the_dispatcher(world: World) -> None:
    from api.operations import Operations
    from api.temporal_bridge import TemporalBridge

    nowhere = TemporalBridge("127.0.0.1:1", "default", world.converter, world.conf.temporal.task_queue)
    here, world.operations = world.operations, Operations(world.database, nowhere)
    create = world.create()
    world.operations = here
    assert world.operation(create.id).state == OperationState.PENDING
    with world.worker():
        assert world.settle(create).state == OperationState.DONE
    assert world.instance(create.instance_id).state == InstanceState.READY


def decoded(world: World, history: object) -> list[str]:
    """Every payload of the history, opened."""
    from temporalio.api.common.v1 import Payload

    found: list[str] = []

    def walk(message: object) -> None:
        if isinstance(message, Payload):
            plain = world.temporal.loop.run(world.converter.payload_codec.decode([message]))[0]
            found.append(plain.data.decode(errors="replace"))
            return
        for descriptor, value in getattr(message, "ListFields", list)():
            repeated = (
                descriptor.is_repeated if hasattr(descriptor, "is_repeated") else descriptor.label == descriptor.LABEL_REPEATED
            )
            if descriptor.message_type and descriptor.message_type.GetOptions().map_entry:
                for item in value.values():
                    walk(item)
            elif descriptor.type == descriptor.TYPE_MESSAGE:
                for item in value if repeated else [value]:
                    walk(item)

    for event in history.events:  # type: ignore[attr-defined]
        walk(event)
    assert found
    return found


def init_pid(world: World) -> int:
    return int(next((world.directory / "c" / "servers").glob("*/run/init.pid")).read_text())


def unit_pid(world: World, unit: str) -> int:
    return int(next((world.directory / "c" / "servers").glob(f"*/run/{unit}.pid")).read_text())
