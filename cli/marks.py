"""How the processes of one state directory are told from all others on the machine: by arguments that follow one another in their command."""

from collections.abc import Sequence

from cli.statedir import StateDir


def marks(state: StateDir) -> dict[str, Sequence[str]]:
    return {
        "temporal": ("server", "start-dev", "--db-filename", str(state.temporal)),
        "api": ("--env", f"COFFER_CONFIG={state.config}"),
        "worker": ("-m", "worker", "--config", str(state.config)),
    }
