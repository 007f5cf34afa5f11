"""Queues in SQLite, PostgreSQL and MariaDB/MySQL, in tables of their own that the first use makes."""
