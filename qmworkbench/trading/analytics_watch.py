"""§9's analytics signals become alerts that stand while they hold."""

from qmworkbench.domain.events.analytics import AnalyticsObserved
from qmworkbench.trading.decision import Decision


def on_observed(decision: Decision, event: AnalyticsObserved) -> None:
    """On record."""
    decision.emit(event)
