"""The session's trades and fills by strategy, symbol, half hour or whatever a review groups by (§17, §18)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import polars as pl

from qmworkbench.analytics.tables import Schema

_NET: Final = pl.col("net_pnl")
_MAD_TO_SIGMA: Final = 1.4826

# One row a group. `share` of what all groups together moved (sums of absolute results); `profit_factor` gains over
# losses, null without losses; `expectancy` net a trade, `expectancy_r` in units of initial risk over the trades that
# had one; `capture` the median share of the best open P&L that was kept.
BREAKDOWN: Final[Schema] = {
    "trades": pl.Int64,
    "winners": pl.Int64,
    "win_rate": pl.Float64,
    "net_pnl": pl.Float64,
    "gross_pnl": pl.Float64,
    "fees": pl.Float64,
    "share": pl.Float64,
    "profit_factor": pl.Float64,
    "expectancy": pl.Float64,
    "expectancy_r": pl.Float64,
    "best": pl.Float64,
    "worst": pl.Float64,
    "average_hold_min": pl.Float64,
    "average_mae_r": pl.Float64,
    "average_mfe_r": pl.Float64,
    "capture": pl.Float64,
    "slippage_bps": pl.Float64,
    "slippage_cost": pl.Float64,
}
# Bounds of the slippage histogram in basis points, adverse positive.
SLIPPAGE_BINS: Final = (-25.0, -10.0, -5.0, -1.0, 1.0, 5.0, 10.0, 25.0, 50.0)


def by(trades: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Closed trades (analytics/trades.py) grouped by `keys`, such as "strategy_id", "symbol", "bucket", "setup_kind",
    "side" or "exit_leg"; in the order of the keys. Without keys: everything in one row.
    """
    gains, losses = _NET.filter(_NET > 0).sum(), -_NET.filter(_NET < 0).sum()
    slipped = pl.concat_list("entry_slippage_bps", "exit_slippage_bps").list.drop_nulls().list.mean()
    measures = [
        pl.len().alias("trades"),
        (_NET > 0).sum().alias("winners"),
        (_NET > 0).mean().alias("win_rate"),
        _NET.sum().alias("net_pnl"),
        pl.col("gross_pnl").sum(),
        pl.col("fees").sum(),
        pl.when(losses > 0).then(gains / losses).alias("profit_factor"),
        _NET.mean().alias("expectancy"),
        pl.col("r_multiple").mean().alias("expectancy_r"),
        _NET.max().alias("best"),
        _NET.min().alias("worst"),
        pl.col("hold_min").mean().alias("average_hold_min"),
        pl.col("mae_r").mean().alias("average_mae_r"),
        pl.col("mfe_r").mean().alias("average_mfe_r"),
        pl.col("capture").median(),
        slipped.mean().alias("slippage_bps"),
        pl.col("slippage_cost").sum(),
    ]
    if not keys:
        grouped = trades.select(measures) if trades.height else trades.clear().select(measures).clear()
    else:
        grouped = trades.group_by(*keys, maintain_order=True).agg(measures).sort(*keys, nulls_last=True)
    moved = _NET.abs().sum()
    whole = grouped.with_columns(pl.when(moved > 0).then(_NET.abs() / moved).alias("share"))
    return whole.select(*keys, *(pl.col(name).cast(kind) for name, kind in BREAKDOWN.items()))


def slippage(fills: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Slippage in basis points over fills that had a decision price, by `keys` such as "leg" or "strategy_id".

    Columns: fills, known (with a decision price), p10, median, p90, mean, worst, spread (1.4826 × median absolute
    deviation), cost in account currency. Keys sorted; groups without any known fill have nulls.
    """
    bps = pl.col("slippage_bps")
    known = bps.drop_nulls()
    measures = [
        pl.len().cast(pl.Int64).alias("fills"),
        bps.count().cast(pl.Int64).alias("known"),
        known.quantile(0.1, "nearest").alias("p10"),
        known.median().alias("median"),
        known.quantile(0.9, "nearest").alias("p90"),
        known.mean().alias("mean"),
        known.max().alias("worst"),
        (_MAD_TO_SIGMA * (known - known.median()).abs().median()).alias("spread"),
        pl.col("slippage_cost").sum().alias("cost"),
    ]
    if not keys:
        return fills.select(measures)
    return fills.group_by(*keys, maintain_order=True).agg(measures).sort(*keys, nulls_last=True)


def slippage_histogram(fills: pl.DataFrame, bins: Sequence[float] = SLIPPAGE_BINS) -> pl.DataFrame:
    """How many fills slipped how far: from_bps (null: no lower bound), to_bps (null: none above), fills. Every bin is
    there, empty or not; a value on a bound is in the bin below it.
    """
    known = fills["slippage_bps"].drop_nulls()
    bounds: list[float | None] = [None, *bins, None]
    counts = []
    for low, high in pairwise(bounds):
        above = known > low if low is not None else known.is_not_null()
        counts.append(int((above & (known <= high) if high is not None else above).sum()))
    return pl.DataFrame(
        {"from_bps": bounds[:-1], "to_bps": bounds[1:], "fills": counts},
        schema={"from_bps": pl.Float64, "to_bps": pl.Float64, "fills": pl.Int64},
    )


def drawdowns(curve: pl.DataFrame, start: float | None) -> pl.DataFrame:
    """Falls of equity below its highest so far (analytics/equity.py), deepest first.

    Columns: from_at (the peak; null where that was the session's beginning), bottom_at, until_at (null: not recovered),
    depth in account currency, depth_pct of the peak, minutes from peak to recovery or the end. `start` is the session's
    equity before its first point.
    """
    schema: Schema = {
        "from_at": pl.Datetime("us", "UTC"),
        "bottom_at": pl.Datetime("us", "UTC"),
        "until_at": pl.Datetime("us", "UTC"),
        "depth": pl.Float64,
        "depth_pct": pl.Float64,
        "minutes": pl.Float64,
    }
    if curve.is_empty():
        return pl.DataFrame(schema=schema)
    equity, at = pl.col("equity"), pl.col("at")
    told = curve.select("at", "equity", pl.max_horizontal(equity.cum_max(), pl.lit(start)).alias("peak"))
    # Each new high begins a stretch; what lies below it within the stretch is one fall.
    stretches = (
        told.with_columns((equity >= pl.col("peak")).cum_sum().alias("stretch"))
        .group_by("stretch", maintain_order=True)
        .agg(
            at.filter(equity >= pl.col("peak")).first().alias("from_at"),
            at.first().alias("first_at"),
            at.last().alias("last_at"),
            at.get(equity.arg_min()).alias("bottom_at"),
            pl.col("peak").last(),
            (pl.col("peak") - equity).max().alias("depth"),
        )
        .with_columns(pl.col("from_at").shift(-1).alias("until_at"))
    )
    ends = pl.coalesce("until_at", "last_at")
    return (
        stretches.filter(pl.col("depth") > 0)
        .select(
            "from_at",
            "bottom_at",
            "until_at",
            "depth",
            (100 * pl.col("depth") / pl.col("peak")).alias("depth_pct"),
            ((ends - pl.coalesce("from_at", "first_at")).dt.total_microseconds() / 60e6).alias("minutes"),
        )
        .sort("depth", "bottom_at", descending=[True, False])
        .select(pl.col(name).cast(kind) for name, kind in schema.items())
    )
