"""VWAP-pullback recovery: a runner comes back to its session VWAP on light volume, holds it and turns up (§9, §10)."""

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
from qmworkbench.strategies.indicators import Stages
from qmworkbench.strategies.parameters import Params, bounded, number, whole
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
    vwap, turnover, high = ind.session_vwap(), ind.session_turnover(), ind.session_high()
    atr = ind.atr_mean(whole(params, "atr_bars"), ind.SESSION)
    made, quiet, loud = day.high_row(), day.volume_since_high(), day.volume_to_high()
    then, lowest = day.at_row("i_vwap_at_high", vwap, made), day.recent_low(whole(params, "recover_bars"))
    top = day.recent_high(whole(params, "turn_bars"))
    turns = pl.col.close > top.col
    touch = day.armed("s_touch", within(pl.col.low, 1 + number(params, "near_bps") / 1e4, vwap.col), turns, vwap, top)
    entry = every(
        # a high well above VWAP, and in due time a touch of VWAP that held, on less volume than the run had
        reaches(high.col, 1 + number(params, "min_extension_pct") / 100, then.col),
        touch.col - made.col >= whole(params, "min_pullback_bars"),
        touch.col - made.col <= whole(params, "max_pullback_bars"),
        reaches(lowest.col, 1 - number(params, "max_under_pct") / 100, vwap.col),
        quiet.col <= number(params, "max_pullback_volume") * loud.col,
        # the first bar since that turns, soon enough, above VWAP and on more volume than the way down had
        turns,
        pl.col.i_index - touch.col <= whole(params, "recover_bars"),
        above(pl.col.close, vwap.col, pl.col.tick),
        within(pl.col.close, 1 + number(params, "max_chase_pct") / 100, vwap.col),
        pl.col.volume >= number(params, "min_recovery_volume") * quiet.col,
        *setting(params, turnover),
    )
    given_up = (1 - number(params, "exit_under_bps") / 1e4) * vwap.col
    answers = (
        entry.alias("entry_long"),
        pl.lit(False).alias("entry_short"),
        above(given_up, pl.col.close, pl.col.tick).fill_null(False).alias("exit_long"),
        pl.lit(False).alias("exit_short"),
        vwap.col.alias("f_vwap"),
        high.col.alias("f_session_high"),
        pl.min_horizontal(pl.col.low, lowest.col).alias("f_pullback_low"),
        pl.when(loud.col > 0).then(quiet.col / loud.col).alias("f_pullback_volume"),
        turnover.col.alias("f_turnover"),
        atr.col.alias("f_atr"),
    )
    return (*ind.stacked(touch, then, quiet, loud, lowest, turnover, atr), answers)


def _plan(entries: Entries, params: Params) -> ExitPlan:
    return exit_plan(entries, stop_under(entries, entries.features["f_pullback_low"], params), params)


def _warmup_bars(params: Params) -> int:
    return max(whole(params, name) for name in ("atr_bars", "recover_bars", "turn_bars", "min_pullback_bars")) + 1


def _contradiction(params: Params) -> str | None:
    shortest, longest = whole(params, "min_pullback_bars"), whole(params, "max_pullback_bars")
    if longest < shortest:
        return f"max_pullback_bars = {longest} is below min_pullback_bars = {shortest}; no pullback could ever count"
    last, warm = whole(params, "last_entry_bar"), _warmup_bars(params)
    if last < warm - 1:
        return f"last_entry_bar = {last} comes before a symbol can have {warm} bars; no entry could ever be made"
    return None


_PARAMETERS = (
    bounded("min_extension_pct", 1.5, 0.0, 50.0, "%", "how far above the VWAP of its bar that high must have stood"),
    bounded("min_pullback_bars", 5, 2, 390, "bars", "shortest way from the high back to VWAP"),
    bounded("max_pullback_bars", 120, 2, 1440, "bars", "longest way from the high back to VWAP"),
    bounded("near_bps", 20.0, 0.0, 500.0, "bps", "how far above VWAP a low still counts as a touch"),
    bounded("max_under_pct", 0.5, 0.0, 20.0, "%", "how far below VWAP the pullback may have traded"),
    bounded("max_pullback_volume", 0.8, 0.01, 100.0, "×", "volume a boundary since the high, over that up to it"),
    bounded("recover_bars", 8, 1, 120, "bars", "how long after the touch the recovery may come"),
    bounded("turn_bars", 2, 1, 30, "bars", "bars whose highs the recovery must close above"),
    bounded("min_recovery_volume", 1.2, 0.0, 100.0, "×", "volume of the recovery's bar over the pullback's mean"),
    bounded("max_chase_pct", 3.0, 0.0, 50.0, "%", "farthest close above VWAP; beyond it the move was missed"),
    bounded("exit_under_bps", 30.0, 0.0, 1000.0, "bps", "how far below VWAP a close must be to give up"),
    *setting_parameters(last_entry_bar=300, min_bars_left=45),
    *exit_parameters(target_r=2.5, max_hold_bars=120),
)

DEFINITION = StrategyDefinition(
    strategy_id="vwap-pullback",
    version="1.0.0",
    owner="equities desk",
    status=StrategyStatus.EXPERIMENTAL,
    title="VWAP-pullback recovery",
    objective="Join a runner at the price its buyers of the day have paid on average: the first hands take profit, "
    "volume dries up on the way down, VWAP holds, and the move goes on.",
    asset_classes=(AssetClass.EQUITY,),
    direction=Direction.LONG,
    requirements=Requirements(min_price=2.0, min_session_turnover=1_000_000.0),
    entry_window=EntryWindow(from_bar="atr_bars", until_bar="last_entry_bar", bars_left="min_bars_left"),
    entry="After a high well above VWAP the price comes back to VWAP (near_bps); the first bar after the last touch "
    "that closes above the highs of the turn_bars before it, and above VWAP, is the recovery.",
    confirming="Less volume a boundary since the high than up to it; more in the recovering bar than on the way down.",
    disqualifying="A high less than min_extension_pct above the VWAP of its bar; a way back quicker or slower than "
    "allowed; trades more than max_under_pct below VWAP; a turn later than recover_bars after the touch, and every "
    "later one until VWAP is touched again; a close more than max_chase_pct above VWAP; price or turnover too small; "
    "too late in the session.",
    invalidation="A close more than exit_under_bps below the session's VWAP.",
    exits=ExitRules(
        stop="A tick under the pullback's low, at most stop_atr × ATR and at least min_stop_bps from the close.",
        target="target_r times the distance from the deciding close to the stop.",
        signal="Close more than exit_under_bps below the session's VWAP.",
        trail_bps="trail_bps",
        max_hold_bars="max_hold_bars",
        flat=FlatPolicy.AT_CLOSE,
    ),
    sizing="Whole shares: the instance's capital over max_symbols, divided by the deciding close.",
    parameter_specs=_PARAMETERS,
    features={
        "f_vwap": "session VWAP",
        "f_session_high": "session's high so far",
        "f_pullback_low": "lowest low of this bar and the recover_bars before it",
        "f_pullback_volume": "volume a boundary since the high, over that up to it",
        "f_turnover": "worth traded in the session so far",
        "f_atr": "average true range of the session's last bars",
    },
    assumptions=(
        "Bars of regular hours; the VWAP is the bars' own, from the first regular bar.",
        "Fills come from the next bar's open; the spread is small against min_stop_bps.",
        "The scanner decides which symbols are worth it; a rise since yesterday's close is its matter, not this one's.",
    ),
    validation=(
        Validation(
            data="194 US symbols, minutes, all 20 sessions from 2018-02-16 to 2018-03-16",
            method="28,833 truncations, each symbol alone and in company, a session more (strategies.truncation)",
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
            result="152 signals, 121 trades, 25 % won, mean -4 bps or -0.12 R (error 0.12); after costs -0.27 R. "
            "Of symbols up 3 % since the day before 39 trades, 26 % won, -0.07 R; after costs -0.21 R: no edge here",
        ),
        Validation(
            data="the same, and charts of 2018-03-02",
            method="defaults set by what a chart calls by this name (OPK, SWN, CHK, AOBC), not by the result; tried: "
            "nearest stop of 30, 50, 80 bps, a least run of 2 to 4 % (dropped), entries until bar 240, 300, 330, one "
            "for each high or one for each touch",
            result="means from -0.26 to +0.13 R, errors of 0.1 to 0.2: nothing that chance does not explain",
        ),
    ),
    signals=_signals,
    plan=_plan,
    anchor=lambda _: Anchor(),
    warmup_bars=_warmup_bars,
    contradiction=_contradiction,
)
