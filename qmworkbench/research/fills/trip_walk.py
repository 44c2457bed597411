"""Every entry a symbol could make, and the round trip each would be, for whoever shares one account (FILLS §2–§5).

What becomes of a position depends on its own entry alone, not on what was traded before. So all trips of a symbol are
told at once, as if each entry were taken from flat; which of them come to pass is the allocation's business.
"""

from typing import Final, NamedTuple

import numpy as np

from qmworkbench.research.fills.compiled import compiled
from qmworkbench.research.fills.fill_walk import (
    AT,
    CODE,
    ENTRY_LONG,
    ENTRY_SHORT,
    EXIT_LONG,
    EXIT_SHORT,
    OPEN,
    PHASE,
    PX,
    REASON,
    ROW,
    Costs,
    Events,
    Rows,
    Scratch,
    _carried,
    _next,
    _put,
    _wanted,
)
from qmworkbench.research.fills.tape import Floats, Ints

STATUS, ENTERED, LEFT, LEFT_PHASE, LEFT_REASON, RESUMES, ENDED_BY = range(7)
ENTRY_PX, EXIT_PX = range(2)
NONE, DENIED, TAKEN = range(3)
_OPEN: Final = 0
_ENTRY: Final = 0


class Trips(NamedTuple):
    """By event, in `what`: STATUS (NONE: no entry, or nothing to fill; DENIED: a level was passed at the open; TAKEN),
    the rows ENTERED and LEFT (the height of the tape: still held at its end), LEFT_PHASE, LEFT_REASON, the row it
    RESUMES deciding from, and ENDED_BY, the event whose exit or opposite entry was next (the number of events: none).
    In `px` ENTRY_PX and EXIT_PX, slippage in them."""

    what: Ints
    px: Floats


@compiled
def trips_of(rows: Rows, events: Events, costs: Costs, out: Scratch, told: Trips) -> None:
    """Write every event's trip into `told`. `costs.reverse` is off, `out` has room for two fills."""
    height, count = rows.price.shape[1], events.what.shape[1]
    after_long = after_short = 0
    for k in range(count):
        told.what[STATUS, k] = NONE
        if not events.what[CODE, k] & (ENTRY_LONG | ENTRY_SHORT):
            continue
        e = events.what[ROW, k] + 1
        if e >= height:
            continue
        qty = _wanted(rows, events, costs, k, e)
        if qty <= 0:
            told.what[STATUS, k] = DENIED if qty < 0 else NONE
            told.what[ENTERED, k] = e
            continue
        qty = 1.0 if events.what[CODE, k] & ENTRY_LONG else -1.0
        _put(out, 0, costs, (e, _OPEN, _ENTRY), qty, rows.price[OPEN, e])
        if qty > 0:
            j = after_long = _next(events, after_long, e, EXIT_LONG | ENTRY_SHORT)
        else:
            j = after_short = _next(events, after_short, e, EXIT_SHORT | ENTRY_LONG)
        n, resumes, _ = _carried(rows, events, costs, out, 1, (k, e, qty), j)
        told.what[STATUS, k] = TAKEN
        told.what[ENTERED, k] = e
        told.what[LEFT, k] = out.what[AT, 1] if n == 2 else height
        told.what[LEFT_PHASE, k] = out.what[PHASE, 1] if n == 2 else 0
        told.what[LEFT_REASON, k] = out.what[REASON, 1] if n == 2 else -1
        told.what[RESUMES, k] = resumes
        told.what[ENDED_BY, k] = j
        told.px[ENTRY_PX, k] = out.money[PX, 0]
        told.px[EXIT_PX, k] = out.money[PX, 1] if n == 2 else np.nan


def room(events: Events) -> Trips:
    """A place for the trips of so many events."""
    count = events.what.shape[1]
    return Trips(what=np.zeros((7, count), np.int64), px=np.full((2, count), np.nan))
