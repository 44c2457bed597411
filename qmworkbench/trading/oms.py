"""Order management: what answers and execution reports do to orders, positions and trades (§13).

Order of work for a report: a known exec_id with the same content is dropped, with other content it is a contradiction;
then the order walks its arc; a fill is booked before the arc, so quantities are right when the status changes.
Contradictions are recorded, alarmed, and stop the strategy (the book, where nobody here owns the order).
"""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.chain import content_digest
from qmworkbench.domain.events.orders import (
    CancelObserved,
    ExecutionReported,
    FillReversed,
    OrderChanged,
    OrderQueried,
    ReportQuarantined,
    SubmitObserved,
)
from qmworkbench.domain.execution import BrokerOrder, ExecType, ExecutionReport, SubmitOutcome
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Arc, IllegalArc, Leg, Order, OrdStatus, next_status
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.booking import book_fill
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_all, request_exit

__all__ = ["on_cancel_observed", "on_execution", "on_query_answer", "on_submit_observed"]

_ARC: Final[dict[ExecType, Arc]] = {
    ExecType.NEW: Arc.ACK,
    ExecType.CANCELED: Arc.CANCEL,
    ExecType.REPLACED: Arc.REPLACE,
    ExecType.REJECTED: Arc.REJECT,
    ExecType.EXPIRED: Arc.EXPIRE,
    ExecType.RESTATED: Arc.RESTATE,
    ExecType.CANCEL_REJECTED: Arc.CANCEL_REJECT,
    ExecType.REPLACE_REJECTED: Arc.REPLACE_REJECT,
}
_CLOSING: Final = (Leg.STOP, Leg.TARGET, Leg.CLOSE, Leg.EXIT)
_FROM_BROKER_STATUS: Final[dict[OrdStatus, Arc]] = {
    OrdStatus.ACCEPTED: Arc.ACK,
    OrdStatus.PARTIALLY_FILLED: Arc.ACK,
    OrdStatus.CANCELED: Arc.CANCEL,
    OrdStatus.REJECTED: Arc.REJECT,
    OrdStatus.EXPIRED: Arc.EXPIRE,
}


def walk(
    decision: Decision,
    order: Order,
    arc: Arc,
    *,
    order_qty: Decimal | None = None,
    cum_qty: Decimal | None = None,
    order_id: str | None = None,
    reason: str = "",
) -> None:
    """Move an order along one arc and put it on record. Raises IllegalArc, having changed nothing."""
    qty = order.order_qty if order_qty is None else order_qty
    cum = order.cum_qty if cum_qty is None else cum_qty
    status = next_status(order.status, arc, order_qty=qty, cum_qty=cum)
    decision.emit(
        OrderChanged(
            at=decision.at,
            cl_ord_id=order.cl_ord_id,
            arc=arc,
            status=status,
            cum_qty=cum,
            order_qty=qty,
            order_id=order_id,
            reason=reason,
        )
    )
    if status in (OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED) and order.cum_qty == ZERO:
        _end_legs(decision, order, f"its entry was {status}")


def _end_legs(decision: Decision, parent: Order, reason: str) -> None:
    """Legs that never came alive end with their entry; those the broker works end by its own reports."""
    for leg in decision.state.working_for(parent.strategy_id, parent.symbol):
        if leg.parent_id == parent.cl_ord_id and leg.is_in_doubt:
            walk(decision, leg, Arc.ABANDON, reason=reason)


def on_submit_observed(decision: Decision, event: SubmitObserved) -> None:
    """Sent, refused or lost. Lost is UNKNOWN, never rejected: the broker is asked by cl_ord_id (§13)."""
    order = decision.state.orders[event.cl_ord_id]
    decision.emit(event)
    if not order.is_in_doubt:
        return  # the broker's report was quicker than the answer to our request
    if event.outcome is SubmitOutcome.SENT:
        if order.status is OrdStatus.INTENDED:
            walk(decision, order, Arc.SUBMIT)
    elif event.outcome is SubmitOutcome.REFUSED:
        walk(decision, order, Arc.REJECT, reason=event.detail)
        _after_rejection(decision, order, event.detail)
    else:
        walk(decision, order, Arc.LOSE, reason=event.detail)
        decision.alarm(
            "failed_order_placement",
            order.cl_ord_id,
            Priority.P1,
            f"{order.symbol}: no answer to submitting {order.cl_ord_id} ({event.detail}); the order may be live",
            "the broker is being asked for it by its id; do not send it again by hand",
        )


def on_cancel_observed(decision: Decision, event: CancelObserved) -> None:
    """A cancel that was refused or lost leaves the order working until a report says otherwise."""
    order = decision.state.orders.get(event.cl_ord_id)
    decision.emit(event)
    if order is None or not order.is_open:
        return
    if event.outcome is SubmitOutcome.SENT and order.status is not OrdStatus.PENDING_CANCEL:
        walk(decision, order, Arc.CANCEL_REQUEST)


def on_execution(decision: Decision, event: ExecutionReported) -> None:
    """One report from the broker."""
    state, report = decision.state, event.report
    known = state.exec_ids.get(report.exec_id)
    if known is not None:
        if known != content_digest(report):
            decision.emit(event)
            _contradiction(decision, report, "exec_id_reused", "the same exec_id came with other content")
        return
    decision.emit(event)
    order = state.orders.get(report.cl_ord_id)
    if order is None:
        _unknown_order(decision, report)
        return
    if report.exec_type is ExecType.TRADE:
        _on_fill(decision, order, report)
    elif report.exec_type is ExecType.TRADE_CANCEL:
        _on_bust(decision, order, report)
    elif report.exec_type is not ExecType.ORDER_STATUS:
        _on_status(decision, order, report)


def _on_fill(decision: Decision, order: Order, report: ExecutionReport) -> None:
    cum = order.cum_qty + report.last_qty
    contradiction = ""
    if order.status in (OrdStatus.REJECTED, OrdStatus.DENIED):
        contradiction = f"a fill for an order that is {order.status}"
    elif cum > order.order_qty:
        contradiction = f"filled {cum} of {order.order_qty}"
    # The broker is right about exposure: even a fill that should not exist is held.
    book_fill(decision, order.strategy_id, report, order)
    if contradiction:
        _contradiction(decision, report, "over_fill", contradiction)
    try:
        walk(decision, order, Arc.FILL, cum_qty=cum, order_id=report.order_id)
    except IllegalArc as error:
        if not contradiction:
            _contradiction(decision, report, "illegal_arc", str(error))
    _beyond(decision, order, report)


def _beyond(decision: Decision, order: Order, report: ExecutionReport) -> None:
    """An exit that turned its position around closed more than was held: late news of another exit, mostly. What it
    opened has no exits of its own, so it is closed again.
    """
    held = decision.state.position(order.strategy_id, order.symbol)
    if order.leg not in _CLOSING or held is None or held.qty * order.side.sign <= 0:
        return
    _contradiction(decision, report, "over_exit", f"{order.cl_ord_id} left {held.qty} held the other way")
    request_exit(decision, held, "flat", "an exit closed more than was held")


def _on_bust(decision: Decision, order: Order, report: ExecutionReport) -> None:
    if report.ref_exec_id is None or report.ref_exec_id not in decision.state.exec_ids:
        _contradiction(decision, report, "bust_of_unknown", f"takes back {report.ref_exec_id}, which was never seen")
        return
    decision.emit(
        FillReversed(
            at=decision.at,
            exec_id=report.exec_id,
            ref_exec_id=report.ref_exec_id,
            cl_ord_id=order.cl_ord_id,
            strategy_id=order.strategy_id,
            symbol=order.symbol,
            side=order.side,
            last_qty=report.last_qty,
            last_px=report.last_px,
            fee=report.fee,
        )
    )
    decision.alarm(
        "trade_busted",
        report.exec_id,
        Priority.P1,
        f"{order.symbol}: the broker took back {report.last_qty} at {report.last_px}",
        "check the position against the broker; reconciliation will follow",
    )


def _on_status(decision: Decision, order: Order, report: ExecutionReport) -> None:
    arc = _ARC[report.exec_type]
    qty = report.order_qty if arc in (Arc.RESTATE, Arc.REPLACE, Arc.ACK) else order.order_qty
    try:
        walk(decision, order, arc, order_qty=qty, order_id=report.order_id, reason=report.reason)
    except IllegalArc as error:
        _contradiction(decision, report, "illegal_arc", str(error))
        return
    if arc is Arc.REJECT:
        _after_rejection(decision, order, report.reason)
    if order.abandoned and arc is Arc.ACK:
        cancel_all(decision, [order], "abandoned order showed up at the broker")


def _after_rejection(decision: Decision, order: Order, reason: str) -> None:
    """§13 Order Rejected: coded reason, an alarm, and no blind resubmission."""
    state = decision.state
    decision.alarm(
        "order_rejected",
        order.cl_ord_id,
        Priority.P2,
        f"{order.symbol}: {order.leg} order rejected: {reason}",
        "see whether risk, broker rule, size or market state caused it (qm why)",
    )
    run = state.day.runs.get(order.strategy_id)
    if run is not None and order.leg is Leg.ENTRY and run.rejections >= state.day.limits.max_rejections_per_strategy:
        text = f"{run.rejections} entries in a row were rejected, last: {reason}"
        if decision.restrict(order.strategy_id, TradingState.REDUCING, "repeated_rejection", text, "oms"):
            decision.alarm(
                "repeated_rejection",
                order.strategy_id,
                Priority.P1,
                f"{order.strategy_id} is stopped: {text}",
                "find the cause, then restart the strategy",
            )


def _unknown_order(decision: Decision, report: ExecutionReport) -> None:
    """News of an order nobody here sent: it belongs to EXTERNAL, and a fill of it stops the book."""
    if report.exec_type is ExecType.TRADE:
        book_fill(decision, "EXTERNAL", report, None)
    _contradiction(decision, report, "unknown_order", f"{report.exec_type} for an order that is not in our books")


def _contradiction(decision: Decision, report: ExecutionReport, kind: str, detail: str) -> None:
    state = decision.state
    decision.emit(
        ReportQuarantined(at=decision.at, exec_id=report.exec_id, cl_ord_id=report.cl_ord_id, kind=kind, detail=detail)
    )
    order = state.orders.get(report.cl_ord_id)
    owner = order.strategy_id if order is not None and order.strategy_id in state.day.runs else "book"
    decision.restrict(owner, TradingState.REDUCING, f"contradiction.{kind}", f"{report.symbol}: {detail}", "oms")
    decision.alarm(
        kind,
        report.exec_id,
        Priority.P0 if owner == "book" or kind in ("over_fill", "over_exit") else Priority.P1,
        f"{report.symbol}: execution report {report.exec_id} contradicts our books: {detail}",
        "compare with the broker's order history before anything else (§13 Duplicate Order Suspicion)",
    )
    if state.reconciliation.pending is None:
        decision.want_reconciliation = True


def on_query_answer(decision: Decision, event: OrderQueried) -> None:
    """What the broker says of an order in doubt. Only a complete answer at an exact cursor proves absence."""
    decision.emit(event)
    order = decision.state.orders.get(event.cl_ord_id)
    if order is None or not event.complete or not order.is_open:
        return
    if event.found is None:
        if order.is_in_doubt and event.cursor >= decision.state.exec_cursor:
            walk(decision, order, Arc.ABANDON, reason="proven absent at the broker")
            decision.all_clear("failed_order_placement", order.cl_ord_id, "proven absent at the broker")
        return
    _adopt(decision, order, event.found)


def _adopt(decision: Decision, order: Order, found: BrokerOrder) -> None:
    """The order exists: follow the broker's status. Its fills come through the reports, never from here."""
    arc = _FROM_BROKER_STATUS.get(found.ord_status)
    if arc is not None and order.is_in_doubt and found.cum_qty == order.cum_qty:
        walk(decision, order, arc, order_qty=found.order_qty, order_id=found.order_id, reason="found by query")
    elif order.status is OrdStatus.PENDING_CANCEL and found.leaves_qty > 0:
        walk(decision, order, Arc.CANCEL_REJECT, order_id=found.order_id, reason="the broker still works it")
    decision.all_clear("failed_order_placement", order.cl_ord_id, "found at the broker")
    stale_entry = order.leg is Leg.ENTRY and decision.state.day.recovering
    if order.is_open and (stale_entry or order.abandoned):
        cancel_all(decision, [order], "a stale entry is not wanted any more")
