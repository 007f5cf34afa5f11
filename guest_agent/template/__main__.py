"""`python -m guest_agent.template MANAGER DIR`: for whoever builds the image of a server, run as the account of its agent."""

import argparse
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from guest_agent.errors import GuestError

MAKERS: Mapping[str, str] = {"mariadb": "guest_agent.datastores.mariadb.installation"}
"""Each module has `make_template(directory, engine_user)`, which gives where it lies. An engine that is not here needs none, or must not have one."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m guest_agent.template", description="Make a template unless it is there.")
    parser.add_argument("manager", choices=list(MAKERS))
    parser.add_argument("directory", type=Path, help="where templates lie: template_dir in agent.json")
    parser.add_argument("--engine-user", help="the account that the engine runs as, if not the usual one")
    options = parser.parse_args(arguments)
    try:
        made = import_module(MAKERS[options.manager]).make_template(options.directory.absolute(), options.engine_user)
    except (GuestError, OSError, LookupError) as error:
        sys.stderr.write(f"no template: {error}\n")
        return 1
    sys.stdout.write(f"{made}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
