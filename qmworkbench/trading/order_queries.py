"""What the broker answers when it is asked for one order by its id (§13).

The answer settles what silence left open. A complete answer that knows the order is followed in status; what it says of
filled quantity is only a reason to read the executions, because fills are booked from their own reports. An answer that
does not know an order in doubt proves its absence under the conditions of absence.py; one that does not know an order
which the broker once confirmed proves nothing. A failed query proves nothing either.
"""

from typing import Final

import msgspec

from qmworkbench.domain.events.orders import OrderQueried
from qmworkbench.domain.execution import BrokerOrder
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import TERMINAL, Arc, IllegalArc, Leg, Order, OrdStatus
from qmworkbench.trading import contradictions, replacing
from qmworkbench.trading.absence import proven_absent
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.order_life import walk

_ENDS: Final[dict[OrdStatus, Arc]] = {
    OrdStatus.CANCELED: Arc.CANCEL,
    OrdStatus.REJECTED: Arc.REJECT,
    OrdStatus.EXPIRED: Arc.EXPIRE,
}
_LIVE: Final = (OrdStatus.ACCEPTED, OrdStatus.PARTIALLY_FILLED, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE)


def on_query_answer(decision: Decision, event: OrderQueried) -> None:
    """Follow what the broker says of an order that was asked for."""
    order = decision.state.order_named(event.cl_ord_id)
    if order is not None and order.cl_ord_id != event.cl_ord_id:
        event = msgspec.structs.replace(event, cl_ord_id=order.cl_ord_id)
    decision.emit(event)
    if order is None or not event.complete:
        return
    found = event.found
    if found is None:
        _not_known(decision, order, event)
    elif (trouble := _of_another(order, found)) is not None:
        contradictions.quarantine(decision, "", order.cl_ord_id, "query_contradicts", trouble)
        text = f"{order.symbol}: the broker's answer about {order.cl_ord_id} contradicts our books: {trouble}"
        contradictions.answer(decision, order.strategy_id, order.cl_ord_id, "query_contradicts", text, of=order.symbol)
    elif order.is_open:
        _follow(decision, order, found)
    elif order.abandoned and found.leaves_qty > ZERO and order.cancel_requested_at != decision.at:
        decision.cancel(order, "an abandoned order showed up at the broker")


def _not_known(decision: Decision, order: Order, event: OrderQueried) -> None:
    if not order.is_open:
        return
    never_confirmed = order.order_id is None
    if not never_confirmed or not proven_absent(decision.state, order, event):
        return
    if order.is_in_doubt:
        walk(decision, order, Arc.ABANDON, reason="proven absent at the broker")
    elif order.status is OrdStatus.PENDING_CANCEL:
        walk(decision, order, Arc.CANCEL, reason="proven absent at the broker")
    if order.cl_ord_id not in decision.state.open_orders:
        decision.all_clear("failed_order_placement", order.cl_ord_id, "proven absent at the broker")


def _of_another(order: Order, found: BrokerOrder) -> str | None:
    if found.symbol != order.symbol or found.side is not order.side:
        return f"it is a {found.side} in {found.symbol} there, a {order.side} in {order.symbol} here"
    for qty in (found.order_qty, found.cum_qty, found.leaves_qty):
        if not qty.is_finite() or qty < ZERO:
            return f"{qty} is no quantity"
    return None


def _follow(decision: Decision, order: Order, found: BrokerOrder) -> None:
    if replacing.settled_by(decision, order, found):
        pass
    elif found.ord_status in TERMINAL:
        _follow_end(decision, order, found)
    elif order.is_in_doubt and found.ord_status in _LIVE and found.cum_qty <= order.cum_qty:
        walk(decision, order, Arc.ACK, order_qty=found.order_qty, order_id=found.order_id, reason="found by query")
    elif order.status is OrdStatus.PENDING_CANCEL and found.leaves_qty > ZERO:
        walk(decision, order, Arc.CANCEL_REJECT, order_id=found.order_id, reason="the broker still works it")
    if found.cum_qty != order.cum_qty:
        decision.want_reconciliation = True  # fills come through their reports, and some have not reached us
    decision.all_clear("failed_order_placement", order.cl_ord_id, "found at the broker")
    stale_entry = order.leg is Leg.ENTRY and decision.state.day.recovering
    asked = order.cancel_requested_at
    if order.is_open and (stale_entry or order.abandoned) and (asked is None or order.cancel_failed):
        decision.cancel(order, "a stale entry is not wanted any more")


def _follow_end(decision: Decision, order: Order, found: BrokerOrder) -> None:
    """The broker has ended it. Where it says that more has filled, the end waits for those fills or for their sum."""
    arc = _ENDS.get(found.ord_status)
    missing = found.cum_qty - order.cum_qty
    if arc is None and missing == ZERO and order.cum_qty > ZERO:
        arc = Arc.RESTATE  # filled, of what had filled: it was cut down to that
    if arc is None:
        return
    qty = order.cum_qty if arc is Arc.RESTATE else order.order_qty
    try:
        walk(
            decision,
            order,
            arc,
            order_qty=qty,
            order_id=found.order_id,
            reason=order.reason or "found ended at the broker",
            unproven_qty=max(missing, ZERO),
        )
    except IllegalArc as error:
        contradictions.quarantine(decision, "", order.cl_ord_id, "query_contradicts", str(error))
