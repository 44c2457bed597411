"""A bar store: years of bars as a directory of parts by date, each with a manifest, scanned and never loaded (§5)."""
