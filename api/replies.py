"""JSON answers, built directly: views are plain dicts already."""

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def reply(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encode(body), status=status, headers=headers, content_type="application/json")


def empty(status: int = 202) -> Response:
    return Response(b"", status=status, content_type="application/json")
