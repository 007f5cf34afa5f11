"""/v1.0/{project_id}/datastores"""

from collections import defaultdict

from flask.typing import ResponseReturnValue
from flask.views import MethodView
from sqlalchemy import select
from sqlalchemy.orm import Session

from api import datastores, instances, views
from api.context import context, services
from api.errors import NotFound
from api.replies import reply
from api.routes import Routes, policy
from api.schemas.catalog import DatastoreBody, DatastoreList, FlavorList, VersionBody, VersionList
from models import Datastore, DatastoreVersion, FlavorRow

routes = Routes("datastores", "Kinds of engines and their versions.")


@routes.route("/datastores")
class Datastores(MethodView):
    @policy("datastore:index")
    @routes.answers(200, DatastoreList)
    def get(self, project_id: str) -> ResponseReturnValue:
        """List datastores"""
        viewer = instances.viewer(context())
        versions = select(DatastoreVersion).order_by(DatastoreVersion.name)
        with services().database.read() as s:
            known = list(s.scalars(select(Datastore).order_by(Datastore.name)))
            of: dict[str, list[DatastoreVersion]] = defaultdict(list)
            for version in s.scalars(versions if viewer.is_admin else versions.where(DatastoreVersion.active)):
                of[version.datastore_id].append(version)
        shown = [views.datastore(d, of[d.id], viewer) for d in known if of[d.id] or viewer.is_admin]
        return reply({"datastores": shown})


@routes.route("/datastores/<string:datastore>")
class OneDatastore(MethodView):
    @policy("datastore:show")
    @routes.answers(200, DatastoreBody)
    def get(self, project_id: str, datastore: str) -> ResponseReturnValue:
        """Show a datastore by name or id"""
        viewer = instances.viewer(context())
        with services().database.read() as s:
            found = datastores.find_datastore(s, datastore)
            versions = datastores.versions_of(s, found, inactive=viewer.is_admin)
        return reply({"datastore": views.datastore(found, versions, viewer)})


@routes.route("/datastores/<string:datastore>/versions")
class Versions(MethodView):
    @policy("datastore:version_index")
    @routes.answers(200, VersionList)
    def get(self, project_id: str, datastore: str) -> ResponseReturnValue:
        """List versions of a datastore"""
        viewer = instances.viewer(context())
        with services().database.read() as s:
            found = datastores.find_datastore(s, datastore)
            versions = datastores.versions_of(s, found, inactive=viewer.is_admin)
        return reply({"versions": [views.version(v, viewer) for v in versions]})


@routes.route("/datastores/<string:datastore>/versions/<string:version>")
class OneVersion(MethodView):
    @policy("datastore:version_show")
    @routes.answers(200, VersionBody)
    def get(self, project_id: str, datastore: str, version: str) -> ResponseReturnValue:
        """Show a version by name or id"""
        with services().database.read() as s:
            found = _version(s, datastore, version)
        return reply({"version": views.version(found, instances.viewer(context()))})


@routes.route("/datastores/versions/<string:version>")
class VersionById(MethodView):
    @policy("datastore:version_show_by_uuid")
    @routes.answers(200, VersionBody)
    def get(self, project_id: str, version: str) -> ResponseReturnValue:
        """Show a version by its id"""
        viewer = instances.viewer(context())
        with services().database.read() as s:
            found = s.get(DatastoreVersion, version)
        if found is None or not (found.active or viewer.is_admin):
            raise NotFound(f"Datastore version '{version}' cannot be found.")
        return reply({"version": views.version(found, viewer)})


@routes.route("/datastores/<string:datastore>/versions/<string:version>/flavors")
class VersionFlavors(MethodView):
    @policy("datastore:list_associated_flavors")
    @routes.answers(200, FlavorList)
    def get(self, project_id: str, datastore: str, version: str) -> ResponseReturnValue:
        """List the flavors that a version can be built with"""
        viewer = instances.viewer(context())
        with services().database.read() as s:
            _version(s, datastore, version)
            flavors = list(s.scalars(select(FlavorRow).order_by(FlavorRow.ram_mb, FlavorRow.id)))
        return reply({"flavors": [views.flavor(f, viewer) for f in flavors]})


def _version(s: Session, datastore: str, version: str) -> DatastoreVersion:
    found = datastores.find_datastore(s, datastore)
    for candidate in datastores.versions_of(s, found, inactive=context().is_admin):
        if version in (candidate.id, candidate.name):
            return candidate
    raise NotFound(f"Datastore '{datastore}' has no version '{version}'.")
