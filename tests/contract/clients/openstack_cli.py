"""The `openstack` command, unmodified, each time in a fresh process forked from one that has imported it: importing costs a second."""

import contextlib
import io
import json
import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(
    [
        "openstackclient.shell",
        "troveclient.osc.plugin",
        "troveclient.v1.client",
        "zaqarclient.queues.v2.cli",
        "zaqarclient.queues.v2.client",
        "zaqarclient.auth.keystone",
        "openstack.connection",
        __name__,
    ]
)
ENVIRONMENT = ("HOME", "OS_CLIENT_CONFIG_FILE", "TROVECLIENT_UUID_CACHE_DIR", "OS_MESSAGE_CLIENT_ID")
WITHIN = 180


class Refused(Exception):
    """The command ended with an error; the message is what it printed."""


class Cli:
    """As the user of one of clouds.yaml's clouds, or as whoever the variables of `login` (OS_USERNAME and the like) name."""

    def __init__(self, cloud: str = "", login: Mapping[str, str] | None = None) -> None:
        self.cloud = cloud
        self.login = dict(login or {})

    def run(self, *args: str) -> str:
        ours, theirs = SPAWN.Pipe()
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | self.login
        who = ["--os-cloud", self.cloud] if self.cloud else []
        process = SPAWN.Process(target=_openstack, args=(theirs, [*who, *args], environment))
        process.start()
        theirs.close()
        assert ours.poll(WITHIN), f"no answer from {args}"
        code, out, err = ours.recv()
        process.join(WITHIN)
        if code:
            raise Refused(out + err)
        return str(out)

    def json(self, *args: str) -> Any:
        return json.loads(self.run(*args, "-f", "json"))


def _openstack(answer: Connection, args: list[str], environment: dict[str, str]) -> None:
    from openstackclient.shell import OpenStackShell

    os.environ.update(environment)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = OpenStackShell().run(args)
    answer.send((code, out.getvalue(), err.getvalue()))
