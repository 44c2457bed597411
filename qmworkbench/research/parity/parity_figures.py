"""What a lane's trades come to in units, money and words, on either side of a comparison (M: layer 2)."""

from datetime import datetime
from typing import Final

import numpy as np

from qmworkbench.domain.numbers import ZERO, decimal_of, floor_to
from qmworkbench.research.fills.tape import Reason
from qmworkbench.research.parity.parity_difference import LaneCase
from qmworkbench.research.parity.parity_expected import ExpectedTrade
from qmworkbench.research.parity.parity_record import RecordedTrade

# Of a tick: both sides lie on ticks, so any real difference is a whole one or more.
_SAME_PX: Final = 1e-3


class LaneFigures:
    """Quantities, values and sentences of one lane. Prices in the instrument's currency, money in the account's."""

    def __init__(self, case: LaneCase) -> None:
        self._case = case
        self._bars, self._lane, self._witness = case.bars, case.lane, case.witness

    def _qty(self, decided: int) -> float | None:
        """What the budget buys at the deciding close (FILLS §5), by the rate the session counted with."""
        at = self._bars.closes_at[decided]
        budget = self._lane.budget(at)
        if budget is None:
            return None
        px, rate = decimal_of(float(self._bars.tape.close[decided])), decimal_of(self._case.rate)
        raised = self._lane.raised.get(at)
        intent = self._lane.intents.get(raised.signal_id) if raised is not None else None
        if intent is not None and intent.request.order_qty > 0:
            # What was reserved is quantity × price × rate, so the record holds the rate exactly.
            worst = max(px, intent.request.limit_px or ZERO, intent.request.stop_px or ZERO)
            counted = intent.reserve_notional / (intent.request.order_qty * worst)
            px, rate = worst, counted
        if px <= 0 or rate <= 0:
            return None
        qty = floor_to(budget / (px * rate), self._case.instrument.lot_size)
        limit = self._case.limit_qty
        return float(self._case.instrument.lot_down(qty if limit is None else min(qty, limit)))

    def _rate(self, theirs: RecordedTrade | None) -> float:
        return self._case.rate if theirs is None or theirs.rate is None else theirs.rate

    def _out(self, mine: ExpectedTrade) -> float:
        return float(self._bars.tape.close[-1]) if mine.exit_px is None else mine.exit_px

    def _out_of(self, theirs: RecordedTrade) -> float:
        return float(self._bars.tape.close[-1]) if theirs.exit_px is None else theirs.exit_px

    def _value(self, theirs: RecordedTrade) -> float:
        return theirs.side * theirs.qty * (self._out_of(theirs) - self._basis(theirs)) * self._rate(theirs)

    def _basis(self, theirs: RecordedTrade) -> float:
        """What its P&L counts from: its price, or the session's first where it was carried in."""
        return theirs.entry_px if theirs.entry_at is not None else float(self._bars.tape.open[0])

    def _worth(self, mine: ExpectedTrade, qty: float | None) -> float | None:
        return None if qty is None else mine.side * qty * (self._out(mine) - mine.entry_px) * self._case.rate

    def _notional(self, mine: ExpectedTrade | None, theirs: RecordedTrade | None, qty: float | None) -> float | None:
        if theirs is not None:
            return theirs.qty * self._basis(theirs) * self._rate(theirs)
        return None if mine is None or qty is None else qty * mine.entry_px * self._case.rate

    def _risk(self, mine: ExpectedTrade | None, theirs: RecordedTrade | None, qty: float | None) -> float | None:
        """What the stop that the entry was decided with stood for."""
        decided = mine.decided if mine is not None else None
        units = theirs.qty if theirs is not None else qty
        if mine is None or decided is None or units is None:
            return None
        distance = abs(mine.entry_px - float(self._bars.decisions.stop[decided]))
        return None if np.isnan(distance) or not distance else units * distance * self._rate(theirs)

    def _apart(self, one: float, other: float) -> bool:
        return abs(one - other) > _SAME_PX * self._bars.tape.tick

    def _fill_at(self, row: int) -> datetime:
        return self._bars.closes_at[row]

    def _entry_of(self, mine: ExpectedTrade, qty: float | None) -> str:
        side = "long" if mine.side > 0 else "short"
        return f"{side} {qty:g} at {mine.entry_px:g}" if qty is not None else f"{side} at {mine.entry_px:g}"

    def _entry_was(self, theirs: RecordedTrade) -> str:
        return f"{'long' if theirs.side > 0 else 'short'} {theirs.qty:g} at {theirs.entry_px:g}"

    def _exit_of(self, mine: ExpectedTrade) -> str:
        if mine.exit is None or mine.exit_px is None or mine.exit_reason is None:
            return "still held"
        return f"{_words(mine.exit_reason)} at {mine.exit_px:g}, {self._fill_at(mine.exit):%H:%M} UTC"

    def _exit_was(self, theirs: RecordedTrade) -> str:
        if theirs.exit_at is None or theirs.exit_px is None:
            return "still held"
        return f"{theirs.exit_leg} at {theirs.exit_px:g}, {theirs.exit_at:%H:%M} UTC"


def _words(reason: Reason) -> str:
    return reason.name.lower().replace("_", " ")
