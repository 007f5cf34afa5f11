"""The agent with the stub datastore, ended as SERVER/ends.json says: `python -m tests.guest_agent.ending_agent AGENT_JSON`."""

import sys
from pathlib import Path

from tests.guest_agent.ends import install

if __name__ == "__main__":
    install(Path(sys.argv[1]).with_name("ends.json"))
    from guest_agent.datastores import MANAGERS
    from guest_agent.service import run

    run(sys.argv[1:], {**MANAGERS, "stub": "tests.support.stub_datastore:Stub"})
