"""One pass for each combination of a sweep, compiled: rule, fills, figures; nothing of bars' length is kept (FILLS).

Each function here runs the combinations of a `span` in one thread without the GIL, in that thread's `Room`. Figures are
those of `measure.Figure`, then the least cash that was left after a fill, below 0 where cash would have bound.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qmworkbench.research.fills.compiled import compiled
from qmworkbench.research.fills.equity_path import Path, equity
from qmworkbench.research.fills.fill_walk import Costs, Events, Rows, walk
from qmworkbench.research.fills.measure import FIGURES, booked, measure
from qmworkbench.research.fills.plain_walk import plain_walk
from qmworkbench.research.fills.tape import Bools, Codes, Floats, Ints
from qmworkbench.research.sweeps.rule_kernels import (
    Levels,
    Priced,
    Room,
    channel_codes,
    cross_codes,
    gap_sides,
    gather,
    plain_codes,
    turn_codes,
)

LEAST_CASH: Final = FIGURES
PLACES: Final = FIGURES + 1
"""Numbers in a row of results."""

_SHARPE, _DRAWDOWN, _DRAWDOWN_CLOSES, _EXPOSURE, _EQUITY = 1, 2, 3, 13, 16  # measure.Figure


class Market(NamedTuple):
    """One symbol for all combinations: its bars, closes and prices, `history` rows of indicators before the tape, and
    `free`, 0 at rows where no entry may be decided."""

    rows: Rows
    path: Path
    priced: Priced
    history: int
    free: Codes
    cash: float


Wide = npt.NDArray[np.float64]
Settings = tuple[npt.NDArray[np.int8], Ints, Wide, Ints]
"""Settings that fit and true ranges, a row each, and which row is each combination's."""
PlainColumns = tuple[Ints, tuple[Ints, Ints]]
CrossColumns = tuple[Ints, tuple[Ints, Ints, Ints], Settings]
ChannelColumns = tuple[Wide, Wide, tuple[Ints, Ints], Settings]
TurnColumns = tuple[tuple[Wide, Wide, Wide, Wide], Ints, tuple[Floats, Floats, Floats, Floats], Bools, Settings]


class Plans(NamedTuple):
    """How the entries of each combination end, and what becomes of them at the close; arrays side by side."""

    stop_atr: Floats
    target_r: Floats
    trail_bps: Ints
    max_hold_bars: Ints
    flat: Bools
    long: Bools
    short: Bools


class Answer(NamedTuple):
    """Where results go, a row for each combination; `marked`, the equity at the path's marks, may have no columns."""

    figures: Wide
    marked: Wide


@compiled
def settled(market: Market, events: Events, costs: Costs, room: Room, figures: Floats, marked: Floats) -> None:
    """Simulate and measure one combination's events."""
    fills, _ = walk(market.rows, events, costs, room.fills)
    measured(market, fills, room, figures, marked)


@compiled
def measured(market: Market, fills: int, room: Room, figures: Floats, marked: Floats) -> None:
    """Measure the first `fills` fills in the room."""
    out = room.fills
    found = room.found
    if equity(market.path, out, fills, market.cash, found, marked):
        figures[_SHARPE] = found[0]
        figures[_DRAWDOWN] = figures[_DRAWDOWN_CLOSES] = -found[1]
        figures[_EXPOSURE], figures[_EQUITY] = found[2], found[3]
        booked(market.rows, out, fills, market.cash, figures)
    else:
        measure(market.rows, out, fills, market.cash, figures, found[:0])
    figures[LEAST_CASH] = found[4]


@compiled
def _costs(costs: Costs, flat: bool) -> Costs:
    return Costs(
        costs.fee_rate,
        costs.fee_per_order,
        costs.fee_per_unit,
        costs.slippage_rate,
        costs.participation,
        flat,
        costs.reverse,
    )


@compiled
def _levels(plans: Plans, k: int) -> Levels:
    return Levels(plans.stop_atr[k], plans.target_r[k], plans.trail_bps[k], plans.max_hold_bars[k])


@compiled
def plain_crosses(
    market: Market, shared: PlainColumns, plans: Plans, costs: Costs, room: Room, answer: Answer, span: tuple[int, int]
) -> None:
    """`sma-plain`; `shared`: running totals, then the windows (fast, slow) by combination."""
    totals, (fast, slow) = shared
    none = np.empty(0)
    levels = Levels(np.nan, 0.0, 0, 0)
    simple = costs.participation == 0 and not costs.reverse
    for k in range(span[0], span[1]):
        gap_sides(totals, fast[k], slow[k], room.side)
        plain_codes(room.side, market.history, slow[k], market.free, plans.long[k], plans.short[k], room.code)
        own = _costs(costs, plans.flat[k])
        if simple:
            fills = plain_walk(market.rows, room.code, room.code_words, market.priced.qty, own, room.fills)
            measured(market, fills, room, answer.figures[k], answer.marked[k])
        else:
            events = gather(room, market.priced, (none, none), levels)
            settled(market, events, own, room, answer.figures[k], answer.marked[k])


@compiled
def crosses(
    market: Market, shared: CrossColumns, plans: Plans, costs: Costs, room: Room, answer: Answer, span: tuple[int, int]
) -> None:
    """`sma-cross`; `shared`: running totals, the windows (fast, slow, enter within), settings and true ranges."""
    totals, (fast, slow, within), (fits, fit, ranges, atr) = shared
    none = np.empty(0)
    for k in range(span[0], span[1]):
        gap_sides(totals, fast[k], slow[k], room.side)
        cross_codes(room, market.history, slow[k], within[k], fits[fit[k]], (plans.long[k], plans.short[k]))
        events = gather(room, market.priced, (ranges[atr[k]], none), _levels(plans, k))
        settled(market, events, _costs(costs, plans.flat[k]), room, answer.figures[k], answer.marked[k])


@compiled
def channels(
    market: Market,
    shared: ChannelColumns,
    plans: Plans,
    costs: Costs,
    room: Room,
    answer: Answer,
    span: tuple[int, int],
) -> None:
    """`donchian`; `shared`: tops and bottoms by length, which of them enter and leave, settings and true ranges."""
    tops, bottoms, (entry, leave), (fits, fit, ranges, atr) = shared
    none = np.empty(0)
    for k in range(span[0], span[1]):
        i, j = entry[k], leave[k]
        may, sides = (fits[fit[k]], market.free), (plans.long[k], plans.short[k])
        channel_codes(market.priced.close, (tops[i], bottoms[i]), (tops[j], bottoms[j]), may, sides, room.code)
        events = gather(room, market.priced, (ranges[atr[k]], none), _levels(plans, k))
        settled(market, events, _costs(costs, plans.flat[k]), room, answer.figures[k], answer.marked[k])


@compiled
def turns(
    market: Market, shared: TurnColumns, plans: Plans, costs: Costs, room: Room, answer: Answer, span: tuple[int, int]
) -> None:
    """`rsi-reversion`; `shared`: index, index a bar before, stretch and mean by lengths and which are each one's, the
    bounds (oversold, exit, least and most stretch), whether targets rest at the mean, settings and true ranges."""
    (now, before, stretch, mean), at, (low, leave, least, most), rests, (fits, fit, ranges, atr) = shared
    none = np.empty(0)
    for k in range(span[0], span[1]):
        i = at[k]
        may, sides = (fits[fit[k]], market.free), (plans.long[k], plans.short[k])
        turn_codes((now[i], before[i]), stretch[i], (low[k], leave[k], least[k], most[k]), may, sides, room.code)
        events = gather(room, market.priced, (ranges[atr[k]], mean[i] if rests[k] else none), _levels(plans, k))
        settled(market, events, _costs(costs, plans.flat[k]), room, answer.figures[k], answer.marked[k])
