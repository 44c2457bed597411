"""Closed trades with what a review asks of them: setup, time of day, excursions, R, hold, capture (§17, §18)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.analytics.tables import Schema

Floats = npt.NDArray[np.float64]

# What is added to the table "trades": `hold_min` minutes from first entry to last exit fill; `from_open_min` minutes
# after the open at entry; `bucket` the half hour of entry in exchange time; `mae` and `mfe` the worst and best open P&L
# before fees (mae ≤ 0 ≤ mfe), in account currency, `_r` the same in units of initial risk; `capture` the share of the
# best open P&L that was kept (null unless that had reached half the initial risk); `outcome` winner, loser or
# breakeven, after fees.
ADDED: Final[Schema] = {
    "hold_min": pl.Float64,
    "from_open_min": pl.Float64,
    "bucket": pl.String,
    "risk": pl.Float64,
    "mae": pl.Float64,
    "mfe": pl.Float64,
    "mae_r": pl.Float64,
    "mfe_r": pl.Float64,
    "capture": pl.Float64,
    "outcome": pl.String,
}
BUCKET_MIN: Final = 30
_CENT: Final = 0.005


def review_trades(
    trades: pl.DataFrame, bars: pl.DataFrame, *, opens_at: datetime, interval_s: int, zone: str
) -> pl.DataFrame:
    """The table "trades" with the columns of ADDED, in the order of their closing.

    `bars` are the session's (symbol, ts = open time, open, high, low, close), regular ones; excursions are null for a
    symbol without them. `zone` is the exchange's time zone. A trade is entered at its first bar's open and left within
    its last, whose range beyond the exit is not its own.
    """
    paths = _by_symbol(bars, trades["symbol"].unique().to_list())
    rows = [
        _added(row, paths.get(row["symbol"]), opens_at, timedelta(seconds=interval_s), zone)
        for row in trades.iter_rows(named=True)
    ]
    columns = {name: [row[name] for row in rows] for name in ADDED}
    return trades.hstack(pl.DataFrame(columns, schema=ADDED))


def _by_symbol(bars: pl.DataFrame, symbols: list[str]) -> dict[str, pl.DataFrame]:
    wanted = bars.filter(pl.col("symbol").is_in(symbols)).sort("symbol", "ts")
    return {str(key[0]): part for key, part in wanted.partition_by("symbol", as_dict=True).items()}


def held_bars(bars: pl.DataFrame, opened_at: datetime, closed_at: datetime, interval: timedelta) -> pl.DataFrame:
    """The bars a position lived in: from the bar whose open filled the entry to the one that held the exit.

    Fills carry their bar's closing time.
    """
    return bars.filter(pl.col("ts").is_between(opened_at - interval, closed_at - interval))


def _added(
    row: Mapping[str, Any], bars: pl.DataFrame | None, opens_at: datetime, interval: timedelta, zone: str
) -> dict[str, Any]:
    opened, closed = row["opened_at"], row["closed_at"]
    sign = 1 if row["side"] == "buy" else -1
    stop = row["initial_stop_px"]
    risk = abs(row["entry_px"] - stop) * row["qty"] * row["rate"] if stop is not None else None
    low, high = _extremes(row, bars, interval)
    mae = mfe = None
    if low is not None and high is not None:
        per_point = row["qty"] * row["rate"] * sign
        reached = sorted(((low - row["entry_px"]) * per_point, (high - row["entry_px"]) * per_point))
        mae, mfe = min(reached[0], 0.0), max(reached[1], 0.0)
    net = row["net_pnl"]
    return {
        "hold_min": (closed - opened) / timedelta(minutes=1),
        "from_open_min": (opened - opens_at) / timedelta(minutes=1),
        "bucket": bucket_of(opened, zone),
        "risk": risk,
        "mae": mae,
        "mfe": mfe,
        "mae_r": mae / risk if risk and mae is not None else None,
        "mfe_r": mfe / risk if risk and mfe is not None else None,
        "capture": row["gross_pnl"] / mfe if mfe and risk and mfe >= risk / 2 else None,
        "outcome": "winner" if net > _CENT else "loser" if net < -_CENT else "breakeven",
    }


def bucket_of(at: datetime, zone: str) -> str:
    """The half hour of `at` in exchange time, by its beginning: "10:30"."""
    local = pl.Series([at], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)[0]
    return f"{local.hour:02d}:{local.minute // BUCKET_MIN * BUCKET_MIN:02d}"


def _extremes(
    row: Mapping[str, Any], bars: pl.DataFrame | None, interval: timedelta
) -> tuple[float | None, float | None]:
    """The lowest and highest price while it was held; the last bar counts by its open and the exit price alone."""
    if bars is None:
        return None, None
    held = held_bars(bars, row["opened_at"], row["closed_at"], interval)
    if held.is_empty():
        return None, None
    before = held[:-1]
    seen: list[float] = [row["entry_px"], row["exit_px"], held["open"][-1]]
    lows: Floats = np.append(before["low"].to_numpy(), seen)
    highs: Floats = np.append(before["high"].to_numpy(), seen)
    return float(lows.min()), float(highs.max())


def vwap(bars: pl.DataFrame) -> pl.DataFrame:
    """One symbol's regular bars with `vwap`: typical price weighted by volume since the open, null without volume."""
    typical = (pl.col("high") + pl.col("low") + pl.col("close")) / 3
    traded = pl.col("volume").cum_sum()
    weighted = (typical * pl.col("volume")).cum_sum()
    return bars.sort("ts").with_columns(pl.when(traded > 0).then(weighted / traded).alias("vwap"))
