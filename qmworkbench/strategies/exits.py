"""The exit plan that travels with an entry: target, trailing stop and time limit as data (§10, FILLS "Stops")."""

import polars as pl

from qmworkbench.strategies.parameters import Params, number, whole
from qmworkbench.strategies.ticks import level_above, level_below


def two_sided(long: pl.Expr, short: pl.Expr) -> pl.Expr:
    """The level for the side that enters on this row; null where none does."""
    return pl.when("entry_long").then(long).when("entry_short").then(short)


def exit_plan(params: Params) -> tuple[pl.Expr, ...]:
    """`target`, `trail_bps` and `max_hold_bars` from the parameters `target_r`, `trail_bps` and `max_hold_bars`.

    Reads the row's `stop`: the target lies `target_r` times the risk beyond the deciding close. 0 means none.
    """
    multiple = number(params, "target_r")
    reach = pl.col.close + multiple * (pl.col.close - pl.col("stop"))
    target = two_sided(level_above(reach, pl.col.close, pl.col.tick), level_below(reach, pl.col.close, pl.col.tick))
    return (
        target.alias("target") if multiple else pl.lit(None, dtype=pl.Float64).alias("target"),
        pl.lit(whole(params, "trail_bps") or None, dtype=pl.Int32).alias("trail_bps"),
        pl.lit(whole(params, "max_hold_bars") or None, dtype=pl.Int32).alias("max_hold_bars"),
    )
