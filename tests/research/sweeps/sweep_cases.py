"""Bars that sweeps are tried on: seeded walks on a tick grid, full of ties, gaps and flat stretches."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from qmworkbench.research.sweeps.grid import Combinations
from qmworkbench.research.sweeps.sweep_bars import SweepBars
from qmworkbench.research.sweeps.sweep_check import Checked
from qmworkbench.research.sweeps.sweep_engine import Setting
from qmworkbench.strategies.bars import BARS_SCHEMA
from qmworkbench.strategies.definition import StrategyDefinition


def walk(
    height: int,
    *,
    symbol: str = "AAA",
    seed: int = 0,
    session: int = 60,
    tick: float = 0.01,
    start: int = 10_000,
    step: int = 6,
    calm: float = 0.2,
    missing: float = 0.0,
) -> pl.DataFrame:
    """A random walk in ticks: `calm` of the bars do not move at all, `missing` of them were never traded."""
    rng = np.random.default_rng([seed, height])
    moves = np.where(rng.random(height) < calm, 0, rng.integers(-step, step + 1, height))
    close = np.maximum(start + np.cumsum(moves), 20)
    first = np.maximum(np.concatenate([[start], close[:-1]]) + rng.integers(-1, 2, height), 19)
    high = np.maximum(first, close) + rng.integers(0, 4, height)
    low = np.minimum(first, close) - rng.integers(0, 4, height)
    per_unit = round(1 / tick) if tick < 1 else 0

    def px(ticks: Any) -> Any:
        return ticks / per_unit if per_unit else ticks * tick

    day, bar = np.arange(height) // session, np.arange(height) % session
    date = np.datetime64("2020-01-01") + day
    stamp = date.astype("datetime64[us]").astype(np.int64) + (870 + bar) * 60_000_000
    columns: dict[str, Any] = {
        "symbol": [symbol] * height,
        "ts": pl.Series(stamp).cast(pl.Datetime("us", "UTC")),
        "session": date,
        "bar": bar,
        "bars_left": session - 1 - bar,
        "open": px(first),
        "high": px(high),
        "low": px(low),
        "close": px(close),
        "volume": rng.integers(0, 2_000, height).astype(np.float64),
        "tick": np.full(height, tick),
    }
    frame = pl.DataFrame(columns).cast(BARS_SCHEMA)  # type: ignore[arg-type]
    return frame.filter(pl.Series(rng.random(height) >= missing)) if missing else frame


class NoSecondOpinion:
    """Stands where vectorbt does, where a test is about something else: is asked, and has seen nothing."""

    def __init__(self) -> None:
        self.begun = 0

    def begin(
        self, definition: StrategyDefinition, bars: SweepBars, setting: Setting, combinations: Combinations
    ) -> None:
        self.begun += 1

    def result(self, rows: pl.DataFrame) -> Checked:
        return Checked(0, 0.0, "none")

    def stop(self) -> None:
        """Nothing runs."""


def row_of(rows: pl.DataFrame, **where: Any) -> Mapping[str, Any]:
    """The only row in which these columns have these values."""
    found = rows.filter([pl.col(name) == value for name, value in where.items()])
    assert found.height == 1, f"{found.height} rows where {where}"
    return found.row(0, named=True)
