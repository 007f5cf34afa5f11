"""The account that all of this runs under: local database servers let the control plane in through its login shell."""

import os
import pwd
import subprocess

from cli.errors import CliError

WITHIN = 10.0
HINT = "run coffer as a user with a usual login shell, such as /bin/sh"


def check() -> None:
    """Raise CliError unless sshd can run a forced command as this account."""
    try:
        account = pwd.getpwuid(os.geteuid())
    except KeyError as e:
        raise CliError(f"user {os.geteuid()} has no account on this machine, and sshd lets no such user in", HINT) from e
    shell = account.pw_shell or "/bin/sh"
    if not _runs_commands(shell):
        raise CliError(f"the login shell of {account.pw_name}, {shell}, runs no commands, and sshd needs it to", HINT)


def _runs_commands(shell: str) -> bool:
    """As sshd asks for a forced command; nologin and restricted shells refuse it."""
    try:
        tried = subprocess.run(
            [shell, "-c", "exec /bin/true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0
