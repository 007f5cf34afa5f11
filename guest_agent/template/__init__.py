"""Prepared data directories: what an engine's own program would make, made once and copied onto each new server."""
