"""PostgreSQL and a Redis-compatible server of our own, started on request and stopped again (§6)."""
