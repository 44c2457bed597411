"""The fill model: one simulation of a tape's decisions, its figures, and the same from vectorbt (FILLS)."""
