"""What a cloud tells a new server, read once: from its config drive, or from the metadata service when there is none."""
