"""Carrying events between the parts of the platform: in process first (§2)."""
