"""What the handlers of messaging need."""

from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from flask import Flask, current_app, g
from oslo_config.cfg import ConfigOpts

from api.messaging.waiting import Waiters
from messaging.bell import Bell, meeting_place
from messaging.service import Messaging
from messaging.signing import Signer, SigningKey
from models import Database
from security.keyring import Keyring

EXTENSION = "coffer-messaging"
SIGNING = "messaging-signed-url"


@dataclass(frozen=True)
class Parts:
    options: ConfigOpts.GroupAttr
    messaging: Messaging
    signer: Signer
    waiters: Waiters


def build(conf: ConfigOpts, database: Database, keyring: Keyring) -> Parts:
    options = conf.messaging
    most = options.max_waiters or max(1, conf.api.threads // 2)
    messaging = Messaging(database, keyring)
    waiters = Waiters(most, Bell(meeting_place(keyring)), messaging.queues.due)
    return Parts(options, messaging, signer(options, keyring), waiters)


def signer(options: ConfigOpts.GroupAttr, keyring: Keyring) -> Signer:
    """Signs with a key derived from the newest of the keyring; whoever signs URLs for this API does it with this one."""
    keys = [SigningKey(key_id, keyring.derive(SIGNING, key_id)) for key_id in keyring.ids]
    return Signer(keys, timedelta(seconds=options.signed_url_lifetime))


def install(app: Flask, parts: Parts) -> None:
    app.extensions[EXTENSION] = parts


def parts() -> Parts:
    return cast(Parts, current_app.extensions[EXTENSION])


def messaging() -> Messaging:
    return parts().messaging


def project() -> str:
    """Whose queues the request is about: the token's project, or the one a signed URL was made for."""
    return str(g.context.project_id)


def client() -> str:
    """The Client-ID, written one way."""
    return str(g.client_id)
