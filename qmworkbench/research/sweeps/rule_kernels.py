"""Rules of the catalog evaluated for many parameter sets, compiled: shared indicator arrays to events (DESIGN Numbers).

No indicator is computed here. Each function compares columns that strategies.indicators computed, as the strategy's
expressions compare them, null (NaN) and ties included; that the flags are the same bit for bit is a test. A code byte
for each row says what is decided there; codes are then gathered into events, entries with their levels.
Exits are told where they begin: an entry is cleaned of its own exit, so that one which lasts began before it.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qmworkbench.research.fills.compiled import compiled
from qmworkbench.research.fills.fill_walk import (
    CODE,
    ENTRY_LONG,
    ENTRY_SHORT,
    EXIT_LONG,
    EXIT_SHORT,
    HOLD,
    QTY,
    ROW,
    STOP,
    TARGET,
    TRAIL,
    Events,
    Scratch,
)
from qmworkbench.research.fills.tape import Codes, Floats, Ints

_FORGIVEN_TICKS: Final = 1e-6  # strategies.ticks.FORGIVEN_TICKS
_EL, _ES, _XL, _XS = np.int8(ENTRY_LONG), np.int8(ENTRY_SHORT), np.int8(EXIT_LONG), np.int8(EXIT_SHORT)
_NONE, _ALL_UP, _ALL_DOWN = np.uint64(0), np.uint64(0x0101010101010101), np.uint64(0xFFFFFFFFFFFFFFFF)
_AGES: Final = -(1 << 40)


class Room(NamedTuple):
    """What one thread works in, made once for a tape (`room_for`): `side` and `code` a byte for each row, and the same
    memory in words of eight; events, fills, and what `equity` finds."""

    side: Codes
    side_words: npt.NDArray[np.uint64]
    code: Codes
    code_words: npt.NDArray[np.uint64]
    events: Events
    fills: Scratch
    found: Floats


class Levels(NamedTuple):
    """How the entries of one parameter set end, as `exits.exit_plan` reads them: 0 for none, NaN `stop_atr` for no
    stop."""

    stop_atr: float
    target_r: float
    trail_bps: int
    max_hold_bars: int


class Priced(NamedTuple):
    """A tape's closes and units to enter with, by row, and the price increment."""

    close: Floats
    qty: Floats
    tick: float


def room_for(rows: int, height: int) -> Room:
    """Room for a symbol of `rows` rows of which the last `height` are the tape."""
    side_words, code_words = np.zeros(rows // 8 + 2, np.uint64), np.zeros(height // 8 + 2, np.uint64)
    places = 2 * height + 1
    return Room(
        side_words.view(np.int8),
        side_words,
        code_words.view(np.int8),
        code_words,
        Events(what=np.zeros((2, height), np.int64), plan=np.zeros((5, height))),
        Scratch(what=np.empty((4, places), np.int64), money=np.empty((3, places))),
        np.empty(5),
    )


# ── codes ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@compiled
def gap_sides(totals: Ints, fast: int, slow: int, side: Codes) -> None:
    """The sign of `indicators.sma_gap` by row, 0 where it is null: `totals` is the running total with a 0 before it.

    Put in another order than the expression, which changes nothing: whole numbers, whatever wraps around.
    """
    rows = len(totals) - 1
    first = slow - 1
    side[: min(first, rows)] = 0
    if first >= rows:
        return
    now, few, many = totals[slow:], totals[slow - fast : rows + 1 - fast], totals[: rows + 1 - slow]
    signs = side[first:rows]
    for i in range(len(signs)):
        gap = now[i] * (slow - fast) - few[i] * slow + many[i] * fast
        signs[i] = np.int8(gap > 0) - np.int8(gap < 0)


@compiled
def plain_codes(side: Codes, history: int, slow: int, may: Codes, long: bool, short: bool, code: Codes) -> None:
    """`plain_rules.SMA_PLAIN`: in at a change of side, out at the next. `may` is 0 where no entry may be decided."""
    height = len(may)
    buys, sells = np.int8(_EL if long else 0), np.int8(_ES if short else 0)
    begin = max(history, slow) - history  # the first row whose bar before has both averages
    code[: min(begin, height)] = 0
    if begin >= height:
        return
    now, before = side[history + begin : history + height], side[history + begin - 1 : history + height - 1]
    free, codes = may[begin:], code[begin:height]
    for i in range(len(codes)):
        up = np.int8((now[i] > 0) & (before[i] <= 0))
        down = np.int8((now[i] < 0) & (before[i] >= 0))
        codes[i] = up * ((buys * free[i]) | _XS) + down * ((sells * free[i]) | _XL)


@compiled
def cross_codes(room: Room, history: int, slow: int, within: int, may: Codes, sides: tuple[bool, bool]) -> None:
    """`sma_cross`: entries up to `within` bars from a cross, on its side. `may` is 0 where the setting does not fit."""
    side, code = room.side, room.code
    rows = history + len(may)
    buys, sells = np.int8(_EL if sides[0] else 0), np.int8(_ES if sides[1] else 0)
    room.code_words[:] = _NONE
    before, before_at, crossed_at = 0, _AGES, _AGES
    last_up = last_down = False
    t = slow - 1
    while t < rows:
        if t % 8 == 0 and t >= crossed_at + within and t + 8 <= rows:
            word = room.side_words[t >> 3]
            if (word == _ALL_UP and last_up) or (word == _ALL_DOWN and last_down):
                before_at = t + 7
                t += 8
                continue
        now = side[t]
        up, down = now > 0, now < 0
        if now != 0:
            if before * now < 0 and t - before_at <= slow + 1:
                crossed_at = t
            before, before_at = now, t
        if t >= history:
            at = t - history
            told = np.int8(0)
            if up and not last_up:
                told |= _XS
            if down and not last_down:
                told |= _XL
            if may[at] != 0 and now != 0 and t - crossed_at < within:
                told |= buys if up else sells
            code[at] = told
        last_up, last_down = up, down
        t += 1


@compiled
def channel_codes(
    close: Floats,
    entry: tuple[Floats, Floats],
    leave: tuple[Floats, Floats],
    may: tuple[Codes, Codes],
    sides: tuple[bool, bool],
    code: Codes,
) -> None:
    """`donchian`: closes beyond the entry channel (top, bottom) enter, beyond the exit channel leave.

    `may` says where the setting fits, and where any entry may be decided.
    """
    top, bottom = entry
    exit_top, exit_bottom = leave
    fits, free = may
    buys, sells = np.int8(1 if sides[0] else 0), np.int8(1 if sides[1] else 0)
    was_long = was_short = np.int8(0)
    for i in range(len(close)):
        px = close[i]
        leaves_long, leaves_short = np.int8(px < exit_bottom[i]), np.int8(px > exit_top[i])
        ready = fits[i] & free[i]
        long = np.int8(px > top[i]) & buys & ready & (leaves_long ^ np.int8(1))
        short = np.int8(px < bottom[i]) & sells & ready & (leaves_short ^ np.int8(1))
        both = (long & short) ^ np.int8(1)
        begins_long = leaves_long & (was_long ^ np.int8(1))
        begins_short = leaves_short & (was_short ^ np.int8(1))
        code[i] = (long & both) * _EL + (short & both) * _ES + begins_long * _XL + begins_short * _XS
        was_long, was_short = leaves_long, leaves_short


@compiled
def turn_codes(
    index: tuple[Floats, Floats],
    stretch: Floats,
    bounds: tuple[float, float, float, float],
    may: tuple[Codes, Codes],
    sides: tuple[bool, bool],
    code: Codes,
) -> None:
    """`rsi_reversion`: the index (now, a bar before) turns back beyond `bounds` (oversold, exit, least and most
    stretch) while the close is stretched the other way."""
    now, before = index
    low, leave, least, most = bounds
    fits, free = may
    was_long = was_short = np.int8(0)
    buys, sells = np.int8(1 if sides[0] else 0), np.int8(1 if sides[1] else 0)
    for i in range(len(stretch)):
        far, reach = stretch[i], abs(stretch[i])
        ready = fits[i] & free[i] & np.int8(reach >= least) & np.int8((reach <= most) | (most == 0.0))
        leaves_long, leaves_short = np.int8(now[i] >= leave), np.int8(now[i] <= 100.0 - leave)
        up = np.int8((before[i] < low) & (now[i] >= low) & (far < 0.0))
        down = np.int8((before[i] > 100.0 - low) & (now[i] <= 100.0 - low) & (far > 0.0))
        long = up & buys & ready & (leaves_long ^ np.int8(1))
        short = down & sells & ready & (leaves_short ^ np.int8(1))
        both = (long & short) ^ np.int8(1)
        begins_long = leaves_long & (was_long ^ np.int8(1))
        begins_short = leaves_short & (was_short ^ np.int8(1))
        code[i] = (long & both) * _EL + (short & both) * _ES + begins_long * _XL + begins_short * _XS
        was_long, was_short = leaves_long, leaves_short


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@compiled
def price_of(ticks: float, tick: float) -> float:
    """`ticks.price_of`."""
    return ticks / max(np.round(1 / tick), 1.0) if tick < 1 else ticks * tick


@compiled
def level_below(px: float, close: float, tick: float) -> float:
    """`ticks.level_below`."""
    down, up = np.floor(px / tick + _FORGIVEN_TICKS), np.ceil(close / tick - _FORGIVEN_TICKS)
    return price_of(min(down, up - 1), tick)


@compiled
def level_above(px: float, close: float, tick: float) -> float:
    """`ticks.level_above`."""
    up, down = np.ceil(px / tick - _FORGIVEN_TICKS), np.floor(close / tick + _FORGIVEN_TICKS)
    return price_of(max(up, down + 1), tick)


@compiled
def planned(
    plan: Floats, at: int, long: bool, market: tuple[float, float], aims: tuple[float, float], levels: Levels
) -> bool:
    """Write the levels of the entry at place `at`; False where they make no sense against its own close.

    `market` is the deciding close and the tick; `aims` the true range its stop is counted in, and the price its target
    rests at, NaN where the target is counted in risks.
    """
    close, tick = market
    atr, rest = aims
    stop = target = np.nan
    if not np.isnan(levels.stop_atr):
        room = levels.stop_atr * atr
        stop = level_below(close - room, close, tick) if long else level_above(close + room, close, tick)
        if levels.target_r != 0:
            reach = close + levels.target_r * (close - stop)
            target = level_above(reach, close, tick) if long else level_below(reach, close, tick)
    if not np.isnan(rest):
        target = level_above(rest, close, tick) if long else level_below(rest, close, tick)
    plan[STOP, at], plan[TARGET, at] = stop, target
    plan[TRAIL, at], plan[HOLD, at] = levels.trail_bps, levels.max_hold_bars
    if long:
        return not (stop >= close or stop <= 0 or target <= close)
    return not (stop <= close or target >= close or target <= 0)


@compiled
def gather(room: Room, priced: Priced, aims: tuple[Floats, Floats], levels: Levels) -> Events:
    """The codes as events, entries with levels and units.

    `aims`: true ranges and prices that targets rest at, by row; empty where there is no stop, no such target.
    """
    atr, rests = aims
    what, plan, code, words, height = room.events.what, room.events.plan, room.code, room.code_words, len(priced.close)
    count = 0
    for word in range((height + 7) // 8):
        if words[word] == _NONE:
            continue
        for t in range(word * 8, min(word * 8 + 8, height)):
            told = code[t]
            if told == 0:
                continue
            if told & (_EL | _ES):
                plan[QTY, count] = priced.qty[t]
                aim = (atr[t] if len(atr) > 0 else np.nan, rests[t] if len(rests) > 0 else np.nan)
                if not planned(plan, count, told & _EL != 0, (priced.close[t], priced.tick), aim, levels):
                    told &= _XL | _XS
            what[ROW, count], what[CODE, count] = t, told
            count += 1 if told != 0 else 0
    return Events(what[:, :count], plan[:, :count])
