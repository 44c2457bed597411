"""Rows of commands, notes, signals, alerts, halts and breaks, from a session's events (§10, §14, §18, §20)."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from qmworkbench.analytics.tables import Rows
from qmworkbench.domain.events import Event, analytics, control, reconciliation
from qmworkbench.domain.sessions import Phase

POLICY: Final = "policy:"


class ControlRows:
    """What people ordered and noted, what was alarmed, and what reconciliation found."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._commands: dict[str, dict[str, Any]] = {}
        self._alerts: dict[str, dict[str, Any]] = {}
        self._breaks: dict[str, dict[str, Any]] = {}
        self._over = False
        self.handlers: dict[type[Event], Callable[[Any], None]] = {
            control.CommandReceived: self._command,
            control.CommandAccepted: lambda e: self._answered(e.command_id, True, e.effect),
            control.CommandRefused: lambda e: self._answered(e.command_id, False, e.reason),
            control.NoteAdded: self._note,
            analytics.AnalyticsObserved: self._observed,
            control.AlertRaised: self._alert,
            control.AlertCleared: self._cleared,
            control.TradingStateChanged: self._state,
            control.EmergencyStarted: self._emergency,
            reconciliation.BreakFound: self._break,
            reconciliation.RepairApplied: self._repaired,
            reconciliation.ReconciliationCompleted: self._reconciled,
        }

    def _answered(self, command_id: str, accepted: bool, answer: str) -> None:
        if command_id in self._commands:
            self._commands[command_id].update(accepted=accepted, answer=answer)

    def _command(self, event: control.CommandReceived) -> None:
        given = event.command
        details = {name: str(getattr(given, name)) for name in given.__struct_fields__ if name != "reason"}
        self._commands[event.command_id] = self._rows.add(
            "commands",
            at=event.at,
            command_id=event.command_id,
            command=str(given.__struct_config__.tag),
            details=", ".join(f"{name} {value}" for name, value in details.items()),
            reason=given.reason,
            operator=event.operator,
            origin=event.origin,
            by_policy=event.operator.startswith(POLICY),
            accepted=None,
            answer="",
        )

    def _note(self, event: control.NoteAdded) -> None:
        self._rows.add("notes", at=event.at, note_id=event.note_id, kind=event.kind, text=event.text, by=event.by)

    def phase_entered(self, phase: Phase) -> None:
        """From the review on, a signal is told where it came to stand."""
        self._over = self._over or phase is Phase.REVIEW

    def _observed(self, event: analytics.AnalyticsObserved) -> None:
        for signal in event.signals:
            told = msgspec.structs.asdict(signal)
            self._rows.add("analytics_signals", at=event.at, final=self._over, **told)

    def _alert(self, event: control.AlertRaised) -> None:
        alert = event.alert
        self._alerts[alert.alert_id] = self._rows.add(
            "alerts",
            at=event.at,
            priority=alert.priority,
            kind=alert.kind,
            key=alert.key,
            text=alert.text,
            remedy=alert.remedy,
            cleared_at=None,
        )

    def _cleared(self, event: control.AlertCleared) -> None:
        if event.alert_id in self._alerts:
            self._alerts[event.alert_id]["cleared_at"] = event.at

    def _state(self, event: control.TradingStateChanged) -> None:
        what = event.after.shown
        self._rows.add(
            "halts", at=event.at, scope=event.scope, what=what, code=event.code, reason=event.reason, by=event.by
        )

    def _emergency(self, event: control.EmergencyStarted) -> None:
        self._rows.add(
            "halts", at=event.at, scope="book", what="emergency", code="emergency", reason=event.reason, by=event.by
        )

    def _break(self, event: reconciliation.BreakFound) -> None:
        if event.break_id in self._breaks:
            self._breaks[event.break_id]["settled_at"] = None
            return
        self._breaks[event.break_id] = self._rows.add(
            "breaks",
            at=event.at,
            break_id=event.break_id,
            kind=event.kind,
            symbol=event.symbol,
            severity=event.severity,
            before=event.before,
            after=event.after,
            cause=event.cause,
            authority=event.authority,
            settled_at=None,
        )

    def _repaired(self, event: reconciliation.RepairApplied) -> None:
        if event.break_id in self._breaks:
            self._breaks[event.break_id]["settled_at"] = event.at

    def _reconciled(self, event: reconciliation.ReconciliationCompleted) -> None:
        self._rows.add(
            "reconciliations",
            at=event.at,
            trigger=event.trigger,
            result=event.result,
            breaks=event.breaks,
            repaired=event.repaired,
            unresolved=len(event.unresolved),
            detail=event.detail,
        )
        if event.result is reconciliation.ReconciliationResult.INCOMPLETE:
            return
        for break_id, row in self._breaks.items():
            if break_id not in event.unresolved and row["settled_at"] is None:
                row["settled_at"] = event.at
