"""Moving an order along one arc of the table, and what follows for the legs it carries (§13)."""

from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.events.orders import OrderChanged
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Arc, Order, OrdStatus, next_status
from qmworkbench.trading.decision import Decision

_UNFILLED_ENDS = (OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an order goes on with: the broker's id for it ("": the one it had) and prices (None: those it had)."""

    working_id: str = ""
    limit_px: Decimal | None = None
    stop_px: Decimal | None = None


_AS_IT_WAS: Final = Terms()


def walk(
    decision: Decision,
    order: Order,
    arc: Arc,
    *,
    order_qty: Decimal | None = None,
    cum_qty: Decimal | None = None,
    order_id: str | None = None,
    reason: str = "",
    reject_code: str = "",
    terms: Terms = _AS_IT_WAS,
    unproven_qty: Decimal = ZERO,
) -> None:
    """Move an order along one arc and put it on record. Raises IllegalArc, having changed nothing.

    `unproven_qty`: the broker says that so much more has filled than we have booked; it stays reserved.
    """
    qty = order.order_qty if order_qty is None else order_qty
    cum = order.cum_qty if cum_qty is None else cum_qty
    status = next_status(order.status, arc, order_qty=qty, cum_qty=cum)
    ends = order.is_open  # late news of an order that has ended ends nothing else
    decision.emit(
        OrderChanged(
            at=decision.at,
            cl_ord_id=order.cl_ord_id,
            arc=arc,
            status=status,
            cum_qty=cum,
            order_qty=qty,
            order_id=order_id,
            reason=reason,
            reject_code=reject_code,
            working_id=terms.working_id,
            limit_px=terms.limit_px,
            stop_px=terms.stop_px,
            unproven_qty=unproven_qty,
        )
    )
    if ends and status in _UNFILLED_ENDS and cum == ZERO and unproven_qty == ZERO:
        _end_legs(decision, order, f"its entry was {status}")


def _end_legs(decision: Decision, parent: Order, reason: str) -> None:
    """Legs that never came alive end with their entry; those the broker works end by its own reports."""
    for leg in decision.state.working_for(parent.strategy_id, parent.symbol):
        if leg.parent_id == parent.cl_ord_id and leg.is_in_doubt:
            walk(decision, leg, Arc.ABANDON, reason=reason)
