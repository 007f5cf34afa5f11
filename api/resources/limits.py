"""/v1.0/{project_id}/limits"""

from flask.typing import ResponseReturnValue
from flask.views import MethodView

from api import lifecycle
from api.context import context, services
from api.replies import reply
from api.routes import Routes, policy
from api.schemas.catalog import LimitList

routes = Routes("limits", "What a project may use.")


@routes.route("/limits")
class Limits(MethodView):
    @policy("limits:index")
    @routes.answers(200, LimitList)
    def get(self, project_id: str) -> ResponseReturnValue:
        """Show the project's absolute limits; requests are not rate limited"""
        with services().database.read() as s:
            limits = lifecycle.quota_limits(s, context().project_id)
        absolute = {"verb": "ABSOLUTE"} | {f"max_{resource}": limit for resource, limit in sorted(limits.items())}
        return reply({"limits": [absolute]})
