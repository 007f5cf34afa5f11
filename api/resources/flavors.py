"""/v1.0/{project_id}/flavors"""

from flask.typing import ResponseReturnValue
from flask.views import MethodView
from sqlalchemy import select

from api import instances, views
from api.context import context, services
from api.errors import NotFound
from api.replies import reply
from api.routes import Routes, policy
from api.schemas.catalog import FlavorBody, FlavorList
from models import FlavorRow

routes = Routes("flavors", "Sizes of servers.")


@routes.route("/flavors")
class Flavors(MethodView):
    @policy("flavor:index")
    @routes.answers(200, FlavorList)
    def get(self, project_id: str) -> ResponseReturnValue:
        """List flavors"""
        with services().database.read() as s:
            flavors = list(s.scalars(select(FlavorRow).order_by(FlavorRow.ram_mb, FlavorRow.id)))
        return reply({"flavors": [views.flavor(f, instances.viewer(context())) for f in flavors]})


@routes.route("/flavors/<string:flavor_id>")
class OneFlavor(MethodView):
    @policy("flavor:show")
    @routes.answers(200, FlavorBody)
    def get(self, project_id: str, flavor_id: str) -> ResponseReturnValue:
        """Show a flavor"""
        with services().database.read() as s:
            found = s.get(FlavorRow, flavor_id)
        if found is None:
            raise NotFound(f"Flavor '{flavor_id}' cannot be found.")
        return reply({"flavor": views.flavor(found, instances.viewer(context()))})
