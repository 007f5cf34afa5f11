"""What a server's image holds besides programs: engines' data directories, prepared once for all servers of this cloud."""

import subprocess
from pathlib import Path

from clouds.local.layout import Programs
from clouds.local.state import State
from clouds.ports import CloudError

MODULE = "guest_agent.template"
MANAGERS = ("mariadb",)
WITHIN = 120.0


def template_directory(state: State) -> Path:
    return state.directory / "images"


def prepare(state: State, programs: Programs) -> None:
    """Makes what is not there yet.  Raises CloudError; servers are then made without, which takes longer."""
    for manager in MANAGERS:
        argv = [programs.python, "-m", MODULE, manager, str(template_directory(state))]
        try:
            made = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd="/",
                env=programs.environment(),
                timeout=WITHIN,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CloudError(f"No template of {manager} can be made: {error}") from error
        if made.returncode:
            raise CloudError(f"No template of {manager} can be made: {made.stderr.strip()[-500:]}")
