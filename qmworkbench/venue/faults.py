"""What goes wrong at the venue, as data: which order is refused, which cancel is late, which fill is taken back (§14).

Nothing here is left to chance. A FaultPlan names its occasions beforehand, so that a day replayed with it goes wrong
the same way again; whoever wants chance draws it elsewhere and answers `draw` (FaultSource).

An occasion is counted by its kind, from 1, for the life of the books: the n-th order taken (reject, delay_ack), cancel
of an open order (cancel_late, cancel_too_late, fill_after_cancel), replacement that would have been accepted
(reject_replace), fill (overfill, bust), report (duplicate_report, reorder_reports).
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from qmworkbench.venue.invalid import ModelInvalid


class FaultKind(StrEnum):
    """What can go wrong.

    REJECT: the order is taken and then rejected by report, its legs with it. DELAY_ACK: it works at once, and is
    acknowledged `frames` later. CANCEL_LATE: the cancel takes effect after the next frame, before which the order may
    fill. CANCEL_TOO_LATE: the cancel is refused and the order works on. FILL_AFTER_CANCEL: the cancel is confirmed, and
    what was left fills all the same at the symbol's next open, if its price allows. REJECT_REPLACE: the replacement is
    refused. OVERFILL: `qty` more than was ordered fills (one lot where none is given). BUST: the fill is taken back
    `frames` later. DUPLICATE_REPORT: said again at once under the same execution id. REORDER_REPORTS: comes after the
    report that follows it in the same operation, if there is one.
    """

    REJECT = "reject"
    DELAY_ACK = "delay_ack"
    CANCEL_LATE = "cancel_late"
    CANCEL_TOO_LATE = "cancel_too_late"
    FILL_AFTER_CANCEL = "fill_after_cancel"
    REJECT_REPLACE = "reject_replace"
    OVERFILL = "overfill"
    BUST = "bust"
    DUPLICATE_REPORT = "duplicate_report"
    REORDER_REPORTS = "reorder_reports"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """How it goes wrong: after how many matched frames, and by how much; None: one lot."""

    frames: int = 1
    qty: Decimal | None = None

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ModelInvalid(f"venue.faults.frames = {self.frames} makes no sense: give 1 or more")
        if self.qty is not None and not (self.qty.is_finite() and self.qty > 0):
            raise ModelInvalid(f"venue.faults.qty = {self.qty} makes no sense: give a quantity above 0, or none")


class FaultSource(Protocol):
    """Says what goes wrong. The same questions must get the same answers for a day to be repeatable."""

    def draw(self, kind: FaultKind, nth: int, cl_ord_id: str) -> Fault | None:
        """What goes wrong at the `nth` occasion of this kind, which concerns this order; None: nothing."""
        ...


class PlannedFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault and its occasion: the `nth` of its kind, or (0) every one that concerns `cl_ord_id`."""

    kind: FaultKind
    nth: int = 0
    cl_ord_id: str = ""
    frames: int = 1
    qty: Decimal | None = None

    def __post_init__(self) -> None:
        if (self.nth > 0) == bool(self.cl_ord_id) or self.nth < 0:
            raise ModelInvalid(
                f"venue.faults: {self.kind} with nth {self.nth} and cl_ord_id {self.cl_ord_id!r} names no occasion: "
                "give either nth, from 1, or the id of an order"
            )
        self.fault()

    def fault(self) -> Fault:
        """How it goes wrong. Raises ModelInvalid for numbers that make no sense."""
        return Fault(frames=self.frames, qty=self.qty)


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is to go wrong; the first of two plans for one occasion counts."""

    planned: tuple[PlannedFault, ...] = ()

    def draw(self, kind: FaultKind, nth: int, cl_ord_id: str) -> Fault | None:
        """As FaultSource."""
        for each in self.planned:
            if each.kind is kind and (each.nth == nth if each.nth else each.cl_ord_id == cl_ord_id):
                return each.fault()
        return None


NO_FAULTS: Final = FaultPlan()
