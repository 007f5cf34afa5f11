"""AES-256-GCM under named keys: the newest seals, all of them open."""

import base64
import json
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE = 12


class Unsealable(Exception):
    """Not sealed by a key of this keyring, or for another context."""


class Keyring:
    """Keys by id, newest first.  Each purpose works under a key derived for it, so one leaking does not open the rest."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        if not keys:
            raise ValueError("the keyring holds no key: `coffer db keyring` makes one")
        self._keys = keys
        self.current = next(iter(keys))
        self._derived: dict[tuple[str, str], bytes] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """Newest first."""
        return tuple(self._keys)

    def seal(self, purpose: str, context: str, plain: bytes) -> bytes:
        """Sealed bytes that only open for the same purpose and context."""
        nonce = os.urandom(NONCE)
        key_id = self.current.encode()
        sealed = AESGCM(self.derive(purpose)).encrypt(nonce, plain, context.encode())
        return bytes([len(key_id)]) + key_id + nonce + sealed

    def open(self, purpose: str, context: str, sealed: bytes) -> bytes:
        """The plain bytes.  Raises Unsealable."""
        end = 1 + sealed[0] if sealed else 0
        key_id = sealed[1:end].decode(errors="replace")
        if key_id not in self._keys:
            raise Unsealable(f"no key {key_id!r} in the keyring")
        nonce, body = sealed[end : end + NONCE], sealed[end + NONCE :]
        try:
            return AESGCM(self.derive(purpose, key_id)).decrypt(nonce, body, context.encode())
        except InvalidTag as e:
            raise Unsealable("damaged, or sealed for something else") from e

    def derive(self, purpose: str, key_id: str = "") -> bytes:
        """32 bytes of key for one purpose."""
        slot = (key_id or self.current, purpose)
        if slot not in self._derived:
            kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.encode())
            self._derived[slot] = kdf.derive(self._keys[slot[0]])
        return self._derived[slot]


def create(path: Path) -> Keyring:
    """Make a keyring file with one new key; an existing file is kept."""
    body = json.dumps({"keys": {secrets.token_hex(4): base64.b64encode(secrets.token_bytes(32)).decode()}})
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return load(path)
    with os.fdopen(fd, "w") as f:
        f.write(body)
        f.flush()
        os.fsync(f.fileno())
    return load(path)


def load(path: Path) -> Keyring:
    keys = json.loads(path.read_text())["keys"]
    return Keyring({key_id: base64.b64decode(key) for key_id, key in keys.items()})
