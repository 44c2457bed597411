"""Events to fill a journal with: small, of several types, numbered so that a loss shows."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import EntriesHeld, SymbolBlocked
from qmworkbench.domain.events.orders import OrderChanged
from qmworkbench.domain.events.telemetry import BoundaryTimed
from qmworkbench.domain.orders import Arc, OrdStatus
from qmworkbench.domain.sessions import BlockScope

OPEN = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)


def decision(n: int) -> Event:
    """Decision number `n`: three types in turn, the number inside."""
    at = OPEN + timedelta(seconds=n)
    match n % 3:
        case 0:
            return EntriesHeld(at=at, reason=f"number {n}")
        case 1:
            return SymbolBlocked(at=at, symbol=f"S{n}", scope=BlockScope.SESSION, by="test", reason="é ≤ ✓")
        case _:
            return OrderChanged(
                at=at,
                cl_ord_id=f"qm-{n}",
                arc=Arc.FILL,
                status=OrdStatus.PARTIALLY_FILLED,
                cum_qty=Decimal("0.10"),
                order_qty=Decimal(100 + n),
            )


def decisions(count: int, first: int = 1) -> list[Event]:
    return [decision(n) for n in range(first, first + count)]


def timing(n: int) -> Event:
    return BoundaryTimed(
        at=OPEN + timedelta(minutes=n),
        boundary=n,
        lateness_ms=0.25 * n,
        radar_ms=1.5,
        signals_ms=2.0,
        decide_ms=0.1,
        journal_ms=0.3,
    )
