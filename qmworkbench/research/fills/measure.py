"""The figures of one simulated symbol, compiled: equity at closes, closed trades (FILLS §8).

Repeats the order of operations in which vectorbt adds up cash and trades, its snapping of sums within 1e-9 to zero
included: an exact breakeven has one sign only if everybody computes it alike.
"""

from enum import IntEnum
from typing import Final

import numpy as np

from qmworkbench.research.fills.compiled import compiled
from qmworkbench.research.fills.fill_walk import AT, CLOSE, FEE, PX, SESSION_END, SIGNED, Rows, Scratch
from qmworkbench.research.fills.tape import Floats


class Figure(IntEnum):
    """The places of a row of figures; money in currency, ratios as plain numbers.

    `SHARPE` is per bar, not yet annualised; inf where returns do not vary. `MAX_DRAWDOWN` counts the initial cash as a
    peak, `MAX_DRAWDOWN_CLOSES` begins at the first close; both are at most 0. Trades are closed round trips, an open
    one is counted apart and valued in the return. `WIN_RATE` is NaN without a closed trade, `PROFIT_FACTOR` where none
    won or lost, inf where none lost. `EXPOSURE` is the share of closes at which something was held.
    """

    TOTAL_RETURN = 0
    SHARPE = 1
    MAX_DRAWDOWN = 2
    MAX_DRAWDOWN_CLOSES = 3
    TRADES = 4
    OPEN_TRADES = 5
    WINS = 6
    WIN_RATE = 7
    PROFIT_FACTOR = 8
    GROSS_PROFIT = 9
    GROSS_LOSS = 10
    BEST_TRADE = 11
    WORST_TRADE = 12
    EXPOSURE = 13
    FEES = 14
    TURNOVER = 15
    FINAL_EQUITY = 16
    OPEN_PNL = 17


FIGURES: Final = len(Figure)

_RETURN, _SHARPE, _DRAWDOWN, _DRAWDOWN_CLOSES, _TRADES, _OPEN, _WINS, _WIN_RATE, _FACTOR = range(9)
_PROFIT, _LOSS, _BEST, _WORST, _EXPOSURE, _FEES, _TURNOVER, _EQUITY, _OPEN_PNL = range(9, 18)
_REL, _ABS = 1e-9, 1e-12
_ILL = 1e-6  # below this share of the second moment a variance from sums has lost its digits


@compiled
def close_to(a: float, b: float) -> bool:
    """Whether two finite numbers are the same to nine digits."""
    return abs(a - b) <= max(_REL * max(abs(a), abs(b)), _ABS)


@compiled
def added(a: float, b: float) -> float:
    """a + b, zero where they cancel to nine digits."""
    if np.sign(a) != np.sign(b):
        zero = close_to(abs(a), abs(b))
    else:
        zero = close_to(a + b, 0.0)
    return 0.0 if zero else a + b


@compiled
def gained(before: float, after: float) -> float:
    """The return from one value to the next; a fall from nothing or from debt is a loss."""
    if before == 0:
        return 0.0 if after == 0 else np.inf * np.sign(after)
    gain = (after - before) / before
    return -gain if before < 0 else gain


@compiled
def trade_gain(size: float, entry_px: float, entry_fee: float, exit_px: float, exit_fee: float, side: int) -> float:
    """What a round trip made after fees."""
    made = added(size * exit_px, -(size * entry_px))
    if made != 0 and side < 0:
        made = -made
    return made - entry_fee - exit_fee


@compiled
def measure(rows: Rows, out: Scratch, fills: int, cash: float, figures: Floats, sessions: Floats) -> None:
    """Write the figures of the first `fills` fills in `out` into `figures` (FIGURES places, see Figure).

    `cash` is what the account begins with. `sessions` is filled with the equity at each session's last close, in
    order, the last one at the end of the data; give an empty array to leave it out.
    """
    height = rows.price.shape[1]
    total, squares, equity, held = _equity(rows, out, fills, cash, 0.0, figures, sessions)
    figures[_SHARPE] = np.nan
    if height > 1:
        mean = total / height
        variance = (squares - total * mean) / (height - 1)
        if squares > 0 and variance <= _ILL * squares / height:
            rest, squares, _, _ = _equity(rows, out, fills, cash, mean, figures, sessions)
            variance = (squares - rest * rest / height) / (height - 1)
        figures[_SHARPE] = mean / np.sqrt(variance) if squares > 0 and variance > 0 else np.inf
    figures[_EXPOSURE] = held / height if height > 0 else 0.0
    figures[_EQUITY] = equity
    booked(rows, out, fills, cash, figures)


@compiled
def _equity(
    rows: Rows, out: Scratch, fills: int, cash: float, shift: float, figures: Floats, sessions: Floats
) -> tuple[float, float, float, int]:
    """Value the account at every close; the sum of returns less `shift`, of their squares, the last value, and at how
    many closes something was held. Drawdowns go into `figures`, session ends into `sessions`.
    """
    height = rows.price.shape[1]
    owned, value, peak, peak_closes = 0.0, cash, cash, -np.inf
    low, low_closes, total, squares = 1.0, 1.0, 0.0, 0.0
    i = held = session = t = 0
    while t < height:
        if i < fills and out.what[AT, i] == t:
            bought = spent = 0.0
            while i < fills and out.what[AT, i] == t:
                bought = added(bought, out.money[SIGNED, i])
                spent = added(spent, -out.money[SIGNED, i] * out.money[PX, i] - out.money[FEE, i])
                i += 1
            owned, cash = added(owned, bought), added(cash, spent)
        end = out.what[AT, i] if i < fills else height
        if len(sessions) > 0:
            end = min(end, rows.mark[SESSION_END, t] + 1)
        first = t
        while t < end:
            worth = cash + rows.price[CLOSE, t] * owned
            gain = gained(value, worth) - shift
            value = worth
            total += gain
            squares += gain * gain
            if worth > peak:
                peak = worth
            elif worth < peak * low:
                low = worth / peak
            if worth > peak_closes:
                peak_closes = worth
            elif worth < peak_closes * low_closes:
                low_closes = worth / peak_closes
            t += 1
            if owned == 0:  # nothing moves until the next fill
                total -= shift * (end - t)
                squares += shift * shift * (end - t)
                t = end
        held += t - first if owned != 0 else 0
        if len(sessions) > 0 and (t == height or rows.mark[SESSION_END, t - 1] == t - 1):
            sessions[session] = value
            session += 1
    figures[_DRAWDOWN], figures[_DRAWDOWN_CLOSES] = low - 1.0, low_closes - 1.0
    return total, squares, value, held


@compiled
def _booked(figures: Floats, gain: float) -> None:
    """Count one closed trade."""
    figures[_TRADES] += 1
    if gain > 0:
        figures[_WINS] += 1
        figures[_PROFIT] += gain
    else:
        figures[_LOSS] += gain
    figures[_BEST] = max(figures[_BEST], gain)
    figures[_WORST] = min(figures[_WORST], gain)


@compiled
def _trades(rows: Rows, out: Scratch, fills: int, figures: Floats) -> None:
    """Round trips out of fills, as vectorbt's exit trades: a flip closes one and opens the next at one price, and
    shares its fee between them by quantity.
    """
    for place in (_TRADES, _OPEN, _WINS, _PROFIT, _LOSS, _OPEN_PNL):
        figures[place] = 0.0
    figures[_BEST], figures[_WORST] = -np.inf, np.inf
    side, size, gross, fees = 0, 0.0, 0.0, 0.0
    for i in range(fills):
        qty, px, fee = abs(out.money[SIGNED, i]), out.money[PX, i], out.money[FEE, i]
        way = 1 if out.money[SIGNED, i] > 0 else -1
        if side == 0:
            side, size, gross, fees = way, 0.0, 0.0, 0.0
        if way == side:
            size += qty
            gross += qty * px
            fees += fee
        elif qty < size or close_to(qty, size):
            whole = close_to(qty, size)
            exited = size if whole else qty
            _booked(figures, trade_gain(exited, gross / size, exited / size * fees, px, fee, side))
            if whole:
                side = 0
            else:
                left = (size - qty) / size
                size *= left
                gross *= left
                fees *= left
        else:
            share = size / qty * fee
            _booked(figures, trade_gain(size, gross / size, fees, px, share, side))
            size = qty - size
            gross, fees, side = size * px, fee - share, -side
    if side != 0:
        figures[_OPEN] = 1
        last = rows.price[CLOSE, rows.price.shape[1] - 1]
        figures[_OPEN_PNL] = trade_gain(size, gross / size, fees, last, 0.0, side)
    closed, lost = figures[_TRADES], figures[_LOSS]
    if closed == 0:
        figures[_BEST] = figures[_WORST] = np.nan
    figures[_WIN_RATE] = figures[_WINS] / closed if closed > 0 else np.nan
    won = figures[_PROFIT]
    figures[_FACTOR] = won / -lost if lost < 0 else (np.inf if won > 0 else np.nan)


@compiled
def booked(rows: Rows, out: Scratch, fills: int, cash: float, figures: Floats) -> None:
    """Write what the fills alone tell: total return, fees, turnover, and the trades."""
    fees = turnover = owned = flow = 0.0
    for i in range(fills):
        qty, px, fee = out.money[SIGNED, i], out.money[PX, i], out.money[FEE, i]
        size = abs(qty)
        fees += fee
        turnover += size * px
        flow = added(flow, -(size * px + fee) if qty > 0 else size * px - fee)
        owned = added(owned, qty)
    profit = flow + owned * rows.price[CLOSE, rows.price.shape[1] - 1] if fills > 0 else 0.0
    figures[_RETURN] = profit / cash
    figures[_FEES] = fees
    figures[_TURNOVER] = turnover
    _trades(rows, out, fills, figures)
