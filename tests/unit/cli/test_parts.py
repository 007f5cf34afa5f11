"""How the control plane's processes are started."""

from pathlib import Path

from gunicorn.config import Config

from cli import parts, provision
from cli.ports import Ports
from cli.statedir import StateDir


def test_the_api_believes_no_claims_of_forwarding(tmp_path: Path) -> None:
    state, ports = StateDir(tmp_path), Ports(10001, 10002, 10003)
    provision.prepare(state, "127.0.0.1", ports)
    [api] = [part for part in parts.parts(state, "127.0.0.1", ports) if part.name == "api"]
    conf = Config()
    given = conf.parser().parse_args(api.argv[3:])
    conf.set("forwarded_allow_ips", given.forwarded_allow_ips)
    assert conf.forwarded_allow_ips == []
    assert given.args == ["api.app:from_config()"]
