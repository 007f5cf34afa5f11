"""Pages: newest first, each row once, links that keep what was asked."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.api.stand import PROJECTS, Stand
from tests.api.test_instances import fault


@pytest.mark.parametrize("collection", ["instances", "instances/detail"])
def test_every_row_once_newest_first(stand: Stand, collection: str) -> None:
    made = stand.many(7, PROJECTS["alpha"])
    stand.many(3, PROJECTS["beta"])
    seen, url = [], f"/{collection}?limit=3&include_clustered=False"
    while url:
        page = stand.alpha.get(url).json
        seen += [row["id"] for row in page["instances"]]
        [link] = page.get("links") or [None]
        url = link and link["href"]
        assert not url or parse_qs(urlsplit(url).query)["include_clustered"] == ["False"]
    with stand.database.read():
        newest = sorted(made, key=lambda id: (stand.instance(id).created_at, id), reverse=True)
    assert seen == newest


def test_rows_of_one_moment_are_not_lost(stand: Stand) -> None:
    made = stand.many(5, PROJECTS["alpha"])
    moment = stand.instance(made[0]).created_at
    for id in made:
        stand.set(id, created_at=moment)
    seen, marker = [], ""
    for _ in made:
        page = stand.alpha.get(f"/instances?limit=1{marker}").json
        seen.append(page["instances"][0]["id"])
        marker = f"&marker={seen[-1]}"
    assert seen == sorted(made, reverse=True)
    assert "links" not in page


@pytest.mark.parametrize("path", ["/instances", "/instances/detail", "/operations"])
@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", "9" * 5000])
def test_limits_that_are_none(stand: Stand, path: str, limit: str) -> None:
    assert fault(stand.alpha.get(f"{path}?limit={limit}"))[0] == "badRequest"


def test_a_limit_above_a_page_is_a_page(stand: Stand) -> None:
    stand.many(25, PROJECTS["alpha"])
    for query in ("", "?limit=1000"):
        page = stand.alpha.get(f"/instances{query}").json
        assert len(page["instances"]) == 20
        assert len(page["links"]) == 1


def test_no_link_on_a_last_page_that_is_full(stand: Stand) -> None:
    stand.many(20, PROJECTS["alpha"])
    assert "links" not in stand.alpha.get("/instances").json


def test_markers_of_nobody_and_of_others(stand: Stand) -> None:
    [other] = stand.many(1, PROJECTS["beta"])
    for marker in ("nobody", other):
        assert fault(stand.alpha.get(f"/instances?marker={marker}"))[0] == "badRequest"


def test_the_next_link_keeps_scheme_and_host(stand: Stand) -> None:
    stand.many(2, PROJECTS["alpha"])
    for base in ("http://one.example:81", "https://two.example"):
        [link] = stand.alpha.get("/instances?limit=1", base_url=base).json["links"]
        assert link["rel"] == "next"
        assert link["href"].startswith(f"{base}/v1.0/{PROJECTS['alpha']}/instances?")
