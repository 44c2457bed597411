"""Feeds, calendars and universes: where bars and quotes come from (§6)."""
