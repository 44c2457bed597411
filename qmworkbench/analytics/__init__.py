"""From the journal to closed trades, execution quality, explanations, recommendations (§18)."""
