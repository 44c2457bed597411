"""Moving-average cross: be on the side of the faster average, compared in exact integers, in any market (§9, §10)."""

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
    Validation,
)
from qmworkbench.strategies.exits import Entries, ExitPlan, exit_plan, levels_behind
from qmworkbench.strategies.indicators import Indicator, Stages
from qmworkbench.strategies.parameters import ParameterSpec, Params, bounded, number, switch, whole


def _signals(params: Params) -> Stages:
    fast, slow = whole(params, "fast_bars"), whole(params, "slow_bars")
    gap, atr = ind.sma_gap("close", fast, slow), ind.atr_mean(whole(params, "atr_bars"))
    age = _bars_since_cross(gap, slow, whole(params, "enter_within_bars"))
    setting = (
        (pl.col.bar >= whole(params, "from_bar"))
        & (pl.col.bars_left >= whole(params, "min_bars_left"))
        & age.col.is_not_null()
        & (atr.col * 1e4 >= number(params, "min_atr_bps") * pl.col.close)
    )
    fits = ind.derived("s_setting", setting, age, atr)
    averages = ind.sma("close", fast), ind.sma("close", slow)
    up, down = gap.col > 0, gap.col < 0
    answers = (
        ((up & fits.col).fill_null(False) if switch(params, "long") else pl.lit(False)).alias("entry_long"),
        ((down & fits.col).fill_null(False) if switch(params, "short") else pl.lit(False)).alias("entry_short"),
        down.fill_null(False).alias("exit_long"),
        up.fill_null(False).alias("exit_short"),
        averages[0].col.alias("f_fast"),
        averages[1].col.alias("f_slow"),
        age.col.cast(pl.Float64).alias("f_bars_since_cross"),
        atr.col.alias("f_atr"),
    )
    return (*ind.stacked(*averages, fits), answers)


def _bars_since_cross(gap: Indicator, slow: int, within: int) -> Indicator:
    """How many bars ago the averages crossed, 0 on the crossing bar; null where that is `within` bars ago or longer.

    A tie belongs to no side. The side left is that of the nearest untied bar among the `slow` before: averages that
    touch and part again on the same side have not crossed, and those tied for longer have no side to come from. Rows
    are told apart by `i_index`, with no grouping: a side found before the symbol's first full average is a stranger's.
    """
    row, first = pl.col.i_index, pl.col.i_index - pl.col.i_row + slow - 1
    side = ind.derived("s_side", pl.when(gap.col != 0).then(gap.col.sign()), gap)
    known = side.col.is_not_null()
    before = side.col.forward_fill(slow).shift(1)
    before_at = pl.when(known).then(row).forward_fill(slow).shift(1)
    crossed = known & (side.col != before) & (before_at >= first)
    cross = ind.derived("s_cross", pl.when(crossed).then(row), side)
    last = ind.derived("s_last_cross", cross.col.forward_fill(within - 1) if within > 1 else cross.col, cross)
    return ind.derived("s_bars_since_cross", pl.when(last.col > first).then(row - last.col), last)


def _plan(entries: Entries, params: Params) -> ExitPlan:
    room = number(params, "stop_atr") * entries.features["f_atr"]
    return exit_plan(entries, levels_behind(entries, entries.close - room, entries.close + room), params)


def _look_back(params: Params) -> int:
    """Bars before the current one that can matter: the averages of the oldest bar asked for the side before."""
    averages = 2 * whole(params, "slow_bars") + whole(params, "enter_within_bars") - 1
    return max(averages, whole(params, "atr_bars"))


def _contradiction(params: Params) -> str | None:
    fast, slow = whole(params, "fast_bars"), whole(params, "slow_bars")
    if fast >= slow:
        return f"fast_bars = {fast} must be below slow_bars = {slow}; the averages could not cross"
    if not switch(params, "long") and not switch(params, "short"):
        return "long and short are both false; no entry could ever be made"
    return None


DEFINITION = StrategyDefinition(
    strategy_id="sma-cross",
    version="1.0.0",
    owner="trend desk",
    status=StrategyStatus.EXPERIMENTAL,
    title="Moving-average cross",
    objective="Hold the side of the market that recent prices have moved to: long while the faster average is above "
    "the slower one, short while it is below, out as soon as that is over.",
    asset_classes=(AssetClass.EQUITY, AssetClass.FOREX),
    direction=Direction.BOTH,
    requirements=Requirements(),
    entry_window=EntryWindow(from_bar="from_bar", bars_left="min_bars_left"),
    entry="The average of fast_bars closes crosses the average of slow_bars closes: upwards to go long, downwards to "
    "go short; at the crossing bar or up to enter_within_bars bars from it, while it stays on that side.",
    confirming="Average true range of at least min_atr_bps of the price.",
    disqualifying="The averages are equal, or only touched; fewer than slow_bars closes; too early or too late in the "
    "session.",
    invalidation="The averages stand the other way round.",
    exits=ExitRules(
        stop="stop_atr × ATR from the deciding close.",
        target="target_r times the distance from the deciding close to the stop; none for 0.",
        signal="The averages cross back. An opposite entry closes the position; with enter_within_bars of 2 or more "
        "the other side is entered a bar later, which keeps the strategy in the market.",
        trail_bps="trail_bps",
        max_hold_bars="max_hold_bars",
        flat="flat",
    ),
    sizing="Whole lots: the instance's capital over max_symbols, divided by the deciding close.",
    parameter_specs=(
        bounded("fast_bars", 10, 1, 499, "bars", "closes of the faster average"),
        bounded("slow_bars", 30, 2, 500, "bars", "closes of the slower average"),
        bounded("enter_within_bars", 1, 1, 10, "bars", "bars from the cross, itself one, at which it may be entered"),
        bounded("atr_bars", 20, 2, 500, "bars", "bars of the average true range"),
        bounded("stop_atr", 3.0, 0.1, 50.0, "×", "stop distance in average true ranges"),
        bounded("target_r", 0.0, 0.0, 50.0, "×", "target in multiples of the risk; 0 for none"),
        bounded("trail_bps", 0, 0, 5000, "bps", "trailing stop from the best price since entry; 0 for none"),
        bounded("max_hold_bars", 0, 0, 5000, "bars", "bars after which a position is closed; 0 for no limit"),
        bounded("min_atr_bps", 0.0, 0.0, 1000.0, "bps", "least average true range, of the close"),
        bounded("from_bar", 0, 0, 1440, "bars", "first bar of the session at which an entry may be decided"),
        bounded("min_bars_left", 1, 1, 1440, "bars", "boundaries that must still come for an entry"),
        ParameterSpec(name="long", approved=True, meaning="trade crosses upwards"),
        ParameterSpec(name="short", approved=True, meaning="trade crosses downwards"),
        ParameterSpec(
            name="flat",
            approved="at_close",
            choices=("at_close", "carry"),
            meaning="what happens to a position at the session's end",
        ),
    ),
    features={
        "f_fast": "faster average",
        "f_slow": "slower average",
        "f_bars_since_cross": "bars since the cross, 0 at the crossing bar; none where it is too long ago",
        "f_atr": "average true range",
    },
    assumptions=(
        "Bars are counted as traded: a minute without a trade is no bar, and the averages reach over the night.",
        "Fills come from the next bar's open.",
        "A reversal is a close and, a bar later, an entry: no order turns a position round at once, because a stop "
        "filled in a gap would leave the second half of it in the market.",
        "A trend filter, not an edge in each market: in a market that goes sideways most trades lose.",
    ),
    validation=(
        Validation(
            data="194 US symbols, minutes, all 20 sessions from 2018-02-16 to 2018-03-16",
            method="30,753 truncations, each symbol alone and in company, more history (strategies.truncation)",
            result="no finding in 3,869 symbol sessions; symbols that hardly trade lack the history and stay silent",
        ),
        Validation(
            data="nine forex pairs, hours, every fourth session from 2015 to 2018",
            method="23,824 truncations, each pair alone and in company, more history (strategies.truncation)",
            result="no finding in 2,331 pair sessions",
        ),
    ),
    signals=_signals,
    plan=_plan,
    anchor=lambda params: Anchor(bars=_look_back(params)),
    warmup_bars=lambda params: max(whole(params, "slow_bars"), whole(params, "atr_bars")),
    contradiction=_contradiction,
)
