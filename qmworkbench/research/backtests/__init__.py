"""A strategy over a period of bars, its figures and tables, and the registry of kept runs (§2 Backtesting)."""
