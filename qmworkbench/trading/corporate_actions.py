"""The broker's account activities applied to our books: splits, dividends, renames, financing (§14)."""

from qmworkbench.domain.events.overnight import ActivitiesObserved
from qmworkbench.trading.decision import Decision


def on_activities(decision: Decision, event: ActivitiesObserved) -> None:
    """On record."""
    decision.emit(event)
