"""What happens to positions and cash without an order: corporate actions and financing, as the broker books them (§14).

The broker is authoritative: its activities come in as one input, and every change they make to our books is an event
with before, after and cause.
"""

from decimal import Decimal

from qmworkbench.domain.events.base import Event, Input
from qmworkbench.domain.execution import AccountActivity, ActivityKind
from qmworkbench.domain.numbers import ZERO


class ActivitiesObserved(Input, frozen=True, kw_only=True, tag="broker.activities_observed"):
    """The broker's account activities that were new to us, oldest first."""

    activities: tuple[AccountActivity, ...]


class PositionRestated(Event, frozen=True, kw_only=True, tag="position.restated"):
    """One instance's position goes on as another quantity, cost or symbol; no trade took place.

    `cost` is the signed cost in the instrument's currency. `realized_pnl` is in account currency, not zero only where
    a position or a fraction of it was paid out, at `px`. `ratio` is a split's, 0 else; `cursor` the activity's.
    `net_cost` is what the broker's net position costs from now on, told with the last instance of an activity.
    """

    activity_id: str
    activity: ActivityKind
    strategy_id: str
    symbol: str
    new_symbol: str
    qty_before: Decimal
    qty_after: Decimal
    cost_before: Decimal
    cost_after: Decimal
    cause: str
    realized_pnl: Decimal = ZERO
    ratio: Decimal = ZERO
    px: Decimal = ZERO
    cursor: int = 0
    net_cost: Decimal | None = None


class OrderRestated(Event, frozen=True, kw_only=True, tag="order.restated"):
    """A resting order goes on with another quantity, price or symbol, as the broker restated it (FIX 150=D).

    `cum_qty` is what it had filled, in new shares; `ratio` a split's, 0 else.
    """

    activity_id: str
    cl_ord_id: str
    symbol: str
    order_qty: Decimal
    cause: str
    stop_px: Decimal | None = None
    limit_px: Decimal | None = None
    cum_qty: Decimal = ZERO
    ratio: Decimal = ZERO


class CashBooked(Event, frozen=True, kw_only=True, tag="cash.booked"):
    """Cash that came or went without a trade: a dividend, financing, a payout. `amount` in account currency, signed.

    `strategy_id` is whose position it belongs to; one activity may be shared out over several, to the last digit.
    `cursor` is the activity's.
    """

    activity_id: str
    activity: ActivityKind
    strategy_id: str
    symbol: str
    amount: Decimal
    cause: str
    cursor: int = 0
