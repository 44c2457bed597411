"""What the venue does wrong in a simulated session: its own kinds of fault, drawn by order from the plan (§14)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from qmworkbench.simulation.plan import Faults
from qmworkbench.venue.faults import Fault, FaultKind

# The plan's word for each of the venue's kinds.
WORDS: Final[dict[FaultKind, str]] = {
    FaultKind.REJECT: "rejected",
    FaultKind.DELAY_ACK: "ack_late",
    FaultKind.CANCEL_LATE: "cancel_late",
    FaultKind.CANCEL_TOO_LATE: "cancel_too_late",
    FaultKind.FILL_AFTER_CANCEL: "fill_after_cancel",
    FaultKind.REJECT_REPLACE: "replace_rejected",
    FaultKind.OVERFILL: "over_fill",
    FaultKind.BUST: "bust",
    FaultKind.DUPLICATE_REPORT: "said_twice",
    FaultKind.REORDER_REPORTS: "said_out_of_order",
}
# After these the exposure is not what our own sends made of it.
_NOT_OURS: Final = (FaultKind.OVERFILL, FaultKind.BUST, FaultKind.FILL_AFTER_CANCEL)


class VenueFaults:
    """venue.faults.FaultSource. `planted` hears of an order whose exposure is not its sender's any more."""

    def __init__(self, faults: Faults, planted: Callable[[FaultKind, str], None]) -> None:
        self.faults = faults
        self.planted = planted

    def draw(self, kind: FaultKind, nth: int, cl_ord_id: str) -> Fault | None:
        """By the order it concerns, not by its place in the session: one order less changes nothing for the others."""
        word = WORDS.get(kind)
        if word is None or not self.faults.strikes(word, cl_ord_id):
            return None
        if kind in _NOT_OURS:
            self.planted(kind, cl_ord_id)
        chance, key = self.faults.chance, self.faults.last_key()
        qty = Decimal(chance.whole("over_fill/qty", key, 1, 9)) if kind is FaultKind.OVERFILL else None
        return Fault(frames=chance.whole(f"{word}/frames", key, 1, 3), qty=qty)
