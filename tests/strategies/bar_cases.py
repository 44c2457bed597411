"""Bars for strategies: real sessions on their grids, hand-made ones, and boundaries to feed an engine with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from qmworkbench.strategies.bars import RAW_SCHEMA, SessionGrid, session_bars
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.trading.frames import BarFrame

NEW_YORK = ZoneInfo("America/New_York")
DAY = date(2018, 3, 2)


@dataclass(frozen=True)
class Market:
    """Raw bars of some sessions, the last being the one to trade."""

    raw: pl.DataFrame
    grids: tuple[SessionGrid, ...]
    symbols: tuple[str, ...]
    ticks: dict[str, float]

    @property
    def bars(self) -> pl.DataFrame:
        return session_bars(self.raw, self.grids, self.ticks)

    @property
    def today(self) -> pl.DataFrame:
        """Raw bars of the last session's regular hours."""
        grid = self.grids[-1]
        return self.raw.filter(pl.col("ts").is_between(grid.opens_at, grid.closes_at, closed="left"))

    @property
    def history(self) -> pl.DataFrame:
        return self.raw.filter(pl.col("ts") < self.grids[-1].opens_at)

    @property
    def tick_array(self) -> np.ndarray:
        return np.array([self.ticks[symbol] for symbol in self.symbols])

    def only(self, symbols: Iterable[str]) -> "Market":
        kept = tuple(sorted(symbols))
        return replace(self, raw=self.raw.filter(pl.col("symbol").is_in(kept)), symbols=kept)

    def frames(self) -> list[BarFrame]:
        """The last session boundary by boundary, empty where nobody traded."""
        grid = self.grids[-1]
        index = {symbol: at for at, symbol in enumerate(self.symbols)}
        placed = session_bars(self.raw, [grid], self.ticks).sort("bar", "symbol")
        by_bar = {key[0]: rows for key, rows in placed.partition_by("bar", as_dict=True).items()}
        nothing = placed.clear()
        found = []
        for bar in range(grid.boundaries):
            rows = by_bar.get(bar, nothing)
            found.append(
                BarFrame(
                    as_of=grid.opened_at(bar) + timedelta(seconds=grid.interval_s),
                    index=np.array([index[symbol] for symbol in rows["symbol"]], dtype=np.int32),
                    open=rows["open"].to_numpy(),
                    high=rows["high"].to_numpy(),
                    low=rows["low"].to_numpy(),
                    close=rows["close"].to_numpy(),
                    volume=rows["volume"].to_numpy(),
                )
            )
        return found


def equity_grid(day: date, boundaries: int = 390) -> SessionGrid:
    opens_at = datetime.combine(day, time(9, 30), NEW_YORK).astimezone(UTC)
    return SessionGrid(session=day, opens_at=opens_at, interval_s=60, boundaries=boundaries)


def forex_grid(day: date) -> SessionGrid:
    opens_at = datetime.combine(day - timedelta(days=1), time(17), NEW_YORK).astimezone(UTC)
    return SessionGrid(session=day, opens_at=opens_at, interval_s=3600, boundaries=24)


@lru_cache(maxsize=2)
def equities(shared_data: Path, earlier_sessions: int = 2) -> Market:
    """194 shares, minutes, 2018-03-02 with the sessions before it."""
    days = [date(2018, 2, 28), date(2018, 3, 1), DAY][-1 - earlier_sessions :]
    grids = tuple(equity_grid(day) for day in days)
    raw = pl.read_parquet(shared_data / "us_equity_minute_2018.parquet")
    raw = raw.filter(pl.col("ts").is_between(grids[0].opens_at, grids[-1].closes_at, closed="left"))
    symbols = tuple(raw["symbol"].unique().sort())
    return Market(raw, grids, symbols, dict.fromkeys(symbols, 0.01))


@lru_cache(maxsize=8)
def forex(shared_data: Path, last: date = date(2016, 6, 24), sessions: int = 8) -> Market:
    """Nine pairs, hours, some sessions until `last`."""
    days = [last - timedelta(days=back) for back in range(2 * sessions)]
    days = sorted([day for day in days if day.weekday() < 5][:sessions])
    grids = tuple(forex_grid(day) for day in days)
    raw = pl.read_parquet(shared_data / "forex_hourly_9pairs_2015_2018.parquet")
    raw = raw.filter(pl.col("ts").is_between(grids[0].opens_at, grids[-1].closes_at, closed="left"))
    symbols = tuple(raw["symbol"].unique().sort())
    return Market(raw, grids, symbols, {symbol: 0.001 if symbol.endswith("JPY") else 0.00001 for symbol in symbols})


Px = Sequence[float]


def made(
    closes: dict[str, Sequence[float | Px | None]], volumes: float | Sequence[float] = 1000.0, tick: float = 0.01
) -> Market:
    """One session of hand-made bars: a close (all four prices), or (open, high, low, close), or None for a hole."""
    grid = equity_grid(DAY, boundaries=max(len(rows) for rows in closes.values()))
    rows = []
    for symbol, row in closes.items():
        for bar, px in enumerate(row):
            if px is None:
                continue
            four = (px, px, px, px) if isinstance(px, int | float) else px
            volume = volumes if isinstance(volumes, int | float) else volumes[bar]
            rows.append((symbol, grid.opened_at(bar), *map(float, four), float(volume)))
    raw = pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")
    symbols = tuple(sorted(closes))
    return Market(raw, (grid,), symbols, dict.fromkeys(symbols, tick))


def changed(definition: StrategyDefinition, **fields: object) -> StrategyDefinition:
    """The definition with some fields replaced."""
    values = {name: getattr(definition, name) for name in definition.__struct_fields__}
    return StrategyDefinition(**{**values, **fields})  # type: ignore[arg-type]
