"""The metadata service, for servers that have no config drive.  It is plain HTTP, and only the network vouches for it."""

import http.client
import time
import urllib.request

SERVICE = "http://169.254.169.254/openstack/latest"
CALL_SECONDS = 5.0
POLL_SECONDS = 1.0
LARGEST = 1 << 20


def user_data(patience: float, service: str = SERVICE) -> bytes:
    """Within `patience` seconds: a network that comes up late is waited for.  Raises OSError with what the last try met."""
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(f"{service}/user_data", timeout=CALL_SECONDS) as answer:  # noqa: S310  (http, and fixed)
                content: bytes = answer.read(LARGEST)
                return content
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > until:
                raise OSError(f"there is no config drive, and the metadata service gives no user data: {error}") from error
        time.sleep(POLL_SECONDS)
