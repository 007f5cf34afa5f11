"""Zaqar's v2 API over `messaging`: at /v2, and at /messaging/v2 behind the root that the service catalogue names.

Two roots, so that each service's version discovery finds its own versions only: `/` speaks of databases, `/messaging/` of messages.
"""
