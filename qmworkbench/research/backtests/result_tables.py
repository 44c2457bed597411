"""A backtest cut by month, hour, weekday, symbol and regime: where its result comes from (§2 Backtesting)."""

from typing import Final

import numpy as np
import polars as pl

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_PNL: Final = pl.col("pnl")
_COUNTED: Final = (
    pl.len().cast(pl.Int64).alias("trades"),
    _PNL.sum().alias("pnl"),
    (_PNL > 0).mean().alias("win_rate"),
    pl.col("return_pct").mean().alias("mean_return_pct"),
    pl.when((_PNL < 0).any()).then(_PNL.filter(_PNL > 0).sum() / -_PNL.filter(_PNL < 0).sum()).alias("profit_factor"),
    pl.col("fees").sum().alias("fees"),
)
# What every one of these tables says of its trades.
COUNTED: Final = ("trades", "pnl", "win_rate", "mean_return_pct", "profit_factor", "fees")


def by_month(sessions: pl.DataFrame) -> pl.DataFrame:
    """year, month, return, benchmark: months compounded from `sessions` (session, return, benchmark_return)."""
    day = pl.col("session")
    return (
        sessions.group_by(day.dt.year().alias("year"), day.dt.month().alias("month"))
        .agg(
            ((1 + pl.col("return")).product() - 1).alias("return"),
            ((1 + pl.col("benchmark_return")).product() - 1).alias("benchmark"),
        )
        .sort("year", "month")
    )


def by_hour(trades: pl.DataFrame, zone: str) -> pl.DataFrame:
    """hour (0 to 23, of the entry, in the exchange's zone), then COUNTED; closed trades only."""
    hour = pl.col("entry_ts").dt.convert_time_zone(zone).dt.hour().cast(pl.Int64).alias("hour")
    return _closed(trades).group_by(hour).agg(*_COUNTED).sort("hour")


def by_weekday(trades: pl.DataFrame, zone: str) -> pl.DataFrame:
    """weekday (1 Monday to 7), name, of the entry in the exchange's zone; then COUNTED; closed trades only."""
    day = pl.col("entry_ts").dt.convert_time_zone(zone).dt.weekday().cast(pl.Int64).alias("weekday")
    made = _closed(trades).group_by(day).agg(*_COUNTED).sort("weekday")
    names = pl.col("weekday").map_elements(lambda number: WEEKDAYS[number - 1], return_dtype=pl.String)
    return made.select("weekday", names.alias("name"), *COUNTED)


def by_symbol(trades: pl.DataFrame, symbols: tuple[str, ...]) -> pl.DataFrame:
    """symbol, then COUNTED, and open (still held); every symbol that was looked at has a row."""
    made = _closed(trades).group_by("symbol").agg(*_COUNTED)
    still = trades.filter("open").group_by("symbol").agg(pl.len().cast(pl.Int64).alias("open"))
    every = pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String})
    joined = every.join(made, on="symbol", how="left").join(still, on="symbol", how="left")
    zeros = [pl.col(name).fill_null(0) for name in ("trades", "pnl", "fees", "open")]
    return joined.with_columns(zeros).sort("symbol")


def by_reason(trades: pl.DataFrame) -> pl.DataFrame:
    """reason of the exit, then COUNTED; closed trades only."""
    return _closed(trades).group_by("reason").agg(*_COUNTED).sort("reason")


def by_regime(sessions: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """split (trend, volatility, both), regime, sessions, return, mean_bps, sharpe (a year's), then COUNTED.

    `sessions`: session, return, trend, volatility. `trades` carry the `session` of their entry.
    """
    both = pl.concat_str("trend", pl.lit(", "), "volatility").alias("both")
    known = sessions.with_columns(both)
    placed = _closed(trades).join(known.select("session", "trend", "volatility", "both"), on="session", how="left")
    parts = []
    for split in ("trend", "volatility", "both"):
        told = known.group_by(split).agg(
            pl.len().cast(pl.Int64).alias("sessions"),
            ((1 + pl.col("return")).product() - 1).alias("return"),
            (pl.col("return").mean() * 1e4).alias("mean_bps"),
            (pl.col("return").mean() / pl.col("return").std(ddof=1) * np.sqrt(252)).alias("sharpe"),
        )
        counted = placed.group_by(split).agg(*_COUNTED)
        joined = told.join(counted, on=split, how="left").rename({split: "regime"}).sort("regime")
        finite = pl.when(pl.col("sharpe").is_finite()).then(pl.col("sharpe")).alias("sharpe")
        zeros = [pl.col(name).fill_null(0) for name in ("trades", "pnl", "fees")]
        parts.append(joined.with_columns(finite, pl.lit(split).alias("split"), *zeros))
    columns = ("split", "regime", "sessions", "return", "mean_bps", "sharpe", *COUNTED)
    return pl.concat(parts).select(columns)


def _closed(trades: pl.DataFrame) -> pl.DataFrame:
    return trades.filter(~pl.col("open"))
