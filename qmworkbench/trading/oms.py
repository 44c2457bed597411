"""Order management: what answers and execution reports do to orders, positions and trades (§13).

Order of work for a report: a known exec_id with the same content is dropped, with other content it is a contradiction;
news of an earlier session is put on record and not booked again; what cannot be true stops at the door
(report_door.py). Then a fill is booked before its order walks the arc, so quantities are right when the status changes.
The broker is right about exposure: even a fill that should not exist is held. Contradictions are recorded, alarmed, and
stop the strategy (the book, where nobody here owns the order).
"""

from typing import Final

from qmworkbench.domain.events.orders import CancelObserved, ExecutionReported, SubmitObserved
from qmworkbench.domain.execution import ExecType, ExecutionReport, SubmitOutcome
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import TERMINAL, Arc, IllegalArc, Leg, Order, OrdStatus
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading import busts, foreign, replacing, report_door
from qmworkbench.trading.booking import book_fill
from qmworkbench.trading.contradictions import contradicts, quarantine
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import request_exit
from qmworkbench.trading.fold_orders import report_digest
from qmworkbench.trading.leg_adoption import leg_of
from qmworkbench.trading.order_life import Terms, walk
from qmworkbench.trading.order_queries import on_query_answer
from qmworkbench.trading.rejections import RejectCode, after_rejection, classify

__all__ = ["on_cancel_observed", "on_execution", "on_query_answer", "on_submit_observed", "walk"]

_ARC: Final[dict[ExecType, Arc]] = {
    ExecType.NEW: Arc.ACK,
    ExecType.CANCELED: Arc.CANCEL,
    ExecType.REJECTED: Arc.REJECT,
    ExecType.EXPIRED: Arc.EXPIRE,
    ExecType.RESTATED: Arc.RESTATE,
    ExecType.CANCEL_REJECTED: Arc.CANCEL_REJECT,
}
_REPLACES: Final = frozenset({ExecType.REPLACED, ExecType.REPLACE_REJECTED})
_NEVER_LIVE: Final = frozenset({OrdStatus.REJECTED, OrdStatus.DENIED})
_CLOSING: Final = (Leg.STOP, Leg.TARGET, Leg.CLOSE, Leg.EXIT)
# Bound once: finding a member in its enum costs several times what comparing it does (Python 3.11).
_TRADE: Final = ExecType.TRADE
_ACK: Final = Arc.ACK
_FILL: Final = Arc.FILL
_ENTRY: Final = Leg.ENTRY
# A report and what it did to its order: nothing else came of it.
_ALONE: Final = 2
# The broker's last words, which carry the quantity that had filled by then.
_LAST_WORDS: Final = frozenset({Arc.CANCEL, Arc.EXPIRE})


def on_submit_observed(decision: Decision, event: SubmitObserved) -> None:
    """Sent, refused or lost. Lost is UNKNOWN, never rejected: the broker is asked by cl_ord_id (§13)."""
    order = decision.state.orders.get(event.cl_ord_id)
    decision.emit(event)
    if order is None or not order.is_in_doubt:
        return  # the broker's report was quicker than the answer to our request
    if event.outcome is SubmitOutcome.SENT:
        if order.status is OrdStatus.INTENDED:
            walk(decision, order, Arc.SUBMIT)
            decision.nothing_but(order)
        return
    if event.outcome is SubmitOutcome.WITHHELD:
        if order.status is OrdStatus.INTENDED:
            walk(decision, order, Arc.WITHHOLD, reason=event.detail)
        return
    code = classify(event.detail) if event.outcome is SubmitOutcome.REFUSED else RejectCode.UNKNOWN
    if event.outcome is SubmitOutcome.REFUSED and code is not RejectCode.DUPLICATE_ID:
        walk(decision, order, Arc.REJECT, reason=event.detail, reject_code=code)
        after_rejection(decision, order, code, event.detail)
        return
    # An id that the broker has already is an order that may be live: no rejection either.
    walk(decision, order, Arc.LOSE, reason=event.detail)
    decision.alarm(
        "failed_order_placement",
        order.cl_ord_id,
        Priority.P1,
        f"{order.symbol}: no answer to submitting {order.cl_ord_id} ({event.detail}); the order may be live",
        "the broker is being asked for it by its id; do not send it again by hand",
    )


def on_cancel_observed(decision: Decision, event: CancelObserved) -> None:
    """A cancel that was refused or lost leaves the order working; what it really is, is asked for by its id."""
    order = decision.state.order_named(event.cl_ord_id)
    decision.emit(event)
    if order is None or not order.is_open or event.cl_ord_id != order.broker_id:
        return  # ended, or of an id that the order has given up since
    if event.outcome is SubmitOutcome.SENT:
        if order.status is not OrdStatus.PENDING_CANCEL:
            walk(decision, order, Arc.CANCEL_REQUEST)
    elif decision.state.connected:
        decision.query(order, f"its cancel was {event.outcome}: {event.detail}")


def on_execution(decision: Decision, event: ExecutionReported) -> None:
    """One report from the broker. Never raises, whatever the broker says."""
    state, report = decision.state, event.report
    known = state.exec_ids.get(report.exec_id)
    if known is not None:
        digest = report_digest(report)
        if known != digest and f"{report.exec_id} {digest}" not in state.exec_ids:
            decision.emit(event)
            contradicts(decision, report, "exec_id_reused", "the same exec_id came with other content")
        elif report.cursor > state.exec_cursor:
            decision.emit(event)  # said again: nothing is booked, and the broker's count has been heard up to here
        return
    decision.emit(event)
    if state.session is None:
        return  # nobody decides yet: on record, and the comparison that begins a session finds what it did
    finding = report_door.malformed(report) or report_door.out_of_line(state, report)
    if finding is not None:
        contradicts(decision, report, *finding)
        return
    if 0 < report.cursor <= state.day.first_cursor:
        _of_an_earlier_session(decision, report)
        return
    order = state.orders.get(report.cl_ord_id) or _order_of(decision, report)
    if order is None:
        _unknown_order(decision, report)
        return
    finding = report_door.of_another_order(order, report)
    if finding is not None:
        contradicts(decision, report, *finding)
        return
    if report.cl_ord_id != order.broker_id and replacing.proven_by(decision, order, report):
        return
    if report.exec_type is _TRADE:
        _on_fill(decision, order, report)
    elif report.exec_type in _ARC:
        _on_status(decision, order, report)
    elif report.exec_type is ExecType.TRADE_CANCEL:
        busts.on_bust(decision, report, order)
    elif report.exec_type in _REPLACES:
        replacing.on_replace_answer(decision, order, report)
    elif report.cum_qty > order.cum_qty:
        decision.want_reconciliation = True


def _order_of(decision: Decision, report: ExecutionReport) -> Order | None:
    """The order behind an id that is not its first: one it was replaced under, or one the broker made for a leg."""
    state = decision.state
    order = state.order_named(report.cl_ord_id)
    if order is None and report.orig_cl_ord_id is not None:
        order = state.order_named(report.orig_cl_ord_id)
    if order is None and report.parent_id is not None:
        order = leg_of(state, report)
        if order is not None:
            walk(decision, order, Arc.ACK, order_id=report.order_id, terms=Terms(working_id=report.cl_ord_id))
    return order


def _of_an_earlier_session(decision: Decision, report: ExecutionReport) -> None:
    """A broker that sends its history again, or news so late that the morning's comparison has settled it: on record,
    and never booked again.
    """
    text = f"{report.exec_type} number {report.cursor} is of an earlier session, which was heard up to "
    text += str(decision.state.day.first_cursor)
    quarantine(decision, report.exec_id, report.cl_ord_id, "earlier_session", text)
    if report.exec_type not in (ExecType.TRADE, ExecType.TRADE_CANCEL):
        return
    # One alarm for all of them: after a restart a broker may send everything it has.
    decision.alarm(
        "executions_replayed",
        decision.state.day.session_id,
        Priority.P2,
        f"the broker sends executions of earlier sessions again, first {report.exec_id}; none is booked twice",
        "nothing to do if the books agree (`qm reconcile`); see why the broker's connection was read from its start",
    )
    decision.want_reconciliation = True


def _on_fill(decision: Decision, order: Order, report: ExecutionReport) -> None:
    finding = report_door.absurd(decision.state, order, report)
    if finding is not None:
        contradicts(decision, report, *finding)
        return
    cum = order.cum_qty + report.last_qty
    most = order.order_qty if order.replacing is None else max(order.order_qty, order.replacing.order_qty)
    contradiction = ""
    if order.status in _NEVER_LIVE:
        contradiction = f"a fill for an order that is {order.status}"
    elif cum > most:
        contradiction = f"filled {cum} of {most}"
    elif report.cum_qty < report.last_qty:
        contradiction = f"a fill of {report.last_qty}, and {report.cum_qty} filled with it"
    was_open = order.status not in TERMINAL
    # The broker is right about exposure: even a fill that should not exist is held.
    opened = book_fill(decision, order.strategy_id, report, order)
    if contradiction:
        contradicts(decision, report, "over_fill", contradiction)
    if report.cum_qty > cum:
        decision.want_reconciliation = True  # executions before this one have not reached us
    try:
        walk(decision, order, _FILL, cum_qty=cum, order_id=report.order_id)
    except IllegalArc as error:
        if not contradiction:
            contradicts(decision, report, "illegal_arc", str(error))
    if order.abandoned:
        _back_from_the_dead(decision, order)
    if order.leg in _CLOSING:
        _beyond(decision, order, report)
    elif was_open and not contradiction and order.leg is _ENTRY and opened:
        decision.nothing_but(order)


def _beyond(decision: Decision, order: Order, report: ExecutionReport) -> None:
    """An exit that turned its position around closed more than was held: late news of another exit, mostly. What it
    opened has no exits of its own, so it is closed again.
    """
    held = decision.state.position(order.strategy_id, order.symbol)
    if held is None or held.qty * order.side.sign <= 0:
        return
    contradicts(decision, report, "over_exit", f"{order.cl_ord_id} left {held.qty} held the other way")
    request_exit(decision, held, "flat", "an exit closed more than was held")


def _on_status(decision: Decision, order: Order, report: ExecutionReport) -> None:
    arc, was = _ARC[report.exec_type], order.order_qty
    ended = order.status in TERMINAL
    # An acknowledgement that comes after a replace speaks of the quantity before it.
    current = report.cl_ord_id == order.broker_id and not ended and report.order_qty > ZERO
    told_qty = current and (arc is _ACK or arc is Arc.RESTATE)
    missing = report.cum_qty - order.cum_qty if arc in _LAST_WORDS else ZERO
    code = classify(report.reason) if arc is Arc.REJECT else ""
    try:
        walk(
            decision,
            order,
            arc,
            order_qty=report.order_qty if told_qty else order.order_qty,
            order_id=report.order_id,
            reason=report.reason,
            reject_code=code,
            unproven_qty=max(missing, ZERO),
        )
    except IllegalArc as error:
        contradicts(decision, report, "illegal_arc", str(error))
        return
    if missing > ZERO:
        decision.want_reconciliation = True
    if told_qty and arc is _ACK and order.parent_id is None and report.order_qty > was:
        contradicts(decision, report, "order_qty", f"acknowledged for {report.order_qty}, {was} were asked for")
    if code and not ended:
        after_rejection(decision, order, RejectCode(code), report.reason)
    elif arc is Arc.CANCEL_REJECT and order.is_open:
        # Refused because it has filled, mostly: its fill is on the way, or got lost. Asked once for each refusal.
        decision.query(order, f"its cancel was refused: {report.reason}")
    elif order.abandoned and arc is _ACK:
        _back_from_the_dead(decision, order)
    elif arc is _ACK and not ended and len(decision.events) == _ALONE:
        decision.nothing_but(order)


def _back_from_the_dead(decision: Decision, order: Order) -> None:
    """An id that was proven absent shows up after all: cancelled on sight, until the session ends."""
    decision.alarm(
        "abandoned_order_live",
        order.cl_ord_id,
        Priority.P0 if order.cum_qty else Priority.P1,
        f"{order.symbol}: {order.cl_ord_id} was proven absent at the broker and is live after all",
        "it is being cancelled; see `qm order inspect` and compare the position with the broker's",
    )
    if order.cancel_requested_at != decision.at:
        decision.cancel(order, "an abandoned order showed up at the broker")
    decision.want_reconciliation = True


def _unknown_order(decision: Decision, report: ExecutionReport) -> None:
    """News of an order nobody here sent. A fill of it is exposure: whoever's it is, it is held, and stops the book. One
    that is taken back leaves the books of whom it was held for.
    """
    if report.exec_type is ExecType.TRADE_CANCEL and report.ref_exec_id in decision.state.foreign_fills:
        busts.on_bust(decision, report, None)
        return
    if report.exec_type is ExecType.TRADE:
        finding = report_door.absurd(decision.state, None, report)
        if finding is not None:
            contradicts(decision, report, *finding)
            return
        book_fill(decision, foreign.owner_of(decision.state, report), report, None)
    contradicts(decision, report, "unknown_order", f"{report.exec_type} for an order that is not in our books")
