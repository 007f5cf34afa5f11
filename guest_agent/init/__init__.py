"""A small init for database servers without systemd."""
