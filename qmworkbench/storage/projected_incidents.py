"""How alerts, emergencies and incident notes become incidents: what somebody had to act on (§13, §18, §20)."""

from typing import Any, Final

from qmworkbench.domain.commands import NoteKind
from qmworkbench.domain.events import control
from qmworkbench.domain.sessions import Priority
from qmworkbench.storage import table_rows
from qmworkbench.storage.projected_rows import Rows
from qmworkbench.storage.times import stored_time

_GRAVE: Final = frozenset({Priority.P0, Priority.P1})


def alert_raised(rows: Rows, seq: int, event: control.AlertRaised) -> None:
    """Critical and high alerts are incidents until they are cleared."""
    alert = event.alert
    if alert.priority in _GRAVE:
        _begin(
            rows,
            seq,
            alert.alert_id,
            source="alert",
            priority=alert.priority.value,
            kind=alert.kind,
            subject=alert.key,
            text=alert.text,
            opened_at=stored_time(event.at),
        )


def alert_cleared(rows: Rows, event: control.AlertCleared) -> None:
    """The trouble is over."""
    _end(rows, event.alert_id, "alert", stored_time(event.at), event.reason)


def note_added(rows: Rows, seq: int, event: control.NoteAdded) -> None:
    """What a person wrote down as an incident; it has no end of its own."""
    if event.kind is NoteKind.INCIDENT:
        at = stored_time(event.at)
        _begin(rows, seq, event.note_id, source="note", kind="note", text=event.text, by=event.by, opened_at=at)


def emergency_started(rows: Rows, seq: int, event: control.EmergencyStarted) -> None:
    """From the order to liquidate until everything is flat."""
    _begin(
        rows,
        seq,
        event.emergency_id,
        source="emergency",
        priority=Priority.P0.value,
        kind="emergency",
        text=event.reason,
        by=event.by,
        opened_at=stored_time(event.at),
    )


def emergency_completed(rows: Rows, event: control.EmergencyCompleted) -> None:
    """Everything is flat."""
    _end(rows, event.emergency_id, "emergency", stored_time(event.at), f"{event.symbols} symbol(s) flat")


def _begin(rows: Rows, seq: int, incident_id: str, **values: Any) -> None:
    rows.add(table_rows.Incident(seq, session_id=rows.session_id, incident_id=incident_id, **values))


def _end(rows: Rows, incident_id: str, source: str, at: str, outcome: str) -> None:
    for row in list(rows.matching(table_rows.Incident, incident_id=incident_id, source=source, ended_at=None)):
        rows.put_row(row, ended_at=at, outcome=outcome)
