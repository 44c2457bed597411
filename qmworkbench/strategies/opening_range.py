"""Opening-range momentum continuation: a liquid gainer leaves the range of its first minutes on volume (§9, §10)."""

import numpy as np
import polars as pl

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies import indicators as ind
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
from qmworkbench.strategies.exits import Entries, ExitPlan, exit_plan, levels_behind
from qmworkbench.strategies.indicators import Indicator, Stages
from qmworkbench.strategies.parameters import ParameterSpec, Params, bounded, choice, number, switch, whole
from qmworkbench.strategies.ticks import above


def _signals(params: Params) -> Stages:
    n = whole(params, "range_bars")
    high, low, vwap = ind.opening_range_high(n), ind.opening_range_low(n), ind.session_vwap()
    turnover, volume = ind.session_turnover(), ind.relative_bar_volume()
    atr = ind.atr_mean(whole(params, "atr_bars"), ind.SESSION)
    setting = ind.derived("s_setting", _setting(params, high, low, turnover, volume), high, low, turnover, volume)
    longs, entry_long = _entries(params, "long", high, setting, vwap)
    inputs, entry_short = [atr, longs], pl.lit(False)
    if switch(params, "short"):
        shorts, entry_short = _entries(params, "short", low, setting, vwap)
        inputs.append(shorts)
    exit_long = exit_short = pl.lit(False)
    if switch(params, "exit_at_vwap"):
        exit_long = above(vwap.col, pl.col.close, pl.col.tick).fill_null(False)
        exit_short = above(pl.col.close, vwap.col, pl.col.tick).fill_null(False)
    answers = (
        entry_long.alias("entry_long"),
        entry_short.alias("entry_short"),
        exit_long.alias("exit_long"),
        exit_short.alias("exit_short"),
        high.col.alias("f_range_high"),
        low.col.alias("f_range_low"),
        ((high.col / low.col - 1) * 100).alias("f_range_pct"),
        vwap.col.alias("f_vwap"),
        volume.col.alias("f_relative_volume"),
        turnover.col.alias("f_turnover"),
        atr.col.alias("f_atr"),
    )
    return (*ind.stacked(*inputs), answers)


def _setting(params: Params, high: Indicator, low: Indicator, turnover: Indicator, volume: Indicator) -> pl.Expr:
    """What must hold for a break to either side to count: window, width of the range, price, turnover and volume."""
    narrowest, widest = (1 + number(params, name) / 100 for name in ("min_range_pct", "max_range_pct"))
    return (
        (pl.col.bar <= whole(params, "last_entry_bar"))
        & (pl.col.bars_left >= whole(params, "min_bars_left"))
        & (high.col / low.col).is_between(narrowest, widest)
        & (pl.col.close >= number(params, "min_price"))
        & (turnover.col >= number(params, "min_turnover"))
        & (volume.col >= number(params, "min_relative_volume"))
        & ind.since(whole(params, "atr_bars") - 1, ind.SESSION)
    )


def _entries(
    params: Params, side: str, edge: Indicator, setting: Indicator, vwap: Indicator
) -> tuple[Indicator, pl.Expr]:
    """One side's entries: the steps that lead there, and the flag to compute after them.

    A break starts where a close leaves the range and lasts while closes stay outside. It fires once, at its first bar,
    no more than `confirm_bars` bars after the start, where the setting fits and the VWAP backs it; a session fires at
    most `max_breaks` times. Rows are told apart by `i_index`, with no grouping: a break never starts in a session's
    first bar, whose range holds that very bar, and counts only while it lies within the session.
    """
    close, tick, row = pl.col.close, pl.col.tick, pl.col.i_index
    out = (close > edge.col if side == "long" else close < edge.col).fill_null(False)
    backed = above(close, vwap.col, tick) if side == "long" else above(vwap.col, close, tick)
    starts = out & ind.since(1, ind.SESSION) & ~out.shift(1, fill_value=False)
    start_row = pl.when(starts).then(row).forward_fill()
    start = ind.derived(f"s_{side}_start", start_row, edge)
    age = row - start.col
    fits = out & (age <= whole(params, "confirm_bars")) & (age <= pl.col.i_pos) & setting.col & backed
    fit = ind.derived(f"s_{side}_fit", fits.fill_null(False), setting, start, vwap)
    last_fit_before = pl.when(fit.col).then(row).forward_fill().shift(1).fill_null(-1)
    fire = ind.derived(f"s_{side}_fire", fit.col & (last_fit_before < start.col), fit)
    fires = ind.derived(f"s_{side}_fires", fire.col.cum_sum(), fire)
    fired_before_today = fires.col.gather(row - pl.col.i_pos)
    return fires, fire.col & (fires.col - fired_before_today <= whole(params, "max_breaks"))


def _plan(entries: Entries, params: Params) -> ExitPlan:
    """The stop: the nearer of the range's level and so many ATR, but never nearer than `min_stop_bps`."""
    close, high, low = entries.close, entries.features["f_range_high"], entries.features["f_range_low"]
    if choice(params, "stop_at") == "middle":
        high = low = (high + low) / 2
    nearest = close * (number(params, "min_stop_bps") / 1e4)
    farthest = np.maximum(number(params, "stop_atr") * entries.features["f_atr"], nearest)
    below = np.minimum(np.maximum(low, close - farthest), close - nearest)
    over = np.maximum(np.minimum(high, close + farthest), close + nearest)
    return exit_plan(entries, levels_behind(entries, below, over), params)


def _contradiction(params: Params) -> str | None:
    first, last = whole(params, "range_bars"), whole(params, "last_entry_bar")
    if last < first:
        return (
            f"last_entry_bar = {last} comes before the range ends (range_bars = {first}); no entry could ever be made"
        )
    if number(params, "min_range_pct") > number(params, "max_range_pct"):
        return f"min_range_pct = {params['min_range_pct']} exceeds max_range_pct = {params['max_range_pct']}"
    return None


_PARAMETERS = (
    bounded("range_bars", 15, 2, 120, "bars", "boundaries of the session that make the opening range"),
    bounded("last_entry_bar", 150, 2, 1440, "bars", "last bar of the session at which an entry may be decided"),
    bounded("min_bars_left", 60, 1, 1440, "bars", "boundaries that must still come for an entry"),
    bounded("confirm_bars", 3, 0, 60, "bars", "how long after the break volume may still confirm it"),
    bounded("max_breaks", 2, 1, 20, "", "entries a side may signal in one session of a symbol"),
    bounded("min_relative_volume", 1.5, 0.0, 50.0, "×", "bar volume over the session's mean per boundary so far"),
    bounded("min_turnover", 1_000_000.0, 0.0, 1e10, "currency", "worth traded in the session so far"),
    bounded("min_price", 2.0, 0.0, 1e6, "currency", "lowest close at which to enter"),
    bounded("min_range_pct", 0.5, 0.0, 50.0, "%", "narrowest opening range worth trading, of its low"),
    bounded("max_range_pct", 8.0, 0.1, 100.0, "%", "widest opening range: beyond it the stop is too far"),
    ParameterSpec(
        name="stop_at",
        approved="middle",
        choices=("low", "middle"),
        meaning="level of the range the stop rests on; mirrored for shorts",
    ),
    bounded("atr_bars", 14, 2, 120, "bars", "bars of the session's average true range"),
    bounded("stop_atr", 5.0, 0.5, 50.0, "×", "farthest stop, in average true ranges from the close"),
    bounded("min_stop_bps", 30.0, 0.0, 1000.0, "bps", "nearest stop, of the close"),
    bounded("target_r", 3.0, 0.0, 50.0, "×", "target in multiples of the risk; 0 for none"),
    bounded("trail_bps", 0, 0, 5000, "bps", "trailing stop below the peak since entry; 0 for none"),
    bounded("max_hold_bars", 180, 0, 1440, "bars", "bars after which a position is closed; 0 for no limit"),
    ParameterSpec(
        name="exit_at_vwap", approved=True, meaning="leave when a close is on the wrong side of the session's VWAP"
    ),
    ParameterSpec(name="short", approved=False, meaning="also trade breaks of the range's low, mirrored"),
)

DEFINITION = StrategyDefinition(
    strategy_id="opening-range",
    version="1.0.0",
    owner="equities desk",
    status=StrategyStatus.EXPERIMENTAL,
    title="Opening-range momentum continuation",
    objective="Take the part of a strong morning that follows the first agreement on price: symbols that leave the "
    "range of their first minutes on volume tend to go on; be out by noon or at the close at the latest.",
    asset_classes=(AssetClass.EQUITY,),
    direction=Direction.LONG,
    requirements=Requirements(min_price=2.0, min_session_turnover=1_000_000.0),
    entry_window=EntryWindow(from_bar="range_bars", until_bar="last_entry_bar", bars_left="min_bars_left"),
    entry="The first close above the high of the opening range.",
    confirming="Close above the session's VWAP, and bar volume above the session's mean, at the break or within "
    "confirm_bars while closes stay above the range.",
    disqualifying="Range narrower than min_range_pct or wider than max_range_pct; price or turnover too small; fewer "
    "than atr_bars bars traded; too late in the session; the symbol has used its max_breaks.",
    invalidation="A close back below the session's VWAP.",
    exits=ExitRules(
        stop="The nearer of the range's level (stop_at) and stop_atr × ATR from the close, at least min_stop_bps away.",
        target="target_r times the distance from the deciding close to the stop.",
        signal="Close on the wrong side of the session's VWAP.",
        trail_bps="trail_bps",
        max_hold_bars="max_hold_bars",
        flat=FlatPolicy.AT_CLOSE,
    ),
    sizing="Whole shares: the instance's capital over max_symbols, divided by the deciding close.",
    parameter_specs=_PARAMETERS,
    features={
        "f_range_high": "high of the opening range",
        "f_range_low": "low of the opening range",
        "f_range_pct": "width of the opening range, % of its low",
        "f_vwap": "session VWAP",
        "f_relative_volume": "bar volume over the session's mean per boundary",
        "f_turnover": "worth traded in the session so far",
        "f_atr": "average true range of the session's last bars",
    },
    assumptions=(
        "Bars of regular hours; the opening cross is not among them.",
        "Fills come from the next bar's open; the spread is small against min_stop_bps.",
        "The scanner decides which symbols are worth it: over all symbols alike the break has no edge of its own.",
    ),
    validation=(
        Validation(
            data="194 US symbols, minutes, all 20 sessions from 2018-02-16 to 2018-03-16, both sides",
            method="22,819 truncations, each symbol alone and in company, more history (strategies.truncation)",
            result="no finding in 3,865 symbol sessions",
        ),
        Validation(
            data="the same, every symbol traded alike, longs, filled at the next open without costs",
            method="approved parameters, FILLS order of events",
            result="1,434 trades, 31 % won, mean 6 bps or 0.03 R: no edge before costs without the scanner's choice",
        ),
    ),
    signals=_signals,
    plan=_plan,
    anchor=lambda _: Anchor(),
    warmup_bars=lambda params: max(whole(params, "range_bars"), whole(params, "atr_bars")) + 1,
    contradiction=_contradiction,
)
