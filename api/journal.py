"""One id and one JSON log line for every request; neither headers nor bodies are logged."""

import re
import time
import uuid

import structlog
from flask import g, request
from werkzeug.wrappers import Response

HEADER = "X-Openstack-Request-Id"
WELL_FORMED = re.compile(r"req-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

log = structlog.get_logger("api.access")


def begin() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if WELL_FORMED.fullmatch(given) else f"req-{uuid.uuid4()}"
    g.began = time.perf_counter()


def end(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    who = g.get("context")
    log.info(
        "request",
        request_id=g.request_id,
        method=request.method,
        path=request.path,
        status=response.status_code,
        ms=round((time.perf_counter() - g.began) * 1000, 2),
        project_id=who.project_id if who else None,
        user_id=who.user_id if who else None,
        client=request.remote_addr,
    )
    return response
