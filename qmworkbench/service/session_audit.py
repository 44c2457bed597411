"""The auditor beside a running session: it hears every decision, and what it found goes on record at the end (§20)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from qmworkbench.analytics.audit import Audit, Auditor
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.session import AuditLine, AuditRecorded
from qmworkbench.service.recovery import SearchableJournal
from qmworkbench.trading.state import State


class SessionAudit:
    """One session's audit. Deaf until it has begun: it must know what was carried into the session."""

    def __init__(self) -> None:
        self._auditor: Auditor | None = None

    def begin(self, state: State) -> None:
        """Before the session is opened: `state` is the book as the last one left it."""
        self._auditor = Auditor(
            carried_orders=(*state.open_orders, *state.working_ids),
            carried_positions=positions_of(state),
            book_state=state.halt.state,
        )

    def begin_from(self, journal: SearchableJournal, before_seq: int, story: Iterable[Event]) -> None:
        """For a session another process began: what was carried into it is read from the journal before `before_seq`,
        `story` is what has been decided in it.
        """
        self._auditor = carried_into(journal, before_seq)
        self.take(tuple(story))

    def take(self, events: Sequence[Event]) -> None:
        """What was decided, in order."""
        if self._auditor is not None:
            self._auditor.take_all(events)

    def recorded(self, at: datetime, seq: int, state: State) -> AuditRecorded:
        """What has been found up to decision `seq`, positions held against the folded `state`."""
        found = self._auditor.concluded(positions_of(state)) if self._auditor is not None else Audit()
        lines = tuple(AuditLine(rule=f.rule, subject=f.subject, detail=f.detail) for f in found.findings)
        return AuditRecorded(at=at, seq=seq, checked=found.checked, findings=lines)


def positions_of(state: State) -> dict[str, Decimal]:
    """What the folded state holds, by "strategy|symbol"."""
    return {key: held.qty for key, held in state.positions.items()}


def carried_into(journal: SearchableJournal, before_seq: int) -> Auditor:
    """An auditor that knows the book as its records before `before_seq` make it, and has found nothing yet."""
    auditor = Auditor(carried_positions={})
    for seq, event in journal.events_by(auditor.types):
        if seq >= before_seq:
            break
        auditor.take(event)
    auditor.begin_anew()
    return auditor
