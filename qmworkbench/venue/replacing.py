"""An open order goes on under a new id with another quantity or other prices, all at once or not at all (§13).

What was asked for is checked like a new order, and answered by report: REPLACED, or REPLACE_REJECTED with the reason
and nothing changed. An id the order no longer has is unknown to a real broker, so that is a rejection as well.

- The quantity is the whole one, what has filled included; it must leave something to fill (to end an order, cancel it).
- A bracket leg can be replaced once it works. It has the quantity its entry gives it: only its prices may change.
  Another quantity for an entry goes to the legs that wait for it; those at work cover what has filled.
- Its place in the queue is lost with another price or a larger quantity, as though it had just come.
- A stop that has been touched is at work already: its stop price is history.
"""

from copy import copy
from datetime import datetime
from decimal import Decimal

from qmworkbench.domain.execution import ExecType, ReplaceRequest
from qmworkbench.venue import door
from qmworkbench.venue.books import Books
from qmworkbench.venue.faults import FaultKind
from qmworkbench.venue.orders import Ending, OrderRefused, Refusal, VenueOrder


def replace(books: Books, request: ReplaceRequest) -> None:
    """Replace an open order, or say why not by report. Raises OrderRefused for an id that no order ever had."""
    order = books.find(request.orig_cl_ord_id)
    if order is None:
        raise OrderRefused(Refusal.UNKNOWN_ORDER, f"no order was ever taken as {request.orig_cl_ord_id!r}")
    try:
        _check(books, order, request)
    except OrderRefused as refused:
        reject(books, order, request, refused.code)
        return
    if books.draw(FaultKind.REJECT_REPLACE, order) is not None:
        reject(books, order, request, Ending.TOO_LATE_TO_REPLACE)
        return
    _go_on(books, order, request, books.now)


def reject(books: Books, order: VenueOrder, request: ReplaceRequest, reason: str) -> None:
    """Say no to a replacement."""
    books.refuse(
        order,
        ExecType.REPLACE_REJECTED,
        reason,
        cl_ord_id=request.cl_ord_id,
        orig_cl_ord_id=request.orig_cl_ord_id,
    )


def _check(books: Books, order: VenueOrder, request: ReplaceRequest) -> None:
    door.check_id(request.cl_ord_id)
    if books.used([request.cl_ord_id]) is not None:
        raise OrderRefused(Refusal.DUPLICATE_CL_ORD_ID, f"{request.cl_ord_id} already names an order")
    if not order.is_open:
        raise OrderRefused(Ending.ALREADY_ENDED, f"{request.orig_cl_ord_id} has ended as {order.status}")
    if request.orig_cl_ord_id != order.told_id or order.cancel_pending:
        code = Ending.CANCEL_PENDING if order.cancel_pending else Ending.REPLACED
        raise OrderRefused(code, f"{request.orig_cl_ord_id} goes on as {order.told_id}, if at all")
    door.check_market(books, order.symbol)
    qty, instrument = request.order_qty, books.instruments[order.symbol]
    door.check_qty(request.cl_ord_id, order.symbol, qty, instrument)
    if order.held:
        raise OrderRefused(Refusal.LEG_WAITS, f"{request.orig_cl_ord_id} waits for its entry; replace it once it works")
    if order.parent_id is not None and qty != order.order_qty:
        raise OrderRefused(Refusal.LEG_FOLLOWS_ENTRY, f"a leg has its entry's quantity, {order.order_qty}, not {qty}")
    if qty <= order.cum_qty:
        raise OrderRefused(Refusal.QTY_BELOW_FILLED, f"{order.cum_qty} have filled; give more than that, or cancel")
    if order.triggered and request.stop_px not in (None, order.stop_px):
        raise OrderRefused(Refusal.ALREADY_TRIGGERED, f"the stop at {order.stop_px} was touched and is at work")
    wanted = _wanted(order, request)
    door.check_prices(wanted, instrument)
    if not order.is_exit:
        _check_entry(books, order, wanted)


def _wanted(order: VenueOrder, request: ReplaceRequest) -> VenueOrder:
    """The order as it is to be, apart from the books; a price that is not of its type is kept for the check to find."""
    asked = copy(order)
    asked.cl_ord_id, asked.order_qty = request.cl_ord_id, request.order_qty
    asked.limit_px = order.limit_px if request.limit_px is None else request.limit_px
    asked.stop_px = order.stop_px if request.stop_px is None else request.stop_px
    return asked


def _check_entry(books: Books, order: VenueOrder, wanted: VenueOrder) -> None:
    wanted.reserve_px = _reserve_px(order, wanted)
    door.check_size(wanted.symbol, wanted.order_qty, wanted.reserve_px, books.instruments[wanted.symbol])
    door.check_short(books, wanted.symbol, wanted.side, wanted.leaves_qty, instead_of=order)
    door.check_power(books, wanted.symbol, wanted.side, wanted.leaves_qty, wanted.reserve_px, instead_of=order)


def _reserve_px(order: VenueOrder, wanted: VenueOrder) -> Decimal:
    """What it ties up buying power at: its own price; for a market order what it was at the door."""
    own = door.own_px(wanted)
    return order.reserve_px if own is None else own


def _go_on(books: Books, order: VenueOrder, request: ReplaceRequest, at: datetime) -> None:
    before = (order.limit_px, order.stop_px)
    wanted = _wanted(order, request)
    larger = wanted.order_qty > order.order_qty
    old_id = order.told_id
    books.rename(order, request.cl_ord_id)
    order.order_qty, order.limit_px, order.stop_px = wanted.order_qty, wanted.limit_px, wanted.stop_px
    if not order.is_exit:
        order.reserve_px = _reserve_px(order, wanted)
    if larger or (order.limit_px, order.stop_px) != before:
        books.to_the_back(order)
        order.decided_at = max(order.decided_at, at)
    if books.model.replace_renames_order:
        order.order_id = f"{books.account.venue}-R{books.cursor + 1:08d}"
    for leg in books.legs_of(order):
        if leg.held and leg.order_qty != order.order_qty:
            leg.order_qty = order.order_qty
            books.touch(leg)
    books.say(order, ExecType.REPLACED, at, orig_cl_ord_id=old_id)
