"""What the driver must be told: who it is, and where things are to lie.  It is filled from the configuration file."""

from dataclasses import dataclass, field

from oslo_config.cfg import ConfigOpts

from clouds.objects import UrlRules


@dataclass(frozen=True)
class Credentials:
    """The service user, in whose project everything lies."""

    auth_url: str
    username: str
    password: str = field(repr=False)
    project_name: str
    user_domain_name: str = "Default"
    project_domain_name: str = "Default"
    region_name: str = ""
    interface: str = "internal"
    cacert: str = ""
    insecure: bool = False


@dataclass(frozen=True)
class Settings:
    """Networks and security groups by name or id; empty text: the cloud's own choice, or none.  Times in seconds."""

    credentials: Credentials
    management_network: str
    management_security_group: str
    availability_zone: str = ""
    volume_type: str = ""
    keypair: str = ""
    channel_port: int = 2222
    call_timeout: float = 15.0
    poll_interval: float = 1.0
    record_ttl: int = 300
    """Seconds that others may remember where a name leads."""
    container: str = "coffer"
    """What the names of containers begin with; the project's id follows."""
    urls: UrlRules = field(default_factory=UrlRules)


def settings_of(conf: ConfigOpts) -> Settings:
    given = {name: conf.service_credentials[name] for name in Credentials.__dataclass_fields__}
    given["region_name"] = given["region_name"] or conf.region
    return Settings(
        Credentials(**given),
        conf.network.management_network,
        conf.network.management_security_group,
        availability_zone=conf.cloud.availability_zone,
        volume_type=conf.cloud.volume_type,
        keypair=conf.guest.nova_keypair,
        channel_port=conf.guest.channel_port,
        call_timeout=conf.cloud.call_timeout,
        poll_interval=conf.cloud.poll_interval,
        record_ttl=conf.dns.ttl,
        container=conf.objects.container,
    )
