"""`coffer status --config`: what is said of a deployment whose services are away, and keys for the break-glass login."""

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.errors import FAILED, CliError
from cli.main import main
from cli.openstackservices import endpoints, public_key_of
from tests.api.stand import configured
from tests.support.stack import coffer


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = configured(tmp_path, f"sqlite:///{tmp_path}/c.db")
    path.write_text(path.read_text() + "[temporal]\naddress = 127.0.0.1:1\n")
    return path.rename(tmp_path / "a.conf")


def status(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["status", "--config", str(config), *words])


def test_each_service_with_its_mend(config: Path) -> None:
    result = status(config, "--json")
    assert result.exit_code == FAILED
    assert json.loads(result.stdout) == [
        {"service": "SQL", "state": "wrong", "found": "at revision base", "mend": f"coffer db upgrade --config {config}"},
        {
            "service": "Temporal",
            "state": "away",
            "found": "127.0.0.1:1: no answer",
            "mend": "check [temporal] address and namespace, and that it runs",
        },
    ]
    assert coffer("db", "upgrade", "--config", str(config), timeout=60).returncode == 0
    table = status(config)
    assert table.exit_code == FAILED
    assert table.stdout.splitlines()[0].split() == ["service", "state", "found", "mend"]
    assert "SQL" in table.stdout


def test_logs_speak_again_afterwards(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert status(config).exit_code == FAILED
    logging.getLogger("coffer").warning("heard")
    assert caplog.messages == ["heard"]


def test_sql_that_is_away(config: Path) -> None:
    config.write_text(
        config.read_text().replace("sqlite:///", "postgresql+psycopg://coffer:s3cret@127.0.0.1:1/").split("[temp")[0]
    )
    [sql, _] = json.loads(status(config, "--json").stdout)
    assert (sql["service"], sql["state"]) == ("SQL", "away")
    assert "s3cret" not in json.dumps(sql)


def test_keystone_that_is_away(config: Path) -> None:
    text = config.read_text().replace("[auth]\n", "[auth]\nstrategy = keystone\n")
    config.write_text(
        f"{text}[service_credentials]\nauth_url = http://127.0.0.1:1/v3\npassword = s3cret\n[cloud]\ndriver = openstack\n"
    )
    rows = {row["service"]: row for row in json.loads(status(config, "--json").stdout)}
    assert [rows[name]["state"] for name in ("tokens", "Keystone")] == ["away", "away"]
    assert "[keystone_authtoken]" in rows["tokens"]["mend"]
    assert "s3cret" not in json.dumps(rows)


@pytest.mark.parametrize(
    ("url", "state"), [("rabbit://coffer:s3cret@127.0.0.1:1/", "away"), ("http://coffer:s3cret@127.0.0.1:1/", "wrong")]
)
def test_a_broker_of_notifications_that_is_not_heard(config: Path, url: str, state: str) -> None:
    options = "[cloud]\ndriver = openstack\n[service_credentials]\nauth_url = http://127.0.0.1:1/v3\npassword = s3cret\n"
    config.write_text(f"{config.read_text()}{options}[notifications]\ntransport_url = {url}\n")
    result = status(config, "--json")
    assert result.exit_code == FAILED
    rows = {row["service"]: row for row in json.loads(result.stdout)}
    assert rows["notifications"]["state"] == state
    assert "s3cret" not in result.stdout


def test_a_private_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "key"
    public = public_key_of(path)
    assert public.startswith("ssh-ed25519 ")
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_key_of(path) == public


@pytest.mark.parametrize(
    "content", ["", "nonsense", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"]
)
def test_what_is_no_private_key(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(CliError):
        public_key_of(path)
    assert path.read_text() == content


def test_endpoints_lie_below_the_public_one() -> None:
    assert [one.url for one in endpoints("https://db.example")] == [
        "https://db.example/v1.0/%(project_id)s",
        "https://db.example/messaging",
    ]
    assert [one.url for one in endpoints("")] == ["", ""]
