"""The auditor over a book's journal, on demand: from the first record on, believing no checkpoint (§20, §21)."""

import msgspec

from qmworkbench.analytics.audit import Auditor
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.operations.post_session_evidence import AuditFinding
from qmworkbench.service.session_audit import positions_of
from qmworkbench.storage.stores import Reader
from qmworkbench.trading.fold import apply
from qmworkbench.trading.state import State


class AuditFound(msgspec.Struct, frozen=True, kw_only=True):
    """One finding, with the record after which it showed."""

    seq: int
    rule: str
    subject: str
    detail: str


class BookAudit(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk found. `session_id` "" for the whole book; `records` were walked, `checked` sends, cancels, replaces,
    fills and refusals were held against what they follow from. `closed` False: the session may still go on.
    """

    session_id: str
    records: int
    checked: int
    closed: bool
    findings: tuple[AuditFound, ...]

    @property
    def clean(self) -> bool:
        return not self.findings


def audit_book(journal: Reader, session_id: str | None = None) -> BookAudit:
    """Walk the decisions up to the end of a session, or all of them, and prove their chain on the way.

    What came before the session is walked too, so that what it carried in is known; only its own findings are told.
    Raises ChainBroken.
    """
    journal.verify()
    walk, state = Auditor(carried_positions={}), State()
    mine, over = session_id is None, False
    records = 0
    found: list[AuditFound] = []
    seq = 0
    for seq, event in journal.events():
        if isinstance(event, SessionOpened) and session_id is not None:
            if mine and event.session_id != session_id:
                over = True
                break
            if event.session_id == session_id and not mine:
                mine = True
                walk.begin_anew()
        before = len(walk.audit.findings)
        walk.take(event)
        apply(state, event)
        if mine:
            records += 1
            found += [_at(seq, finding) for finding in walk.audit.findings[before:]]
    told = walk.concluded(positions_of(state))
    if mine:
        found += [_at(seq, finding) for finding in told.findings[len(walk.audit.findings) :]]
    closed = over or (state.session is not None and state.session.session_id in state.closed_sessions)
    return BookAudit(
        session_id=session_id or "", records=records, checked=told.checked, closed=closed, findings=tuple(found)
    )


def _at(seq: int, finding: AuditFinding) -> AuditFound:
    return AuditFound(seq=seq, rule=finding.rule, subject=finding.subject, detail=finding.detail)
