"""Queues in Redis.  Every operation is one Lua script, so nothing comes between its parts."""
