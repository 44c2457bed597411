"""Backtests, sweeps and parity; the only place that imports vectorbt (§10)."""
