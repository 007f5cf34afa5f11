"""The judge sees what it is there for."""

from tests.messaging.storm.history import CLAIMED, DELETED, DELETING, POSTED, RELEASING, judge

Event = dict[str, object]


def claimed(claim: str, asked: float, granted: float, ttl: float = 10) -> Event:
    return {"kind": CLAIMED, "claim": claim, "ids": ["m"], "asked": asked, "granted": granted, "ttl": ttl}


def event(kind: str, **values: object) -> Event:
    return {"kind": kind, "ids": ["m"], **values}


def test_a_message_that_vanished_is_lost() -> None:
    assert judge([event(POSTED)], []).lost == ("m",)
    assert judge([event(POSTED)], ["m"]).lost == ()
    assert judge([event(POSTED), event(DELETING)], []).lost == ()


def test_held_by_two() -> None:
    assert judge([claimed("a", 0, 1), claimed("b", 2, 3)], []).shared == ("m",)
    assert judge([claimed("a", 0, 1), claimed("b", 0.5, 1.5)], []).shared == ("m",)
    assert judge([claimed("a", 0, 1), claimed("b", 9.9, 10.1)], []).shared == ()
    assert judge([claimed("a", 0, 1), claimed("b", 11, 12)], []).shared == ()


def test_a_release_ends_a_hold() -> None:
    released: Event = {"kind": RELEASING, "claim": "a", "at": 2.0}
    assert judge([claimed("a", 0, 1), released, claimed("b", 2.5, 3)], []).shared == ()
    assert judge([claimed("a", 0, 1), released, claimed("b", 1.2, 1.5)], []).shared == ("m",)


def test_given_after_deletion() -> None:
    assert judge([claimed("a", 0, 1), event(DELETED, at=2.0), claimed("b", 20, 21)], []).risen == ("m",)
    assert judge([claimed("a", 0, 1), event(DELETED, at=2.0)], []).risen == ()
