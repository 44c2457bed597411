"""The level of a trailing stop, counted exactly and rounded away from the market (FILLS §7)."""

from typing import Final

import numpy as np

from qmworkbench.research.fills.compiled import compiled

_UNITS: Final = 1e8  # exact numbers have eight decimals, as in the venue
_EXACT_BELOW: Final = 9.0e14  # units that can still be multiplied by 10,000 in 64 bits
_FORGIVEN_TICKS: Final = 1e-6


@compiled
def level_behind(peak: float, bps: int, side: int, tick: float, tick_units: int, ticks_per_unit: float) -> float:
    """The level `bps` behind `peak`, on tick, away from the market: down for a long (side 1), up for a short (-1).

    `tick_units` and `ticks_per_unit` are those of Rows.
    """
    units = np.round(peak * _UNITS)
    share = np.int64(10_000 - side * bps)
    if tick_units > 0 and units < _EXACT_BELOW:
        dividend, divisor = np.int64(units) * share, np.int64(10_000) * tick_units
        count = dividend // divisor
        if side < 0 and count * divisor < dividend:
            count += 1
        ticks = np.float64(count)
    else:
        exact = peak * (share / 10_000.0) / tick
        ticks = np.floor(exact + _FORGIVEN_TICKS) if side > 0 else np.ceil(exact - _FORGIVEN_TICKS)
    return ticks / ticks_per_unit if ticks_per_unit > 0 else ticks * tick
