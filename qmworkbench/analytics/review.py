"""The eight things a post-session review looks at, each a function from a session's tables to a table (§18)."""

from typing import Final

import msgspec
import polars as pl

from qmworkbench.analytics.session_record import SessionRecord


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """When something is worth a line in the review. The defaults are ours, stated wherever they are used.

    `outlier_spread`: slippage beyond the median by this many typical deviations (1.4826 × median absolute deviation)
    and above `outlier_floor_bps` is an outlier. `poor_*`: a strategy is poor with at least this many trades and an
    expectancy below `poor_expectancy_r` R, or a profit factor below `poor_profit_factor`. `stops`: this many stop exits
    make a symbol frequently stopped out. `weak_trades`: a time of day needs this many trades to be called weak.
    """

    outlier_spread: float = 3.0
    outlier_floor_bps: float = 10.0
    poor_trades: int = 5
    poor_expectancy_r: float = -0.1
    poor_profit_factor: float = 0.8
    stops: int = 2
    weak_trades: int = 3


DEFAULTS: Final = Thresholds()
_MAD_TO_SIGMA: Final = 1.4826
_NET = pl.col("net_pnl")


def winners_and_losers(trades: pl.DataFrame) -> pl.DataFrame:
    """One row for winners, losers and breakevens: count, net, average, best, worst, average R, average hold."""
    order = pl.Enum(["winner", "loser", "breakeven"])
    return (
        trades.group_by("outcome", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("trades"),
            _NET.sum().alias("net_pnl"),
            _NET.mean().alias("average"),
            _NET.max().alias("best"),
            _NET.min().alias("worst"),
            pl.col("r_multiple").mean().alias("average_r"),
            pl.col("hold_min").mean().alias("average_hold_min"),
            pl.col("fees").sum().alias("fees"),
        )
        .sort(pl.col("outcome").cast(order))
    )


def rejected_orders(record: SessionRecord) -> pl.DataFrame:
    """Orders the broker refused, with its reason. Our own denials are risk blocks, not rejections."""
    columns = ["intended_at", "symbol", "strategy_id", "leg", "side", "order_qty", "reason", "cl_ord_id"]
    return record["orders"].filter(pl.col("status") == "rejected").select(columns).sort("intended_at", "cl_ord_id")


def partial_fills(record: SessionRecord) -> pl.DataFrame:
    """Orders that once stood partly filled: how far they got in the end and in how many fills."""
    filled = (pl.col("cum_qty") / pl.col("order_qty")).alias("filled_share")
    waited = ((pl.col("ended_at") - pl.col("intended_at")).dt.total_seconds() / 60).alias("open_min")
    columns = ["intended_at", "symbol", "strategy_id", "leg", "side", "order_qty", "cum_qty", "fills", "status"]
    ended_short = (pl.col("cum_qty") > 0) & (pl.col("cum_qty") < pl.col("order_qty")) & pl.col("ended_at").is_not_null()
    return (
        record["orders"]
        .filter(pl.col("partial") | ended_short)
        .sort("intended_at", "cl_ord_id")
        .select(*columns, filled, waited, "cl_ord_id")
    )


def slippage_bound(fills: pl.DataFrame, limits: Thresholds = DEFAULTS) -> float:
    """From how many basis points on a fill's slippage is an outlier, judged by this session's own fills."""
    known = fills["slippage_bps"].drop_nulls()
    if known.is_empty():
        return limits.outlier_floor_bps
    median = float(known.median())  # type: ignore[arg-type]
    spread = float((known - median).abs().median())  # type: ignore[arg-type]
    return max(limits.outlier_floor_bps, median + limits.outlier_spread * _MAD_TO_SIGMA * spread)


def slippage_outliers(fills: pl.DataFrame, limits: Thresholds = DEFAULTS) -> pl.DataFrame:
    """Fills whose slippage stands out, worst first, with what it cost."""
    columns = ["at", "symbol", "strategy_id", "leg", "side", "qty", "px", "slippage_bps", "slippage_cost", "cl_ord_id"]
    bound = slippage_bound(fills, limits)
    found = fills.filter(pl.col("slippage_bps") > bound).select(columns)
    return found.sort("slippage_bps", "at", "cl_ord_id", descending=[True, False, False])


def strategies(trades: pl.DataFrame, limits: Thresholds = DEFAULTS) -> pl.DataFrame:
    """Every strategy with its results; `poor` says why it behaved poorly, "" where it did not or too few trades say."""
    gains, losses = _NET.filter(_NET > 0).sum(), -_NET.filter(_NET < 0).sum()
    by_strategy = (
        trades.group_by("strategy_id", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("trades"),
            _NET.sum().alias("net_pnl"),
            (_NET > 0).mean().alias("win_rate"),
            pl.when(losses > 0).then(gains / losses).alias("profit_factor"),
            pl.col("r_multiple").mean().alias("expectancy_r"),
            _NET.min().alias("worst"),
            pl.col("slippage_cost").sum().alias("slippage_cost"),
        )
        .sort("strategy_id")
    )
    enough = pl.col("trades") >= limits.poor_trades
    few_r = enough & (pl.col("expectancy_r") < limits.poor_expectancy_r)
    factor = enough & (pl.col("profit_factor") < limits.poor_profit_factor)
    said = (
        pl.when(few_r)
        .then(pl.format("expectancy {} R a trade", pl.col("expectancy_r").round(2)))
        .when(factor)
        .then(pl.format("profit factor {}", pl.col("profit_factor").round(2)))
        .otherwise(pl.lit(""))
    )
    return by_strategy.with_columns(said.alias("poor"))


def poor_strategies(trades: pl.DataFrame, limits: Thresholds = DEFAULTS) -> pl.DataFrame:
    """Those of `strategies` that behaved poorly."""
    return strategies(trades, limits).filter(pl.col("poor") != "")


def risk_blocks(record: SessionRecord) -> pl.DataFrame:
    """What the Risk Manager refused, by rule: how often, in which symbols, the last value and its limit."""
    return (
        record["risk_blocks"]
        .sort("at", "cl_ord_id", "rule")
        .group_by("rule", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("blocks"),
            pl.col("symbol").unique().sort().str.join(", ").alias("symbols"),
            pl.col("at").first().alias("first_at"),
            pl.col("at").last().alias("last_at"),
            pl.col("value").last().alias("last_value"),
            pl.col("limit").last().alias("limit"),
        )
        .sort("blocks", "rule", descending=[True, False])
    )


def stopped_out(trades: pl.DataFrame, limits: Thresholds = DEFAULTS) -> pl.DataFrame:
    """Symbols that were stopped out often, with what the stops cost together."""
    return (
        trades.filter(pl.col("exit_leg") == "stop")
        .group_by("symbol", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("stops"),
            _NET.sum().alias("net_pnl"),
            pl.col("r_multiple").mean().alias("average_r"),
            pl.col("hold_min").mean().alias("average_hold_min"),
        )
        .filter(pl.col("stops") >= limits.stops)
        .sort("stops", "net_pnl", "symbol", descending=[True, False, False])
    )


def time_of_day(trades: pl.DataFrame, limits: Thresholds = DEFAULTS) -> pl.DataFrame:
    """Each half hour of entry in exchange time; `weak` where it lost money over enough trades."""
    return (
        trades.group_by("bucket", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("trades"),
            _NET.sum().alias("net_pnl"),
            (_NET > 0).mean().alias("win_rate"),
            pl.col("r_multiple").mean().alias("average_r"),
        )
        .sort("bucket")
        .with_columns(((pl.col("trades") >= limits.weak_trades) & (_NET < 0)).alias("weak"))
    )
