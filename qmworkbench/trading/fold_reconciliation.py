"""The part of the fold that concerns the broker's books: statements, comparisons, recovery (§14, §19)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.events import Event, orders, reconciliation
from qmworkbench.domain.events.reconciliation import ReconciliationResult, Trigger
from qmworkbench.domain.execution import Account, BrokerOrder
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Order, OrdStatus
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import holdings
from qmworkbench.trading.state import Asked, State

# A fill that got lost has an older number than the newest heard: after trouble the whole day's executions are read.
WHOLE_DAY: Final = frozenset({Trigger.END_OF_SESSION, Trigger.ORDER_INCIDENT, Trigger.RECONNECT, Trigger.RECOVERY})
# An emergency reads the broker's books so many times within this long, whatever it answers (emergency.py).
READS_WITHIN: Final = timedelta(seconds=1)
_A_MOMENT: Final = timedelta(microseconds=1)


def _account_observed(state: State, event: reconciliation.AccountObserved) -> None:
    _statement(state, event.account)


def _snapshot_observed(state: State, event: reconciliation.BrokerSnapshotObserved) -> None:
    if event.snapshot.complete and event.snapshot.account is not None:
        _statement(state, event.snapshot.account)
    if state.emergency is not None and event.snapshot.complete and event.snapshot.cursor >= state.heard_cursor:
        state.emergency.behind_since = None


def _statement(state: State, account: Account) -> None:
    if state.account is not None and account.cursor < state.account.cursor:
        return  # a statement that was overtaken: what has been spent since must stay counted
    state.account = account
    state.spent = {cursor: amount for cursor, amount in state.spent.items() if int(cursor) > account.cursor}


def _connection_changed(state: State, event: reconciliation.BrokerConnectionChanged) -> None:
    state.connected = event.connected


def _session_equity_set(state: State, event: reconciliation.SessionEquitySet) -> None:
    state.day.start_equity, state.day.start_unrealized = event.equity, event.unrealized_pnl
    state.day.start_cursor = state.account.cursor if state.account is not None else 0
    booked = holdings.booked(state)
    state.day.start_funds = None if booked is None else event.cash - booked


def _reconciliation_started(state: State, event: reconciliation.ReconciliationStarted) -> None:
    last = state.reconciliation
    last.reads = last.reads + 1 if last.requested_at == event.at else 1
    last.pending, last.requested_at = event.trigger, event.at
    state.halt.compared = "asked" if state.halt.state is not TradingState.ACTIVE else ""
    emergency = state.emergency
    if emergency is not None and event.trigger is Trigger.EMERGENCY:
        begun = emergency.reads_from
        if begun is None or event.at - begun >= READS_WITHIN:
            emergency.reads, emergency.reads_from = 0, event.at
        emergency.reads += 1
        emergency.read_at = event.at


def _break_found(state: State, event: reconciliation.BreakFound) -> None:
    if event.break_id not in state.reconciliation.unresolved:
        state.day.breaks += 1
    state.reconciliation.unresolved[event.break_id] = event


def _reconciliation_completed(state: State, event: reconciliation.ReconciliationCompleted) -> None:
    last = state.reconciliation
    last.pending, last.trigger, last.result = None, event.trigger, event.result
    last.completed_at, last.breaks = event.at, event.breaks
    last.unresolved = {b: found for b, found in last.unresolved.items() if b in event.unresolved}
    passed = event.result in (ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED)
    last.tries = 0 if passed else last.tries + 1
    if passed and event.trigger in WHOLE_DAY:
        # Every execution of the day was read and the positions agree: what ended orders may have filled is settled.
        state.unproven = {}
    last.asked = {name: told for name, told in last.asked.items() if name in state.open_orders}
    if state.halt.compared:
        state.halt.compared = "passed" if passed else ""
    contradicted, asked = state.contradicted_since, last.requested_at
    if passed and contradicted is not None and asked is not None and asked >= contradicted:
        state.contradicted_since = None


def _order_queried(state: State, event: orders.OrderQueried) -> None:
    """What complete answers said of an open order, the newest last; a failed query says nothing."""
    if not event.complete or event.cl_ord_id not in state.open_orders:
        return
    found, before = event.found, state.reconciliation.asked.get(event.cl_ord_id)
    if found is None:
        absent = before.absent + 1 if before is not None else 1
        state.reconciliation.asked[event.cl_ord_id] = Asked(at=event.at, absent=absent)
        return
    state.reconciliation.asked[event.cl_ord_id] = Asked(at=event.at, status=found.ord_status, cum_qty=found.cum_qty)


def _order_adopted(state: State, event: reconciliation.OrderAdopted) -> None:
    """An order at the broker that nobody here sent: open like any other, but no entry of ours that a halt cancels."""
    order = _order_from(event.order, event.strategy_id, event.at, event.reserve_notional)
    holdings.admit(state, order)
    state.open_entries.pop(order.cl_ord_id, None)


def _order_from(theirs: BrokerOrder, strategy_id: str, at: datetime, reserve: Decimal) -> Order:
    return Order(
        cl_ord_id=theirs.cl_ord_id,
        strategy_id=strategy_id,
        symbol=theirs.symbol,
        side=theirs.side,
        position_effect=theirs.position_effect,
        ord_type=theirs.ord_type,
        order_qty=theirs.order_qty,
        time_in_force=theirs.time_in_force,
        leg=theirs.leg,
        intended_at=at,
        last_at=at,
        status=theirs.ord_status,
        limit_px=theirs.limit_px,
        stop_px=theirs.stop_px,
        parent_id=theirs.parent_id,
        reserve_notional=reserve,
        order_id=theirs.order_id,
        cum_qty=theirs.cum_qty,
        avg_px=theirs.avg_px if theirs.cum_qty else ZERO,
        reason="found at the broker; nobody here sent it",
    )


def _session_recovered(state: State, event: reconciliation.SessionRecovered) -> None:
    state.day.recovered = state.day.recovering = True
    state.day.hold_after_recovery = event.hold
    state.connected = False
    for order in state.working():
        if order.status is OrdStatus.INTENDED:
            # Whoever decided on it may have sent it up to now (absence.py).
            order.last_at = max(event.at, order.intended_at + _A_MOMENT)


def _recovery_completed(state: State, event: reconciliation.RecoveryCompleted) -> None:
    state.day.recovering = False


APPLY: dict[type[Event], Callable[[State, Any], None]] = {
    reconciliation.AccountObserved: _account_observed,
    reconciliation.BrokerSnapshotObserved: _snapshot_observed,
    reconciliation.BrokerConnectionChanged: _connection_changed,
    reconciliation.SessionEquitySet: _session_equity_set,
    reconciliation.ReconciliationStarted: _reconciliation_started,
    reconciliation.BreakFound: _break_found,
    reconciliation.ReconciliationCompleted: _reconciliation_completed,
    reconciliation.OrderAdopted: _order_adopted,
    reconciliation.SessionRecovered: _session_recovered,
    reconciliation.RecoveryCompleted: _recovery_completed,
    orders.OrderQueried: _order_queried,
}
