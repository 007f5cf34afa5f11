"""/v1.0/{project_id}/operations"""

from typing import Any

from flask.typing import ResponseReturnValue
from flask.views import MethodView
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import instances, paging, retry, views
from api.context import context, services
from api.errors import NotFound
from api.replies import reply
from api.routes import Routes, policy, require
from api.schemas.operations import OperationAction, OperationBody, OperationPage, OperationQuery
from models import OperationRow, OperationState, OperationStep

routes = Routes("operations", "What was asked for, how far it is and how it ended.")


@routes.route("/operations")
class Operations(MethodView):
    @policy("operation:index")
    @routes.query(OperationQuery)
    @routes.answers(200, OperationPage, 400)
    def get(self, query: dict[str, Any], project_id: str) -> ResponseReturnValue:
        """List operations, newest first"""
        mine = OperationRow.project_id == context().project_id
        statement = select(OperationRow).where(mine)
        if "instance_id" in query:
            statement = statement.where(OperationRow.instance_id == query["instance_id"])
        if "state" in query:
            statement = statement.where(OperationRow.state == OperationState(query["state"]))
        with services().database.read() as s:
            rows, more = paging.newest_first(s, statement, OperationRow, mine, query)
        viewer, url = instances.viewer(context()), workflows_url()
        body = {"operations": [views.operation(row[0], viewer, url) for row in rows]}
        return reply(paging.with_next(body, rows[-1][0].id if more else None, paging.page_limit(query)))


@routes.route("/operations/<string:operation_id>")
class OneOperation(MethodView):
    @policy("operation:show")
    @routes.answers(200, OperationBody)
    def get(self, project_id: str, operation_id: str) -> ResponseReturnValue:
        """Show an operation with its steps"""
        return _shown(operation_id, 200)


@routes.route("/operations/<string:operation_id>/action")
class OneOperationAction(MethodView):
    @policy("operation:retry", "operation:cancel")
    @routes.body(OperationAction)
    @routes.answers(202, OperationBody, 400, 409, 413, 415, 422)
    def post(self, body: dict[str, Any], project_id: str, operation_id: str) -> ResponseReturnValue:
        """Try an operation again, or take it back

        `retry` wakes an open operation's waiting step; of an ended one it begins a new operation, which the answer shows.
        """
        [action] = body
        require(f"operation:{action}")
        with services().database.read() as s:
            row = _find(s, operation_id)
        if action == "cancel":
            services().operations.cancel(row.id)
            return _shown(row.id, 202)
        return _shown(retry.retry(context(), row), 202)


def workflows_url() -> str:
    temporal = services().conf.temporal
    return f"{temporal.ui_url.rstrip('/')}/namespaces/{temporal.namespace}/workflows"


def _shown(operation_id: str, status: int) -> ResponseReturnValue:
    with services().database.read() as s:
        row = _find(s, operation_id)
        steps = list(s.scalars(select(OperationStep).where(OperationStep.operation_id == row.id)))
    steps.sort(key=lambda step: (step.started_at, step.id))
    return reply({"operation": views.operation(row, instances.viewer(context()), workflows_url(), steps)}, status)


def _find(s: Session, operation_id: str) -> OperationRow:
    row = s.get(OperationRow, operation_id)
    if row is None or row.project_id != context().project_id:
        raise NotFound(f"Operation '{operation_id}' cannot be found.")
    return row
