"""Payloads are sealed before they leave the process, error texts too: Temporal's database and Web UI see ciphertext."""

import dataclasses
from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from security.keyring import Keyring

PURPOSE = "payload"
ENCODING = b"binary/coffer-aesgcm"


class SealingCodec(PayloadCodec):
    """Bound to a namespace: a payload copied to another one does not open."""

    def __init__(self, keyring: Keyring, namespace: str) -> None:
        self._keyring, self._namespace = keyring, namespace

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload(metadata={"encoding": ENCODING}, data=self._keyring.seal(PURPOSE, self._namespace, p.SerializeToString()))
            for p in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._open(p) if p.metadata.get("encoding") == ENCODING else p for p in payloads]

    def _open(self, p: Payload) -> Payload:
        return Payload.FromString(self._keyring.open(PURPOSE, self._namespace, p.data))


def data_converter(keyring: Keyring, namespace: str) -> DataConverter:
    return dataclasses.replace(
        DataConverter.default,
        payload_codec=SealingCodec(keyring, namespace),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
