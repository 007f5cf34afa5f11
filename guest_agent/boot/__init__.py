"""The first program of a database server's image: lays out what the control plane has sent, mounts the data volume, becomes init."""
