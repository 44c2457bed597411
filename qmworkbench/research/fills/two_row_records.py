"""vectorbt's order records of two rows a bar made into fills: halved, snapped to ticks, with a reason (FILLS §7)."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np

from qmworkbench.research.fills.fill_kernel import cleaned_entries
from qmworkbench.research.fills.tape import Codes, Decisions, Fills, Floats, Ints, Phase, Reason, Tape, Terms

_NEAR_TICKS: Final = 0.5e-4
"""A level this near to a tick is that tick: half of what a whole basis point of a tick is."""


class Simulated(Protocol):
    """A column that was simulated."""

    @property
    def tape(self) -> Tape: ...
    @property
    def decisions(self) -> Decisions: ...
    @property
    def terms(self) -> Terms: ...


def fills_of_records(records: Any, columns: Sequence[Simulated]) -> list[Fills]:
    """The fills of each column. Prices are exact: the bar's own open or close, or a level on tick; costs on top."""
    order = np.lexsort((records["id"], records["col"]))
    records = records[order]
    first = np.searchsorted(records["col"], np.arange(len(columns) + 1))
    return [_fills(records[first[k] : first[k + 1]], column) for k, column in enumerate(columns)]


def _fills(records: Any, column: Simulated) -> Fills:
    tape, terms = column.tape, column.terms
    at, odd = records["idx"] // 2, records["idx"] % 2 == 1
    qty = np.where(records["side"] == 0, records["size"], -records["size"])
    costs = 1 + np.sign(qty) * terms.slippage_rate
    raw = _snapped(tape, at, odd, records["price"] / costs, qty)
    px = raw * costs
    size = np.abs(qty)
    fee = size * px * terms.fee_rate + terms.fee_per_order + terms.fee_per_unit * size
    phase, reason = _told(column, at, odd, raw, qty)
    return Fills(at.astype(np.int64), phase, qty, px, fee, reason, _denied(column, at, qty, phase, reason))


def _snapped(tape: Tape, at: Ints, odd: Any, px: Floats, qty: Floats) -> Floats:
    """What the market's price was: the open or the close where it is that, else a level, away from the market."""
    ticks = px / tape.tick
    nearest = np.round(ticks)
    level = np.where(
        np.abs(ticks - nearest) <= _NEAR_TICKS, nearest, np.where(qty < 0, np.floor(ticks), np.ceil(ticks))
    )
    per_unit = round(1 / tape.tick) if tape.tick < 1 else 0
    snapped = level / per_unit if per_unit else level * tape.tick
    for name in ("close", "open"):
        printed = getattr(tape, name)[at]
        snapped = np.where(np.abs(px - printed) <= _NEAR_TICKS * tape.tick, printed, snapped)
    return np.where(odd, snapped, tape.open[at])


def _told(column: Simulated, at: Ints, odd: Any, raw: Floats, qty: Floats) -> tuple[Codes, Codes]:
    """Phase and reason of each fill as records tell them; where a trail's gap meets an exit that was due, the exit."""
    tape, decisions = column.tape, column.decisions
    after = np.cumsum(qty)
    before = after - qty
    side = np.sign(before)
    opened = np.maximum.accumulate(np.where(after != 0, np.arange(len(qty)), 0))
    origin = at[np.concatenate([[0], opened[:-1]])[: len(qty)]] - 1  # the row at which the position was decided
    stop, target = decisions.stop[origin], decisions.target[origin]
    near = _NEAR_TICKS * tape.tick
    flat = odd & tape.ends[at] & decisions.flat_at_close & (np.abs(raw - tape.close[at]) <= near)
    with np.errstate(invalid="ignore"):
        at_stop = np.where(odd, np.abs(raw - stop) <= near, side * (raw - stop) <= 0)
        at_target = np.where(odd, np.abs(raw - target) <= near, side * (raw - target) >= 0)
    decided = np.maximum(at - 1, 0)
    long, short = cleaned_entries(tape, decisions)
    opposite = np.where(side > 0, short[decided], long[decided])
    leaves = np.where(side > 0, decisions.exit_long[decided], decisions.exit_short[decided])
    held = decisions.max_hold_bars[origin] > 0
    turned = (before != 0) & (np.sign(after) == -side)
    told = (
        (before == 0, Reason.ENTRY),
        (turned, Reason.OPPOSITE_ENTRY),
        (at_stop, Reason.STOP),
        (at_target, Reason.TARGET),
        (flat, Reason.FLAT_AT_CLOSE),
        (~odd & opposite, Reason.OPPOSITE_ENTRY),
        (~odd & leaves, Reason.EXIT),
        (~odd & held, Reason.MAX_HOLD),
    )
    reason = np.select([where for where, _ in told], [why for _, why in told], default=Reason.TRAIL)
    phase = np.where(odd, np.where(reason == Reason.FLAT_AT_CLOSE, Phase.CLOSE, Phase.RANGE), Phase.OPEN)
    return phase.astype(np.int8), reason.astype(np.int8)


def _denied(column: Simulated, at: Ints, qty: Floats, phase: Codes, reason: Codes) -> Ints:
    """The opens at which an entry was refused, its level passed: nothing was held, or it was to be turned."""
    tape, decisions = column.tape, column.decisions
    held = np.zeros(len(tape) + 1)
    np.add.at(held, at + 1, qty)
    before = np.cumsum(held)[:-1]  # as each bar opens
    long, short = cleaned_entries(tape, decisions)
    rows = np.flatnonzero(long | short)
    rows = rows[rows + 1 < len(tape)]
    side = np.where(long[rows], 1.0, -1.0)
    first, stop, target = tape.open[rows + 1], decisions.stop[rows], decisions.target[rows]
    with np.errstate(invalid="ignore"):
        passed = (side * (first - stop) <= 0) | (side * (target - first) <= 0)
    there = np.sign(before[rows + 1])
    gone = at[(phase == Phase.OPEN) & np.isin(reason, (Reason.STOP, Reason.TARGET, Reason.TRAIL))]
    turned = (there == -side) & decisions.reverse & ~np.isin(rows + 1, gone)
    return np.asarray(rows[passed & ((there == 0) | turned)] + 1, np.int64)
