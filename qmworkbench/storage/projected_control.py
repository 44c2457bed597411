"""How commands, states, blocks, alerts, notes, emergencies and breaks become rows (§10, §11, §14, §15, §18)."""

from typing import Any, Final

import msgspec

from qmworkbench.domain.events import Event, control, reconciliation
from qmworkbench.storage import projected_incidents as incidents
from qmworkbench.storage import table_rows
from qmworkbench.storage.projected_rows import Projections, Rows, document
from qmworkbench.storage.times import stored_time


def _command_received(rows: Rows, seq: int, event: control.CommandReceived) -> None:
    if rows.find(table_rows.Command, event.command_id) is not None:
        return  # the same command again counts once
    detail = msgspec.to_builtins(event.command)
    rows.put(
        table_rows.Command,
        event.command_id,
        session_id=rows.session_id,
        command=detail.pop("command"),
        reason=detail.pop("reason"),
        operator=event.operator,
        origin=event.origin,
        at=stored_time(event.at),
        detail=document(detail),
        outcome="received",
        seq=seq,
    )


def _command_accepted(rows: Rows, seq: int, event: control.CommandAccepted) -> None:
    answered = stored_time(event.at)
    rows.change(table_rows.Command, event.command_id, outcome="accepted", effect=event.effect, answered_at=answered)


def _command_refused(rows: Rows, seq: int, event: control.CommandRefused) -> None:
    rows.change(
        table_rows.Command,
        event.command_id,
        outcome="refused",
        refusal=event.reason,
        remedy=event.remedy,
        answered_at=stored_time(event.at),
    )


def _trading_state_changed(rows: Rows, seq: int, event: control.TradingStateChanged) -> None:
    _state_change(
        rows,
        seq,
        event,
        scope=event.scope,
        before=event.before.value,
        after=event.after.value,
        code=event.code,
        reason=event.reason,
        by=event.by,
    )


def _risk_violated(rows: Rows, seq: int, event: control.RiskViolated) -> None:
    rows.add(
        table_rows.RiskViolation(
            seq,
            session_id=rows.session_id,
            at=stored_time(event.at),
            code=event.code,
            scope=event.scope,
            symbol=event.symbol,
            cl_ord_id=event.cl_ord_id,
            value=event.value,
            limit=event.limit,
            effect=event.effect,
            limits_hash=event.limits_hash,
        )
    )


def _entries_held(rows: Rows, seq: int, event: control.EntriesHeld) -> None:
    _state_change(rows, seq, event, scope="entries", after="held", reason=event.reason)


def _entries_released(rows: Rows, seq: int, event: control.EntriesReleased) -> None:
    _state_change(rows, seq, event, scope="entries", after="released", reason=event.reason, by=event.by)


def _state_change(rows: Rows, seq: int, event: Event, **values: str) -> None:
    rows.add(table_rows.StateChange(seq, session_id=rows.session_id, at=stored_time(event.at), **values))


def _symbol_blocked(rows: Rows, seq: int, event: control.SymbolBlocked) -> None:
    _end_block(rows, event.symbol, stored_time(event.at), event.by, "blocked again")
    rows.add(
        table_rows.BlockedSymbol(
            seq,
            session_id=rows.session_id,
            symbol=event.symbol,
            scope=event.scope.value,
            reason=event.reason,
            by=event.by,
            at=stored_time(event.at),
            active=True,
        )
    )


def _symbol_unblocked(rows: Rows, seq: int, event: control.SymbolUnblocked) -> None:
    _end_block(rows, event.symbol, stored_time(event.at), event.by, event.reason)


def _end_block(rows: Rows, symbol: str, at: str, by: str, reason: str) -> None:
    for row in list(rows.matching(table_rows.BlockedSymbol, active=True, symbol=symbol)):
        rows.put_row(row, active=False, ended_at=at, ended_by=by, end_reason=reason)


def _alert_raised(rows: Rows, seq: int, event: control.AlertRaised) -> None:
    alert = event.alert
    rows.add(
        table_rows.Alert(
            seq,
            session_id=rows.session_id,
            alert_id=alert.alert_id,
            priority=alert.priority.value,
            kind=alert.kind,
            key=alert.key,
            text=alert.text,
            remedy=alert.remedy,
            at=stored_time(event.at),
            active=True,
        )
    )
    incidents.alert_raised(rows, seq, event)


def _alert_cleared(rows: Rows, seq: int, event: control.AlertCleared) -> None:
    incidents.alert_cleared(rows, event)
    for row in list(rows.matching(table_rows.Alert, active=True, alert_id=event.alert_id)):
        cleared = stored_time(event.at)
        rows.put_row(row, active=False, cleared_at=cleared, clear_reason=event.reason)


def _decision_required(rows: Rows, seq: int, event: control.DecisionRequired) -> None:
    rows.put(
        table_rows.RequiredDecision,
        rows.session_id,
        event.decision_id,
        question=event.question,
        options=document(event.options),
        at=stored_time(event.at),
        seq=seq,
    )


def _decision_escalated(rows: Rows, seq: int, event: control.DecisionEscalated) -> None:
    at, key = stored_time(event.at), (rows.session_id, event.decision_id)
    rows.change(table_rows.RequiredDecision, *key, escalated_at=at, waited_s=event.waited_s)


def _decision_recorded(rows: Rows, seq: int, event: control.DecisionRecorded) -> None:
    rows.change(
        table_rows.RequiredDecision,
        rows.session_id,
        event.decision_id,
        answered_at=stored_time(event.at),
        choice=event.choice,
        by=event.by,
        reason=event.reason,
    )


def _note_added(rows: Rows, seq: int, event: control.NoteAdded) -> None:
    known = rows.find(table_rows.OperatorNote, event.note_id) is not None
    rows.put(
        table_rows.OperatorNote,
        event.note_id,
        session_id=rows.session_id,
        kind=event.kind.value,
        text=event.text,
        by=event.by,
        at=stored_time(event.at),
        seq=seq,
    )
    if not known:
        incidents.note_added(rows, seq, event)


def _emergency_started(rows: Rows, seq: int, event: control.EmergencyStarted) -> None:
    incidents.emergency_started(rows, seq, event)
    detail = f"{event.reason} (flat within {event.deadline_s} s)"
    _emergency_row(rows, seq, event, event.emergency_id, step="started", detail=detail, by=event.by)


def _emergency_step(rows: Rows, seq: int, event: control.EmergencyStepTaken) -> None:
    _emergency_row(rows, seq, event, event.emergency_id, step=event.step, symbol=event.symbol, detail=event.detail)


def _emergency_completed(rows: Rows, seq: int, event: control.EmergencyCompleted) -> None:
    incidents.emergency_completed(rows, event)
    pnl, detail = str(event.realized_pnl), f"{event.symbols} symbol(s) flat"
    _emergency_row(rows, seq, event, event.emergency_id, step="completed", detail=detail, realized_pnl=pnl)


def _emergency_row(rows: Rows, seq: int, event: Event, emergency_id: str, **values: Any) -> None:
    rows.add(
        table_rows.EmergencyStep(
            seq,
            session_id=rows.session_id,
            emergency_id=emergency_id,
            at=stored_time(event.at),
            **values,
        )
    )


def _reconciliation_started(rows: Rows, seq: int, event: reconciliation.ReconciliationStarted) -> None:
    rows.add(
        table_rows.Reconciliation(
            seq,
            session_id=rows.session_id,
            trigger=event.trigger.value,
            started_at=stored_time(event.at),
        )
    )


def _reconciliation_completed(rows: Rows, seq: int, event: reconciliation.ReconciliationCompleted) -> None:
    at, trigger = stored_time(event.at), event.trigger.value
    waiting = list(rows.matching(table_rows.Reconciliation, session_id=rows.session_id, trigger=trigger, result=None))
    started = (
        waiting[-1]
        if waiting
        else rows.put(table_rows.Reconciliation, seq, session_id=rows.session_id, trigger=trigger)
    )
    rows.put_row(
        started,
        completed_at=at,
        result=event.result.value,
        breaks=event.breaks,
        repaired=event.repaired,
        unresolved=document(event.unresolved),
        detail=event.detail,
    )
    for row in list(rows.matching(table_rows.Break, session_id=rows.session_id, open=True)):
        if row.break_id not in event.unresolved:
            rows.put_row(row, open=False, settled_at=at)


def _break_found(rows: Rows, seq: int, event: reconciliation.BreakFound) -> None:
    at = stored_time(event.at)
    known = rows.find(table_rows.Break, rows.session_id, event.break_id) or table_rows.Break()
    rows.put(
        table_rows.Break,
        rows.session_id,
        event.break_id,
        kind=event.kind.value,
        symbol=event.symbol,
        severity=event.severity.value,
        before=event.before,
        after=event.after,
        cause=event.cause,
        authority=event.authority,
        found_at=known.found_at or at,
        last_at=at,
        times_found=(known.times_found or 0) + 1,
        open=True,
        settled_at=None,
        seq=known.seq or seq,
    )


def _connection_changed(rows: Rows, seq: int, event: reconciliation.BrokerConnectionChanged) -> None:
    rows.add(
        table_rows.ConnectionChange(
            seq,
            session_id=rows.session_id,
            at=stored_time(event.at),
            kind="broker",
            state="connected" if event.connected else "disconnected",
            detail=event.detail,
        )
    )


PROJECT: Final[Projections] = {
    control.CommandReceived: _command_received,
    control.CommandAccepted: _command_accepted,
    control.CommandRefused: _command_refused,
    control.TradingStateChanged: _trading_state_changed,
    control.RiskViolated: _risk_violated,
    control.EntriesHeld: _entries_held,
    control.EntriesReleased: _entries_released,
    control.SymbolBlocked: _symbol_blocked,
    control.SymbolUnblocked: _symbol_unblocked,
    control.AlertRaised: _alert_raised,
    control.AlertCleared: _alert_cleared,
    control.DecisionRequired: _decision_required,
    control.DecisionEscalated: _decision_escalated,
    control.DecisionRecorded: _decision_recorded,
    control.NoteAdded: _note_added,
    control.EmergencyStarted: _emergency_started,
    control.EmergencyStepTaken: _emergency_step,
    control.EmergencyCompleted: _emergency_completed,
    reconciliation.ReconciliationStarted: _reconciliation_started,
    reconciliation.ReconciliationCompleted: _reconciliation_completed,
    reconciliation.BreakFound: _break_found,
    reconciliation.BrokerConnectionChanged: _connection_changed,
}
