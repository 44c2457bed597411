"""§9's analytics signals become alerts that stand while they hold (§20)."""

from typing import Final

from qmworkbench.domain.events.analytics import AnalyticsObserved
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading.decision import Decision

# What a person does about each signal. None of them changes anything by itself: one session proves little.
REMEDIES: Final = {
    "unusual_slippage": "look at its spread, tick and order sizes; trade it smaller, or block it for the session "
    "(qm block)",
    "repeated_failed_entries": "see what they failed at (qm why); block the symbol, or ask the strategy's owner",
    "systematic_late_exits": "compare its exit decisions with their fills (trade review); tell its owner",
    "unusual_concentration": "see whether it is meant to carry so much; no limit is breached, the Risk Manager's hold",
}


def on_observed(decision: Decision, event: AnalyticsObserved) -> None:
    """On record; a signal that speaks raises its alert, one that has gone quiet clears it."""
    decision.emit(event)
    for signal in event.signals:
        if signal.active:
            decision.alarm(
                signal.code,
                signal.subject,
                Priority.P2,
                f"{signal.text}: at {signal.value} {signal.unit}, the threshold is {signal.threshold} {signal.unit}",
                REMEDIES.get(signal.code, "see the analytics panel"),
            )
        else:
            decision.all_clear(signal.code, signal.subject, f"no longer: {signal.text}")
