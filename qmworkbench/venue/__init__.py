"""The simulated exchange: matching, accounts and faults, with books of its own (§12, §14)."""
