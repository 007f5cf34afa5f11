# os.path throughout: pathlib would cost init a megabyte of memory.
# ruff: noqa: PTH112
"""`python -S -m guest_agent.init SERVER`."""

import os
import sys

from guest_agent.init.control import ControlServer
from guest_agent.init.supervisor import Supervisor


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not os.path.isdir(arguments[0]):
        sys.stderr.write("usage: python -S -m guest_agent.init SERVER\n")
        return 2
    supervisor = Supervisor(arguments[0])
    ControlServer(supervisor)
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
