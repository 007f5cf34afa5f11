"""A real Zaqar beside ours, the peer that posts are measured against: what a millisecond of CPU is worth changes with the machine and the hour.

It runs in an environment of its own (`python -m venv DIR && DIR/bin/pip install zaqar redis 'gunicorn<28'`): management in SQLite, messages in
Redis, no authentication, below gunicorn's threaded worker.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.server import Server, ask, await_answer, free_port

CONF = """
[DEFAULT]
pooling = true
admin_mode = true
unreliable = true
auth_strategy =
log_file = {directory}/zaqar.log
[drivers]
transport = wsgi
message_store = redis
management_store = sqlalchemy
[drivers:management_store:sqlalchemy]
uri = sqlite:///{directory}/zaqar.db
[drivers:message_store:redis]
uri = {redis}
[profiler]
enabled = false
"""
# Its migrations do not run on SQLite, and it looks for its configuration at fixed places only.
APP = """
import sqlalchemy
from oslo_config import cfg
from zaqar.storage.sqlalchemy import tables
tables.metadata.create_all(sqlalchemy.create_engine("sqlite:///{directory}/zaqar.db"))
cfg.find_config_files = lambda *_, **__: ["{directory}/zaqar.conf"]
from zaqar.transport.wsgi.app import app
"""
SERVE = ("--worker-class", "gthread", "--threads", "8", "--keep-alive", "30", "--log-level", "warning", "--no-control-socket")
WHO: Mapping[str, str] = {"X-Project-ID": "bench", "X-User-ID": "bench", "X-Roles": "admin"}
QUEUE = "bench-redis"


@contextmanager
def zaqar(python: Path, redis: str) -> Iterator[Server]:
    """Serves the queue QUEUE in that Redis.  `python`: of the environment that has Zaqar."""
    with tempfile.TemporaryDirectory(prefix="coffer-bench-zaqar-") as name:
        directory, port = Path(name), free_port()
        (directory / "zaqar.conf").write_text(CONF.format(directory=directory, redis=redis))
        (directory / "serve_zaqar.py").write_text(APP.format(directory=directory))
        command = [str(python), "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *SERVE, "serve_zaqar:app"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with (directory / "gunicorn.log").open("w") as log:
            process = subprocess.Popen(command, cwd=directory, env=environment, stderr=log)
        server = Server(process.pid, "127.0.0.1", port, WHO)
        try:
            await_answer(server)
            connection = server.connect()
            ask(connection, server.headers(), "PUT", "/v2/pools/redis", {"uri": redis, "weight": 100})
            ask(connection, server.headers(), "PUT", "/v2/flavors/redis", {"pool_list": ["redis"]})
            ask(connection, server.headers(), "PUT", f"/v2/queues/{QUEUE}", {"_flavor": "redis"})
            connection.close()
            yield server
        finally:
            process.terminate()
            process.wait(30)
