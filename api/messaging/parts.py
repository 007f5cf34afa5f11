"""What the handlers of messaging need."""

from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from flask import Flask, current_app, g
from oslo_config.cfg import ConfigOpts

from api.messaging.waiting import Waiters
from messaging.bell import Bell, meeting_place
from messaging.service import Messaging
from messaging.signing import Signer, signer_of
from models import Database
from security.keyring import Keyring
from telemetry.urls import GuestUrls

EXTENSION = "coffer-messaging"


@dataclass(frozen=True)
class Parts:
    options: ConfigOpts.GroupAttr
    messaging: Messaging
    signer: Signer
    waiters: Waiters
    urls: GuestUrls


def build(conf: ConfigOpts, database: Database, keyring: Keyring) -> Parts:
    options = conf.messaging
    most = options.max_waiters or max(1, conf.api.threads // 2)
    messaging = Messaging(database, keyring, constant=[conf.telemetry.project])
    waiters = Waiters(most, Bell(meeting_place(keyring)), messaging.queues.due)
    signer = signer_of(keyring, timedelta(seconds=options.signed_url_lifetime))
    return Parts(options, messaging, signer, waiters, GuestUrls(conf, signer))


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
