"""Keyset pages: newest first, the marker is the id of the last item seen."""

from typing import Any
from urllib.parse import urlencode

from flask import request
from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from api.context import base_url, services
from api.errors import BadRequest


def page_limit(query: dict[str, Any]) -> int:
    """What the client asked for, at most a full page."""
    most: int = services().conf.api.page_size
    return min(query.get("limit") or most, most)


def newest_first(
    s: Session, statement: Select[*tuple[Any, ...]], table: Any, mine: ColumnElement[bool], query: dict[str, Any]
) -> tuple[list[Any], bool]:
    """The rows of the page, and whether there are more.  `mine`: what the marker must be one of."""
    created: InstrumentedAttribute[Any] = table.created_at
    if marker := query.get("marker"):
        last = s.execute(select(created, table.id).where(table.id == marker, mine)).first()
        if last is None:
            raise BadRequest("The marker is none of this list; take it from a `next` link.")
        statement = statement.where(or_(created < last[0], and_(created == last[0], table.id < last[1])))
    limit = page_limit(query)
    rows = list(s.execute(statement.order_by(created.desc(), table.id.desc()).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def with_next(body: dict[str, Any], marker: str | None, limit: int) -> dict[str, Any]:
    """Adds the link to the next page; without a marker there is none, and no `links`."""
    if marker is not None:
        args = {**request.args.to_dict(), "limit": str(limit), "marker": marker}
        body["links"] = [{"rel": "next", "href": f"{base_url()}{request.path}?{urlencode(args)}"}]
    return body
