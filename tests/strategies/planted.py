"""Strategies made to break rules: what the contract and the look-ahead checks must catch."""

from collections.abc import Mapping, Sequence

import polars as pl

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies.definition import (
    Anchor,
    Direction,
    EntryWindow,
    ExitRules,
    Requirements,
    StrategyDefinition,
    StrategyStatus,
)
from qmworkbench.strategies.parameters import bounded

NO = pl.lit(False)
FLAGS: Mapping[str, pl.Expr] = {
    "entry_long": pl.col.close > 100,
    "entry_short": NO,
    "exit_long": NO,
    "exit_short": NO,
    "f_close": pl.col.close * 1.0,
}
NONE = pl.lit(None, dtype=pl.Float64)
ENDLESS = pl.lit(None, dtype=pl.Int32)
PLAN: Mapping[str, pl.Expr] = {"stop": NONE, "target": NONE, "trail_bps": ENDLESS, "max_hold_bars": ENDLESS}


def planted(
    *stages: Mapping[str, pl.Expr],
    plan: Mapping[str, pl.Expr] | None = None,
    anchor: Anchor | None = None,
    strategy_id: str = "planted",
    features: Sequence[str] = ("f_close",),
    without: Sequence[str] = (),
    **flags: pl.Expr,
) -> StrategyDefinition:
    """A strategy that enters long above 100, with stages before, flags and plan of one's own."""
    last = {name: expr for name, expr in {**FLAGS, **flags}.items() if name not in without}
    laid = {name: expr for name, expr in {**PLAN, **(plan or {})}.items() if name not in without}

    def named(columns: Mapping[str, pl.Expr]) -> list[pl.Expr]:
        return [expr.alias(name) for name, expr in columns.items()]

    return StrategyDefinition(
        strategy_id=strategy_id,
        version="1",
        owner="a test",
        status=StrategyStatus.DRAFT,
        title="Planted",
        objective="Break one rule.",
        asset_classes=(AssetClass.EQUITY,),
        direction=Direction.LONG,
        requirements=Requirements(),
        entry_window=EntryWindow(),
        entry="a close above 100",
        confirming="",
        disqualifying="",
        invalidation="",
        exits=ExitRules(stop="", target="", signal=""),
        sizing="",
        parameter_specs=(bounded("unused", 1, 0, 9, "", "nothing"),),
        features=dict.fromkeys(features, "a feature"),
        assumptions=(),
        validation=(),
        signals=lambda _: [*(named(stage) for stage in stages), named(last)],
        plan=lambda _: [named(laid)],
        anchor=lambda _: anchor or Anchor(),
        warmup_bars=lambda _: 0,
    )
