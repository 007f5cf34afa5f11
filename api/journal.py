"""One id and one JSON log line for every request; neither headers nor bodies are logged."""

import re
import time
import uuid

import structlog
from flask import g, request
from werkzeug.wrappers import Response

from api.context import behind

HEADER = "X-Openstack-Request-Id"
WELL_FORMED = re.compile(r"req-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

log = structlog.get_logger("api.access")


def begin() -> None:
    kept, given = behind(g), request.headers.get(HEADER, "")
    kept.request_id = given if WELL_FORMED.fullmatch(given) else f"req-{uuid.uuid4()}"
    kept.began = time.perf_counter()


def end(response: Response) -> Response:
    asked, kept = behind(request), behind(g)
    response.headers[HEADER] = kept.request_id
    who = kept.get("context")
    log.info(
        "request",
        request_id=kept.request_id,
        method=asked.method,
        path=asked.path,
        status=response.status_code,
        ms=round((time.perf_counter() - kept.began) * 1000, 2),
        project_id=who.project_id if who else None,
        user_id=who.user_id if who else None,
        client=asked.remote_addr,
    )
    return response
