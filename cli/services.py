"""Whether everything answers that a deployment needs, and what mends what does not."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from oslo_config.cfg import ConfigOpts
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError

from cli import deployment, schema, searchattributes
from cli.errors import CliError
from migrations import runner

TEMPORAL_WITHIN = 10.0
OK, AWAY, WRONG, ABSENT = "ok", "away", "wrong", "not there"
GOOD = (OK, ABSENT)
NOBODY = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/v1.0/",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "wsgi.url_scheme": "http",
    "HTTP_X_AUTH_TOKEN": "coffer-status",
}
"""A request with a token that no Keystone has given."""


@dataclass(frozen=True)
class Checked:
    service: str
    state: str
    found: str = ""
    mend: str = ""


def check(conf: ConfigOpts) -> Iterator[Checked]:
    """One after the other, as each answers."""
    yield _sql(conf)
    yield asyncio.run(_temporal(conf))
    if conf.auth.strategy == "keystone":
        yield _tokens(conf)
    if conf.cloud.driver == "openstack":
        yield from _openstack(conf)
        if conf.notifications.transport_url:
            yield _notifications(conf)


def _sql(conf: ConfigOpts) -> Checked:
    url = conf.database.connection
    try:
        with schema.failures_told():
            pending, current = runner.pending(url), runner.current(url)
    except CliError as e:
        return Checked("SQL", AWAY, e.message, e.hint or "check [database] connection")
    if pending:
        return Checked("SQL", WRONG, f"at revision {current or 'base'}", deployment.command(conf, "db upgrade"))
    return Checked("SQL", OK, f"at revision {current}")


async def _temporal(conf: ConfigOpts) -> Checked:
    where, namespace = conf.temporal.address, conf.temporal.namespace
    try:
        async with asyncio.timeout(TEMPORAL_WITHIN):
            client = await Client.connect(where, namespace=namespace)
            request = ListSearchAttributesRequest(namespace=namespace)
            known = (await client.operator_service.list_search_attributes(request)).custom_attributes
    except (RPCError, RuntimeError, TimeoutError) as e:
        said = e.message if isinstance(e, RPCError) else "no answer"
        return Checked("Temporal", AWAY, f"{where}: {said}", "check [temporal] address and namespace, and that it runs")
    lacking = [name for name in searchattributes.SEARCH_ATTRIBUTES if name not in known]
    if lacking:
        return Checked("Temporal", WRONG, f"lacks {', '.join(lacking)}", deployment.command(conf, "temporal setup"))
    return Checked("Temporal", OK, f"{where}, namespace {namespace}")


def _tokens(conf: ConfigOpts) -> Checked:
    from api.errors import ServiceUnavailable
    from api.keystone import KeystoneTokens

    tokens = KeystoneTokens(conf)
    try:
        tokens.check(NOBODY)
    except ServiceUnavailable as e:
        reason = f": {e.__cause__}" if e.__cause__ else ""
        mend = "check [keystone_authtoken], else [service_credentials]: URL, user, password, and its role service"
        return Checked("tokens", AWAY, f"Keystone at {tokens.identity_url()} checks none{reason}", mend)
    return Checked("tokens", OK, f"Keystone at {tokens.identity_url()} checks them")


def _openstack(conf: ConfigOpts) -> Iterator[Checked]:
    from cli.openstackservices import bootstrap_of
    from clouds.openstack.probes import probes

    steps = bootstrap_of(conf, make=False, with_catalog=False)
    login, *findings = steps.run()
    yield Checked("Keystone", OK if login.state.good else AWAY, f"service user {login.name}", login.mend)
    if not login.state.good:
        return
    where = conf.service_credentials
    for probe in probes(steps.services):
        if probe.optional:
            yield Checked(probe.service, ABSENT, "not in the catalog")
        elif probe.error:
            region = where.region_name or conf.region
            mend = f"check that it runs, and its {where.interface} endpoint of region {region} in the catalog"
            yield Checked(probe.service, AWAY, probe.error, mend)
        else:
            yield Checked(probe.service, OK)
    for api in ("database", "messaging"):
        if not steps.services.has(api):
            yield Checked("catalog", WRONG, f"has no {api}", deployment.command(conf, "openstack bootstrap"))
    for finding in findings:
        if finding.state != "there":
            mend = finding.mend or deployment.command(conf, "openstack bootstrap")
            yield Checked(finding.what, WRONG, finding.name if finding.mend else f"{finding.name} is not there", mend)


def _notifications(conf: ConfigOpts) -> Checked:
    """Nothing depends on them, so what is not sent yet is no failure."""
    what = "notifications"
    try:
        from clouds.openstack.notifications import Listener, source_of
    except ModuleNotFoundError as e:
        return Checked(what, WRONG, f"{e.name} is not installed", "pip install 'coffer[notifications]'")
    from clouds.ports import CloudError

    try:
        missing = Listener(source_of(conf), {}).missing()
    except ValueError as e:
        return Checked(what, WRONG, str(e), "write it as nova.conf has it")
    except CloudError as e:
        mend = "check [notifications] transport_url, and that its user may make a queue and read the exchanges"
        return Checked(what, AWAY, str(e), mend)
    if missing:
        mend = "an exchange comes with its service's first message: is driver = messagingv2 set there?"
        return Checked(what, ABSENT, f"no exchange {', '.join(sorted(missing))} yet", mend)
    return Checked(what, OK)
