"""One symbol's decisions simulated by the fused fill model: arrays in, fills and figures out (FILLS).

`simulate` answers fills, for a backtest. A sweep makes `rows_of` once for a tape, `events_of` once for each set of
decisions and `Scratch` once for each thread, and calls `simulated` for every combination: nothing is allocated and
nothing is kept but one row of figures.
"""

import numpy as np

from qmworkbench.research.fills.compiled import compiled
from qmworkbench.research.fills.fill_walk import (
    AT,
    BLOCK,
    DENIED,
    ENTRY_LONG,
    ENTRY_SHORT,
    EXIT_LONG,
    EXIT_SHORT,
    FEE,
    PHASE,
    PX,
    REASON,
    SIGNED,
    Costs,
    Events,
    Rows,
    Scratch,
    walk,
)
from qmworkbench.research.fills.measure import measure
from qmworkbench.research.fills.tape import Bools, Decisions, Fills, Floats, Ints, Tape, Terms
from qmworkbench.research.fills.tape_checks import check_decisions, check_tape


@compiled
def simulated(
    rows: Rows, events: Events, costs: Costs, out: Scratch, cash: float, figures: Floats, sessions: Floats
) -> int:
    """Simulate and measure one combination: figures (measure.Figure) and session equities written, fills counted."""
    fills, _ = walk(rows, events, costs, out)
    measure(rows, out, fills, cash, figures, sessions)
    return fills


def simulate(tape: Tape, decisions: Decisions, terms: Terms) -> Fills:
    """The fills that `decisions` lead to on `tape` at these terms. Raises TapeFault for what cannot be simulated."""
    check_tape(tape)
    check_decisions(tape, decisions)
    events = events_of(tape, decisions)
    out = scratch(events)
    fills, denied = walk(rows_of(tape), events, costs_of(terms, decisions), out)
    at, phase, reason = (out.what[place, :fills] for place in (AT, PHASE, REASON))
    qty, px, fee = (out.money[place, :fills].copy() for place in (SIGNED, PX, FEE))
    codes = (phase.astype(np.int8), reason.astype(np.int8))
    return Fills(at.copy(), codes[0], qty, px, fee, codes[1], out.what[DENIED, :denied].copy())


def rows_of(tape: Tape) -> Rows:
    """`tape` as the walk reads it."""
    height = len(tape)
    blocks = -(-height // BLOCK)
    low, high = np.full(blocks * BLOCK, np.inf), np.full(blocks * BLOCK, -np.inf)
    low[:height], high[:height] = tape.low, tape.high
    block = np.array([low.reshape(blocks, BLOCK).min(axis=1), high.reshape(blocks, BLOCK).max(axis=1)])
    units = tape.tick * 1e8
    return Rows(
        price=np.array([tape.open, tape.high, tape.low, tape.close, tape.volume], dtype=np.float64),
        mark=np.array([session_ends(tape), boundaries(tape)]),
        block=block,
        tick=tape.tick,
        tick_units=round(units) if abs(units - round(units)) < 1e-6 else 0,
        ticks_per_unit=float(round(1 / tape.tick)) if tape.tick < 1 else 0.0,
    )


def session_ends(tape: Tape) -> Ints:
    """For each row the row at which its session ends, the height of the tape where the data end before it does."""
    height = len(tape)
    marks = np.flatnonzero(tape.ends)
    return np.append(marks, height)[np.searchsorted(marks, np.arange(height))].astype(np.int64)


def boundaries(tape: Tape) -> Ints:
    """The number of each row's boundary since the first session's opening, minutes in which nobody traded included.

    A session before counts up to its last row: what the calendar holds after that no tape knows.
    """
    if not len(tape):
        return np.empty(0, np.int64)
    last = np.flatnonzero(np.diff(tape.day))
    lengths = np.zeros(int(tape.day[-1]) + 1, np.int64)
    lengths[tape.day[last]] = tape.bar[last].astype(np.int64) + 1
    before = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.asarray(before[tape.day] + tape.bar, np.int64)


def events_of(tape: Tape, decisions: Decisions) -> Events:
    """The rows at which something was decided, entries cleaned as FILLS §3 asks."""
    long, short = cleaned_entries(tape, decisions)
    code = (
        long * ENTRY_LONG + short * ENTRY_SHORT + decisions.exit_long * EXIT_LONG + decisions.exit_short * EXIT_SHORT
    ).astype(np.int8)
    row = np.flatnonzero(code)
    plan = (decisions.stop, decisions.target, decisions.trail_bps, decisions.max_hold_bars, decisions.qty)
    return Events(
        what=np.array([row, code[row]], dtype=np.int64),
        plan=np.array([column[row] for column in plan], dtype=np.float64),
    )


def cleaned_entries(tape: Tape, decisions: Decisions) -> tuple[Bools, Bools]:
    """Entries, long and short, as FILLS §3 cleans them: none where the same side's exit is true, none where both sides
    are left, none at a session's last bar."""
    long, short = decisions.entry_long & ~decisions.exit_long, decisions.entry_short & ~decisions.exit_short
    free = ~(long & short) & ~tape.ends
    return long & free, short & free


def costs_of(terms: Terms, decisions: Decisions) -> Costs:
    """The terms and policies as numbers."""
    return Costs(
        terms.fee_rate,
        terms.fee_per_order,
        terms.fee_per_unit,
        terms.slippage_rate,
        terms.participation,
        decisions.flat_at_close,
        decisions.reverse,
    )


def scratch(events: Events | int) -> Scratch:
    """Room for the fills of `events`, or of that many events."""
    count = events if isinstance(events, int) else events.what.shape[1]
    return Scratch(what=np.empty((4, 2 * count + 1), np.int64), money=np.empty((3, 2 * count + 1)))
