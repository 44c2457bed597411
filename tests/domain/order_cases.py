"""An order as tests need one, every other field plain."""

from datetime import UTC, datetime
from decimal import Decimal

from qmworkbench.domain.orders import (
    Leg,
    Order,
    OrdStatus,
    OrdType,
    PositionEffect,
    Replacement,
    Side,
    TimeInForce,
)

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


def an_order(
    *,
    status: OrdStatus = OrdStatus.ACCEPTED,
    order_qty: Decimal = Decimal(10),
    cum_qty: Decimal = Decimal(0),
    replacing_qty: Decimal | None = None,
) -> Order:
    """A long market entry in that status; `replacing_qty`: a replace to that quantity is unanswered."""
    return Order(
        cl_ord_id="first",
        strategy_id="test-1",
        symbol="AAA",
        side=Side.BUY,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.MARKET,
        order_qty=order_qty,
        time_in_force=TimeInForce.DAY,
        leg=Leg.ENTRY,
        intended_at=AT,
        status=status,
        cum_qty=cum_qty,
        replacing=None if replacing_qty is None else Replacement(cl_ord_id="second", order_qty=replacing_qty),
    )
