"""How account activities change the state: the part of the fold that concerns what happens without orders (§14)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from qmworkbench.domain.chain import content_digest
from qmworkbench.domain.corporate_actions import restated_mark, restated_qty
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.overnight import ActivitiesObserved, CashBooked, OrderRestated, PositionRestated
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.positions import Position
from qmworkbench.trading import holdings
from qmworkbench.trading.state import State, position_key

# Kinds whose whole amount is profit or loss; where something is paid out, only what it realizes is.
_ALL_PNL = (ActivityKind.DIVIDEND, ActivityKind.FINANCING, ActivityKind.BORROW_FEE)


def _activities_observed(state: State, event: ActivitiesObserved) -> None:
    for activity in event.activities:
        if activity.cursor > state.activity_cursor:
            state.activity_cursor = activity.cursor
            state.activity_ids[activity.activity_id] = content_digest(activity)


def _position_restated(state: State, event: PositionRestated) -> None:
    held = state.position(event.strategy_id, event.symbol)
    if held is None:
        return
    _earned(state, event.cursor, event.realized_pnl)
    held.realized_pnl += event.realized_pnl
    if event.ratio:
        _in_new_shares(held, event.ratio)
    else:
        paid_out = abs(event.qty_before) - abs(event.qty_after)
        if paid_out > 0:
            held.exit_qty += paid_out
            held.exit_value += paid_out * event.px
    symbol = event.new_symbol or event.symbol
    other = state.positions.get(position_key(event.strategy_id, symbol)) if symbol != event.symbol else None
    if other is not None:
        _joined(state, held, other)
    else:
        holdings.restate(state, held, symbol=symbol, qty=event.qty_after, cost=event.cost_after)
    if event.net_cost is not None and symbol in state.net:
        holdings.net_is(state, symbol, state.net_qty(symbol), event.net_cost)


def _in_new_shares(held: Position, ratio: Decimal) -> None:
    """The round trip so far as though it had been made in new shares: R, entry and exit prices stay comparable."""
    held.entry_qty, held.exit_qty = restated_qty(held.entry_qty, ratio), restated_qty(held.exit_qty, ratio)
    held.decision_px = restated_mark(held.decision_px, ratio)
    if held.initial_stop_px is not None:
        held.initial_stop_px = restated_mark(held.initial_stop_px, ratio)
    if held.target_px is not None:
        held.target_px = restated_mark(held.target_px, ratio)


def _joined(state: State, held: Position, other: Position) -> None:
    """A renamed position joins what the instance holds under the new name already; that one's round trip goes on."""
    symbol, qty, cost = other.symbol, other.qty + held.qty, other.cost + held.cost
    for name in ("realized_pnl", "fees", "entry_qty", "entry_value", "exit_qty", "exit_value"):
        setattr(other, name, getattr(other, name) + getattr(held, name))
    holdings.restate(state, held, symbol=held.symbol, qty=ZERO, cost=ZERO)
    holdings.restate(state, other, symbol=symbol, qty=qty, cost=cost)


def _order_restated(state: State, event: OrderRestated) -> None:
    order = state.orders.get(event.cl_ord_id)
    if order is None:
        return
    if event.ratio:
        order.order_qty, order.cum_qty = event.order_qty, event.cum_qty
        order.stop_px, order.limit_px = event.stop_px, event.limit_px
        order.avg_px, order.decision_px = order.avg_px / event.ratio, restated_mark(order.decision_px, event.ratio)
    order.last_at = event.at
    if event.symbol != order.symbol:
        holdings.rename(state, order, event.symbol)


def _cash_booked(state: State, event: CashBooked) -> None:
    if event.activity in _ALL_PNL:
        _earned(state, event.cursor, event.amount)


def _earned(state: State, cursor: int, amount: Decimal) -> None:
    """What the session's opening balance does not hold yet has moved equity since."""
    if state.session is not None and state.day.start_equity is not None and cursor > state.day.start_cursor:
        state.day.activity_pnl += amount


APPLY: dict[type[Event], Callable[[State, Any], None]] = {
    ActivitiesObserved: _activities_observed,
    PositionRestated: holdings.heard_late(_position_restated, lambda _state, event: int(event.cursor)),
    OrderRestated: _order_restated,
    CashBooked: _cash_booked,
}
