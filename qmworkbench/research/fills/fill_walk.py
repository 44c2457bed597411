"""The fused fill model: one symbol's decisions walked from event to event, fills written into scratch (FILLS §2–§6).

Everything here is compiled, works on plain arrays and allocates nothing: a sweep gives each thread its scratch and
calls `walk` for every combination. Rows without a decision are looked at only while something is held that has a
stop, a target or a trail; blocks of rows whose extremes reach neither are skipped whole.

Prices are compared as they came: a level on tick and a print on tick are the floats nearest to the same decimal, so
an exact tie is a tie. Trailing levels are counted in whole hundred-millionths of the currency and rounded away from
the market in whole ticks, exact where prices have at most eight decimals.
"""

from typing import Final, NamedTuple

import numpy as np

from qmworkbench.research.fills.compiled import compiled
from qmworkbench.research.fills.tape import Floats, Ints
from qmworkbench.research.fills.trailing import level_behind

BLOCK: Final = 16
"""Rows whose lowest low and highest high are kept together."""

ENTRY_LONG: Final = 1
ENTRY_SHORT: Final = 2
EXIT_LONG: Final = 4
EXIT_SHORT: Final = 8

_ENTRY, _EXIT, _OPPOSITE, _STOP, _TARGET, _TRAIL, _MAX_HOLD, _FLAT = range(8)  # tape.Reason
_OPEN, _RANGE, _CLOSE = range(3)  # tape.Phase


class Rows(NamedTuple):
    """A tape as the walk reads it, contiguous (`fill_kernel.rows_of` makes it once for all combinations).

    `price` holds the rows OPEN, HIGH, LOW, CLOSE, VOLUME; `mark` the rows SESSION_END, the row at which a row's session
    ends (the height of the tape where the data end before it does), and CLOCK, the count of boundaries, holes included;
    `block` the LOWEST low and HIGHEST high of every BLOCK rows. `tick_units` is the tick in hundred-millionths, 0 where
    it is no whole number of them; `ticks_per_unit` the whole number of ticks in one unit of currency, 0 where the tick
    is one or more. Few arrays, because each costs a little every time it is handed on.
    """

    price: Floats
    mark: Ints
    block: Floats
    tick: float
    tick_units: int
    ticks_per_unit: float


class Events(NamedTuple):
    """The rows at which something was decided, ascending, and what.

    `what` holds ROW and CODE: ENTRY_LONG, ENTRY_SHORT, EXIT_LONG, EXIT_SHORT added up, cleaned as FILLS §3 asks: no
    entry where the same side's exit is set, none where both are, none at a session's last row. `plan` holds, for
    entries alone, STOP and TARGET (NaN for none), TRAIL in bps and HOLD in bars (0 for none), QTY in whole units.
    """

    what: Ints
    plan: Floats


class Costs(NamedTuple):
    """tape.Terms and the policies of tape.Decisions, as numbers."""

    fee_rate: float
    fee_per_order: float
    fee_per_unit: float
    slippage_rate: float
    participation: float
    flat_at_close: bool
    reverse: bool


class Scratch(NamedTuple):
    """Where fills are written, in `what` AT, PHASE, REASON and, on its own count, DENIED; in `money` SIGNED, PX, FEE.

    Two places for every entry event, and one more, are enough (`fill_kernel.scratch`).
    """

    what: Ints
    money: Floats


OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
SESSION_END, CLOCK = range(2)
LOWEST, HIGHEST = range(2)
ROW, CODE = range(2)
STOP, TARGET, TRAIL, HOLD, QTY = range(5)
AT, PHASE, REASON, DENIED = range(4)
SIGNED, PX, FEE = range(3)


@compiled
def trail_level(rows: Rows, peak: float, bps: int, side: int) -> float:
    """`level_behind` on the ticks of a tape."""
    return level_behind(peak, bps, side, rows.tick, rows.tick_units, rows.ticks_per_unit)


@compiled
def first_touch(rows: Rows, begin: int, end: int, stop: float, target: float, side: int) -> int:
    """The first row from `begin` up to, not including, `end` whose range reaches a level; `end` if none does.

    A level that is NaN is never reached.
    """
    t = begin
    if side > 0:
        while t < end:
            if t % BLOCK == 0:
                b = t // BLOCK
                while t + BLOCK <= end and not (rows.block[LOWEST, b] <= stop or rows.block[HIGHEST, b] >= target):
                    t += BLOCK
                    b += 1
                if t >= end:
                    return end
            if rows.price[LOW, t] <= stop or rows.price[HIGH, t] >= target:
                return t
            t += 1
    else:
        while t < end:
            if t % BLOCK == 0:
                b = t // BLOCK
                while t + BLOCK <= end and not (rows.block[HIGHEST, b] >= stop or rows.block[LOWEST, b] <= target):
                    t += BLOCK
                    b += 1
                if t >= end:
                    return end
            if rows.price[HIGH, t] >= stop or rows.price[LOW, t] <= target:
                return t
            t += 1
    return end


@compiled
def first_trailed(
    rows: Rows, begin: int, end: int, levels: tuple[float, float], peak: float, bps: int, side: int
) -> tuple[int, float, bool]:
    """As `first_touch` with a trailing stop, entered at row `begin`: the row, the level then, whether it is the
    trailing one.

    `levels` are the fixed stop (NaN for none; the nearer of both counts) and the target. The open is tested against
    the old peak and then raises it, the range is tested, then the bar's own extreme raises it.
    """
    fixed, target = levels
    level = trail_level(rows, peak, bps, side)
    trailed = not (side * (fixed - level) >= 0)
    if not trailed:
        level = fixed
    for t in range(begin, end):
        first = rows.price[OPEN, t]
        if t > begin and (side * (first - level) <= 0 or side * (first - target) >= 0):
            return t, level, trailed
        if side * (first - peak) > 0:
            peak = first
            raised = trail_level(rows, peak, bps, side)
            if not (side * (fixed - raised) >= 0):
                level, trailed = raised, True
        worst = rows.price[LOW, t] if side > 0 else rows.price[HIGH, t]
        best = rows.price[HIGH, t] if side > 0 else rows.price[LOW, t]
        if side * (worst - level) <= 0 or side * (best - target) >= 0:
            return t, level, trailed
        if side * (best - peak) > 0:
            peak = best
            raised = trail_level(rows, peak, bps, side)
            if not (side * (fixed - raised) >= 0):
                level, trailed = raised, True
    return end, level, trailed


@compiled
def _put(out: Scratch, n: int, costs: Costs, where: tuple[int, int, int], qty: float, px: float) -> None:
    """Write one fill at the market's `px`; `where` is its row, phase and reason."""
    paid = px * (1 + costs.slippage_rate) if qty > 0 else px * (1 - costs.slippage_rate)
    size = abs(qty)
    out.what[AT, n] = where[0]
    out.what[PHASE, n] = where[1]
    out.money[SIGNED, n] = qty
    out.money[PX, n] = paid
    out.money[FEE, n] = size * paid * costs.fee_rate + costs.fee_per_order + costs.fee_per_unit * size
    out.what[REASON, n] = where[2]


@compiled
def _wanted(rows: Rows, events: Events, costs: Costs, k: int, e: int) -> float:
    """How many units event `k` buys or sells at the open of row `e`: 0 if none, -1 if a level lies on the wrong side.

    The cap forgives what a product loses in binary: 0.29 of 100 is 29.
    """
    qty = events.plan[QTY, k]
    side = 1 if events.what[CODE, k] & ENTRY_LONG else -1
    first = rows.price[OPEN, e]
    if side * (first - events.plan[STOP, k]) <= 0 or side * (events.plan[TARGET, k] - first) <= 0:
        return -1.0
    if costs.participation > 0:
        qty = min(qty, np.floor(costs.participation * rows.price[VOLUME, e] * (1 + 1e-12) + 1e-9))
    return qty if qty > 0 else 0.0


@compiled
def _hold_until(rows: Rows, e: int, bars: int) -> int:
    """The row at whose open a position entered at row `e` has been held for `bars` boundaries; the height if none."""
    n: int = rows.price.shape[1]
    due = rows.mark[CLOCK, e] + bars
    x = min(e + bars, n)
    if x < n and rows.mark[CLOCK, x] == due:
        return x
    low, high = e + 1, x
    while low < high:
        middle = (low + high) // 2
        if rows.mark[CLOCK, middle] < due:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _stopped(
    rows: Rows, costs: Costs, out: Scratch, n: int, held: tuple[float, int, int, bool], levels: tuple[float, float, int]
) -> int:
    """Look for the stop, target or trail of what is held, and fill it at place `n`; its row, -1 if there is none.

    `held` is (signed quantity, the row it was entered at, the row after the last whose range counts, whether an exit is
    due at the open of that row), `levels` (stop, target, trail). Where an exit is due a gap is looked for there too.
    """
    qty, e, end, due = held
    stop, target, bps = levels
    side = 1 if qty > 0 else -1
    level, reason = stop, _STOP
    if bps > 0:
        t, level, trailed = first_trailed(rows, e, end, (stop, target), out.money[PX, n - 1], bps, side)
        reason = _TRAIL if trailed else _STOP
    elif not (np.isnan(stop) and np.isnan(target)):
        t = first_touch(rows, e, end, stop, target, side)
    else:
        return -1
    if t == end and not due:
        return -1
    first = rows.price[OPEN, t]
    if t > e:
        if side * (first - level) <= 0:
            _put(out, n, costs, (t, _OPEN, reason), -qty, first)
            return t
        if side * (first - target) >= 0:
            _put(out, n, costs, (t, _OPEN, _TARGET), -qty, first)
            return t
    if t == end:
        return -1
    worst = rows.price[LOW, t] if side > 0 else rows.price[HIGH, t]
    if side * (worst - level) <= 0:
        # Behind the open only where the entry paid more in slippage than it trails: then the market is what it gets.
        px = level if side * (first - level) >= 0 else first
        _put(out, n, costs, (t, _RANGE, reason), -qty, px)
    else:
        _put(out, n, costs, (t, _RANGE, _TARGET), -qty, target)
    return t


@compiled
def _carried(
    rows: Rows, events: Events, costs: Costs, out: Scratch, n: int, entry: tuple[int, int, float], j: int
) -> tuple[int, int, bool]:
    """Hold what event `entry[0]` bought or sold at row `entry[1]` (signed quantity `entry[2]`) until it ends.

    `j` is the first event that would end it. Answers the number of fills, the row from which decisions count again
    (the height if it is still held), and whether an opposite entry is due there instead of a plain exit.
    """
    opened, e, qty = entry
    height = rows.price.shape[1]
    side = 1 if qty > 0 else -1
    x, reason = height, _EXIT
    if j < events.what.shape[1]:
        x = min(events.what[ROW, j] + 1, height)
        if events.what[CODE, j] & (ENTRY_SHORT if side > 0 else ENTRY_LONG):
            reason = _OPPOSITE
    if events.plan[HOLD, opened] > 0:
        due = _hold_until(rows, e, int(events.plan[HOLD, opened]))
        if due < x:
            x, reason = due, _MAX_HOLD
    ends = rows.mark[SESSION_END, e] if costs.flat_at_close else height
    flat = ends < x  # the session's close comes before the exit's open
    end = ends + 1 if flat else x
    held = (qty, e, end, not flat and x < height)
    levels = (events.plan[STOP, opened], events.plan[TARGET, opened], int(events.plan[TRAIL, opened]))
    t = _stopped(rows, costs, out, n, held, levels)
    if t >= 0:
        return n + 1, t, False
    if flat:
        _put(out, n, costs, (ends, _CLOSE, _FLAT), -qty, rows.price[CLOSE, ends])
        return n + 1, ends, False
    if x == height:
        return n, height, False
    if reason == _OPPOSITE and costs.reverse:
        return n, x, True
    _put(out, n, costs, (x, _OPEN, reason), -qty, rows.price[OPEN, x])
    return n + 1, x, False


@compiled
def _next(events: Events, j: int, row: int, codes: int) -> int:
    """The first event from place `j` on, at `row` or later, that has one of `codes`; the number of events if none."""
    while j < events.what.shape[1] and (events.what[ROW, j] < row or not events.what[CODE, j] & codes):
        j += 1
    return j


@compiled
def walk(rows: Rows, events: Events, costs: Costs, out: Scratch) -> tuple[int, int]:
    """Simulate one symbol: fills and denials written into `out`, their numbers answered."""
    height, count = rows.price.shape[1], events.what.shape[1]
    n = denied = 0
    k = after_long = after_short = 0  # the first event not passed yet; the first after it that ends a long, a short
    while True:
        while k < count and not events.what[CODE, k] & (ENTRY_LONG | ENTRY_SHORT):
            k += 1
        if k >= count or events.what[ROW, k] + 1 >= height:
            return n, denied
        e = events.what[ROW, k] + 1
        qty = _wanted(rows, events, costs, k, e)
        if qty <= 0:
            if qty < 0:
                out.what[DENIED, denied] = e
                denied += 1
            k += 1
            continue
        qty = qty if events.what[CODE, k] & ENTRY_LONG else -qty
        _put(out, n, costs, (e, _OPEN, _ENTRY), qty, rows.price[OPEN, e])
        n += 1
        opened, turns = k, True
        while turns:
            if qty > 0:
                j = after_long = _next(events, after_long, e, EXIT_LONG | ENTRY_SHORT)
            else:
                j = after_short = _next(events, after_short, e, EXIT_SHORT | ENTRY_LONG)
            n, e, turns = _carried(rows, events, costs, out, n, (opened, e, qty), j)
            if turns:
                new = _wanted(rows, events, costs, j, e)
                if new < 0:
                    out.what[DENIED, denied] = e
                    denied += 1
                turns = new > 0
                new = max(new, 0.0) if qty < 0 else -max(new, 0.0)
                _put(out, n, costs, (e, _OPEN, _OPPOSITE), new - qty, rows.price[OPEN, e])
                n += 1
                opened, qty = j, new
        while k < count and events.what[ROW, k] < e:
            k += 1
