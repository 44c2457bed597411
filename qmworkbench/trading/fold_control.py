"""The control half of the fold: commands, states, alarms, emergency, reconciliation (§10, §11, §14, §15)."""

from collections.abc import Callable
from typing import Any

from qmworkbench.domain.events import Event, control, reconciliation
from qmworkbench.domain.events.reconciliation import Trigger
from qmworkbench.domain.execution import Account
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.state import Block, Emergency, EmergencyLine, Halt, RequiredDecision, State


def _command_received(state: State, event: control.CommandReceived) -> None:
    state.commands[event.command_id] = event.operator


def _trading_state_changed(state: State, event: control.TradingStateChanged) -> None:
    if event.scope == "book":
        since = None if event.after is TradingState.ACTIVE else event.at
        state.halt = Halt(state=event.after, code=event.code, reason=event.reason, by=event.by, since=since)
        return
    run = state.day.runs[event.scope]
    run.state, run.state_reason = event.after, event.reason
    if event.after is TradingState.ACTIVE:
        run.rejections = 0


def _entries_held(state: State, event: control.EntriesHeld) -> None:
    state.day.entries_held = event.reason


def _entries_released(state: State, event: control.EntriesReleased) -> None:
    state.day.entries_held = ""


def _symbol_blocked(state: State, event: control.SymbolBlocked) -> None:
    state.blocked[event.symbol] = Block(scope=event.scope, by=event.by, reason=event.reason, at=event.at)


def _symbol_unblocked(state: State, event: control.SymbolUnblocked) -> None:
    state.blocked.pop(event.symbol, None)


def _alert_raised(state: State, event: control.AlertRaised) -> None:
    state.alerts[event.alert.alert_id] = event.alert


def _alert_cleared(state: State, event: control.AlertCleared) -> None:
    state.alerts.pop(event.alert_id, None)


def _decision_required(state: State, event: control.DecisionRequired) -> None:
    state.day.decisions[event.decision_id] = RequiredDecision(
        decision_id=event.decision_id, question=event.question, options=event.options, since=event.at
    )


def _decision_escalated(state: State, event: control.DecisionEscalated) -> None:
    state.day.decisions[event.decision_id].escalated_at = event.at


def _decision_recorded(state: State, event: control.DecisionRecorded) -> None:
    state.day.decisions.pop(event.decision_id, None)


def _emergency_started(state: State, event: control.EmergencyStarted) -> None:
    state.emergency = Emergency(
        emergency_id=event.emergency_id,
        by=event.by,
        reason=event.reason,
        started_at=event.at,
        deadline_s=event.deadline_s,
    )


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


def _emergency_completed(state: State, event: control.EmergencyCompleted) -> None:
    if state.emergency is not None:
        state.emergency.completed_at = event.at


def _account_observed(state: State, event: reconciliation.AccountObserved) -> None:
    _statement(state, event.account)


def _snapshot_observed(state: State, event: reconciliation.BrokerSnapshotObserved) -> None:
    if event.snapshot.complete and event.snapshot.account is not None:
        _statement(state, event.snapshot.account)


def _statement(state: State, account: Account) -> None:
    state.account = account
    state.spent = {cursor: amount for cursor, amount in state.spent.items() if int(cursor) > account.cursor}


def _connection_changed(state: State, event: reconciliation.BrokerConnectionChanged) -> None:
    state.connected = event.connected


def _session_equity_set(state: State, event: reconciliation.SessionEquitySet) -> None:
    state.day.start_equity, state.day.start_unrealized = event.equity, event.unrealized_pnl
    state.day.start_cursor = state.account.cursor if state.account is not None else 0


def _reconciliation_started(state: State, event: reconciliation.ReconciliationStarted) -> None:
    state.reconciliation.pending, state.reconciliation.requested_at = event.trigger, event.at
    emergency = state.emergency
    if emergency is not None and event.trigger is Trigger.EMERGENCY:
        emergency.reads = emergency.reads + 1 if emergency.read_at == event.at else 1
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


def _session_recovered(state: State, event: reconciliation.SessionRecovered) -> None:
    state.day.recovered = state.day.recovering = True
    state.connected = False


def _recovery_completed(state: State, event: reconciliation.RecoveryCompleted) -> None:
    state.day.recovering = False


APPLY: dict[type[Event], Callable[[State, Any], None]] = {
    control.CommandReceived: _command_received,
    control.TradingStateChanged: _trading_state_changed,
    control.EntriesHeld: _entries_held,
    control.EntriesReleased: _entries_released,
    control.SymbolBlocked: _symbol_blocked,
    control.SymbolUnblocked: _symbol_unblocked,
    control.AlertRaised: _alert_raised,
    control.AlertCleared: _alert_cleared,
    control.DecisionRequired: _decision_required,
    control.DecisionEscalated: _decision_escalated,
    control.DecisionRecorded: _decision_recorded,
    control.EmergencyStarted: _emergency_started,
    control.EmergencyStepTaken: _emergency_step,
    control.EmergencyCompleted: _emergency_completed,
    reconciliation.AccountObserved: _account_observed,
    reconciliation.BrokerSnapshotObserved: _snapshot_observed,
    reconciliation.BrokerConnectionChanged: _connection_changed,
    reconciliation.SessionEquitySet: _session_equity_set,
    reconciliation.ReconciliationStarted: _reconciliation_started,
    reconciliation.BreakFound: _break_found,
    reconciliation.ReconciliationCompleted: _reconciliation_completed,
    reconciliation.SessionRecovered: _session_recovered,
    reconciliation.RecoveryCompleted: _recovery_completed,
}
