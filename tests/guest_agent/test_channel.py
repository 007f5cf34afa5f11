"""The channel behind a real sshd and the OpenSSH client."""

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest_agent import channel
from tests.guest_agent.server import ROOT, Server, next_address, running_server

PORT = 2222
CHANNEL = ROOT / "guest_agent" / "channel.py"
HELLO = b'{"id": 1, "method": "hello"}\n'


class Ssh:
    """A server with an sshd in front of its agent, and a key for it."""

    def __init__(self, server: Server, subsystem: str) -> None:
        self.server = server
        self.address = next_address()
        self.directory = server.path / "ssh"
        self.directory.mkdir(mode=0o700)
        for name in ("host", "client"):
            self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.directory / name))
        self.command = f"{sys.executable} -I -S {CHANNEL} {server.agent_socket}"
        key = (self.directory / "client.pub").read_text()
        self._write("authorized_keys", f'restrict,command="{self.command}" {key}')
        self._write("known_hosts", f"[{self.address}]:{PORT} {(self.directory / 'host.pub').read_text()}")
        self._write(
            "sshd_config",
            f"ListenAddress {self.address}\nPort {PORT}\nHostKey {self.directory}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.directory}/authorized_keys\nPasswordAuthentication no\nPermitRootLogin forced-commands-only\n"
            f"StrictModes no\nSubsystem coffer-guest {subsystem or self.command}\n",
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        assert sshd
        argv = [sshd, "-D", "-e", "-f", str(self.directory / "sshd_config")]
        with server.init_client() as init:
            # Debian's sshd speaks sd_notify.
            unit = {"argv": argv, "type": "notify", "log": str(server.path / "log" / "sshd.log")}
            init.call("define", name="sshd", unit=unit)
            init.call("start", name="sshd")

    def __call__(self, *arguments: str, stdin: bytes = HELLO) -> "subprocess.CompletedProcess[bytes]":
        options = [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={self.directory}/known_hosts",
        ]
        argv = [
            "ssh",
            "-F",
            "none",
            "-p",
            str(PORT),
            "-i",
            str(self.directory / "client"),
            "-l",
            pwd.getpwuid(os.geteuid()).pw_name,
        ]
        for option in options:
            argv += ["-o", option]
        return subprocess.run([*argv, *arguments], input=stdin, capture_output=True, timeout=20, check=False)

    def _write(self, name: str, content: str) -> None:
        (self.directory / name).write_text(content)

    @staticmethod
    def _run(*argv: str) -> None:
        subprocess.run(argv, check=True)


@pytest.fixture(scope="module", params=["coffer-guest", ""], ids=["bare name", "command line"])
def ssh(request: pytest.FixtureRequest) -> Iterator[Ssh]:
    with running_server("stub", agent_module="tests.support.stub_agent") as server:
        yield Ssh(server, request.param)


def test_the_subsystem_reaches_the_agent(ssh: Ssh) -> None:
    done = ssh(ssh.address, "-s", "coffer-guest", stdin=HELLO * 3)
    assert done.stderr == b""
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["result"]["protocol"] for answer in answers] == [1, 1, 1]
    assert done.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [[], ["id"], ["sh"], ["coffer-guest; id"], ["python", "-I", "-S", str(CHANNEL), "/run/other.sock"]],
    ids=["shell", "exec", "exec sh", "exec with more", "exec of the channel"],
)
def test_nothing_else_does(ssh: Ssh, arguments: list[str]) -> None:
    done = ssh(ssh.address, *arguments)
    assert done.stdout == b""
    refusals = [line for line in done.stderr.splitlines() if b"nothing else" in line]
    assert refusals == [b"This key opens the subsystem coffer-guest and nothing else."]
    assert done.returncode == channel.REFUSED


def test_sshd_refuses_other_subsystems_terminals_and_forwarding(ssh: Ssh) -> None:
    assert b"subsystem request failed" in ssh(ssh.address, "-s", "sftp").stderr
    assert b"PTY allocation request failed" in ssh("-tt", ssh.address).stderr
    forwarded = ssh("-W", f"{ssh.address}:{PORT}", ssh.address)
    assert forwarded.stdout == b""
    assert forwarded.returncode != 0


def test_without_an_agent_its_status_says_so(ssh: Ssh) -> None:
    with ssh.server.init_client() as init:
        init.call("stop", name="agent")
        ssh.server.agent_socket.unlink()
        try:
            done = ssh(ssh.address, "-s", "coffer-guest")
        finally:
            init.call("start", name="agent")
    # sshd keeps what a subsystem writes to stderr to itself.
    assert (done.returncode, done.stdout) == (channel.UNREACHABLE, b"")


def test_it_imports_little(ssh: Ssh) -> None:
    """It starts once per connection."""
    probe = f"import runpy, sys; sys.argv = ['x']; before = set(sys.modules); runpy.run_path({str(CHANNEL)!r}); print(len(sys.modules))"
    count = subprocess.run([sys.executable, "-I", "-S", "-c", probe], capture_output=True, check=True, text=True).stdout
    assert int(count) < 90
