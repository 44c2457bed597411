"""What a result is worth: Sharpe ratios after many trials, overfitting, walk-forward, costs, capacity (§2, §3)."""
