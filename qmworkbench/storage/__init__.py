"""Journal, projections and bar store on disk, and the one read-only door for notebooks (§2, §14)."""
