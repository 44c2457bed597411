"""What the auditor found goes on record; a finding is P0 and stops entries (§20 "missing risk enforcement")."""

from qmworkbench.domain.events.session import AuditRecorded
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.decision import Decision


def on_recorded(decision: Decision, event: AuditRecorded) -> None:
    """The auditor's walk; each finding is P0, because something passed a rule that lets nothing pass."""
    decision.emit(event)
    if not event.findings:
        decision.all_clear("missing_risk_enforcement", "book", f"the audit up to {event.seq} found nothing")
        return
    first = event.findings[0]
    decision.alarm(
        "missing_risk_enforcement",
        "book",
        Priority.P0,
        f"the audit found {len(event.findings)} thing(s); first: {first.rule}: {first.subject}, {first.detail}",
        "halt, compare with the broker's history (`qm audit`, `qm order inspect`), and find the cause before resuming",
    )
    text = f"the audit found {len(event.findings)} thing(s) that no rule lets pass; first: {first.rule}"
    decision.restrict("book", TradingState.REDUCING, "missing_risk_enforcement", text, "auditor")
