"""Strategies made to break rules: what the contract and the look-ahead checks must catch."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
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
from qmworkbench.strategies.exits import Entries, ExitPlan
from qmworkbench.strategies.parameters import bounded

NO = pl.lit(False)
FLAGS: Mapping[str, pl.Expr] = {
    "entry_long": pl.col.close > 100,
    "entry_short": NO,
    "exit_long": NO,
    "exit_short": NO,
    "f_close": pl.col.close * 1.0,
}


def no_plan(entries: Entries) -> ExitPlan:
    return ExitPlan(stop=np.full(len(entries.close), np.nan), target=np.full(len(entries.close), np.nan))


def plan_of(
    stop: Callable[[Entries], object] | float = np.nan,
    target: Callable[[Entries], object] | float = np.nan,
    **limits: object,
) -> Callable[[Entries], ExitPlan]:
    """A plan of levels given as numbers or computed from the entries."""

    def levels(entries: Entries, level: Callable[[Entries], object] | float) -> object:
        return level(entries) if callable(level) else np.full(len(entries.close), level)

    return lambda entries: ExitPlan(levels(entries, stop), levels(entries, target), **limits)  # type: ignore[arg-type]


def planted(
    *stages: Mapping[str, pl.Expr],
    plan: Callable[[Entries], ExitPlan] = no_plan,
    anchor: Anchor | None = None,
    strategy_id: str = "planted",
    features: Sequence[str] = ("f_close",),
    without: Sequence[str] = (),
    **flags: pl.Expr,
) -> StrategyDefinition:
    """A strategy that enters long above 100, with stages before, flags and plan of one's own."""
    last = {name: expr for name, expr in {**FLAGS, **flags}.items() if name not in without}

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
        confirming="nothing",
        disqualifying="nothing",
        invalidation="nothing",
        exits=ExitRules(stop="as planned", target="as planned", signal="as planned"),
        sizing="one unit",
        parameter_specs=(bounded("unused", 1, 0, 9, "", "nothing"),),
        features=dict.fromkeys(features, "a feature"),
        assumptions=("The test holds.",),
        validation=(),
        signals=lambda _: [*(named(stage) for stage in stages), named(last)],
        plan=lambda entries, _: plan(entries),
        anchor=lambda _: anchor or Anchor(),
        warmup_bars=lambda _: 0,
    )
