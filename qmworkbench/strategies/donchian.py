"""Donchian channel trend: follow a close beyond the extremes of the last bars, in any market, either way (§9, §10)."""

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
from qmworkbench.strategies.indicators import Stages
from qmworkbench.strategies.parameters import ParameterSpec, Params, bounded, number, switch, whole


def _signals(params: Params) -> Stages:
    top, bottom = ind.prior_high(whole(params, "entry_bars")), ind.prior_low(whole(params, "entry_bars"))
    exit_top, exit_bottom = ind.prior_high(whole(params, "exit_bars")), ind.prior_low(whole(params, "exit_bars"))
    atr = ind.atr_mean(whole(params, "atr_bars"))
    setting = (
        (pl.col.bar >= whole(params, "from_bar"))
        & (pl.col.bars_left >= whole(params, "min_bars_left"))
        & (atr.col * 1e4 >= number(params, "min_atr_bps") * pl.col.close)
    )
    fits = ind.derived("s_setting", setting, atr)
    up, down = pl.col.close > top.col, pl.col.close < bottom.col
    answers = (
        ((up & fits.col).fill_null(False) if switch(params, "long") else pl.lit(False)).alias("entry_long"),
        ((down & fits.col).fill_null(False) if switch(params, "short") else pl.lit(False)).alias("entry_short"),
        (pl.col.close < exit_bottom.col).fill_null(False).alias("exit_long"),
        (pl.col.close > exit_top.col).fill_null(False).alias("exit_short"),
        top.col.alias("f_channel_high"),
        bottom.col.alias("f_channel_low"),
        exit_top.col.alias("f_exit_high"),
        exit_bottom.col.alias("f_exit_low"),
        atr.col.alias("f_atr"),
    )
    return (*ind.stacked(top, bottom, exit_top, exit_bottom, fits), answers)


def _plan(entries: Entries, params: Params) -> ExitPlan:
    room = number(params, "stop_atr") * entries.features["f_atr"]
    return exit_plan(entries, levels_behind(entries, entries.close - room, entries.close + room), params)


def _look_back(params: Params) -> int:
    """Bars before the current one that any of the three windows can see."""
    return max(whole(params, "entry_bars"), whole(params, "exit_bars"), whole(params, "atr_bars"))


def _contradiction(params: Params) -> str | None:
    if not switch(params, "long") and not switch(params, "short"):
        return "long and short are both false; no entry could ever be made"
    return None


DEFINITION = StrategyDefinition(
    strategy_id="donchian",
    version="1.0.0",
    owner="trend desk",
    status=StrategyStatus.EXPERIMENTAL,
    title="Donchian channel trend",
    objective="Be on board of every long move: enter beyond the extreme of many bars, leave at the extreme of fewer, "
    "take small losses often and let the few large gains pay for them.",
    asset_classes=(AssetClass.EQUITY, AssetClass.FOREX),
    direction=Direction.BOTH,
    requirements=Requirements(),
    entry_window=EntryWindow(from_bar="from_bar", bars_left="min_bars_left"),
    entry="A close above the highest high (short: below the lowest low) of the entry_bars bars before it.",
    confirming="Average true range of at least min_atr_bps of the price.",
    disqualifying="Fewer than entry_bars bars of history; too early or too late in the session.",
    invalidation="A close below the lowest low (short: above the highest high) of the exit_bars bars before it.",
    exits=ExitRules(
        stop="stop_atr × ATR from the deciding close.",
        target="target_r times the distance from the deciding close to the stop; none for 0.",
        signal="The opposite channel of exit_bars bars.",
        trail_bps="trail_bps",
        max_hold_bars="max_hold_bars",
        flat="flat",
    ),
    sizing="Whole lots: the instance's capital over max_symbols, divided by the deciding close.",
    parameter_specs=(
        bounded("entry_bars", 55, 2, 500, "bars", "bars before the current one whose extreme must be passed to enter"),
        bounded(
            "exit_bars", 20, 2, 500, "bars", "bars before the current one whose opposite extreme ends the position"
        ),
        bounded("atr_bars", 20, 2, 500, "bars", "bars of the average true range"),
        bounded("stop_atr", 2.0, 0.1, 50.0, "×", "stop distance in average true ranges"),
        bounded("target_r", 0.0, 0.0, 50.0, "×", "target in multiples of the risk; 0 for none"),
        bounded("trail_bps", 0, 0, 5000, "bps", "trailing stop from the best price since entry; 0 for none"),
        bounded("max_hold_bars", 0, 0, 5000, "bars", "bars after which a position is closed; 0 for no limit"),
        bounded("min_atr_bps", 0.0, 0.0, 1000.0, "bps", "least average true range, of the close"),
        bounded("from_bar", 0, 0, 1440, "bars", "first bar of the session at which an entry may be decided"),
        bounded("min_bars_left", 1, 1, 1440, "bars", "boundaries that must still come for an entry"),
        ParameterSpec(name="long", approved=True, meaning="trade breaks of the channel's top"),
        ParameterSpec(name="short", approved=True, meaning="trade breaks of the channel's bottom"),
        ParameterSpec(
            name="flat",
            approved="at_close",
            choices=("at_close", "carry"),
            meaning="what happens to a position at the session's end",
        ),
    ),
    features={
        "f_channel_high": "highest high of the entry channel before this bar",
        "f_channel_low": "lowest low of the entry channel before this bar",
        "f_exit_high": "highest high of the exit channel before this bar",
        "f_exit_low": "lowest low of the exit channel before this bar",
        "f_atr": "average true range",
    },
    assumptions=(
        "Bars are counted as traded: a minute without a trade is no bar, and the channel reaches over the night.",
        "Fills come from the next bar's open.",
        "A trend filter, not an edge in each market: most trades lose.",
    ),
    validation=(
        Validation(
            data="194 US symbols, minutes, all 20 sessions from 2018-02-16 to 2018-03-16",
            method="23,041 truncations, each symbol alone and in company, more history (strategies.truncation)",
            result="no finding in 3,865 symbol sessions; the first session has no history and warms up",
        ),
        Validation(
            data="nine forex pairs, hours, every fourth session from 2015 to 2018",
            method="13,556 truncations, each pair alone and in company, more history (strategies.truncation)",
            result="no finding in 2,322 pair sessions",
        ),
    ),
    signals=_signals,
    plan=_plan,
    anchor=lambda params: Anchor(bars=_look_back(params)),
    warmup_bars=_look_back,
    contradiction=_contradiction,
)
