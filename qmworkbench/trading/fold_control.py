"""The control half of the fold: commands, states, alarms, emergency (§10, §11, §15)."""

from collections.abc import Callable
from typing import Any, Final

from qmworkbench.domain.events import Event, control, orders
from qmworkbench.domain.execution import SubmitOutcome
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.state import Block, Emergency, EmergencyLine, Halt, HaltCause, RequiredDecision, State

REQUESTS_KEPT: Final = 20


def _command_received(state: State, event: control.CommandReceived) -> None:
    state.commands[event.command_id] = event.operator


def _trading_state_changed(state: State, event: control.TradingStateChanged) -> None:
    if event.scope == "book":
        if event.after is TradingState.ACTIVE:
            state.halt = Halt(code=event.code, reason=event.reason, by=event.by)
            return
        causes = state.halt.causes
        causes[event.code] = HaltCause(reason=event.reason, by=event.by, since=event.at)
        state.halt = Halt(
            state=event.after, code=event.code, reason=event.reason, by=event.by, since=event.at, causes=causes
        )
        return
    run = state.day.runs[event.scope]
    run.state, run.state_reason, run.state_code = event.after, event.reason, event.code
    run.state_by, run.state_since = event.by, event.at
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
    elif event.step == "read_behind":
        emergency.behind_since = event.at
    elif event.step == "stranger_canceled":
        emergency.strangers[event.detail] = event.at
    if not event.symbol or event.step == "stranger_canceled":
        return
    if event.step == "late_fill":
        emergency.completed_at = emergency.overdue_at = None
        emergency.again_at = event.at
    line = emergency.lines.setdefault(event.symbol, EmergencyLine(step=event.step, since=event.at))
    line.step, line.since, line.detail = event.step, event.at, event.detail
    line.attempt += event.step == "close_sent"


def _emergency_completed(state: State, event: control.EmergencyCompleted) -> None:
    if state.emergency is not None:
        state.emergency.completed_at = event.at


def _report_quarantined(state: State, event: orders.ReportQuarantined) -> None:
    if state.contradicted_since is None:
        state.contradicted_since = event.at


def _submit_observed(state: State, event: orders.SubmitObserved) -> None:
    if event.outcome is SubmitOutcome.LOST and state.session is not None:
        lost = state.day.requests_lost
        lost.append(event.at)
        del lost[:-REQUESTS_KEPT]


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
    orders.ReportQuarantined: _report_quarantined,
    orders.SubmitObserved: _submit_observed,
}
