"""Equity at every close of a simulated symbol without looking at every close, compiled (FILLS §8 "Metrics").

Between two fills equity is a straight line of the close: cash + units × close. So the returns of a held stretch are
added up in vectors, and its drawdown is told from the extremes of blocks of closes; single closes are looked at only
where a block holds a new peak and a new depth. Sums are taken in another order than bar by bar, which moves a Sharpe
in its last digits (below 1e-12); where that could matter, or equity touches zero, the answer is "ask `measure`".
"""

from typing import Final, NamedTuple

import numpy as np

from qmworkbench.research.fills.compiled import compiled
from qmworkbench.research.fills.fill_walk import AT, FEE, PX, SIGNED, Scratch
from qmworkbench.research.fills.tape import Floats, Ints, Tape

BLOCK: Final = 16
LANES: Final = 64
_ILL: Final = 1e-5  # below this share of the second moment a variance from sums loses digits that count


class Path(NamedTuple):
    """A tape's closes, made once for all combinations (`path_of`).

    `block_low`, `block_high` are the extremes of every
    BLOCK closes. `marks` are the rows, ascending, at which equity is handed out; the last one is the last row.
    """

    close: Floats
    block_low: Floats
    block_high: Floats
    marks: Ints


def path_of(tape: Tape, marks: Ints) -> Path:
    """The closes of `tape`, equity to be handed out at the rows `marks`."""
    close = np.ascontiguousarray(tape.close, np.float64)
    whole = -(-len(close) // BLOCK) * BLOCK
    low, high = np.full(whole, np.inf), np.full(whole, -np.inf)
    low[: len(close)] = high[: len(close)] = close
    return Path(
        close=close,
        block_low=low.reshape(-1, BLOCK).min(axis=1),
        block_high=high.reshape(-1, BLOCK).max(axis=1),
        marks=np.ascontiguousarray(marks, np.int64),
    )


@compiled
def add_returns(path: Path, lead: float, first: int, end: int, sums: Floats) -> None:
    """Add the returns at the closes from `first` up to, not including, `end` to `sums`, and their squares.

    Held throughout and at the close before `first` as well; `lead` is cash for each unit held. `sums` is 2 × LANES:
    the n-th close of every stretch of LANES goes to the n-th lane, an order of adding that vectors keep. Left to the
    compiler's choice (fastmath), a freshly compiled pass and the same from disk differed in their last bits.
    """
    total, squares = sums[0], sums[1]
    at = first
    while at < end:
        stop = min(at + LANES, end)
        now, before = path.close[at:stop], path.close[at - 1 : stop - 1]
        for i in range(len(now)):
            gain = (now[i] - before[i]) / (lead + before[i])
            total[i] += gain
            squares[i] += gain * gain
        at = stop


@compiled
def deepest(
    path: Path, cash: float, units: float, first: int, end: int, peak: float, depth: float
) -> tuple[float, float]:
    """The highest equity so far and the deepest fall below such a peak, as a share of it, after a held stretch."""
    t = first
    while t < end:
        b = t // BLOCK
        after = (b + 1) * BLOCK
        low, high = cash + units * path.block_low[b], cash + units * path.block_high[b]
        if units < 0:
            low, high = high, low
        if high <= peak and low >= peak * (1.0 - depth):
            t = after  # nothing in the block, of which this may be a part, is new
            continue
        if t == b * BLOCK and after <= end:
            top = max(peak, high)
            if low >= top * (1.0 - depth):
                peak = top
                t = after
                continue
            if high <= peak:
                depth = (peak - low) / peak
                t = after
                continue
        for i in range(t, min(after, end)):
            worth = cash + units * path.close[i]
            if worth > peak:
                peak = worth
            elif worth < peak * (1.0 - depth):
                depth = (peak - worth) / peak
        t = after
    return peak, depth


@compiled
def equity(path: Path, out: Scratch, fills: int, cash: float, found: Floats, marked: Floats) -> bool:
    """Value the account, `cash` at first, at every close of the first `fills` fills in `out`.

    Writes into `found` the mean return over its deviation (inf where nothing varies), the deepest fall as a share of
    the peak before it, the share of closes at which something was held, the equity at the end and the least cash that
    was left after a fill; and into `marked` the equity at each of the path's marks, unless it is empty. False where
    the figures cannot be trusted: equity fell to zero, or the variance drowned in the mean.
    """
    height = len(path.close)
    total = squares = 0.0
    sums = np.zeros((2, LANES))
    peak = value = least = cash
    depth = units = 0.0
    held = i = mark = 0
    while i < fills:
        t = out.what[AT, i]
        while mark < len(marked) and path.marks[mark] < t:
            marked[mark] = cash + units * path.close[path.marks[mark]]
            mark += 1
        while i < fills and out.what[AT, i] == t:
            units += out.money[SIGNED, i]
            cash -= out.money[SIGNED, i] * out.money[PX, i] + out.money[FEE, i]
            i += 1
        if abs(units) < 1e-9:
            units = 0.0
        least = min(least, cash)
        end = out.what[AT, i] if i < fills else height
        worth = cash + units * path.close[t]
        gain = worth / value - 1.0
        total += gain
        squares += gain * gain
        if units != 0.0:
            add_returns(path, cash / units, t + 1, end, sums)
            peak, depth = deepest(path, cash, units, t, end, peak, depth)
            held += end - t
        elif worth > peak:
            peak = worth
        elif worth < peak * (1.0 - depth):
            depth = (peak - worth) / peak
        value = cash + units * path.close[end - 1]
    while mark < len(marked):
        marked[mark] = cash + units * path.close[path.marks[mark]]
        mark += 1
    for lane in range(LANES):
        total += sums[0, lane]
        squares += sums[1, lane]
    variance = (squares - total * total / height) / (height - 1) if height > 1 else 0.0
    found[0] = total / height / np.sqrt(variance) if variance > 0 else np.inf
    found[1], found[2], found[3], found[4] = depth, held / height, value, least
    return depth < 1.0 and peak > 0 and not (squares > 0 and variance <= _ILL * squares / height)
