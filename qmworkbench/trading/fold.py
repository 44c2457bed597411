"""apply(state, event): the one place where state changes (§19, DESIGN "Kernel").

Facts are taken as they are; every judgement was made before the event was written. So folding a journal never
fails on a rule, and a replayed journal gives the live state bit for bit.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from qmworkbench.domain.events import DECISION_TYPES, Event, control, market, orders, reconciliation, session
from qmworkbench.domain.events.market import WatchState
from qmworkbench.domain.sessions import BlockScope, TradingState
from qmworkbench.trading import fold_orders
from qmworkbench.trading.state import (
    Assignment,
    Block,
    Emergency,
    EmergencyLine,
    Halt,
    RequiredDecision,
    Run,
    Session,
    State,
    WatchItem,
)

E = TypeVar("E", bound=Event)
_APPLY: dict[type[Event], Callable[[State, Any], None]] = dict(fold_orders.APPLY)

# Facts that matter to readers and reports but change nothing that a rule looks at.
INERT: frozenset[type[Event]] = frozenset(
    {
        control.CommandAccepted,
        control.CommandRefused,
        control.NoteAdded,
        control.ClockTicked,
        market.BarsQuarantined,
        market.StrategyFaulted,
        market.FrameDropped,
        market.SignalRaised,
        market.SignalIgnored,
        orders.RiskDecided,
        orders.OrderQueried,
        orders.SubmitObserved,
        orders.CancelObserved,
        orders.ReportQuarantined,
        reconciliation.BrokerSnapshotObserved,
        session.PhaseRefused,
        session.ServiceStopped,
        session.SessionSummarized,
    }
)


def apply(state: State, event: Event) -> None:
    """Fold one event into the state."""
    if state.now is None or event.at > state.now:
        state.now = event.at
    change = _APPLY.get(type(event))
    if change is not None:
        change(state, event)


def fold(events: Iterable[Event], state: State | None = None) -> State:
    """The state after `events`, from `state` or from nothing."""
    folded = State() if state is None else state
    for event in events:
        apply(folded, event)
    return folded


def _on(kind: type[E]) -> Callable[[Callable[[State, E], None]], Callable[[State, E], None]]:
    def register(change: Callable[[State, E], None]) -> Callable[[State, E], None]:
        _APPLY[kind] = change
        return change

    return register


@_on(session.SessionOpened)
def _session_opened(state: State, event: session.SessionOpened) -> None:
    state.book = event.book
    window = event.window
    state.session = Session(
        session_id=event.session_id,
        environment=event.environment,
        window=window,
        limits=event.limits,
        limits_hash=event.limits_hash,
        opens_at=datetime.fromisoformat(window.opens_at),
        closes_at=datetime.fromisoformat(window.closes_at),
        unattended=event.unattended,
        account_currency=event.account_currency,
        max_candidates=event.max_candidates,
        max_owned=event.max_owned,
        scan_settings=event.scan_settings,
        instruments={instrument.symbol: instrument for instrument in event.instruments},
        runs={spec.strategy_id: Run(run_id=f"{event.session_id}/{spec.strategy_id}", spec=spec) for spec in event.runs},
    )
    # A block for the session ends with it; a permanent one, a halt and what is held stay.
    state.blocked = {s: block for s, block in state.blocked.items() if block.scope is BlockScope.PERMANENT}
    state.orders = {cl_ord_id: state.orders[cl_ord_id] for cl_ord_id in state.open_orders}
    state.intents = {cl_ord_id: i for cl_ord_id, i in state.intents.items() if cl_ord_id in state.open_orders}
    state.exec_ids = {}
    state.marks = {}
    state.alerts = {}
    state.commands = {}
    if state.emergency is not None and not state.emergency.running:
        state.emergency = None
    for symbol in event.limits.blocked_symbols:
        block = Block(scope=BlockScope.PERMANENT, by="limits", reason="blocked in the limits file", at=event.at)
        state.blocked.setdefault(symbol, block)


@_on(session.PhaseEntered)
def _phase_entered(state: State, event: session.PhaseEntered) -> None:
    state.day.phase = event.phase


@_on(session.PreflightRecorded)
def _preflight_recorded(state: State, event: session.PreflightRecorded) -> None:
    state.day.preflight[event.phase] = event.verdict


@_on(session.ServiceReady)
def _service_ready(state: State, event: session.ServiceReady) -> None:
    state.day.services[event.service] = event.position


@_on(session.HealthObserved)
def _health_observed(state: State, event: session.HealthObserved) -> None:
    state.day.critical_down = event.critical_down


@_on(session.RunStarted)
def _run_started(state: State, event: session.RunStarted) -> None:
    state.day.runs[event.strategy_id].ended = False


@_on(session.RunEnded)
def _run_ended(state: State, event: session.RunEnded) -> None:
    run = state.day.runs[event.strategy_id]
    run.ended = True
    run.state_reason = event.reason


@_on(session.SessionEnding)
def _session_ending(state: State, event: session.SessionEnding) -> None:
    state.day.ending = event.reason


@_on(session.SessionClosed)
def _session_closed(state: State, event: session.SessionClosed) -> None:
    state.closed_sessions.append(event.session_id)


@_on(market.FeedChanged)
def _feed_changed(state: State, event: market.FeedChanged) -> None:
    state.feed, state.feed_detail = event.state, event.detail


@_on(market.BoundaryClosed)
def _boundary_closed(state: State, event: market.BoundaryClosed) -> None:
    day = state.day
    day.boundary, day.boundary_at, day.boundary_hash = event.boundary, event.at, event.frame_hash
    if not event.extended:
        for held in state.positions.values():
            held.bars_held += 1


@_on(market.FrameComputed)
def _frame_computed(state: State, event: market.FrameComputed) -> None:
    day = state.day
    if event.as_of != day.boundary_at:
        return
    day.frame_at, day.silenced, day.candidates = event.as_of, event.silenced, event.candidates
    for mark in event.marks:
        state.marks[mark.symbol] = mark
    for run in day.runs.values():
        if not run.ended:
            run.last_boundary_at = event.as_of
    found = {candidate.symbol: candidate.rank for candidate in event.candidates}
    for item in day.watchlist.values():
        item.missed_boundaries = 0 if item.symbol in found else item.missed_boundaries + 1
        item.rank = found.get(item.symbol, item.rank)
    for assignment in day.assignments.values():
        assignment.missed_boundaries = 0 if assignment.symbol in found else assignment.missed_boundaries + 1


@_on(market.WatchlistChanged)
def _watchlist_changed(state: State, event: market.WatchlistChanged) -> None:
    item = state.day.watchlist.get(event.symbol)
    if item is None or event.state is WatchState.FOUND:
        item = WatchItem(symbol=event.symbol, state=event.state)
        state.day.watchlist[event.symbol] = item
    item.state, item.reason = event.state, event.reason
    item.times[event.state] = event.at
    if event.rank is not None:
        item.rank = event.rank


@_on(market.NearMissSeen)
def _near_miss(state: State, event: market.NearMissSeen) -> None:
    state.day.near_misses[event.symbol] = ",".join(verdict.code for verdict in event.failed)


@_on(market.AssignmentMade)
def _assignment_made(state: State, event: market.AssignmentMade) -> None:
    state.day.assignments[event.symbol] = Assignment(
        symbol=event.symbol, strategy_id=event.strategy_id, budget=event.budget, at=event.at
    )
    state.day.declined.pop(event.symbol, None)
    item = state.day.watchlist.get(event.symbol)
    if item is not None:
        item.strategy_id = event.strategy_id


@_on(market.AssignmentDeclined)
def _assignment_declined(state: State, event: market.AssignmentDeclined) -> None:
    state.day.declined[event.symbol] = event.reason


@_on(market.AssignmentEnded)
def _assignment_ended(state: State, event: market.AssignmentEnded) -> None:
    state.day.assignments.pop(event.symbol, None)


@_on(control.CommandReceived)
def _command_received(state: State, event: control.CommandReceived) -> None:
    state.commands[event.command_id] = event.operator


@_on(control.TradingStateChanged)
def _trading_state_changed(state: State, event: control.TradingStateChanged) -> None:
    if event.scope == "book":
        since = None if event.after is TradingState.ACTIVE else event.at
        state.halt = Halt(state=event.after, code=event.code, reason=event.reason, by=event.by, since=since)
        return
    run = state.day.runs[event.scope]
    run.state, run.state_reason = event.after, event.reason
    if event.after is TradingState.ACTIVE:
        run.rejections = 0


@_on(control.EntriesHeld)
def _entries_held(state: State, event: control.EntriesHeld) -> None:
    state.day.entries_held = event.reason


@_on(control.EntriesReleased)
def _entries_released(state: State, event: control.EntriesReleased) -> None:
    state.day.entries_held = ""


@_on(control.SymbolBlocked)
def _symbol_blocked(state: State, event: control.SymbolBlocked) -> None:
    state.blocked[event.symbol] = Block(scope=event.scope, by=event.by, reason=event.reason, at=event.at)


@_on(control.SymbolUnblocked)
def _symbol_unblocked(state: State, event: control.SymbolUnblocked) -> None:
    state.blocked.pop(event.symbol, None)


@_on(control.AlertRaised)
def _alert_raised(state: State, event: control.AlertRaised) -> None:
    state.alerts[event.alert.alert_id] = event.alert


@_on(control.AlertCleared)
def _alert_cleared(state: State, event: control.AlertCleared) -> None:
    state.alerts.pop(event.alert_id, None)


@_on(control.DecisionRequired)
def _decision_required(state: State, event: control.DecisionRequired) -> None:
    state.day.decisions[event.decision_id] = RequiredDecision(
        decision_id=event.decision_id, question=event.question, options=event.options, since=event.at
    )


@_on(control.DecisionEscalated)
def _decision_escalated(state: State, event: control.DecisionEscalated) -> None:
    state.day.decisions[event.decision_id].escalated_at = event.at


@_on(control.DecisionRecorded)
def _decision_recorded(state: State, event: control.DecisionRecorded) -> None:
    state.day.decisions.pop(event.decision_id, None)


@_on(control.EmergencyStarted)
def _emergency_started(state: State, event: control.EmergencyStarted) -> None:
    state.emergency = Emergency(
        emergency_id=event.emergency_id,
        by=event.by,
        reason=event.reason,
        started_at=event.at,
        deadline_s=event.deadline_s,
    )


@_on(control.EmergencyStepTaken)
def _emergency_step(state: State, event: control.EmergencyStepTaken) -> None:
    emergency = state.emergency
    if emergency is None:
        return
    if event.step == "overdue":
        emergency.overdue_at = event.at
        return
    line = emergency.lines.setdefault(event.symbol, EmergencyLine(step=event.step, since=event.at))
    line.step, line.since, line.detail = event.step, event.at, event.detail
    line.attempt += event.step == "close_sent"


@_on(control.EmergencyCompleted)
def _emergency_completed(state: State, event: control.EmergencyCompleted) -> None:
    if state.emergency is not None:
        state.emergency.completed_at = event.at


@_on(reconciliation.AccountObserved)
def _account_observed(state: State, event: reconciliation.AccountObserved) -> None:
    state.account = event.account
    state.spent = {cursor: amount for cursor, amount in state.spent.items() if int(cursor) > event.account.cursor}


@_on(reconciliation.BrokerConnectionChanged)
def _connection_changed(state: State, event: reconciliation.BrokerConnectionChanged) -> None:
    state.connected = event.connected


@_on(reconciliation.SessionEquitySet)
def _session_equity_set(state: State, event: reconciliation.SessionEquitySet) -> None:
    state.day.start_equity = Decimal(event.equity)


@_on(reconciliation.ReconciliationStarted)
def _reconciliation_started(state: State, event: reconciliation.ReconciliationStarted) -> None:
    state.reconciliation.pending, state.reconciliation.requested_at = event.trigger, event.at


@_on(reconciliation.BreakFound)
def _break_found(state: State, event: reconciliation.BreakFound) -> None:
    if event.break_id not in state.reconciliation.unresolved:
        state.day.breaks += 1
    state.reconciliation.unresolved[event.break_id] = event


@_on(reconciliation.ReconciliationCompleted)
def _reconciliation_completed(state: State, event: reconciliation.ReconciliationCompleted) -> None:
    last = state.reconciliation
    last.pending, last.trigger, last.result = None, event.trigger, event.result
    last.completed_at, last.breaks = event.at, event.breaks
    last.unresolved = {b: found for b, found in last.unresolved.items() if b in event.unresolved}


@_on(reconciliation.SessionRecovered)
def _session_recovered(state: State, event: reconciliation.SessionRecovered) -> None:
    state.day.recovered = state.day.recovering = True
    state.connected = False


@_on(reconciliation.RecoveryCompleted)
def _recovery_completed(state: State, event: reconciliation.RecoveryCompleted) -> None:
    state.day.recovering = False


def unhandled() -> list[type[Event]]:
    """Event types that are neither folded nor declared inert: must be empty (held by a test)."""
    return [kind for kind in DECISION_TYPES if kind not in _APPLY and kind not in INERT]
