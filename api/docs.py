"""The OpenAPI document and a page that shows it, all from this process."""

from pathlib import Path
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from api.replies import reply

PAGE = Path(__file__).with_name("docs.html")

SPEC: dict[str, Any] = {
    "info": {
        "description": "Databases as a service: the Trove v1.0 API, with operations that can be watched, retried and cancelled.",
        "license": {"name": "Apache-2.0"},
    },
    "components": {"securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}}},
    "security": [{"token": []}],
}


def blueprint(spec: Any) -> Blueprint:
    blp = Blueprint("docs", __name__)
    blp.add_url_rule("/openapi.json", "openapi", lambda: reply(spec.to_dict()))
    blp.add_url_rule("/docs", "page", _page)
    return blp


def _page() -> ResponseReturnValue:
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
    return Response(PAGE.read_bytes(), content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})
