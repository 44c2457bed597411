"""Many parameter sets over the same bars: grids, a fused pass for each, a sample held to vectorbt (§2, §3)."""
