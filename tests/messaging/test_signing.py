"""Signed URLs hold for what was signed and for nothing else."""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from messaging.errors import BadSignature, InvalidRequest
from messaging.signing import SignedUrl, Signer, SigningKey, covers

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, NEW, NEWEST = (SigningKey(name, name.encode() * 16) for name in ("k1", "k2", "k3"))
PATH = "/v2/queues/sa.c/messages"


@pytest.fixture
def signer() -> Signer:
    return Signer([OLD])


@pytest.fixture
def signed(signer: Signer) -> SignedUrl:
    return signer.sign("project", "sa.c", ["messages"], ["POST"], NOW + timedelta(hours=1), now=NOW)


def refused(signer: Signer, signed: SignedUrl, method: str = "POST", path: str = PATH, epoch: int = 0) -> bool:
    try:
        signer.verify(signed, method, path, epoch=epoch, now=NOW)
    except BadSignature:
        return True
    return False


def test_it_opens_what_was_signed(signer: Signer, signed: SignedUrl) -> None:
    assert not refused(signer, signed)
    assert not refused(signer, signed, path=f"{PATH}/0123abc")


def test_the_text_under_the_hmac_is_zaqars(signed: SignedUrl) -> None:
    text = rf"{PATH}\nPOST\nproject\n2026-11-21T13:00:00".encode()
    assert signed.expires == "2026-11-21T13:00:00"
    assert signed.signature == f"k1-0-{hmac.new(OLD.secret, text, hashlib.sha256).hexdigest()}"


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH", "post", "", "POST,GET", "HEAD"])
def test_no_other_method(signer: Signer, signed: SignedUrl, method: str) -> None:
    assert refused(signer, signed, method)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/queues/sabc/messages",
        "/v2/queues/sa.c/messagesx",
        "/v2/queues/sa.c/messages/",
        "/v2/queues/sa.c/messages/../claims",
        "/v2/queues/sa.c/messages/..",
        "/v2/queues/sa.c/messages/a/b",
        "/v2/queues/sa.c/messages//a",
        "/v2/queues/sa.c/messages%2Fa",
        "/v2/queues/sa.c/messages/a%2Fb",
        "/v2/queues/sa.c/messages\n",
        "/v2/queues/sa.c/messages/a\n",
        "/v2/queues/sa.c/claims",
        "/v2/queues/sa.c",
        "/v2/queues/other/messages",
        "/v2/queues/SA.C/messages",
        "/x/v2/queues/sa.c/messages",
        "v2/queues/sa.c/messages",
        "//v2/queues/sa.c/messages",
        "/v2/queues/../queues/sa.c/messages",
        "/v1/queues/sa.c/messages",
        "/v2/queues/sa.c/messages?ids=a",
        "/v2/queues/sa.c/messages;a",
        "",
        "/",
    ],
)
def test_no_other_path(signer: Signer, signed: SignedUrl, path: str) -> None:
    assert refused(signer, signed, path=path)


def test_nothing_of_it_can_be_changed(signer: Signer, signed: SignedUrl) -> None:
    digest = signed.signature.rpartition("-")[2]
    for forged in (
        replace(signed, project="other"),
        replace(signed, project=""),
        replace(signed, expires="2026-11-21T14:00:00"),
        replace(signed, expires=""),
        replace(signed, paths=("/v2/queues/other/messages",)),
        replace(signed, paths=(PATH, "/v2/queues/other/messages")),
        replace(signed, paths=()),
        replace(signed, methods=("GET", "POST")),
        replace(signed, methods=()),
        replace(signed, signature=""),
        replace(signed, signature=digest),
        replace(signed, signature=f"k9-0-{digest}"),
        replace(signed, signature=f"k1-1-{digest}"),
        replace(signed, signature=f"k1-00-{digest}x"),
        replace(signed, signature=signed.signature.upper()),
        replace(signed, signature=f"{signed.signature[:-1]}{'0' if signed.signature[-1] != '0' else '1'}"),
        replace(signed, signature=f"{signed.signature}\n"),
    ):
        assert refused(signer, forged), forged
        assert refused(signer, forged, epoch=1), forged


def test_it_ends(signer: Signer, signed: SignedUrl) -> None:
    signer.verify(signed, "POST", PATH, now=NOW + timedelta(minutes=59))
    with pytest.raises(BadSignature):
        signer.verify(signed, "POST", PATH, now=NOW + timedelta(hours=1))


def test_two_keys_are_live(signer: Signer, signed: SignedUrl) -> None:
    once = signer.rotated(NEW)
    assert not refused(once, signed)
    assert once.sign("project", "q", now=NOW).signature.startswith("k2-")
    assert refused(once.rotated(NEWEST), signed)
    assert refused(Signer([SigningKey("k1", b"x" * 32)]), signed)


def test_an_epoch_revokes_one_scope(signer: Signer, signed: SignedUrl) -> None:
    assert refused(signer, signed, epoch=1)
    renewed = signer.sign("project", "sa.c", methods=["POST"], epoch=1, now=NOW)
    assert not refused(signer, renewed, epoch=1)
    assert refused(signer, renewed, epoch=0)
    assert refused(signer, replace(renewed, signature=renewed.signature.replace("k1-1-", "k1-2-")), epoch=2)


@pytest.mark.parametrize(
    ("kinds", "methods", "expires"),
    [
        ([], ["GET"], None),
        (["stats"], ["GET"], None),
        (["messages"], [], None),
        (["messages"], ["TRACE"], None),
        (["messages"], ["GET"], NOW),
        (["messages"], ["GET"], NOW - timedelta(days=1)),
        (["messages"], ["GET"], NOW + timedelta(days=8)),
    ],
)
def test_what_cannot_be_signed(signer: Signer, kinds: list[str], methods: list[str], expires: datetime | None) -> None:
    with pytest.raises(InvalidRequest):
        signer.sign("project", "q", kinds, methods, expires, now=NOW)


def test_dots_are_no_queue() -> None:
    assert not covers("/v2/queues/../messages", "/v2/queues/../messages")
    assert not covers("/v2/queues/.*/messages", "/v2/queues/any/messages")


def test_keys_are_not_shown() -> None:
    assert "k1k1" not in repr(OLD)
    for bad in (("", b"x" * 32), ("a-b", b"x" * 32), ("ok", b"short")):
        with pytest.raises(ValueError, match="signing key"):
            SigningKey(*bad)
