"""The `coffer` command: runs Coffer on one machine, and manages a deployment."""
