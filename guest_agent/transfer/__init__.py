"""Between a program of this server and the object store, by temporary URLs that the control plane grants."""
