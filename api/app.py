"""The API's WSGI application: what a request passes, in order, in `_chain`."""

import os
from pathlib import Path

from flask import Flask, current_app, g, request
from flask_smorest import Api  # type: ignore[import-untyped]
from oslo_config.cfg import ConfigOpts

import config
from api import auth, docs, errors, identity, journal, placement, routes
from api.context import EXTENSION, Services
from api.messaging import parts as messaging_parts
from api.messaging import routes as messaging_routes
from api.operations import Operations
from api.policies import Policies
from api.resources import ROUTES, versions
from api.temporal_bridge import TemporalBridge
from api.tokens import DevelopmentTokens, Directory
from logs import log_json
from messaging.bell import Bell, meeting_place
from models import Database
from models.outbox import OUTBOX
from security import keyring
from security.codec import data_converter
from security.vault import Vault

MAX_BODY = 1024 * 1024


def from_config() -> Flask:
    """For a WSGI server: the application of the file that COFFER_CONFIG names, or of the defaults."""
    conf = config.load(os.environ.get("COFFER_CONFIG"))
    log_json(conf.log_level)
    return create_app(conf)


def create_app(conf: ConfigOpts, database: Database | None = None, operations: Operations | None = None) -> Flask:
    """Connects to nothing: SQL and Temporal are dialled by the process that first needs them."""
    keys = keyring.load(Path(conf.secrets.keyring_file))
    database = database or Database(conf.database.connection)
    tokens = _tokens(conf, keys)
    app = Flask(__name__, static_folder=None)
    app.extensions[EXTENSION] = Services(
        conf=conf,
        database=database,
        vault=Vault(keys),
        operations=operations or _operations(conf, database, keys),
        policies=Policies(conf),
        tokens=tokens,
        tenants=placement.tenants_of(conf),
    )
    ring_for_events(database, Bell(meeting_place(keys, OUTBOX)))
    messaging_parts.install(app, messaging_parts.build(conf, database, keys))
    _configure(app)
    _chain(app)
    _routes(app)
    if isinstance(tokens, DevelopmentTokens):
        app.register_blueprint(identity.blueprint(tokens, conf.region))
    messaging_routes.register(app)
    errors.install(app)
    return app


def ring_for_events(database: Database, bell: Bell) -> None:
    """Wakes the delivery of this machine's workers; elsewhere it looks by itself."""
    database.when_committed(OUTBOX, lambda: bell.ring("", ""))


def _chain(app: Flask) -> None:
    """Headers of proxies are not believed: set [api] public_endpoint for links behind one."""
    app.before_request(journal.begin)
    app.before_request(routes.refuse_nul)
    app.before_request(auth.authenticate)
    app.before_request(auth.check_project)
    app.before_request(check_policy)
    app.after_request(journal.end)


def check_policy() -> None:
    """The rule of the handler that will answer; a handler with several calls `require` itself.  Without a rule nothing is answered."""
    if "context" not in g or request.url_rule is None:
        return
    names = routes.policy_of(request.endpoint, request.method, current_app.view_functions)
    if not names:
        raise RuntimeError(f"{request.endpoint} has no policy")
    if len(names) == 1:
        routes.require(names[0])


def _configure(app: Flask) -> None:
    app.config.update(
        API_TITLE="Coffer",
        API_VERSION="v1.0",
        OPENAPI_VERSION="3.0.3",
        MAX_CONTENT_LENGTH=MAX_BODY,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.url_map.merge_slashes = False


def _routes(app: Flask) -> None:
    api = Api(app, spec_kwargs=docs.SPEC)
    for resource in ROUTES:
        api.register_blueprint(resource.blueprint)
    app.register_blueprint(versions.blueprint)
    app.register_blueprint(docs.blueprint(api.spec))


def _operations(conf: ConfigOpts, database: Database, keys: keyring.Keyring) -> Operations:
    temporal = conf.temporal
    bridge = TemporalBridge(temporal.address, temporal.namespace, data_converter(keys, temporal.namespace), temporal.task_queue)
    return Operations(database, bridge, temporal.rpc_timeout)


def _tokens(conf: ConfigOpts, keys: keyring.Keyring) -> auth.TokenChecker:
    if conf.auth.strategy == "keystone":
        from api.keystone import KeystoneTokens  # half a second that only a deployment with Keystone needs

        return KeystoneTokens(conf)
    identity.refuse_unless_loopback(conf)
    return DevelopmentTokens(Directory(Path(conf.auth.identity_file)), keys)
