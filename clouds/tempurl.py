"""Swift's temporary URLs: one method, one path, until a time, perhaps from some addresses only."""

import hashlib
import hmac
import ipaddress
import re
import time
from collections.abc import Iterable
from urllib.parse import parse_qs, quote, urlencode

DIGESTS = ("sha512", "sha256")
"""In order of preference.  SHA-1, which Swift also knows, is not used."""
_LENGTHS = {64: "sha256", 128: "sha512"}


def sign(method: str, path: str, expires: int, key: str, digest: str, ip_range: str = "") -> str:
    """The signature in hexadecimal digits.  `path` as Swift has it: /v1/ACCOUNT/CONTAINER/OBJECT, not quoted."""
    text = f"{method}\n{expires}\n{path}"
    if ip_range:
        text = f"ip={ip_range}\n{text}"
    return hmac.new(key.encode(), text.encode(), getattr(hashlib, digest)).hexdigest()


def temporary(base: str, method: str, path: str, key: str, lifetime: int, digest: str, ip_range: str = "") -> str:
    """The whole URL; `base` is scheme and host."""
    expires = int(time.time()) + lifetime
    query = {"temp_url_sig": sign(method, path, expires, key, digest, ip_range), "temp_url_expires": str(expires)}
    if ip_range:
        query["temp_url_ip_range"] = ip_range
    return f"{base}{quote(path)}?{urlencode(query)}"


def permits(query: str, method: str, path: str, keys: Iterable[str], client: str) -> bool:
    """Whether a request may be served, as Swift decides it; a URL for GET or PUT is good for HEAD too."""
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    signature, expires, ip_range = (given.get(f"temp_url_{name}", "") for name in ("sig", "expires", "ip_range"))
    digest = _LENGTHS.get(len(signature))
    if digest is None or not re.fullmatch(r"\d{1,12}", expires) or int(expires) <= time.time():
        return False
    if ip_range and not _within(client, ip_range):
        return False
    methods = ("HEAD", "GET", "PUT") if method == "HEAD" else (method,)
    genuine = [
        hmac.compare_digest(sign(one, path, int(expires), key, digest, ip_range).encode(), signature.encode())
        for key in keys
        for one in methods
    ]
    return any(genuine)


def _within(client: str, ip_range: str) -> bool:
    try:
        return ipaddress.ip_address(client) in ipaddress.ip_network(ip_range)
    except ValueError:
        return False
