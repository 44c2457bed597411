"""Market regimes of a benchmark, told for each session by what was known before it began (§2 Backtesting)."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from qmworkbench.research.fills.tape import Floats

UP: Final = "rising"
DOWN: Final = "falling"
CALM: Final = "calm"
LIVELY: Final = "lively"
UNKNOWN: Final = "not known yet"

REGIME_SCHEMA: Final[dict[str, Any]] = {"session": pl.Date, "trend": pl.String, "volatility": pl.String}


@dataclass(frozen=True)
class Windows:
    """Over how many sessions each is judged: the trend by the mean of as many closes, the volatility by the spread of
    as many returns, compared with the median of all such spreads so far."""

    trend: int
    volatility: int

    def __post_init__(self) -> None:
        if self.trend < 2 or self.volatility < 2:
            raise ValueError(f"regimes: windows of {self.trend} and {self.volatility} sessions; give 2 or more each")


OF_DAYS: Final = Windows(trend=50, volatility=20)
OF_SESSIONS: Final = Windows(trend=5, volatility=5)
"""For daily bars, and for bars within the day, of which there are rarely years."""


def regimes(closes: pl.DataFrame, windows: Windows) -> pl.DataFrame:
    """The regime each session began in, REGIME_SCHEMA. `closes`: session (ascending) and close, the benchmark's.

    The trend of a session is "rising" where the close before it lies above the mean of the last closes up to there;
    its volatility "lively" where the spread of the last returns up to there lies above the median of all such spreads
    before. No row looks at its own session; without enough of a past it is "not known yet".
    """
    close = closes["close"].to_numpy().astype(np.float64)
    returns = np.full(len(close), np.nan)
    returns[1:] = close[1:] / close[:-1] - 1
    trend = [UNKNOWN] * len(close)
    lively = [UNKNOWN] * len(close)
    spreads: list[float] = []
    for at in range(1, len(close)):
        known = close[max(0, at - windows.trend) : at]
        if len(known) == windows.trend:
            trend[at] = UP if known[-1] > known.mean() else DOWN
        seen = returns[max(1, at - windows.volatility) : at]
        if len(seen) == windows.volatility:
            spread = float(seen.std(ddof=1))
            if spreads:
                lively[at] = LIVELY if spread > float(np.median(spreads)) else CALM
            spreads.append(spread)
    return pl.DataFrame({"session": closes["session"], "trend": trend, "volatility": lively}, schema=REGIME_SCHEMA)


def equal_weight(closes: pl.DataFrame) -> pl.DataFrame:
    """An index of several symbols: session, close, from `closes` (symbol, session, close), each session the mean of
    their returns; a symbol without a close before counts from its second on."""
    ordered = closes.sort("symbol", "session")
    gained = ordered.with_columns(gain=pl.col("close") / pl.col("close").shift(1).over("symbol") - 1)
    daily = gained.group_by("session").agg(pl.col("gain").mean()).sort("session")
    steps: Floats = daily["gain"].fill_null(0.0).to_numpy().astype(np.float64)
    return daily.select("session").with_columns(close=pl.Series(np.cumprod(1 + steps)))
