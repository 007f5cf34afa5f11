"""The API of a World, for guests to report to: it may come up late, and go away for a while."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.serving import make_server

from api.app import create_app
from tests.support.world import World


@contextmanager
def reception(world: World, port: int) -> Iterator[None]:
    app = create_app(world.conf, database=world.database, operations=world.operations)
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
