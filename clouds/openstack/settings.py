"""What the driver must be told: who it is, and where things are to lie.  The worker fills it from the configuration file."""

from dataclasses import dataclass, field

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
    container: str = "coffer"
    """What the names of containers begin with; the project's id follows."""
    urls: UrlRules = field(default_factory=UrlRules)
