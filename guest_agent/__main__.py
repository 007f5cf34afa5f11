"""`python -m guest_agent AGENT_JSON`."""

import sys

from guest_agent.service import run

if __name__ == "__main__":
    run(sys.argv[1:])
