"""What a direct emergency did comes back into the books: the fallback log, record by record (§15, §19)."""

from qmworkbench.domain.events import imported
from qmworkbench.domain.events.control import EmergencyStarted
from qmworkbench.domain.events.reconciliation import FallbackImported
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading import emergency
from qmworkbench.trading.decision import Decision


def on_imported(decision: Decision, event: FallbackImported) -> None:
    """Take the record over. The book is as halted as if the emergency had gone through the kernel, until a person
    resumes; and what is not flat yet is closed from here (fold_imports.py, emergency.py).
    """
    decision.emit(event)
    original = imported(event)
    if not isinstance(original, EmergencyStarted):
        return
    reason = f"{original.reason} (direct, {event.original_at:%Y-%m-%d %H:%M:%S} UTC)"
    decision.restrict("book", TradingState.HALTED, "emergency", reason, original.by)
    decision.alarm(
        emergency.ALERT,
        original.emergency_id,
        Priority.P0,
        f"Emergency Liquidate & Halt went out directly, past the platform, by {original.by}: {original.reason}",
        "confirm at the broker that every position is zero; do not resume before reconciliation (§15)",
    )
