"""The description matches what is served: a snapshot, schemas held against answers, and requests made from it."""

import re

import pytest
from marshmallow import Schema
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from api.docs import PAGE
from api.schemas import catalog, extensions, instances, operations
from tests.api.stand import MARIADB, Asker, Stand


def test_the_description_is_as_it_was(stand: Stand, snapshot: SnapshotAssertion) -> None:
    served = stand.app.test_client().get("/openapi.json").json
    assert served == snapshot.use_extension(JSONSnapshotExtension)


@pytest.fixture(params=["alpha", "admin"])
def asker(stand: Stand, request: pytest.FixtureRequest) -> Asker:
    found: Asker = getattr(stand, request.param)
    return found


@pytest.fixture
def filled(stand: Stand, asker: Asker) -> str:
    """An id of an instance, beside others in other states; for pages that have a next one."""
    instance_id = stand.ready(asker, databases=[{"name": "a"}])
    asker.create()
    failed = stand.ready(asker)
    stand.set(failed, fault_message="x", fault_at=stand.instance(failed).created_at)
    stand.temporal.answers = {
        "databases.list": {"databases": [{"name": "a"}], "next": "a"},
        "users.list": {"users": [{"name": "u", "host": "%", "databases": [{"name": "a"}]}], "next": None},
        "users.show": {"name": "u", "host": "%", "databases": []},
    }
    return instance_id


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/instances?limit=2", instances.InstancePage),
        ("/instances/detail", instances.InstanceDetailPage),
        ("/instances/{id}", instances.InstanceBody),
        ("/instances/{id}/databases?limit=1", extensions.DatabaseList),
        ("/instances/{id}/users", extensions.UserList),
        ("/instances/{id}/users/u", extensions.UserBody),
        ("/instances/{id}/users/u/databases", extensions.DatabaseList),
        ("/instances/{id}/root", extensions.RootState),
        ("/datastores", catalog.DatastoreList),
        ("/datastores/mariadb", catalog.DatastoreBody),
        ("/datastores/mariadb/versions", catalog.VersionList),
        (f"/datastores/versions/{MARIADB}", catalog.VersionBody),
        ("/flavors", catalog.FlavorList),
        ("/flavors/1", catalog.FlavorBody),
        ("/limits", catalog.LimitList),
        ("/mgmt/quotas/{project}", catalog.QuotaList),
        ("/operations?limit=1", operations.OperationPage),
        ("/operations/{operation}", operations.OperationBody),
    ],
)
def test_answers_are_as_described(stand: Stand, asker: Asker, filled: str, path: str, schema: type[Schema]) -> None:
    operation = stand.temporal.runs[0].operation_id
    answer = asker.get(path.format(id=filled, operation=operation, project=asker.project_id))
    assert answer.status_code == 200
    assert schema().validate(answer.json) == {}


def test_create_and_root_answer_as_described(asker: Asker, filled: str) -> None:
    assert instances.InstanceBody().validate(asker.create(root_enabled=True).json) == {}
    assert extensions.RootAnswer().validate(asker.post(f"/instances/{filled}/root").json) == {}


def test_every_operation_is_summed_up(stand: Stand) -> None:
    described = stand.app.test_client().get("/openapi.json").json
    verbs = {"get", "post", "put", "patch", "delete"}
    bare = [path for path, item in described["paths"].items() for verb in verbs & item.keys() if not item[verb].get("summary")]
    assert bare == []


def test_the_page_needs_nothing_from_elsewhere(stand: Stand) -> None:
    answer = stand.app.test_client().get("/docs")
    assert answer.status_code == 200
    assert answer.data == PAGE.read_bytes()
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", answer.text)
