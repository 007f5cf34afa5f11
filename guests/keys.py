"""Ed25519 key pairs: one with which the control plane logs in to a guest, one as that guest's host key."""

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True)
class KeyPair:
    private: str = field(repr=False)
    """OpenSSH PEM, without passphrase."""
    public: str
    """One line: `ssh-ed25519 AAAA...`."""


def new_key_pair() -> KeyPair:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode("ascii"), public.decode("ascii"))


def public_key(private: str) -> str:
    """The line that belongs to a private key (OpenSSH PEM).  Raises ValueError for what is none, or asks for a passphrase."""
    try:
        key = serialization.load_ssh_private_key(private.encode(), password=None)
    except (TypeError, UnsupportedAlgorithm) as e:
        raise ValueError(str(e)) from e
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode("ascii")
