"""/v1.0/{project_id}/mgmt/quotas"""

from typing import Any

from flask.typing import ResponseReturnValue
from flask.views import MethodView
from sqlalchemy import select

from api import lifecycle
from api.context import context, services
from api.errors import NotFound
from api.replies import reply
from api.routes import Routes, policy, require
from api.schemas.catalog import QuotaChangeBody, QuotaChanged, QuotaList
from models import QuotaLimit, QuotaUsage

routes = Routes("quotas", "What projects may use and use.")


@routes.route("/mgmt/quotas/<string:project>")
class Quotas(MethodView):
    @policy("quota:show", "quota:show_any")
    @routes.answers(200, QuotaList)
    def get(self, project_id: str, project: str) -> ResponseReturnValue:
        """Show the quotas of a project"""
        require("quota:show" if project == context().project_id else "quota:show_any")
        usage = select(QuotaUsage.resource, QuotaUsage.in_use).where(QuotaUsage.project_id == project)
        with services().database.read() as s:
            limits = lifecycle.quota_limits(s, project)
            used = dict(s.execute(usage).all())
        shown = [
            {"resource": resource, "in_use": used.get(resource, 0), "reserved": 0, "limit": limit}
            for resource, limit in sorted(limits.items())
        ]
        return reply({"quotas": shown})

    @policy("quota:update")
    @routes.body(QuotaChangeBody)
    @routes.answers(200, QuotaChanged, 400, 415)
    def put(self, body: dict[str, Any], project_id: str, project: str) -> ResponseReturnValue:
        """Change the quotas of a project; -1 is no limit"""
        changed = {resource: limit for resource, limit in body["quotas"].items() if limit is not None}
        with services().database.write() as s:
            known = lifecycle.quota_limits(s, project)
            for resource, limit in sorted(changed.items()):
                if resource not in known:
                    raise NotFound(f"There is no quota of that name; known are {', '.join(sorted(known))}.")
                s.merge(QuotaLimit(project_id=project, resource=resource, hard_limit=limit))
        return reply({"quotas": changed})
