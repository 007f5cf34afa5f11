"""The agent replaced in place: received, unpacked beside the one in use, tried, and taken back when it does not answer."""
