"""The agent with the stub datastore as manager `stub`: `python -m tests.support.stub_agent AGENT_JSON`."""

import sys

from guest_agent.datastores import MANAGERS
from guest_agent.service import run

if __name__ == "__main__":
    run(sys.argv[1:], {**MANAGERS, "stub": "tests.support.stub_datastore:Stub"})
