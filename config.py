"""The one configuration file of the API, the worker and the tools: every option, its default and its meaning."""

from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg

LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
"""Between two dots of a name in DNS."""
DEFAULT = [
    cfg.StrOpt("region", default="RegionOne", help="Name of the region this deployment serves; shown with every instance."),
    cfg.StrOpt(
        "default_datastore",
        default="",
        help="Name or id of the datastore of an instance whose request names none; empty: such a request is refused.",
    ),
    cfg.StrOpt("log_level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"], help="Least severity that is logged."),
]
DATABASE = [
    cfg.StrOpt(
        "connection",
        default="sqlite:////var/lib/coffer/coffer.db",
        secret=True,
        help="SQLAlchemy URL of the control plane's database.",
    ),
]
TEMPORAL = [
    cfg.StrOpt("address", default="127.0.0.1:7233", help="host:port of the Temporal frontend."),
    cfg.StrOpt("namespace", default="default", help="Temporal namespace of this deployment."),
    cfg.StrOpt("task_queue", default="coffer", help="Task queue that the API starts workflows on and workers poll."),
    cfg.StrOpt("ui_url", default="http://127.0.0.1:8233", help="Base URL of the Temporal Web UI, for links."),
    cfg.FloatOpt(
        "rpc_timeout", default=2.0, min=0.1, help="Seconds the API waits for Temporal before it leaves a start to the dispatcher."
    ),
    cfg.IntOpt(
        "max_cached_workflows", default=200, min=0, help="Workflow runs a worker keeps in memory; 0 replays at every step."
    ),
    cfg.IntOpt("activity_threads", default=32, min=2, help="Activities a worker runs at a time."),
]
API = [
    cfg.HostAddressOpt("bind_host", default="127.0.0.1", help="Address the API listens on."),
    cfg.PortOpt("bind_port", default=8779, help="Port the API listens on."),
    cfg.IntOpt("workers", default=1, min=1, help="Gunicorn worker processes."),
    cfg.IntOpt("threads", default=8, min=1, help="Threads of each worker process."),
    cfg.StrOpt("public_endpoint", default="", help="Base URL in links; empty: taken from the request."),
    cfg.IntOpt("page_size", default=20, min=1, help="Items on a page of a list, and the most a client may ask for."),
    cfg.FloatOpt("guest_deadline", default=15.0, min=0.1, help="Seconds a request waits for an answer from a guest; then 503."),
]
AUTH = [
    cfg.StrOpt(
        "strategy",
        default="development",
        choices=[
            ("development", "Signed tokens of the development identity, which the API serves itself; loopback only."),
            ("keystone", "Keystone's tokens; see [keystone_authtoken]."),
        ],
        help="How tokens are checked.",
    ),
    cfg.StrOpt("identity_file", default="", help="Users, projects and passwords of the development identity (JSON)."),
    cfg.StrOpt("policy_file", default="", help="oslo.policy overrides (YAML); empty: the defaults."),
]
SECRETS = [
    cfg.StrOpt(
        "keyring_file",
        default="/var/lib/coffer/keyring.json",
        help="Keys that seal secrets and payloads; the first one seals, all open.",
    ),
]
CLOUD = [
    cfg.StrOpt("driver", default="local", choices=["local", "openstack"], help="Where servers, volumes and ports come from."),
    cfg.StrOpt("local_directory", default="/var/lib/coffer/cloud", help="Where the local cloud keeps its servers and volumes."),
    cfg.StrOpt("local_agent_module", default="guest_agent", help="Python module a local server runs as its guest agent."),
    cfg.PortOpt("local_ssh_port", default=2222, help="Port of the sshd of local servers, each on an address of its own."),
    cfg.StrOpt("availability_zone", default="", help="OpenStack: zone of servers and volumes; empty: the cloud's choice."),
    cfg.StrOpt("volume_type", default="", help="OpenStack: type of volumes that were asked for without one; empty: the cloud's."),
    cfg.BoolOpt(
        "boot_from_volume",
        default=False,
        help="OpenStack: new servers' root disks are volumes too, as large as the flavor's disk, and outlive their host.",
    ),
    cfg.FloatOpt(
        "call_timeout",
        default=15.0,
        min=1,
        help="OpenStack: seconds for one call of an API.  Below the 20 after which a silent step is given to another worker.",
    ),
    cfg.FloatOpt(
        "poll_interval",
        default=1.0,
        min=0.1,
        help="OpenStack: seconds between two looks at all servers, or all volumes, that a worker waits for.",
    ),
]
GUEST = [
    cfg.FloatOpt("call_deadline", default=10.0, min=0.1, help="Seconds for one call to a guest."),
    cfg.FloatOpt(
        "no_progress_deadline", default=900.0, min=1, help="Seconds a guest's job may stand still before it has failed."
    ),
    cfg.IntOpt("max_connections", default=64, min=1, help="Guest channels a worker keeps open."),
    cfg.FloatOpt(
        "job_window",
        default=10.0,
        min=0,
        help="Seconds that a worker stays at a guest for the end of a job; after that it waits for the guest to report it.",
    ),
    cfg.PortOpt("channel_port", default=2222, help="Port of the guest channel on servers of OpenStack; 22 is left to the image."),
    cfg.StrOpt(
        "nova_keypair",
        default="",
        help="Name of a Nova keypair of the service user, put on every server: the operator's break-glass login.  "
        "Empty: no server has any.",
    ),
]
SERVICE_CREDENTIALS = [
    cfg.URIOpt("auth_url", default="http://127.0.0.1:5000/v3", schemes=["http", "https"], help="Where Keystone is."),
    cfg.StrOpt("username", default="coffer", help="The user that owns every server, volume and port."),
    cfg.StrOpt("password", default="", secret=True, help="Its password."),
    cfg.StrOpt("project_name", default="service", help="The project that they lie in."),
    cfg.StrOpt("user_domain_name", default="Default", help="Domain of the user."),
    cfg.StrOpt("project_domain_name", default="Default", help="Domain of the project."),
    cfg.StrOpt("region_name", default="", help="Region of the catalog; empty: that of [DEFAULT] region."),
    cfg.StrOpt(
        "interface", default="internal", choices=["public", "internal", "admin"], help="Which of a service's endpoints is called."
    ),
    cfg.StrOpt("cacert", default="", help="Certificates (PEM) that endpoints are checked against; empty: those of the system."),
    cfg.BoolOpt("insecure", default=False, help="Do not check certificates.  For trying out only."),
]
NETWORK = [
    cfg.StrOpt(
        "management_network",
        default="coffer-management",
        help="Network (name or id) that the workers reach every server on.",
    ),
    cfg.StrOpt(
        "management_security_group",
        default="coffer-management",
        help="Security group (name or id) of the ports on it: SSH in from the workers, and the messaging API out.",
    ),
    cfg.StrOpt(
        "management_cidr",
        default="10.127.0.0/16",
        help="Addresses of the management network, where `coffer openstack bootstrap` makes it; SSH is let in from them.",
    ),
]
DNS = [
    cfg.StrOpt(
        "zone",
        default="",
        regex=rf"^$|^({LABEL}\.)*{LABEL}\.?$",
        max_length=200,
        help="Zone that new instances get a name in, <instance id>.<zone>: with OpenStack one of Designate's, in the service user's project "
        "or shared with it; the local cloud writes names to a file `hosts` in its directory.  Empty: no names.",
    ),
    cfg.IntOpt("ttl", default=300, min=1, max=2147483647, help="Seconds that others may remember where a name leads."),
]
OBJECTS = [
    cfg.StrOpt(
        "container",
        default="coffer",
        regex=r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
        help="Swift: what the names of containers begin with; each project has one of its own, with its id behind.",
    ),
    cfg.StrOpt(
        "guest_endpoint",
        default="",
        help="Scheme and host (http://host:port) of the object store as guests reach it; empty: as the catalog says.",
    ),
    cfg.IntOpt("url_lifetime", default=3600, min=60, help="Seconds that a temporary URL of a segment or an object is valid."),
    cfg.StrOpt(
        "url_ip_range",
        default="",
        help="Address or network (CIDR), as the object store sees it, that alone may use temporary URLs; empty: anybody who has one.",
    ),
    cfg.IntOpt(
        "segment_size",
        default=32,
        min=1,
        max=1024,
        help="MiB of a segment.  A guest keeps one in memory; an object has at most 1000.",
    ),
]
NOTIFICATIONS = [
    cfg.StrOpt(
        "transport_url",
        default="",
        secret=True,
        help="Where Nova and Cinder send their notifications, as they have it: rabbit://user:password@host:5672/vhost, more hosts "
        "after commas.  Waits for servers and volumes then end on word of them.  Empty: they are asked for, and nothing else.",
    ),
    cfg.ListOpt(
        "exchanges",
        default=["nova", "openstack"],
        help="Exchanges of theirs (control_exchange): Cinder's is named openstack unless told otherwise.",
    ),
    cfg.ListOpt("topics", default=["notifications", "versioned_notifications"], help="Topics that are sent to."),
    cfg.BoolOpt("ssl", default=False, help="Speak TLS with the broker, and check its certificate."),
    cfg.StrOpt("cacert", default="", help="Certificates (PEM) it is checked against; empty: those of the system."),
    cfg.FloatOpt(
        "longest_rest",
        default=15.0,
        min=1,
        help="Seconds between two looks at what is waited for while word comes of such things; it may be lost.",
    ),
]
MESSAGING = [
    cfg.BoolOpt("management", default=True, help="Serve /v2/pools and /v2/flavors, for administrators."),
    cfg.IntOpt("page_size", default=10, min=1, help="Items on a page of a list when the client does not say."),
    cfg.IntOpt("max_page_size", default=20, min=1, help="The most a client may ask for on a page, claim or pop at a time."),
    cfg.IntOpt("max_post_size", default=262144, min=1, help="Bytes that one request may post."),
    cfg.IntOpt("max_wait", default=60, min=0, max=3600, help="Seconds that a request may wait for messages (`wait=`)."),
    cfg.IntOpt(
        "max_waiters", default=0, min=0, help="Requests that wait at a time, for each API process; 0: half of [api] threads."
    ),
    cfg.IntOpt("signed_url_lifetime", default=604800, min=1, help="Seconds that a signed URL may be valid at most."),
    cfg.IntOpt(
        "signed_url_epoch", default=0, min=0, help="Another number makes all signed URLs void that were made under this one."
    ),
]
TELEMETRY = [
    cfg.StrOpt(
        "endpoint",
        default="",
        help="URL of /messaging as guests reach it; empty: below [api] public_endpoint, or where the API listens.",
    ),
    cfg.FloatOpt("period", default=10.0, min=0.1, help="Seconds between two reports of a guest."),
    cfg.IntOpt(
        "url_lifetime",
        default=3600,
        min=2,
        help="Seconds that the URL is valid which a guest posts to; the answers to posts in its second half carry the next one.",
    ),
    cfg.IntOpt("silent_after", default=3, min=1, help="Periods without a report after which a guest is said to be silent."),
    cfg.StrOpt("project", default="coffer-guests", help="Project that guests' queues belong to; must be nobody's."),
    cfg.StrOpt("flavor", default="", help="Flavor of guests' queues; empty: pools without flavor."),
]
EVENTS = [
    cfg.IntOpt(
        "exists_interval",
        default=3600,
        min=0,
        help="Seconds of a period of which `trove.instance.exists` tells, for each instance; 0: it is not told.",
    ),
    cfg.IntOpt("max_subscriptions", default=20, min=-1, help="Subscriptions to events that a project may have; -1: no limit."),
    cfg.IntOpt(
        "max_waiting",
        default=10000,
        min=1,
        help="Events that wait for one subscription while they can't be delivered; beyond it the oldest are given up.",
    ),
]
QUOTA = [
    cfg.IntOpt("instances", default=10, min=-1, help="Instances of a project; -1: no limit."),
    cfg.IntOpt("volumes", default=40, min=-1, help="GiB of volumes of a project; -1: no limit."),
    cfg.IntOpt("ram", default=-1, min=-1, help="MiB of RAM of a project's instances; -1: no limit."),
    cfg.IntOpt("max_volume_size", default=10, min=1, help="GiB that one volume may have."),
]

RECONCILE = [
    cfg.FloatOpt(
        "interval",
        default=600.0,
        min=0,
        help="Seconds between two looks at what the cloud holds against what the rows say; 0: only `coffer reconcile` looks.",
    ),
    cfg.FloatOpt(
        "grace",
        default=120.0,
        min=0,
        help="Seconds that a difference must have been found for, by two looks at least, before `coffer reconcile --fix` mends it.",
    ),
    cfg.FloatOpt(
        "watch_interval",
        default=20.0,
        min=0,
        help="Seconds between two looks at all servers; one that two looks find gone, stopped or failed makes its instance ERROR.  "
        "0: nobody looks.",
    ),
]

GROUPS: dict[str, Sequence[cfg.Opt]] = {
    "DEFAULT": DEFAULT,
    "database": DATABASE,
    "temporal": TEMPORAL,
    "api": API,
    "auth": AUTH,
    "secrets": SECRETS,
    "cloud": CLOUD,
    "guest": GUEST,
    "service_credentials": SERVICE_CREDENTIALS,
    "network": NETWORK,
    "dns": DNS,
    "objects": OBJECTS,
    "notifications": NOTIFICATIONS,
    "messaging": MESSAGING,
    "telemetry": TELEMETRY,
    "events": EVENTS,
    "quota": QUOTA,
    "reconcile": RECONCILE,
}


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """For oslo-config-generator (etc/coffer.conf)."""
    return list(GROUPS.items())


def dns_zone(conf: cfg.ConfigOpts) -> str:
    """Without the dot at its end; empty: instances get no names."""
    return str(conf.dns.zone).rstrip(".").lower()


def load(path: str | Path | None = None) -> cfg.ConfigOpts:
    """The configuration in `path`, or the defaults.  Raises cfg.ConfigFilesNotFoundError or ValueError with the option's name."""
    conf = cfg.ConfigOpts()
    for group, options in GROUPS.items():
        conf.register_opts(options, None if group == "DEFAULT" else group)
    conf([], project="coffer", default_config_files=[str(path)] if path else [], default_config_dirs=[])
    return conf
