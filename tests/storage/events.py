"""Events to fill a journal with: small, of several types, numbered so that a loss shows."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import EntriesHeld, SymbolBlocked
from qmworkbench.domain.events.orders import ExecutionReported, OrderChanged, OrderIntended
from qmworkbench.domain.events.telemetry import BoundaryTimed
from qmworkbench.domain.execution import ExecType, ExecutionReport, OrderRequest
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
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


def intended(cl_ord_id: str, effect: PositionEffect = PositionEffect.CLOSE, **request: Any) -> OrderIntended:
    """A market order to sell 100 AAA, reduce-only unless told otherwise."""
    return OrderIntended(
        at=OPEN,
        request=OrderRequest(
            cl_ord_id=cl_ord_id,
            symbol="AAA",
            side=Side.SELL,
            position_effect=effect,
            ord_type=OrdType.MARKET,
            order_qty=Decimal(100),
            time_in_force=TimeInForce.DAY,
            decided_at=OPEN,
            **request,
        ),
        strategy_id="orm",
        leg=Leg.LIQUIDATE,
        signal_id="",
        attempt=1,
        decision_px=Decimal("10.01"),
        reserve_notional=Decimal(0),
    )


def reported(cl_ord_id: str, cursor: int = 1) -> ExecutionReported:
    """The broker fills the whole of an order at 10.02."""
    return ExecutionReported(
        at=OPEN,
        report=ExecutionReport(
            cursor=cursor,
            exec_id=f"x{cursor}",
            exec_type=ExecType.TRADE,
            cl_ord_id=cl_ord_id,
            order_id="v1",
            symbol="AAA",
            side=Side.SELL,
            ord_status=OrdStatus.FILLED,
            order_qty=Decimal(100),
            cum_qty=Decimal(100),
            transact_time=OPEN,
            last_qty=Decimal(100),
            last_px=Decimal("10.02"),
        ),
    )
