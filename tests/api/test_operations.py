"""Operations: shown, retried, cancelled; and an instance's status reset."""

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from models import InstanceState, OperationRow, OperationState, OperationStep, StepState
from tests.api.stand import CANARY, PROJECTS, Stand
from tests.api.temporal import Run
from tests.api.test_instances import fault
from workflows.contracts import Operation

BROKEN = ApplicationError("no room", type="NoValidHost")


def newest(stand: Stand) -> dict[str, Any]:
    shown: dict[str, Any] = stand.alpha.get("/operations?limit=1").json["operations"][0]
    return shown


def act(stand: Stand, operation_id: str, action: str) -> Any:
    return stand.alpha.post(f"/operations/{operation_id}/action", {action: {}})


def test_shown_with_steps(stand: Stand) -> None:
    created = stand.alpha.create()
    instance_id = created.json["instance"]["id"]
    id = newest(stand)["id"]
    with stand.database.write() as s:
        s.add(OperationStep(operation_id=id, id="1", name="guest.create_keys", state=StepState.DONE))
        s.add(
            OperationStep(
                operation_id=id, id="2", name="nova.create_server", state=StepState.WAITING, attempts=3, error="no room"
            )
        )
    shown = stand.alpha.get(f"/operations/{id}").json["operation"]
    assert shown["kind"] == "InstanceCreate"
    assert shown["request_id"] == created.headers["X-Openstack-Request-Id"]
    assert shown["user_id"] == "user-alpha"
    assert shown["cancellable"] is True
    assert shown["workflow_id"] == f"instance:{instance_id}"
    assert {"rel": "workflow", "href": f"http://127.0.0.1:8233/namespaces/default/workflows/instance%3A{instance_id}"} in shown[
        "links"
    ]
    assert [(step["name"], step["state"], step["attempts"]) for step in shown["steps"]] == [
        ("guest.create_keys", "DONE", 1),
        ("nova.create_server", "WAITING", 3),
    ]


def test_lists_filter(stand: Stand) -> None:
    first, second = (stand.alpha.create().json["instance"]["id"] for _ in range(2))
    stand.temporal.finish(stand.temporal.runs[0])
    listed = stand.alpha.get("/operations").json["operations"]
    assert [o["instance_id"] for o in listed] == [second, first]
    assert [o["instance_id"] for o in stand.alpha.get(f"/operations?instance_id={first}").json["operations"]] == [first]
    assert [o["instance_id"] for o in stand.alpha.get("/operations?state=DONE").json["operations"]] == [first]
    assert fault(stand.alpha.get("/operations?state=ASLEEP"))[0] == "badRequest"
    page = stand.alpha.get("/operations?limit=1&state=STARTED").json
    assert "links" not in page
    assert "links" in stand.alpha.get("/operations?limit=1").json


def test_operations_of_others_are_not_there(stand: Stand) -> None:
    stand.alpha.create()
    id = newest(stand)["id"]
    assert stand.beta.get("/operations").json == {"operations": []}
    assert stand.beta.get(f"/operations/{id}").status_code == 404
    assert stand.admin.post(f"/operations/{id}/action", {"cancel": {}}).status_code == 404


@pytest.mark.parametrize("body", [{}, {"retry": {}, "cancel": {}}, {"skip": {}}])
def test_actions_that_are_none(stand: Stand, body: Any) -> None:
    stand.alpha.create()
    assert stand.alpha.post(f"/operations/{newest(stand)['id']}/action", body).status_code == 400


# -- cancel


def test_cancel(stand: Stand) -> None:
    stand.alpha.create()
    answer = act(stand, newest(stand)["id"], "cancel")
    assert answer.status_code == 202
    assert answer.json["operation"]["cancel_requested"] is True
    [run] = stand.temporal.runs
    assert run.cancelled
    stand.temporal.finish(run, cancelled=True)
    assert newest(stand)["state"] == "CANCELLED"
    again = act(stand, run.operation_id, "cancel")
    assert fault(again)[0] == "conflict"


def test_what_can_not_be_cancelled(stand: Stand) -> None:
    instance_id = stand.ready()
    stand.alpha.delete(f"/instances/{instance_id}")
    name, message = fault(act(stand, newest(stand)["id"], "cancel"))
    assert name == "conflict"
    assert "can't be cancelled" in message


# -- retry


def test_retry_wakes_the_waiting_step(stand: Stand) -> None:
    stand.alpha.create()
    [run] = stand.temporal.runs
    assert fault(act(stand, run.operation_id, "retry"))[0] == "conflict"
    run.waiting = ["4"]
    answer = act(stand, run.operation_id, "retry")
    assert (answer.status_code, answer.json["operation"]["id"]) == (202, run.operation_id)
    assert stand.temporal.woken == ["4"]


def test_retry_of_a_failed_create(stand: Stand) -> None:
    instance_id = stand.alpha.create(users=[{"name": "ada", "password": CANARY}], root_enabled=True).json["instance"]["id"]
    [first] = stand.temporal.runs
    stand.temporal.finish(first, BROKEN)
    assert stand.used(PROJECTS["alpha"]) == 0
    answer = act(stand, first.operation_id, "retry")
    assert answer.status_code == 202
    assert answer.json["operation"]["retry_of"] == first.operation_id
    second = stand.temporal.runs[-1]
    assert second.operation_id == answer.json["operation"]["id"] != first.operation_id
    assert second.input == {**first.input, "op": second.input["op"]}
    assert second.op == Operation(
        second.operation_id, instance_id, PROJECTS["alpha"], 2, answer.headers["X-Openstack-Request-Id"]
    )
    shown = stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    assert shown["status"] == "BUILD"
    assert "fault" not in shown
    assert stand.used(PROJECTS["alpha"]) == 1
    assert fault(act(stand, first.operation_id, "retry"))[0] == "conflict"


def test_retry_of_a_create_needs_quota(stand: Stand) -> None:
    stand.alpha.create()
    stand.temporal.finish(stand.temporal.runs[0], BROKEN)
    for _ in range(5):
        stand.alpha.create()
    assert act(stand, stand.temporal.runs[0].operation_id, "retry").status_code == 413
    assert stand.used(PROJECTS["alpha"]) == 5


def test_retry_of_a_create_that_is_being_deleted(stand: Stand) -> None:
    instance_id = stand.alpha.create().json["instance"]["id"]
    stand.temporal.finish(stand.temporal.runs[0], BROKEN)
    stand.alpha.delete(f"/instances/{instance_id}")
    assert fault(act(stand, stand.temporal.runs[0].operation_id, "retry"))[0] == "conflict"
    assert stand.used(PROJECTS["alpha"]) == 0


def test_retry_of_a_failed_restart_and_of_a_failed_delete(stand: Stand) -> None:
    instance_id = stand.ready()
    stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}})
    stand.temporal.finish(stand.temporal.runs[-1], ApplicationError("x", type="EngineFailed"))
    assert act(stand, stand.temporal.runs[-1].operation_id, "retry").status_code == 202
    stand.temporal.finish(stand.temporal.runs[-1])
    stand.alpha.delete(f"/instances/{instance_id}")
    failed = stand.temporal.runs[-1]
    stand.temporal.finish(failed, BROKEN)
    assert act(stand, failed.operation_id, "retry").status_code == 202
    assert fault(act(stand, failed.operation_id, "retry"))[0] == "conflict"
    assert [run.op.generation for run in stand.temporal.runs] == [1, 2, 3, 4, 5]


def test_retry_of_what_ended_well_and_of_a_change(stand: Stand) -> None:
    instance_id = stand.ready()
    assert fault(act(stand, stand.temporal.runs[0].operation_id, "retry"))[0] == "conflict"

    def guest(_kind: str, _spec: Any) -> None:
        raise ApplicationError("there", type="UserExists")

    stand.temporal.guest = guest
    stand.alpha.post(f"/instances/{instance_id}/users", {"users": [{"name": "ada", "password": CANARY}]})
    name, message = fault(act(stand, stand.temporal.runs[-1].operation_id, "retry"))
    assert name == "conflict"
    assert "send the request again" in message


# -- reset of the status


def reset(stand: Stand, instance_id: str, **argument: Any) -> Any:
    return stand.alpha.post(f"/instances/{instance_id}/action", {"reset_status": argument})


@pytest.fixture
def admin_in_alpha(stand: Stand) -> Stand:
    """A stand whose first client is an administrator."""
    stand.alpha, stand.beta = stand.admin, stand.alpha
    return stand


def test_reset_is_for_administrators(stand: Stand) -> None:
    instance_id = stand.ready()
    assert fault(reset(stand, instance_id)) == ("forbidden", "Policy doesn't allow instance:reset_status to be performed.")
    assert reset(stand, instance_id, force_delete=True).status_code == 202


def test_reset_of_a_hanging_restart_frees_and_fences(admin_in_alpha: Stand) -> None:
    stand = admin_in_alpha
    instance_id = stand.ready()
    stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}})
    run = stand.temporal.runs[-1]
    claimed(stand, run)
    assert reset(stand, instance_id).status_code == 202
    assert run.terminated
    row = stand.operation(run.operation_id)
    assert (row.state, row.error_type) == (OperationState.CANCELLED, "StatusReset")
    stand.temporal.finish(run, BROKEN)  # too late: changes nothing
    instance = stand.instance(instance_id)
    assert (instance.state, instance.operation_id, instance.generation) == (InstanceState.READY, None, 3)
    shown = stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    assert (shown["status"], shown["operating_status"]) == ("ACTIVE", "ERROR")
    assert stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}}).status_code == 202
    stand.temporal.finish(stand.temporal.runs[-1])
    assert stand.alpha.get(f"/instances/{instance_id}").json["instance"]["operating_status"] == "HEALTHY"


def test_reset_of_a_create_cancels_and_leaves_the_lock_to_the_deletion(admin_in_alpha: Stand) -> None:
    stand = admin_in_alpha
    instance_id = stand.alpha.create().json["instance"]["id"]
    [run] = stand.temporal.runs
    claimed(stand, run)
    stand.set(instance_id, server_key="server", management_address="127.0.0.9")
    assert reset(stand, instance_id).status_code == 202
    assert run.cancelled
    instance = stand.instance(instance_id)
    assert (instance.state, instance.operation_id) == (InstanceState.ERROR, run.operation_id)
    shown = stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    assert (shown["status"], shown["operating_status"]) == ("ERROR", "FAILED")
    assert stand.alpha.delete(f"/instances/{instance_id}").status_code == 202
    stand.temporal.finish(stand.temporal.runs[-1])
    assert stand.used(PROJECTS["admin"]) == 0


def test_reset_of_a_hanging_deletion_lets_it_be_asked_for_again(admin_in_alpha: Stand) -> None:
    stand = admin_in_alpha
    instance_id = stand.ready()
    stand.alpha.delete(f"/instances/{instance_id}")
    claimed(stand, stand.temporal.runs[-1])
    assert reset(stand, instance_id).status_code == 202
    assert stand.temporal.runs[-1].terminated
    assert stand.alpha.get(f"/instances/{instance_id}").json["instance"]["status"] == "ERROR"
    assert stand.alpha.delete(f"/instances/{instance_id}").status_code == 202
    assert len(stand.temporal.of("InstanceDelete")) == 2


def test_reset_of_what_never_began_needs_no_temporal(admin_in_alpha: Stand) -> None:
    stand = admin_in_alpha
    stand.temporal.away = True
    instance_id = stand.alpha.create().json["instance"]["id"]
    assert reset(stand, instance_id).status_code == 202
    instance = stand.instance(instance_id)
    assert (instance.state, instance.operation_id) == (InstanceState.ERROR, None)
    stand.temporal.away = False
    assert stand.operations.dispatch(older_than=-1) == 0


def test_reset_with_temporal_away_changes_nothing(admin_in_alpha: Stand) -> None:
    stand = admin_in_alpha
    instance_id = stand.ready()
    stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}})
    claimed(stand, stand.temporal.runs[-1])
    stand.temporal.away = True
    assert reset(stand, instance_id).status_code == 503
    assert stand.instance(instance_id).operation_id is not None


def test_reset_of_what_is_idle_changes_nothing(admin_in_alpha: Stand) -> None:
    stand = admin_in_alpha
    instance_id = stand.ready()
    assert reset(stand, instance_id).status_code == 202
    assert stand.alpha.get(f"/instances/{instance_id}").json["instance"]["operating_status"] == "HEALTHY"


def claimed(stand: Stand, run: Run) -> None:
    """As if its workflow had got to its first step."""
    with stand.database.write() as s:
        s.get_one(OperationRow, run.operation_id).state = OperationState.RUNNING
