"""Trading pauses: a price that leaves its band stops trading for five minutes and reopens elsewhere (§9, §20).

After the limit-up-limit-down rule, made simple: the band is ten percent about the price five minutes before, twice as
wide in the first quarter of an hour and the last; a stock pauses three times a session at most. Large moves of a single
minute pause it too.
"""

from typing import Final

import numpy as np

from qmworkbench.market.demo.exact import Floats

PAUSE: Final = 5
BAND: Final = 0.10
MOST: Final = 3
_LOOK_BACK: Final = 5
_WIDE_ENDS: Final = 15


def pauses(path: Floats) -> list[tuple[int, int]]:
    """Each pause as (seat's row, its first minute without trade); `path` are logarithms of prices at minutes' ends."""
    minutes = path.shape[1]
    band = np.full(minutes, BAND)
    band[:_WIDE_ENDS] *= 2
    band[-_WIDE_ENDS:] *= 2
    moved = np.abs(path[:, _LOOK_BACK:] - path[:, :-_LOOK_BACK]) > band[_LOOK_BACK:]
    found = []
    for row in np.flatnonzero(moved.any(axis=1)).tolist():
        free, count = 0, 0
        for at in (np.flatnonzero(moved[row]) + _LOOK_BACK + 1).tolist():
            if at >= free and count < MOST and at + PAUSE < minutes:
                found.append((row, at))
                free, count = at + PAUSE + _LOOK_BACK, count + 1
    return found
