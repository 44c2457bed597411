"""Replacing a resting order: asked for, observed, confirmed or refused by the broker (§13)."""

from qmworkbench.domain.events.orders import ReplaceObserved
from qmworkbench.trading.decision import Decision


def on_replace_observed(decision: Decision, event: ReplaceObserved) -> None:
    """How sending the replace ended."""
    decision.emit(event)
