"""Washout reclaim on volume: a flush on climax volume takes a level out, and buyers take it back (§9, §10)."""

import polars as pl

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies import indicators_session as day
from qmworkbench.strategies.definition import (
    Anchor,
    Direction,
    EntryWindow,
    ExitRules,
    FlatPolicy,
    Requirements,
    StrategyDefinition,
    StrategyStatus,
    Validation,
)
from qmworkbench.strategies.exits import Entries, ExitPlan, exit_plan
from qmworkbench.strategies.indicators import Indicator, Stages
from qmworkbench.strategies.parameters import ParameterSpec, Params, bounded, choice, number, whole
from qmworkbench.strategies.session_entries import (
    every,
    exit_parameters,
    reaches,
    setting,
    setting_parameters,
    stop_under,
    within,
)
from qmworkbench.strategies.ticks import above


def _signals(params: Params) -> Stages:
    vwap, turnover, opened = ind.session_vwap(), ind.session_turnover(), day.session_open()
    loud, top = day.volume_over_recent(whole(params, "volume_bars")), day.recent_high(whole(params, "turn_bars"))
    atr, lowest = _atr(params), day.recent_low(whole(params, "reclaim_bars"))
    flushes = _flushes(params, loud, vwap)
    flush = day.last_row("s_flush_row", flushes.col, flushes)
    level, climax = _level(params, flush, vwap), day.at_row("s_climax", loud, flush)
    taken_back = pl.all_horizontal(
        above(pl.col.close, level.col, pl.col.tick),
        pl.col.close > top.col,
        loud.col >= number(params, "min_reclaim_volume"),
    )
    back = ind.derived("s_back", taken_back, level, top, loud)
    lost = day.armed("s_lost", flushes.col, back.col, flushes, back)
    entry = every(
        back.col,
        pl.col.i_index - lost.col <= whole(params, "reclaim_bars"),
        pl.col.close > pl.col.open,
        within(pl.col.close, 1 + number(params, "max_chase_pct") / 100, level.col),
        reaches(pl.col.close, 1 + number(params, "min_gain_pct") / 100, opened.col),
        lowest.col > 0,
        *setting(params, turnover),
    )
    given_up = (1 - number(params, "exit_under_bps") / 1e4) * level.col
    answers = (
        entry.alias("entry_long"),
        pl.lit(False).alias("entry_short"),
        above(given_up, pl.col.close, pl.col.tick).fill_null(False).alias("exit_long"),
        pl.lit(False).alias("exit_short"),
        level.col.alias("f_level"),
        pl.min_horizontal(pl.col.low, lowest.col).alias("f_flush_low"),
        climax.col.alias("f_climax_volume"),
        loud.col.alias("f_relative_volume"),
        vwap.col.alias("f_vwap"),
        turnover.col.alias("f_turnover"),
        atr.col.alias("f_atr"),
    )
    return (*ind.stacked(lost, climax, lowest, opened, turnover, vwap), answers)


def _atr(params: Params) -> Indicator:
    return ind.atr_mean(whole(params, "atr_bars"), ind.SESSION)


def _flushes(params: Params, loud: Indicator, vwap: Indicator) -> Indicator:
    """Whether this bar flushed: far and fast down from the last bars' high, loud, and through the level."""
    top, atr = day.recent_high(whole(params, "flush_bars")), _atr(params)
    lost = vwap if choice(params, "level") == "vwap" else _support(params)
    flushes = pl.all_horizontal(
        within(pl.col.low, 1 - number(params, "min_flush_pct") / 100, top.col),
        within(pl.col.low, 1.0, top.col - number(params, "min_flush_atr") * atr.col),
        loud.col >= number(params, "min_climax_volume"),
        above(lost.col, pl.col.low, pl.col.tick),
    )
    return ind.derived("s_flushes", flushes, top, loud, atr, lost)


def _support(params: Params) -> Indicator:
    """The lowest low of the bars before the flush can have begun."""
    return day.recent_low(whole(params, "support_bars"), ago=whole(params, "flush_bars"))


def _level(params: Params, flush: Indicator, vwap: Indicator) -> Indicator:
    """What must be reclaimed: VWAP as it moves on, or support as it was when the flush went through it."""
    if choice(params, "level") == "vwap":
        return ind.derived("s_level", pl.when(flush.col.is_not_null()).then(vwap.col), vwap, flush)
    return day.at_row("s_level", _support(params), flush)


def _plan(entries: Entries, params: Params) -> ExitPlan:
    return exit_plan(entries, stop_under(entries, entries.features["f_flush_low"], params), params)


def _warmup_bars(params: Params) -> int:
    flush = whole(params, "flush_bars")
    support = whole(params, "support_bars") if choice(params, "level") == "support" else 0
    return max(flush + support + 2, *(whole(params, name) + 1 for name in ("atr_bars", "volume_bars", "reclaim_bars")))


def _contradiction(params: Params) -> str | None:
    last, warm = whole(params, "last_entry_bar"), _warmup_bars(params)
    if last < warm - 1:
        return f"last_entry_bar = {last} comes before a symbol can have {warm} bars; no entry could ever be made"
    return None


_PARAMETERS = (
    ParameterSpec(
        name="level",
        approved="support",
        choices=("support", "vwap"),
        meaning="the level that is lost and taken back: the lows before the flush, or the session's VWAP",
    ),
    bounded("support_bars", 20, 2, 240, "bars", "bars before the flush whose lowest low is the support"),
    bounded("min_gain_pct", 0.0, -50.0, 100.0, "%", "least rise of the reclaiming close from the session's open"),
    bounded("flush_bars", 8, 1, 60, "bars", "bars the flush may take, from their highest high"),
    bounded("min_flush_pct", 1.0, 0.05, 50.0, "%", "least fall from that high to the flush's low"),
    bounded("min_flush_atr", 3.0, 0.0, 50.0, "×", "the same in average true ranges: fast for this symbol"),
    bounded("volume_bars", 20, 2, 240, "bars", "bars before whose mean volume is the yardstick"),
    bounded("min_climax_volume", 2.0, 0.0, 100.0, "×", "volume of the flush's bar over that mean"),
    bounded("reclaim_bars", 20, 1, 120, "bars", "how long after the flush the level may be reclaimed"),
    bounded("turn_bars", 2, 1, 30, "bars", "bars whose highs the reclaim must close above"),
    bounded("min_reclaim_volume", 1.0, 0.0, 100.0, "×", "volume of the reclaiming bar over the mean before it"),
    bounded("max_chase_pct", 1.0, 0.0, 50.0, "%", "farthest close beyond the level; above it the move was missed"),
    bounded("exit_under_bps", 30.0, 0.0, 1000.0, "bps", "how far below the level a close must be to give up"),
    *setting_parameters(last_entry_bar=300, min_bars_left=45),
    *exit_parameters(target_r=2.0, max_hold_bars=90),
)

DEFINITION = StrategyDefinition(
    strategy_id="washout-reclaim",
    version="1.0.0",
    owner="equities desk",
    status=StrategyStatus.EXPERIMENTAL,
    title="Washout reclaim on volume",
    objective="Buy where the last holders were forced out: a fast fall through a level everybody watches, on volume "
    "that shows who had to sell, and then buyers who take that level back.",
    asset_classes=(AssetClass.EQUITY,),
    direction=Direction.LONG,
    requirements=Requirements(min_price=2.0, min_session_turnover=1_000_000.0),
    entry_window=EntryWindow(from_bar="volume_bars", until_bar="last_entry_bar", bars_left="min_bars_left"),
    entry="After a flush through the level (support before it, or VWAP) the first bar that closes back above it, above "
    "the highs of the turn_bars before it, and on volume.",
    confirming="The flush fell min_flush_pct and min_flush_atr ATR within flush_bars, on min_climax_volume times the "
    "volume before it; the reclaiming bar closes up.",
    disqualifying="A reclaim later than reclaim_bars after the flush's last bar, more than max_chase_pct above the "
    "level, or less than min_gain_pct above the session's open; a flush that was taken back before; price or turnover "
    "too small; fewer bars than the yardsticks need; too late in the session.",
    invalidation="A close more than exit_under_bps back below the level.",
    exits=ExitRules(
        stop="A tick under the flush's low, at most stop_atr × ATR and at least min_stop_bps from the close.",
        target="target_r times the distance from the deciding close to the stop.",
        signal="Close more than exit_under_bps below the level.",
        trail_bps="trail_bps",
        max_hold_bars="max_hold_bars",
        flat=FlatPolicy.AT_CLOSE,
    ),
    sizing="Whole shares: the instance's capital over max_symbols, divided by the deciding close.",
    parameter_specs=_PARAMETERS,
    features={
        "f_level": "the level of the session's last flush; none before one",
        "f_flush_low": "lowest low of this bar and the reclaim_bars before it",
        "f_climax_volume": "volume of that flush over the mean before it",
        "f_relative_volume": "bar volume over the mean of the bars before it",
        "f_vwap": "session VWAP",
        "f_turnover": "worth traded in the session so far",
        "f_atr": "average true range of the session's last bars",
    },
    assumptions=(
        "Bars of regular hours; a halt shows as missing minutes, and the bar after it may pass for a flush.",
        "Fills come from the next bar's open; the spread widens in a flush and is not in the evaluation.",
        "Flushes are rare: some six a day among two hundred symbols, and the sample behind the evidence is small.",
    ),
    validation=(
        Validation(
            data="194 US symbols, minutes, all 20 sessions from 2018-02-16 to 2018-03-16",
            method="17,581 truncations, each symbol alone and in company, a session more (strategies.truncation)",
            result="no finding in 3,865 symbol sessions",
        ),
        Validation(
            data="the same, all symbols owned at every boundary",
            method="computed boundary by boundary and in one pass over the session",
            result="7,800 boundaries, the same bits in each",
        ),
        Validation(
            data="the same, every symbol traded alike, filled at the next open",
            method="approved parameters, FILLS order of events, without costs and with 5 bps a side",
            result="119 signals, 119 trades, 28 % won, mean -10 bps or -0.09 R (error 0.09); after costs -0.19 R. Of "
            "symbols up 3 % since the day before 46 trades, 37 % won, 0.08 R; after costs -0.02 R: no edge here",
        ),
        Validation(
            data="the same, and charts of ten of its days",
            method="defaults set by what a chart calls by this name (XON on 2018-03-02, ROKU on 2018-02-20), not by "
            "the result; tried: falls of 1.0 to 1.5 %, of 3, 4, 5 or any ATR, climax of 1.5 to 3 times, VWAP as level",
            result="means from -0.23 to +0.21 R, errors of 0.1 to 0.25: nothing that chance does not explain",
        ),
    ),
    signals=_signals,
    plan=_plan,
    anchor=lambda _: Anchor(),
    warmup_bars=_warmup_bars,
    contradiction=_contradiction,
)
