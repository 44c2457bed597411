"""The stores on PostgreSQL: for a desk, with the promises of the SQLite ones (§6, §21)."""
