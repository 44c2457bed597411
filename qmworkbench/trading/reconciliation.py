"""Reconciliation: compare with the broker, follow it on exposure, record every break and repair (§14, §17).

The broker is right about exposure. But an answer that erases exposure without executions is not believed at once: it
must be read twice, and the account's market value must agree; until then entries are blocked and nothing is repaired.
Nothing is ever sent to make the broker match us.
"""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.orders import ExecutionReported, OrderQueryRequested
from qmworkbench.domain.events.reconciliation import (
    AccountObserved,
    BreakFound,
    BreakKind,
    BrokerConnectionChanged,
    BrokerSnapshotObserved,
    ReconciliationCompleted,
    ReconciliationResult,
    RepairApplied,
    Trigger,
)
from qmworkbench.domain.execution import BrokerSnapshot
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Arc, IllegalArc
from qmworkbench.domain.sessions import Phase, Priority, TradingState
from qmworkbench.trading import emergency, oms
from qmworkbench.trading.comparison import Tolerances, compare, compare_executions
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.phases import set_equity
from qmworkbench.trading.state import EXTERNAL, State

TOLERANCES: Final = Tolerances()
_POSITION_KINDS: Final = (BreakKind.POSITION_QTY, BreakKind.POSITION_SIDE, BreakKind.AVG_PX)
# A continuous comparison every this many boundaries.
CONTINUOUS_EVERY: Final = 15


def start(decision: Decision, trigger: Trigger) -> None:
    """Ask for a snapshot, unless one is on its way already."""
    if decision.state.reconciliation.pending is None:
        decision.ask_broker(trigger)


def on_account(decision: Decision, event: AccountObserved) -> None:
    """A fresh account statement."""
    decision.emit(event)
    set_equity(decision)


def on_connection(decision: Decision, event: BrokerConnectionChanged) -> None:
    """§12 Execution Broker Disconnect: no new orders, P0 while anything is held; reconcile once it is back."""
    state, was = decision.state, decision.state.connected
    decision.emit(event)
    if event.connected:
        decision.all_clear("execution_broker_disconnect", "broker", "the broker answers again")
        if not was and state.session is not None and state.day.phase in (Phase.MARKET_SESSION, Phase.SHUTDOWN):
            start(decision, Trigger.RECONNECT)
        return
    exposed = bool(state.positions) or bool(state.open_orders)
    decision.alarm(
        "execution_broker_disconnect",
        "broker",
        Priority.P0 if exposed else Priority.P1,
        f"the execution broker does not answer: {event.detail}",
        "verify positions at the broker directly; entries wait until it is back and reconciled",
    )


def on_snapshot(decision: Decision, event: BrokerSnapshotObserved) -> None:
    """The broker's books as read. Executions first, then the account, then the comparison."""
    state, snapshot = decision.state, event.snapshot
    decision.emit(event)
    if not snapshot.complete:
        _complete(decision, event.trigger, ReconciliationResult.INCOMPLETE, [], 0, snapshot.error, read_whole=False)
        return
    before = dict(state.reconciliation.unresolved)
    # At the end of the session every execution of the day is compared; before that, only what is new is read.
    found = compare_executions(state, snapshot) if event.trigger is Trigger.END_OF_SESSION else []
    # Executions the stream has not brought yet are booked under the broker's own ids; known ones are dropped.
    for report in snapshot.executions:
        oms.on_execution(decision, ExecutionReported(at=decision.at, report=report))
    set_equity(decision)
    if snapshot.cursor > state.heard_cursor:
        # The broker has said more than has reached us: comparing now would call news a difference.
        for item in found:
            decision.emit(item)
        detail = f"transactions {state.heard_cursor + 1} to {snapshot.cursor} have not been read yet"
        _complete(decision, event.trigger, ReconciliationResult.INCOMPLETE, found, 0, detail)
        start(decision, event.trigger)
        return
    found += compare(state, snapshot, TOLERANCES)
    for item in found:
        if item.break_id not in before:
            decision.emit(item)
    if event.trigger is Trigger.EMERGENCY or emergency.running(state):
        emergency.on_positions(decision, snapshot)
    repaired = sum(_repair(decision, item, snapshot, seen_before=item.break_id in before) for item in found)
    emergency.offset_remains(decision, snapshot)
    unresolved = len(found) - repaired
    result = (
        ReconciliationResult.UNRESOLVED
        if unresolved
        else ReconciliationResult.REPAIRED
        if repaired
        else ReconciliationResult.CLEAN
    )
    _complete(decision, event.trigger, result, found, repaired, "")
    _alarm_breaks(decision, found)
    second_read = any(b.break_id not in before for b in _uncorroborated(found, state))
    if unresolved and second_read:
        start(decision, event.trigger)


def _complete(
    decision: Decision,
    trigger: Trigger,
    result: ReconciliationResult,
    found: list[BreakFound],
    repaired: int,
    detail: str,
    *,
    read_whole: bool = True,
) -> None:
    state = decision.state
    still = tuple(b.break_id for b in found if b.break_id in state.reconciliation.unresolved)
    if result is ReconciliationResult.INCOMPLETE:
        still = tuple(state.reconciliation.unresolved)
    if not read_whole:
        decision.alarm(
            "reconciliation_incomplete",
            "broker",
            Priority.P1,
            f"the broker could not be read whole: {detail}",
            "nothing was concluded from it; the comparison runs again",
        )
    else:
        decision.all_clear("reconciliation_incomplete", "broker", "the broker was read whole")
    decision.emit(
        ReconciliationCompleted(
            at=decision.at,
            trigger=trigger,
            result=result,
            breaks=len(found),
            repaired=repaired,
            unresolved=still,
            detail=detail,
        )
    )


def _erases(item: BreakFound) -> bool:
    """The broker's answer makes exposure vanish: smaller, gone, or turned around."""
    if item.kind is BreakKind.ORDER_MISSING_AT_BROKER:
        return True
    return item.kind in (BreakKind.POSITION_QTY, BreakKind.POSITION_SIDE) and abs(Decimal(item.after)) < abs(
        Decimal(item.before)
    )


def _uncorroborated(found: list[BreakFound], state: State) -> list[BreakFound]:
    return [b for b in found if _erases(b) and b.break_id in state.reconciliation.unresolved]


def _value_agrees(snapshot: BrokerSnapshot) -> bool:
    """The account's own total is the market value of the very positions the broker reports."""
    account = snapshot.account
    if account is None:
        return False
    return abs(sum((p.market_value for p in snapshot.positions), ZERO) - account.positions_value) <= TOLERANCES.money


def _repair(decision: Decision, item: BreakFound, snapshot: BrokerSnapshot, *, seen_before: bool) -> bool:
    """Bring our books in line with the broker's where that is safe; says whether the break is settled."""
    if _erases(item) and not (seen_before and _value_agrees(snapshot)):
        return False
    if item.kind in _POSITION_KINDS:
        return _repair_position(decision, item, snapshot)
    if item.kind is BreakKind.ORDER_MISSING_AT_BROKER:
        return _repair_missing_order(decision, item)
    return False


def _repair_position(decision: Decision, item: BreakFound, snapshot: BrokerSnapshot) -> bool:
    """The difference goes to the symbol's owner where there is exactly one, else to EXTERNAL."""
    state = decision.state
    owners = state.holders(item.symbol)
    theirs = next((p for p in snapshot.positions if p.symbol == item.symbol), None)
    their_qty = theirs.qty if theirs is not None else ZERO
    if len(owners) > 1:
        # Several owners: theirs stay, the difference is held outside until a person says whose it is.
        external = next((p.qty for p in owners if p.strategy_id == EXTERNAL), ZERO)
        owner, qty = EXTERNAL, their_qty - sum((p.qty for p in owners), ZERO) + external
    else:
        owner, qty = (owners[0].strategy_id, their_qty) if owners else (EXTERNAL, their_qty)
    decision.emit(
        RepairApplied(
            at=decision.at,
            break_id=item.break_id,
            kind=item.kind,
            symbol=item.symbol,
            before=item.before,
            after=item.after,
            cause=item.cause,
            authority=item.authority,
            strategy_id=owner,
            qty=str(qty),
            avg_px=str(theirs.avg_px if theirs is not None else ZERO),
        )
    )
    return True


def _repair_missing_order(decision: Decision, item: BreakFound) -> bool:
    """Asked for by id first: the order is only gone once the broker, asked for it by name, says so."""
    order = decision.state.orders.get(item.before)
    if order is None:
        return True
    if order.is_open and order.queried_at is None:
        text = "missing from the broker's open orders"
        decision.emit(OrderQueryRequested(at=decision.at, cl_ord_id=order.cl_ord_id, reason=text))
        return False
    if order.is_open:
        try:
            oms.walk(decision, order, Arc.CANCEL, reason="not at the broker, asked for twice")
        except IllegalArc:
            return False
    decision.emit(
        RepairApplied(
            at=decision.at,
            break_id=item.break_id,
            kind=item.kind,
            symbol=item.symbol,
            before=item.before,
            after="canceled in our books",
            cause=item.cause,
            authority=item.authority,
        )
    )
    return True


def _alarm_breaks(decision: Decision, found: list[BreakFound]) -> None:
    """§23: a position mismatch stops entries by itself, in any phase and until a person resumes; never liquidates."""
    if not found:
        decision.all_clear("reconciliation_mismatch", "book", "the books agree")
        return
    worst = min(found, key=lambda b: (b.severity, b.symbol))
    text = (
        f"{len(found)} break(s) against the broker; first: {worst.kind} {worst.symbol} {worst.before} -> {worst.after}"
    )
    decision.alarm(
        "reconciliation_mismatch",
        "book",
        worst.severity,
        text,
        "treat the broker as right about exposure; see `qm reconcile`, then find the cause before resuming",
    )
    if any(b.severity is Priority.P0 for b in found):
        decision.restrict("book", TradingState.REDUCING, "must_halt.position_mismatch", text, "reconciliation")
