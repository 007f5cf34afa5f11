"""The agent that runs on every database server."""

__version__ = "1.0.0"

PROTOCOL = 1
"""Of the conversation with the control plane: raised when a release asks or answers what the one before does not."""

JOURNAL = 1
"""Of what is on the disk: raised when a release writes what the one before cannot go on with."""
