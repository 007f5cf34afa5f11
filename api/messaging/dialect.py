"""Zaqar's shape of an error: `{"title", "description"}`."""

from typing import Any

from werkzeug.wrappers import Request

TITLES = {
    400: "Invalid API request",
    401: "Not authenticated",
    403: "Not authorized",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Resource conflict",
    413: "Invalid API request",
    415: "Unsupported media type",
    501: "Not implemented",
    503: "Service temporarily unavailable",
}
ROOTS = ("/v2", "/messaging")


def speaks(path: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in ROOTS)


def body(status: int, message: str, title: str = "") -> dict[str, Any]:
    return {"title": title or TITLES.get(status, "Internal server error"), "description": message}


def tells_methods(request: Request) -> bool:
    """To a signed request everything that it may not do is not there."""
    return speaks(request.path) and "URL-Signature" not in request.headers
