"""One file per strategy, and the catalog: bars in, entry, exit and stop out; no I/O (§10)."""
