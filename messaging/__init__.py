"""Queues for messages: pools, flavors, queues, messages, claims and signed URLs, below the HTTP layer.

Callers use `messaging.service.Messaging`.
"""
