"""What is looked at after every input: breached limits, timeouts, halts, escalations, recovery (§11, §13, §19).

Each watch knows what it can depend on, and is idle while that stands still: most inputs change little.
"""

from datetime import datetime, timedelta
from typing import Final

from qmworkbench.domain.events.control import DecisionEscalated, EntriesHeld, EntriesReleased
from qmworkbench.domain.events.orders import OrderChanged, OrderQueryRequested
from qmworkbench.domain.events.reconciliation import (
    ReconciliationResult,
    RecoveryCompleted,
    SessionRecovered,
    Trigger,
)
from qmworkbench.domain.orders import IN_DOUBT, Order, OrdStatus
from qmworkbench.domain.sessions import Phase, Priority, TradingState
from qmworkbench.trading import breaches, emergency, exits, foreign, reconciliation, watchlist
from qmworkbench.trading.decision import UNATTENDED, Decision

_OWED: Final = (*IN_DOUBT, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE)
ESCALATE_AFTER: Final = timedelta(minutes=5)


def watch(decision: Decision) -> None:
    """All standing watches, in a fixed order; each is idle unless its condition holds."""
    if decision.state.session is None or decision.state.day.phase is Phase.CLOSED:
        return
    if decision.exposure_moved:
        breaches.watch(decision)
        foreign.watch(decision)
    _halted_entries(decision)
    _in_flight(decision)
    if decision.exposure_moved:
        watchlist.follow_positions(decision)
    emergency.progress(decision)
    exits.progress_exits(decision)
    _escalate(decision)
    _recovery(decision)
    if decision.want_reconciliation:
        reconciliation.after_incident(decision)
    reconciliation.watch(decision)


def _halted_entries(decision: Decision) -> None:
    """No entry order outlives a halt: of the book, or of its own strategy."""
    state = decision.state
    if not state.open_entries:
        return
    for order in state.working_entries():
        if state.trading_state(order.strategy_id) is not TradingState.ACTIVE:
            exits.cancel_all(decision, [order], "entries are blocked")


def _in_flight(decision: Decision) -> None:
    """Orders whose answer is overdue are asked for by id (§13); nothing is concluded from silence."""
    state = decision.state
    if not state.connected or not (state.unsettled or state.day.recovering):
        return
    # What a dead process had only intended owes no answer to anybody but us.
    asked = state.open_orders if state.day.recovering else state.unsettled
    due = {name for name in asked if _is_overdue(decision, state.orders[name])}
    for name in state.open_orders if due else ():  # oldest first
        if name in due:
            order = state.orders[name]
            since = _waits_since(order)
            reason = f"{order.status} for {(decision.at - since).total_seconds():.0f} s"
            decision.emit(OrderQueryRequested(at=decision.at, cl_ord_id=name, reason=reason))


def _waits_since(order: Order) -> datetime:
    return order.queried_at or order.last_at or order.intended_at


def _is_overdue(decision: Decision, order: Order) -> bool:
    if order.status not in _OWED:
        return False
    # Legs come alive with their entry; until then there is nothing of their own to ask for.
    if order.parent_id is not None and order.is_in_doubt:
        return False
    waits = decision.at - _waits_since(order)
    never_asked = order.status is OrdStatus.UNKNOWN and order.queried_at is None
    return never_asked or waits >= decision.state.day.reconciliation.in_flight_after


def _escalate(decision: Decision) -> None:
    """A required decision that nobody answers becomes louder."""
    for question in list(decision.state.day.decisions.values()):
        since = question.escalated_at or question.since
        if decision.at - since >= ESCALATE_AFTER:
            waited_s = int((decision.at - question.since).total_seconds())
            decision.emit(DecisionEscalated(at=decision.at, decision_id=question.decision_id, waited_s=waited_s))
            decision.alarm(
                "decision_unanswered",
                f"{question.decision_id}/{waited_s}",
                Priority.P0,
                f"unanswered for {waited_s // 60} min: {question.question}",
                f"answer with one of: {', '.join(question.options)}",
            )


def on_recovered(decision: Decision, event: SessionRecovered) -> None:
    """§19: this process takes over a session; entries are held, every order in doubt is asked for, then all is
    compared.
    """
    decision.emit(event)
    state = decision.state
    if state.day.phase is Phase.CLOSED:
        return
    if not state.day.ending:
        decision.emit(EntriesHeld(at=decision.at, reason="recovered session: entries wait for a release"))
    for order in state.working():
        if order.is_in_doubt and order.parent_id is None:
            reason = "in doubt when the process ended"
            decision.emit(OrderQueryRequested(at=decision.at, cl_ord_id=order.cl_ord_id, reason=reason))
    # A cancel whose sending was interrupted is asked for again: cancels are harmless twice.
    for order in state.working():
        if order.cancel_requested_at is not None and order.status is not OrdStatus.PENDING_CANCEL:
            order_id = order.cl_ord_id
            decision.recancel(order_id, "cancel repeated after recovery")
    decision.ask_broker(Trigger.RECOVERY)


def _recovery(decision: Decision) -> None:
    """Done once nothing is in doubt and the books agree; unattended books then go on by policy."""
    state, day = decision.state, decision.state.day
    if not day.recovering or state.reconciliation.pending is not None or state.reconciliation.unresolved:
        return
    if state.reconciliation.result not in (ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED):
        return
    if any(o.is_in_doubt and o.parent_id is None for o in state.working()):
        return
    if any(isinstance(event, OrderChanged) for event in decision.events):
        # What was in doubt has just been told: the books are compared once more with that in them.
        reconciliation.start(decision, Trigger.RECOVERY)
        return
    decision.emit(RecoveryCompleted(at=decision.at, resolved=len(state.orders)))
    if day.phase is Phase.RECONCILIATION:
        # The comparison that ends the session was asked for by a process that is gone.
        decision.ask_broker(Trigger.END_OF_SESSION)
    clean = state.reconciliation.result is ReconciliationResult.CLEAN and not day.hold_after_recovery
    if day.unattended and clean and not day.ending and day.phase is Phase.MARKET_SESSION:
        decision.emit(EntriesReleased(at=decision.at, by=UNATTENDED, reason="recovered and reconciled clean"))


def continuous(decision: Decision) -> None:
    """The comparison that runs while trading, every few boundaries."""
    day = decision.state.day
    due = day.boundary > 0 and day.boundary % day.reconciliation.continuous_every_boundaries == 0
    if due and day.phase is Phase.MARKET_SESSION and decision.state.connected:
        reconciliation.start(decision, Trigger.CONTINUOUS)
