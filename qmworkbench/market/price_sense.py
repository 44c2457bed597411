"""Whether the prices of a feed can be believed at all: impossible bars, leaps of many symbols at once, crossed quotes
(§12).

One symbol's odd price is that symbol's trouble: the price collar and the quarantine see to it. A quarter of those that
traded is the feed's.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from qmworkbench.trading.frames import BarFrame, Floats

# The share of symbols from which on it is the feed, and the least number where only a leap speaks against them.
SHARE: Final = 0.25
LEAST_LEAPS: Final = 3
# A close this many times the one before it, or that fraction of it.
LEAP: Final = 2.0
# Well inside of that, and of how many symbols the numbers are looked at one by one.
_NOT_HALF: Final = 1.02 / LEAP
_NOT_TWICE: Final = 0.98 * LEAP
_FEW: Final = 48


class PriceSense:
    """Remembers each symbol's last believable close. Frames in turn; no clock inside."""

    def __init__(self) -> None:
        self._last: Floats = np.full(0, np.nan)

    def doubt(self, frame: BarFrame) -> str:
        """Why the frame's prices cannot be believed, "" where they can."""
        traded = len(frame)
        if not traded:
            return ""
        last = self._last_of(frame)
        if _plain(frame, last):
            self._last[frame.index] = frame.close
            return ""
        impossible = _impossible(frame)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(impossible, np.nan, frame.close / last)
        leapt = (ratio > LEAP) | (ratio < 1 / LEAP)
        believable = ~(impossible | leapt)
        self._last[frame.index[believable]] = frame.close[believable]
        broken, leaps = int(impossible.sum()), int(leapt.sum())
        if broken >= SHARE * traded:
            return f"{broken} of {traded} bars are impossible"
        if leaps >= max(LEAST_LEAPS, SHARE * traded):
            return f"{leaps} of {traded} symbols leapt by more than {LEAP:g} times"
        return ""

    def _last_of(self, frame: BarFrame) -> Floats:
        needed = int(frame.index[-1]) + 1
        if needed > len(self._last):
            self._last = np.concatenate((self._last, np.full(needed - len(self._last), np.nan)))
        return self._last[frame.index]


def crossed(bid: Floats, ask: Floats) -> str:
    """Why a table of quotes cannot be believed, "" where it can. A missing side (NaN) says nothing."""
    both = np.isfinite(bid) & np.isfinite(ask)
    quoted = int(both.sum())
    wrong = int((both & ((bid > ask) | (bid <= 0))).sum())
    return f"{wrong} of {quoted} quotes are crossed or not above zero" if quoted and wrong >= SHARE * quoted else ""


def _plain(frame: BarFrame, last: Floats) -> bool:
    """Nothing about a small frame is odd, told without arrays: what most frames are. Near a leap, and where anything is
    no number, the exact rule decides.
    """
    if len(frame) > _FEW:
        return False
    columns = [column.tolist() for column in (frame.open, frame.high, frame.low, frame.close, last)]
    return all(
        0 < low <= opened <= high < math.inf
        and low <= close <= high
        and _NOT_HALF * before < close < _NOT_TWICE * before
        for opened, high, low, close, before in zip(*columns, strict=True)
    )


def _impossible(frame: BarFrame) -> npt.NDArray[np.bool_]:
    prices = np.stack((frame.open, frame.high, frame.low, frame.close))
    broken = ~np.isfinite(prices).all(axis=0) | (prices <= 0).any(axis=0)
    outside = (np.maximum(frame.open, frame.close) > frame.high) | (np.minimum(frame.open, frame.close) < frame.low)
    found: npt.NDArray[np.bool_] = broken | outside
    return found
