"""A session against the backtest of its own bars, each difference with its cause; drift (M: layer 2)."""
