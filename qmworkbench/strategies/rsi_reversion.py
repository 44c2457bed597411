"""RSI mean reversion: fade a stretch once it turns, back to the average it left, in any market (§9, §10)."""

import math
from dataclasses import replace
from typing import Final

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
from qmworkbench.strategies.exits import Entries, ExitPlan, exit_plan, levels_ahead, levels_behind
from qmworkbench.strategies.indicators import Indicator, Stages
from qmworkbench.strategies.parameters import ParameterSpec, Params, bounded, choice, number, switch, whole

# The index remembers everything since its start, ever more faintly. The anchor lies so far back that no more than this
# share of the start is left when the session begins, and the index is read in tenths, which hides that.
_START_LEFT: Final = 1e-10
_TOP: Final = 100.0


def _signals(params: Params) -> Stages:
    rsi = _in_tenths(ind.rsi("close", whole(params, "rsi_bars")))
    mean, atr = ind.sma("close", whole(params, "mean_bars")), ind.atr_mean(whole(params, "atr_bars"))
    stretch = ind.derived("s_stretch", pl.when(atr.col > 0).then((pl.col.close - mean.col) / atr.col), mean, atr)
    widest = number(params, "max_stretch_atr")
    setting = (
        (pl.col.bar >= whole(params, "from_bar"))
        & (pl.col.bars_left >= whole(params, "min_bars_left"))
        & (stretch.col.abs() >= number(params, "min_stretch_atr"))
        & (stretch.col.abs() <= widest if widest else pl.lit(True))
        & (atr.col * 1e4 >= number(params, "min_atr_bps") * pl.col.close)
    )
    first = whole(params, "rsi_bars") + 1
    before = ind.derived("s_rsi_before", pl.when(ind.since(first)).then(rsi.col.shift(1)), rsi)
    low, leave = number(params, "oversold"), number(params, "exit_rsi")
    turned_up = (before.col < low) & (rsi.col >= low) & (stretch.col < 0)
    turned_down = (before.col > _TOP - low) & (rsi.col <= _TOP - low) & (stretch.col > 0)
    fits = ind.derived("s_setting", setting, stretch, rsi)
    answers = (
        ((turned_up & fits.col).fill_null(False) if switch(params, "long") else pl.lit(False)).alias("entry_long"),
        ((turned_down & fits.col).fill_null(False) if switch(params, "short") else pl.lit(False)).alias("entry_short"),
        (rsi.col >= leave).fill_null(False).alias("exit_long"),
        (rsi.col <= _TOP - leave).fill_null(False).alias("exit_short"),
        rsi.col.alias("f_rsi"),
        mean.col.alias("f_mean"),
        stretch.col.alias("f_stretch"),
        atr.col.alias("f_atr"),
    )
    return (*ind.stacked(fits, before), answers)


def _in_tenths(rsi: Indicator) -> Indicator:
    return ind.derived("s_rsi", rsi.col.round(1), rsi)


def _plan(entries: Entries, params: Params) -> ExitPlan:
    room, mean = number(params, "stop_atr") * entries.features["f_atr"], entries.features["f_mean"]
    plan = exit_plan(entries, levels_behind(entries, entries.close - room, entries.close + room), params)
    return replace(plan, target=levels_ahead(entries, mean, mean)) if choice(params, "target_at") == "mean" else plan


def _anchor_bars(params: Params) -> int:
    """Bars before the session after which _START_LEFT is left of the index's start, or the longest window if more."""
    n = whole(params, "rsi_bars")
    faded = math.ceil(math.log(_START_LEFT) / math.log1p(-1 / n)) + n + 1
    return max(faded, whole(params, "mean_bars"), whole(params, "atr_bars"))


def _contradiction(params: Params) -> str | None:
    low, leave = number(params, "oversold"), number(params, "exit_rsi")
    narrowest, widest = number(params, "min_stretch_atr"), number(params, "max_stretch_atr")
    if leave <= low:
        return f"exit_rsi = {leave} must be above oversold = {low}; a position would end where it begins"
    if widest and narrowest > widest:
        return f"min_stretch_atr = {narrowest} exceeds max_stretch_atr = {widest}; no entry could ever be made"
    if not switch(params, "long") and not switch(params, "short"):
        return "long and short are both false; no entry could ever be made"
    return None


_PARAMETERS = (
    bounded("rsi_bars", 9, 2, 100, "bars", "bars of the relative strength index after Wilder"),
    bounded("oversold", 25.0, 1.0, 49.0, "", "index level a fall is overdone below; rises are above 100 less this"),
    bounded("exit_rsi", 50.0, 2.0, 99.0, "", "index level at which longs have recovered; shorts at 100 less this"),
    bounded("mean_bars", 24, 2, 500, "bars", "closes of the average the price is expected back at"),
    bounded("min_stretch_atr", 0.5, 0.0, 50.0, "×", "least distance from the average, in average true ranges"),
    bounded("max_stretch_atr", 6.0, 0.0, 100.0, "×", "most distance from the average: beyond it is news; 0 for none"),
    bounded("atr_bars", 20, 2, 500, "bars", "bars of the average true range"),
    bounded("stop_atr", 2.0, 0.1, 50.0, "×", "stop distance in average true ranges"),
    ParameterSpec(
        name="target_at",
        approved="mean",
        choices=("mean", "r"),
        meaning="where the target rests: at the average of the deciding bar, or target_r times the risk away",
    ),
    bounded("target_r", 0.0, 0.0, 50.0, "×", "target in multiples of the risk where target_at is r; 0 for none"),
    bounded("trail_bps", 0, 0, 5000, "bps", "trailing stop from the best price since entry; 0 for none"),
    bounded("max_hold_bars", 24, 0, 5000, "bars", "bars after which a position is closed; 0 for no limit"),
    bounded("min_atr_bps", 0.0, 0.0, 1000.0, "bps", "least average true range, of the close"),
    bounded("from_bar", 0, 0, 1440, "bars", "first bar of the session at which an entry may be decided"),
    bounded("min_bars_left", 1, 1, 1440, "bars", "boundaries that must still come for an entry"),
    ParameterSpec(name="long", approved=True, meaning="buy falls that turn"),
    ParameterSpec(name="short", approved=True, meaning="sell rises that turn"),
    ParameterSpec(
        name="flat",
        approved="at_close",
        choices=("at_close", "carry"),
        meaning="what happens to a position at the session's end",
    ),
)

DEFINITION = StrategyDefinition(
    strategy_id="rsi-reversion",
    version="1.0.0",
    owner="reversion desk",
    status=StrategyStatus.EXPERIMENTAL,
    title="RSI mean reversion",
    objective="Earn the way back of moves that went too far too fast: wait until the fall or rise has turned, aim at "
    "the average it left, and give up early where there is no way back.",
    asset_classes=(AssetClass.EQUITY, AssetClass.FOREX),
    direction=Direction.BOTH,
    requirements=Requirements(),
    entry_window=EntryWindow(from_bar="from_bar", bars_left="min_bars_left"),
    entry="The relative strength index, below oversold at the bar before, is back there; mirrored to go short.",
    confirming="The close is still on the far side of the average of mean_bars closes, by at least min_stretch_atr "
    "average true ranges; an average true range of at least min_atr_bps of the price.",
    disqualifying="Farther than max_stretch_atr from the average, which is news and no stretch; too early or too late "
    "in the session; too few bars for the index, the average or the range.",
    invalidation="A new extreme: the price stop_atr average true ranges beyond the deciding close.",
    exits=ExitRules(
        stop="stop_atr × ATR from the deciding close.",
        target="The average of the deciding bar, or target_r times the distance from the close to the stop.",
        signal="The index at exit_rsi or beyond.",
        trail_bps="trail_bps",
        max_hold_bars="max_hold_bars",
        flat="flat",
    ),
    sizing="Whole lots: the instance's capital over max_symbols, divided by the deciding close.",
    parameter_specs=_PARAMETERS,
    features={
        "f_rsi": "relative strength index after Wilder, in tenths",
        "f_mean": "average of the last closes",
        "f_stretch": "distance of the close from the average, in average true ranges",
        "f_atr": "average true range",
    },
    assumptions=(
        "Bars are counted as traded: a minute without a trade is no bar, and index and average reach over the night.",
        "Fills come from the next bar's open.",
        "The index is anchored: it starts a fixed number of bars before the session, far enough for its start to fade.",
        "Wins are small and frequent, losses rare and large: a strong trend is where it loses.",
    ),
    validation=(
        Validation(
            data="194 US symbols, minutes, all 20 sessions from 2018-02-16 to 2018-03-16",
            method="30,952 truncations, each symbol alone and in company, more history (strategies.truncation)",
            result="no finding in 3,869 symbol sessions: from the anchor on, no older bar changes a tenth of the index",
        ),
        Validation(
            data="nine forex pairs, hours, every fourth session from 2015 to 2018",
            method="27,730 truncations, each pair alone and in company, 25 sessions of history instead of the anchor's",
            result="no finding in 2,331 pair sessions",
        ),
    ),
    signals=_signals,
    plan=_plan,
    anchor=lambda params: Anchor(bars=_anchor_bars(params)),
    warmup_bars=lambda params: max(
        whole(params, "rsi_bars") + 1, whole(params, "mean_bars"), whole(params, "atr_bars")
    ),
    contradiction=_contradiction,
)
