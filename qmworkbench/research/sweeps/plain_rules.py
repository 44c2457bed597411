"""Rules without a stop, for research alone: the textbook crossing that sweeps are measured with (§2 Backtesting).

They are no catalog entries: without a stop nothing of them may trade. What holds for the catalog holds here as well:
indicators come from strategies.indicators, the answers keep the contract.
"""

from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies import indicators as ind
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
from qmworkbench.strategies.indicators import Stages
from qmworkbench.strategies.parameters import ParameterSpec, Params, bounded, switch, whole


def _signals(params: Params) -> Stages:
    fast, slow = whole(params, "fast_bars"), whole(params, "slow_bars")
    gap = ind.sma_gap("close", fast, slow)
    before = ind.derived("s_gap_before", pl.when(ind.since(slow)).then(gap.col.shift(1)), gap)
    averages = ind.sma("close", fast), ind.sma("close", slow)
    up, down = gap.col > 0, gap.col < 0
    answers = (
        (up & (before.col <= 0) if switch(params, "long") else pl.lit(False)).fill_null(False).alias("entry_long"),
        (down & (before.col >= 0) if switch(params, "short") else pl.lit(False)).fill_null(False).alias("entry_short"),
        down.fill_null(False).alias("exit_long"),
        up.fill_null(False).alias("exit_short"),
        averages[0].col.alias("f_fast"),
        averages[1].col.alias("f_slow"),
    )
    return (*ind.stacked(before, *averages), answers)


def _plan(entries: Entries, params: Params) -> ExitPlan:
    none = np.full(len(entries.close), np.nan)
    return ExitPlan(stop=none, target=none.copy())


def _contradiction(params: Params) -> str | None:
    fast, slow = whole(params, "fast_bars"), whole(params, "slow_bars")
    if fast >= slow:
        return f"fast_bars = {fast} must be below slow_bars = {slow}; the averages could not cross"
    if not switch(params, "long") and not switch(params, "short"):
        return "long and short are both false; no entry could ever be made"
    return None


SMA_PLAIN: Final = StrategyDefinition(
    strategy_id="sma-plain",
    version="1.0.0",
    owner="research",
    status=StrategyStatus.DRAFT,
    title="Plain moving-average cross",
    objective="The textbook rule, as a measure for others: in when the faster average crosses the slower one, out when "
    "it crosses back, with no stop.",
    asset_classes=(AssetClass.EQUITY, AssetClass.FOREX),
    direction=Direction.LONG,
    requirements=Requirements(),
    entry_window=EntryWindow(),
    entry="The average of fast_bars closes was at or below that of slow_bars closes a bar ago and is above it.",
    confirming="None.",
    disqualifying="Fewer than slow_bars + 1 closes.",
    invalidation="The faster average below the slower one.",
    exits=ExitRules(
        stop="None: this rule may be researched, not traded.",
        target="None.",
        signal="The averages cross back.",
        flat="flat",
    ),
    sizing="Whole lots of what a position may cost, at the deciding close.",
    parameter_specs=(
        bounded("fast_bars", 10, 1, 1999, "bars", "closes of the faster average"),
        bounded("slow_bars", 30, 2, 2000, "bars", "closes of the slower average"),
        ParameterSpec(name="long", approved=True, meaning="trade crosses upwards"),
        ParameterSpec(name="short", approved=False, meaning="trade crosses downwards"),
        ParameterSpec(
            name="flat",
            approved="carry",
            choices=("at_close", "carry"),
            meaning="what happens to a position at the session's end",
        ),
    ),
    features={"f_fast": "faster average", "f_slow": "slower average"},
    assumptions=(
        "Bars are counted as traded, and the averages reach over the night.",
        "Fills come from the next bar's open.",
        "An opposite cross closes; with both sides allowed the other one is entered at the cross after it.",
    ),
    validation=(),
    signals=_signals,
    plan=_plan,
    anchor=lambda params: Anchor(bars=whole(params, "slow_bars") + 1),
    warmup_bars=lambda params: whole(params, "slow_bars") + 1,
    contradiction=_contradiction,
)

PLAIN: Final = MappingProxyType({SMA_PLAIN.strategy_id: SMA_PLAIN})


def definition_of(strategy: str | StrategyDefinition) -> StrategyDefinition:
    """The definition of that id, from the catalog or from here; a definition is its own. Raises UnknownStrategy."""
    if isinstance(strategy, StrategyDefinition):
        return strategy
    from qmworkbench.strategies.catalog import get

    return PLAIN[strategy] if strategy in PLAIN else get(strategy)
