"""The application with stores of messages of its own, and clients of messaging."""

import shutil
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from api.messaging import parts
from models import Database
from models.messaging import MessagingCounter
from security import keyring
from tests.api.stand import PROJECTS, Asker, Plant, Stand

CLIENT = "3381af92-2b9e-11e3-b191-71861300734c"
OTHER_CLIENT = "b0ad5cd1-2b9e-11e3-b191-71861300734c"


class Correspondent:
    """Asks with the token of one of the stand's users."""

    def __init__(self, office: "PostOffice", asker: Asker) -> None:
        self.project_id, self._token, self._client = asker.project_id, asker.token, office.app.test_client()

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **kwargs: Any) -> TestResponse:
        sent = {"json": body} if body is not None else {}
        headers = {"X-Auth-Token": self._token, "Client-ID": CLIENT, **(headers or {})}
        return self._client.open(path, method=method, headers={k: v for k, v in headers.items() if v}, **sent, **kwargs)

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.ask("GET", path, **kwargs)

    def put(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        return self.ask("PUT", path, body, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        return self.ask("POST", path, body, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> TestResponse:
        return self.ask("DELETE", path, **kwargs)

    def patch(self, path: str, body: Any, **kwargs: Any) -> TestResponse:
        return self.ask("PATCH", path, body, **kwargs)

    def change(self, queue: str, *changes: dict[str, Any]) -> TestResponse:
        """A JSON patch."""
        kind = "application/openstack-messaging-v2.0-json-patch"
        return self.patch(f"/v2/queues/{queue}", list(changes), headers={"Content-Type": kind})

    def say(self, queue: str, *bodies: Any, **fields: Any) -> list[str]:
        """Post, and give the ids."""
        answer = self.post(f"/v2/queues/{queue}/messages", {"messages": [{"body": body, **fields} for body in bodies]})
        assert answer.status_code == 201, answer.text
        return [href.rsplit("/", 1)[1] for href in answer.json["resources"]]

    def claim(self, queue: str, **terms: int) -> tuple[str, list[dict[str, Any]]]:
        answer = self.post(f"/v2/queues/{queue}/claims", terms)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"].rsplit("/", 1)[1], answer.json["messages"]


def start_counters(database: Database) -> None:
    """As the migrations do."""
    with database.write() as s:
        s.add_all([MessagingCounter(name="generation", value=0), MessagingCounter(name="placement", value=0)])


class PostOffice(Stand):
    def __init__(self, plant: Plant, directory: Path) -> None:
        super().__init__(plant, Database(f"sqlite:///{shutil.copy(plant.template, directory / 'coffer.db')}"))
        self.directory = directory
        start_counters(self.database)
        self.parts = parts.build(self.conf, self.database, keyring.load(Path(self.conf.secrets.keyring_file)))
        parts.install(self.app, self.parts)
        self.parts.messaging.pools.put("default", {"uri": self.uri("default"), "weight": 100})
        self.ada = Correspondent(self, self.alpha)
        self.bob = Correspondent(self, self.beta)
        self.boss = Correspondent(self, self.admin)
        self.anyone = self.app.test_client()

    def uri(self, name: str) -> str:
        return f"sqlite:///{self.directory}/{name}.db"

    def close(self) -> None:
        for option in ("management", "max_wait", "signed_url_epoch"):
            self.conf.clear_override(option, "messaging")
        self.parts.waiters.close()
        self.parts.messaging.close()
        super().close()


__all__ = ["CLIENT", "OTHER_CLIENT", "PROJECTS", "Correspondent", "PostOffice"]
