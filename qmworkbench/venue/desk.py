"""Requests at the desk: the acknowledgement of an order, its cancel, and what goes wrong with them (§13, §14).

Without faults (faults.py) an order is acknowledged when it is taken and a cancel takes effect at once.
"""

from datetime import datetime

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import OrdStatus
from qmworkbench.venue import brackets, busts
from qmworkbench.venue.books import Books
from qmworkbench.venue.faults import FaultKind
from qmworkbench.venue.orders import Ending, OrderRefused, Refusal, VenueOrder


def acknowledge(books: Books, order: VenueOrder) -> None:
    """Say that an order was taken; now, later, or that it was rejected after all."""
    if books.draw(FaultKind.REJECT, order) is not None:
        order.status, order.reason = OrdStatus.REJECTED, Ending.REFUSED_BY_BROKER.value
        books.say(order, ExecType.REJECTED, order.transact_time, reason=order.reason)
        brackets.entry_ended(books, order, order.transact_time)
        return
    late = books.draw(FaultKind.DELAY_ACK, order)
    if late is not None:
        books.schedule(FaultKind.DELAY_ACK, order.cl_ord_id, late.frames)
    else:
        books.say(order, ExecType.NEW, order.transact_time)


def cancel(books: Books, cl_ord_id: str) -> None:
    """Cancel what is left of an order, or say by report why not. Raises OrderRefused for an id no order ever had."""
    order = books.find(cl_ord_id)
    if order is None:
        raise OrderRefused(Refusal.UNKNOWN_ORDER, f"no order was ever taken as {cl_ord_id!r}")
    why = _too_late(books, order, cl_ord_id)
    if why is not None:
        books.refuse(order, ExecType.CANCEL_REJECTED, why, cl_ord_id=cl_ord_id)
    elif books.draw(FaultKind.CANCEL_LATE, order) is not None:
        order.cancel_pending = True
        books.touch(order)
    else:
        # A leg that waits for its entry is not at the market, and cannot fill there.
        order.fills_late = order.is_working and books.draw(FaultKind.FILL_AFTER_CANCEL, order) is not None
        _call_off(books, order, books.now)


def _too_late(books: Books, order: VenueOrder, cl_ord_id: str) -> Ending | None:
    if not order.is_open:
        return Ending.ALREADY_ENDED
    if cl_ord_id != order.told_id:
        return Ending.REPLACED
    if order.cancel_pending:
        return Ending.CANCEL_PENDING
    return Ending.TOO_LATE_TO_CANCEL if books.draw(FaultKind.CANCEL_TOO_LATE, order) is not None else None


def _call_off(books: Books, order: VenueOrder, at: datetime) -> None:
    books.end(order, OrdStatus.CANCELED, Ending.REQUESTED, at)
    if not order.is_exit:
        brackets.entry_ended(books, order, at)


def frame_begins(books: Books, at: datetime) -> None:
    """What was put off to this frame happens before it is matched."""
    for item in list(books.scheduled.values()):
        books.schedule(item.kind, item.ref, item.frames - 1, item.id)
        if item.frames == 1:
            _happen(books, item.kind, item.ref, at)


def frame_ends(books: Books, at: datetime) -> None:
    """Cancels that came late work now, on what the frame has left."""
    if books.faults is not None:
        _late_cancels(books, at)


def _late_cancels(books: Books, at: datetime) -> None:
    for order in list(books.orders.values()):
        if not order.cancel_pending:
            continue
        order.cancel_pending = False
        books.touch(order)
        if order.is_open:
            _call_off(books, order, at)
        else:
            books.refuse(order, ExecType.CANCEL_REJECTED, Ending.TOO_LATE_TO_CANCEL)


def session_ends(books: Books, at: datetime) -> None:
    """Nothing that was put off outlives the session, and nothing that was called off fills in the next."""
    for item in list(books.scheduled.values()):
        books.schedule(item.kind, item.ref, 0, item.id)
        _happen(books, item.kind, item.ref, at)
    _late_cancels(books, at)
    for order in list(books.orders.values()):
        if order.fills_late:
            order.fills_late = False
            books.touch(order)


def _happen(books: Books, kind: str, ref: str, at: datetime) -> None:
    if kind == FaultKind.BUST:
        if books.execution(ref) is not None:  # somebody may have taken it back in the meantime
            busts.bust(books, ref)
        return
    order = books.find(ref)
    if order is not None:
        # An acknowledgement says what was true when it was due, and bears the name the order had then.
        stale = {"ord_status": OrdStatus.ACCEPTED, "cum_qty": ZERO, "avg_px": ZERO}
        books.refuse(order, ExecType.NEW, "", cl_ord_id=order.cl_ord_id, **stale)
