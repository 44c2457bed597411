"""View models: pure functions from a reading of the Core API to what the page shows (§9)."""
