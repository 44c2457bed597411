"""The scan before the open, taken on record (§8)."""

from qmworkbench.domain.events.market import PreOpenScanned
from qmworkbench.trading.decision import Decision


def on_scanned(decision: Decision, event: PreOpenScanned) -> None:
    """On record."""
    decision.emit(event)
