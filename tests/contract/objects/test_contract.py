"""What clouds/objects.py promises, tried on every driver."""

import dataclasses
import hashlib

import pytest

from clouds.objects import MOST_SEGMENTS, ObjectKey, Segment, StoredObject, UrlRules
from clouds.ports import CloudError
from tests.contract.objects.conftest import KEYS, Stored, ask, md5

SHA256 = "ab" * 32
ONE, TWO, THREE = b"one" * 70_000, b"two" * 50_000, b"three"


def refused(error: pytest.ExceptionInfo[CloudError]) -> int:
    return error.value.status


def test_nothing_is_there_before_it_is_made(stored: Stored) -> None:
    assert stored.store.show_object(stored.key) is None
    assert stored.store.objects(stored.key.project) == []
    stored.store.delete_object(stored.key)
    assert stored.read().status == 404


def test_an_object_is_what_its_segments_are(stored: Stored) -> None:
    whole = stored.upload(ONE, TWO, THREE)
    expected = StoredObject(stored.key, len(whole), hashlib.sha256(whole).hexdigest())
    assert stored.store.show_object(stored.key) == expected
    assert stored.store.objects(stored.key.project) == [dataclasses.replace(expected, sha256="")]
    answer = stored.read()
    assert (answer.status, answer.body) == (200, whole)
    assert stored.driver.held(stored.key.project) == 4


def test_a_part_of_it_can_be_read(stored: Stored) -> None:
    whole = stored.upload(ONE, TWO)
    border = len(ONE)
    answer = stored.read(Range=f"bytes={border - 5}-{border + 4}")
    assert (answer.status, answer.body) == (206, whole[border - 5 : border + 5])
    assert stored.read(Range=f"bytes={border}-").body == TWO
    assert stored.read(Range=f"bytes={len(whole)}-").status == 416


def test_nobody_can_read_what_is_not_committed(stored: Stored) -> None:
    stored.put(1, ONE)
    stored.put(2, TWO)
    assert stored.read().status == 404
    assert stored.store.show_object(stored.key) is None
    listed = stored.store.objects(stored.key.project)
    assert listed == [StoredObject(stored.key, len(ONE) + len(TWO), complete=False)]


def test_what_is_sent_again_replaces_what_was_sent(stored: Stored) -> None:
    for number in (1, 2, 3):
        stored.put(number, ONE)
    assert stored.upload(TWO, THREE) == stored.read().body
    assert stored.driver.held(stored.key.project) == 3, "a segment of the longer attempt is left"


def test_a_commit_may_be_repeated_and_replaced(stored: Stored) -> None:
    segments = [stored.put(1, ONE), stored.put(2, TWO)]
    made = [stored.store.commit_object(stored.key, segments, SHA256) for _ in range(2)]
    assert made[0] == made[1] == stored.store.show_object(stored.key)
    shorter = stored.store.commit_object(stored.key, segments[:1], SHA256)
    assert (shorter.size, stored.read().body) == (len(ONE), ONE)


@pytest.mark.parametrize("wrong", ["digest", "size", "missing"])
def test_what_is_not_as_announced_is_not_committed(stored: Stored, wrong: str) -> None:
    one, two = stored.put(1, ONE), stored.put(2, TWO)
    said = {
        "digest": [one, Segment(two.size, md5(b"other"))],
        "size": [one, Segment(two.size - 1, two.md5)],
        "missing": [one, two, Segment(5, md5(THREE))],
    }
    with pytest.raises(CloudError) as error:
        stored.store.commit_object(stored.key, said[wrong], SHA256)
    assert refused(error) == 400
    assert stored.store.show_object(stored.key) is None


@pytest.mark.parametrize("count", [0, MOST_SEGMENTS + 1])
def test_an_object_has_some_segments_and_not_too_many(stored: Stored, count: int) -> None:
    with pytest.raises(CloudError) as error:
        stored.store.commit_object(stored.key, [Segment(1, md5(b"1"))] * count, SHA256)
    assert refused(error) == 400


@pytest.mark.parametrize("committed", [True, False])
def test_deleting_leaves_nothing_and_may_be_repeated(stored: Stored, committed: bool) -> None:
    stored.put(3, THREE)
    if committed:
        stored.upload(ONE, TWO)
    for _ in range(2):
        stored.store.delete_object(stored.key)
        assert stored.driver.held(stored.key.project) == 0
    assert stored.read().status == 404


def test_a_key_below_another_is_another_object(stored: Stored) -> None:
    below = dataclasses.replace(stored, key=ObjectKey(stored.key.project, f"{stored.key.path}/below"))
    kept = below.upload(TWO)
    stored.upload(ONE)
    assert [found.key for found in stored.store.objects(stored.key.project)] == [stored.key, below.key]
    assert [found.key for found in stored.store.objects(stored.key.project, below.key.path)] == [below.key]
    stored.store.delete_object(stored.key)
    assert below.read().body == kept


def test_a_list_is_of_one_project_and_prefix(stored: Stored) -> None:
    stored.upload(ONE)
    assert stored.store.objects(stored.key.project, "instances/one/") != []
    assert stored.store.objects(stored.key.project, "instances/two/") == []
    assert stored.store.objects(f"{stored.key.project}x") == []


@pytest.mark.parametrize(
    ("project", "path"),
    [("p", ""), ("p", "a//b"), ("p", "../b"), ("p", "a/.."), ("p", "a b"), ("p/q", "a"), ("", "a"), ("p", "a" * 513)],
)
def test_an_impossible_key_is_refused(project: str, path: str) -> None:
    with pytest.raises(CloudError) as error:
        ObjectKey(project, path)
    assert refused(error) == 400


@pytest.mark.parametrize("first", [0, MOST_SEGMENTS + 1])
def test_a_segment_has_a_number_within_bounds(stored: Stored, first: int) -> None:
    with pytest.raises(CloudError) as error:
        stored.store.segment_urls(stored.key, first, 1)
    assert refused(error) == 400


def test_a_url_is_made_for_guests_and_not_shown_by_chance(stored: Stored) -> None:
    rules = UrlRules(KEYS, endpoint="http://objects.example:8443")
    assert stored.driver.connect(rules).download_url(stored.key).startswith("http://objects.example:8443/v1/")
    assert KEYS[0] not in repr(rules)


def test_keys_are_rotated_in_any_order_of_processes(stored: Stored) -> None:
    """A new key comes to the front; who has not heard of it yet is still heard; a key that is two behind is not."""
    newer = ("3" * 64, KEYS[0], KEYS[1])
    before = stored.store.segment_urls(stored.key, 1, 1)[0]
    went_on = stored.driver.connect(UrlRules(newer))
    for url in (went_on.segment_urls(stored.key, 2, 1)[0], before):
        assert ask("PUT", url, ONE).status == 201
    # Somebody who is started with the old order does not turn the clock back.
    late = stored.driver.connect(UrlRules(KEYS))
    assert ask("PUT", late.segment_urls(stored.key, 3, 1)[0], ONE).status == 201
    assert ask("PUT", went_on.segment_urls(stored.key, 4, 1)[0], ONE).status == 201
    stored.driver.connect(UrlRules(("4" * 64, *newer))).segment_urls(stored.key, 1, 1)
    assert ask("PUT", before, ONE).status == 401


def test_keys_that_were_taken_away_are_set_again(stored: Stored) -> None:
    """Whoever makes URLs looks each time: others may have changed the pair, or removed the container."""
    ahead = stored.driver.connect(UrlRules(("5" * 64, "6" * 64)))
    before = stored.store.segment_urls(stored.key, 1, 1)[0]
    ahead.segment_urls(stored.key, 1, 1)
    assert ask("PUT", before, ONE).status == 401
    assert stored.upload(ONE) == stored.read().body


def test_without_a_key_there_is_no_url(stored: Stored) -> None:
    with pytest.raises(CloudError) as error:
        stored.driver.connect(UrlRules(())).download_url(stored.key)
    assert refused(error) == 400
