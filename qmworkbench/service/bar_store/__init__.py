"""Adding to a bar store: any number of files, in bounded memory, all of it or nothing (§5 Data Check)."""
