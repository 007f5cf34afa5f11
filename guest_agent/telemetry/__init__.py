"""What the guest tells unasked: whole reports, posted to its own queue (docs/developer/telemetry.md)."""
