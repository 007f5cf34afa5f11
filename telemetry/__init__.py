"""What guests tell unasked, between the queue it comes through and the row it ends in: docs/developer/telemetry.md."""
