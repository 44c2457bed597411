"""Bars and decisions as arrays, and the fills they lead to: what every simulation here reads and answers (FILLS).

A simulation reads one symbol's `Tape` (its bars), the `Decisions` a strategy made at their closes and the `Terms` of
trading, and answers `Fills`. The fused kernel, vectorbt and the venue are three of them; a parity test holds them
together. Prices are in the instrument's currency, quantities in units (shares), times in microseconds of UTC.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]
Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Tape:
    """One symbol's regular bars of a period, ascending in time, arrays of one height.

    `ts_us` is a bar's open time; `day` counts the sessions of the period from 0; `bar` is the boundary within the
    session (a minute nobody traded leaves a hole); `ends` marks the last bar of a session; `tick` is the price
    increment. Prices are finite and above zero, low ≤ open, close ≤ high; volume may be 0, never NaN.
    """

    symbol: str
    ts_us: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    day: Counts
    bar: Counts
    ends: Bools
    tick: float

    def __len__(self) -> int:
        return len(self.ts_us)


@dataclass(frozen=True, eq=False)
class Decisions:
    """What was decided at each close of a tape, cleaned as FILLS §3 asks (strategies.contract does), not yet shifted.

    `stop` and `target` are levels on tick, NaN for none; `trail_bps` and `max_hold_bars` 0 for none; all four and
    `qty`, the whole units to enter with, count only where an entry is true. `flat_at_close`: what is held at a
    session's last bar is sold at its close. `reverse`: an opposite entry turns the position round, else it closes it.
    """

    entry_long: Bools
    entry_short: Bools
    exit_long: Bools
    exit_short: Bools
    stop: Floats
    target: Floats
    trail_bps: Counts
    max_hold_bars: Counts
    qty: Floats
    flat_at_close: bool = True
    reverse: bool = False


@dataclass(frozen=True)
class Terms:
    """What trading costs. The default is the ideal venue of FILLS §6: nothing.

    `fee_rate` is a fraction of the value traded, `fee_per_order` and `fee_per_unit` amounts in currency;
    `slippage_rate` moves each fill against us by that fraction; `participation` caps an entry at that share of the
    filled bar's volume, 0 for no cap.
    """

    fee_rate: float = 0.0
    fee_per_order: float = 0.0
    fee_per_unit: float = 0.0
    slippage_rate: float = 0.0
    participation: float = 0.0

    def trouble(self) -> tuple[str, str] | None:
        """The first figure that costs cannot have, with its value, and what to give instead; None where all can be."""
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most:  # true of what is no number as well
                return f"{name} is {value}", f"give 0 to {most:g}"
        return None


# Beyond these a figure was meant in another unit: a tenth of the value, a million in currency.
_MOST: Final = {
    "fee_rate": 0.1,
    "fee_per_order": 1e6,
    "fee_per_unit": 1e6,
    "slippage_rate": 0.1,
    "participation": 1.0,
}


class Reason(IntEnum):
    """Why a fill happened; the order of these numbers is part of stored results."""

    ENTRY = 0
    EXIT = 1
    OPPOSITE_ENTRY = 2
    STOP = 3
    TARGET = 4
    TRAIL = 5
    MAX_HOLD = 6
    FLAT_AT_CLOSE = 7


class Phase(IntEnum):
    """Where within its bar a fill happened (FILLS §2)."""

    OPEN = 0
    RANGE = 1
    CLOSE = 2


@dataclass(frozen=True, eq=False)
class Fills:
    """The fills of one symbol in the order they happened, arrays of one height.

    `at` is the row of the tape, `qty` signed (bought above zero), `px` the price paid after slippage, `fee` in
    currency, `phase` and `reason` codes of Phase and Reason. `denied` are the rows of entries refused at the open
    because their level was already passed there (FILLS §4).
    """

    at: Ints
    phase: Codes
    qty: Floats
    px: Floats
    fee: Floats
    reason: Codes
    denied: Ints

    def __len__(self) -> int:
        return len(self.at)
