"""Secrets in SQL, sealed.  Everything else carries a reference."""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from models.base import new_id
from models.secret import SecretRow
from security.keyring import Keyring

PURPOSE = "vault"


class Vault:
    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def put(self, s: Session, owner: str, purpose: str, plain: str, ref: str = "") -> str:
        """Seal `plain`; gives the reference.  With a chosen `ref` an existing secret of that name is kept as it is."""
        ref = ref or new_id()
        if s.get(SecretRow, ref) is None:
            sealed = self._keyring.seal(PURPOSE, f"{owner}:{ref}", plain.encode())
            s.add(SecretRow(id=ref, owner=owner, purpose=purpose, ciphertext=sealed))
        return ref

    def get(self, s: Session, ref: str) -> str:
        """Raises LookupError when there is none, security.keyring.Unsealable when it can't be opened."""
        row = s.get(SecretRow, ref)
        if row is None:
            raise LookupError(f"no secret {ref}")
        return self._keyring.open(PURPOSE, f"{row.owner}:{row.id}", row.ciphertext).decode()

    @staticmethod
    def forget(s: Session, owner: str, purpose: str = "") -> None:
        """Remove the secrets of `owner`, or only those of one purpose."""
        mine = delete(SecretRow).where(SecretRow.owner == owner)
        s.execute(mine.where(SecretRow.purpose == purpose) if purpose else mine)
