"""Running the engines' own programs."""

import os
import pwd
import subprocess
from collections.abc import Sequence

from guest_agent.errors import EngineFailed

TOLD_LINES = 12


def run_program(argv: Sequence[str], user: str | None = None) -> str:
    """Run a program to its end, as `user` or as this process's account, and give what it printed."""
    extra_groups: list[int] | None = [] if user else None
    group = pwd.getpwnam(user).pw_gid if user else None
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            argv,
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            user=user,
            group=group,
            extra_groups=extra_groups,
        )
    except FileNotFoundError:
        raise EngineFailed(f"{argv[0]} is not installed on this server.") from None
    except subprocess.CalledProcessError as error:
        lines = (error.stdout + error.stderr).decode(errors="replace").splitlines()
        tail = " | ".join(lines[-TOLD_LINES:])
        raise EngineFailed(f"{argv[0]} ended with status {error.returncode}. {tail}") from None
    return done.stdout.decode(errors="replace")
