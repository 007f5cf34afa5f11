"""Creates on an OpenStack: what they take beside the bare calls, what they ask of its APIs, what a worker needs for many of them."""
