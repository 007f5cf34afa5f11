"""The agent that runs on every database server."""

__version__ = "1.0.0"
