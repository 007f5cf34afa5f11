"""Queues in MongoDB (4.4 or later), with what a single server offers: writes that are atomic per document, no transactions."""
