"""What vectorbt asks back while it simulates: signals with a time limit, a stop that follows on tick (FILLS §3).

Compiled, but not kept on disk: vectorbt compiles its own loop around them.
"""

from typing import Any

from numba import njit

from qmworkbench.research.fills.tape import Bools, Floats, Ints
from qmworkbench.research.fills.trailing import level_behind


def _signals(
    context: Any, flags: tuple[Bools, Bools, Bools, Bools], hold: Ints, clock: Ints, entered: Ints
) -> tuple[bool, bool, bool, bool]:
    """The four signals of a row; an exit besides once what is held has been for as many boundaries as it may.

    `entered` remembers, column by column, the last row that asked for an entry while that side was not held.
    """
    i, col, held = context.i, context.col, context.position_now
    buys, leaves_long = flags[0][i, col], flags[1][i, col]
    sells, leaves_short = flags[2][i, col], flags[3][i, col]
    t = i // 2
    if i % 2 == 0 and held != 0 and entered[col] >= 0:
        limit = hold[entered[col], col]
        if limit > 0 and clock[t, col] >= clock[entered[col], col] + limit:
            leaves_long = leaves_long or held > 0
            leaves_short = leaves_short or held < 0
    if (buys and held <= 0) or (sells and held >= 0):
        entered[col] = t
    return buys, leaves_long, sells, leaves_short


def _followed(context: Any, stop: Floats, trail: Ints, ticks: Floats, bias: float) -> tuple[float, bool]:
    """The fraction at which the nearer of the fixed and the trailing level lies behind the peak."""
    e, col = context.init_i // 2, context.col
    bps = trail[e, col]
    if bps <= 0:
        return context.curr_stop, context.curr_trail
    side = 1 if context.position_now > 0 else -1
    peak = context.curr_price
    level = level_behind(peak, bps, side, ticks[col, 0], int(ticks[col, 1]), ticks[col, 2])
    fixed = stop[e, col]
    if side * (fixed - level) > 0:
        level = fixed
    return max(side * (peak - level) / peak - bias, 0.0), True


signals_and_time_limit = njit(_signals)
followed_stop = njit(_followed)
