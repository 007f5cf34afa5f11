"""User data: a #cloud-config whose body is JSON (which is YAML), and of that the files below one directory.

Nothing in it is ever run.
"""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from guest_agent.errors import InvalidRequest
from guest_agent.files import write_durably

HEADER = b"#cloud-config"
DIRECTORY = Path("/etc/coffer-guest")
ENCODINGS = ("", "text/plain", "b64", "base64")


def write_files(user_data: bytes, directory: Path = DIRECTORY) -> list[str]:
    """Writes what belongs directly into `directory`, mode 0600, and gives the names.  Raises InvalidRequest for what it cannot read."""
    header, _, body = user_data.partition(b"\n")
    if header.strip() != HEADER:
        raise InvalidRequest("The user data does not begin with the line #cloud-config.")
    try:
        entries = json.loads(body)["write_files"]
        files = {Path(entry["path"]): _content(entry) for entry in entries}
    except (ValueError, KeyError, TypeError):
        raise InvalidRequest("The user data is no #cloud-config in JSON that has write_files.") from None
    written = []
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, content in files.items():
        if path.parent == directory and path.name not in ("", "..", "."):
            write_durably(str(path), content)
            written.append(path.name)
    return written


def _content(entry: dict[str, Any]) -> bytes:
    encoding, content = entry.get("encoding") or "", entry["content"]
    if encoding not in ENCODINGS or not isinstance(content, str):
        raise ValueError(encoding)
    try:
        return base64.b64decode(content, validate=True) if encoding.startswith("b") else content.encode()
    except binascii.Error as error:
        raise ValueError(str(error)) from None
