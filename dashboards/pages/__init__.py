"""Pages of the dashboards (§9)."""
