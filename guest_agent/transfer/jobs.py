"""The jobs that prove that this server reaches the object store, both ways, and the method that grants them URLs."""

import re
from typing import Any

from guest_agent import fields
from guest_agent.errors import InvalidRequest, TransferFailed
from guest_agent.jobs import Notes, Step
from guest_agent.settings import Settings
from guest_agent.telemetry.addresses import http_url
from guest_agent.transfer import streams
from guest_agent.transfer.urls import Urls

UPLOAD, DOWNLOAD = "check_upload", "check_download"
MOST_URLS = 100
LARGEST_SEGMENT = 1 << 30
LARGEST = streams.MOST_SEGMENTS * LARGEST_SEGMENT
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Transfers:
    """`grant` is method `transfer.grant`, `steps` are those of a job of KINDS."""

    KINDS = (UPLOAD, DOWNLOAD)

    def __init__(self, settings: Settings) -> None:
        self._urls = Urls()
        self._line = streams.Line(self._urls, settings.ca_file)

    def grant(self, params: dict[str, Any]) -> dict[str, Any]:
        taken = fields.take(
            params,
            "params",
            {"transfer": fields.job_id},
            {
                "first": fields.integer(1, streams.MOST_SEGMENTS),
                "urls": fields.list_of(http_url, MOST_URLS),
                "download": http_url,
            },
        )
        return self._urls.grant(taken["transfer"], taken["first"] or 1, taken["urls"] or [], taken["download"])

    def steps(self, kind: str, spec: dict[str, Any]) -> list[Step]:
        return [_upload(self._line, spec) if kind == UPLOAD else _download(self._line, spec)]


def _upload(line: streams.Line, spec: dict[str, Any]) -> Step:
    sizes = {"size": fields.integer(1, LARGEST), "segment_size": fields.integer(1, LARGEST_SEGMENT)}
    taken = fields.take(spec, "spec", {"transfer": fields.job_id, **sizes})

    def upload(notes: Notes) -> dict[str, Any]:
        line.urls.begin(taken["transfer"])
        notes.put("sent", 0)
        try:
            # Bytes that nobody can have made smaller, or have stored before.
            program = ["head", "-c", str(taken["size"]), "/dev/urandom"]
            return streams.send(program, taken["segment_size"], line, lambda number: notes.put("sent", number))
        finally:
            line.urls.end()

    return Step("upload", upload)


def _download(line: streams.Line, spec: dict[str, Any]) -> Step:
    taken = fields.take(spec, "spec", {"transfer": fields.job_id, "size": fields.integer(1, LARGEST), "sha256": _sha256})

    def download(notes: Notes) -> None:
        line.urls.begin(taken["transfer"])
        notes.put("received", 0)
        try:
            said = streams.receive(
                ["sha256sum"], taken["size"], taken["sha256"], line, lambda position: notes.put("received", position)
            )
        finally:
            line.urls.end()
        if said.split()[:1] != [taken["sha256"].encode()]:
            raise TransferFailed("The program at the end has read something else.")

    return Step("download", download)


def _sha256(value: object, where: str) -> str:
    text = fields.text(value, where)
    if not _SHA256.fullmatch(text):
        raise InvalidRequest(f"{where} is no SHA-256 in hexadecimal digits.")
    return text
