"""How fills, busts, trades and repairs change what is held (§13, §14): the part of the fold that concerns positions."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.orders import FillRecorded, FillReversed, PositionsOffset, TradeClosed
from qmworkbench.domain.events.reconciliation import MONEY_KINDS, BreakKind, RepairApplied
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import Leg, PositionEffect, Side
from qmworkbench.domain.positions import NetPosition, Position
from qmworkbench.trading import holdings
from qmworkbench.trading.session_state import Session
from qmworkbench.trading.state import State, position_key

# Bound once: finding a member in its enum costs several times what comparing it does (Python 3.11).
_BUY: Final = Side.BUY
_STOP: Final = Leg.STOP
_TARGET: Final = Leg.TARGET


def _fill_recorded(state: State, event: FillRecorded) -> None:
    day = state.day
    order = state.orders.get(event.cl_ord_id)
    if order is not None:
        filled = order.cum_qty + event.last_qty
        order.avg_px = (order.avg_px * order.cum_qty + event.last_px * event.last_qty) / filled
        order.fees += event.fee
    else:
        state.foreign_fills[event.exec_id] = event.strategy_id
    net_realized = event.realized_pnl if event.net_realized_pnl is None else event.net_realized_pnl
    day.realized_pnl += event.realized_pnl
    day.net_realized_pnl += net_realized
    day.fees += event.fee
    day.fills += 1
    if day.start_equity is not None and state.exec_cursor <= day.start_cursor:
        # Heard after the statement that already held it: what it made is the day's, not what the day began with.
        day.start_equity += event.fee - net_realized
    state.fills[event.exec_id] = f"{event.symbol} {event.side} {event.last_qty} at {event.last_px}"
    key = position_key(event.strategy_id, event.symbol)
    held = state.positions.get(key) or Position(strategy_id=event.strategy_id, symbol=event.symbol)
    net = state.net.get(event.symbol)
    alone = (net.qty, net.cost) == (held.qty, held.cost) if net is not None else held.qty == 0
    if alone:
        holdings.net_is(state, event.symbol, event.position_qty, event.position_cost)
    else:
        holdings.net_fill(state, event.symbol, event.side, event.last_qty, event.last_px)
    buys = event.side is _BUY
    closed = min(abs(held.qty), event.last_qty) if (held.qty < 0 if buys else held.qty > 0) else ZERO
    opened = event.last_qty - closed if closed else event.last_qty
    if opened:
        # Not in any account statement older than this execution: buying power must not count it twice free.
        spent, cursor = event.last_px * opened * event.conversion_rate, str(state.exec_cursor)
        state.spent[cursor] = state.spent.get(cursor, ZERO) + spent
    flips = bool(opened and closed)
    if held.qty == 0 or flips:
        held = _opened(state, event, held)
    held.qty, held.cost = event.position_qty, event.position_cost
    if flips:
        # The closing part belongs to the round trip that ended; the new one carries its share of the fee alone.
        held.fees = event.fee * opened / event.last_qty
        held.entry_qty, held.entry_value = opened, opened * event.last_px
        holdings.hold(state, held)
        return
    held.realized_pnl += event.realized_pnl
    held.fees += event.fee
    held.exit_qty += closed
    held.exit_value += closed * event.last_px
    held.entry_qty += opened
    held.entry_value += opened * event.last_px
    state.positions[key] = held


def _opened(state: State, event: FillRecorded, before: Position) -> Position:
    """A new round trip, described by the intent whose order opened it; a flip starts one afresh."""
    intent = state.intents.get(event.cl_ord_id)
    held = Position(strategy_id=before.strategy_id, symbol=before.symbol, opened_at=event.transact_time)
    held.entry_order = event.cl_ord_id
    if intent is None:
        return held
    held.signal_id, held.decision_px = intent.signal_id, intent.decision_px
    held.max_hold_bars, held.flat_policy = intent.max_hold_bars, intent.flat_policy
    for leg in intent.request.legs:
        if leg.leg is _STOP:
            held.initial_stop_px = leg.stop_px
        elif leg.leg is _TARGET:
            held.target_px = leg.limit_px
    return held


def _fill_reversed(state: State, event: FillReversed) -> None:
    key = position_key(event.strategy_id, event.symbol)
    held = state.positions.get(key) or Position(strategy_id=event.strategy_id, symbol=event.symbol)
    # A bust takes the execution back at its own price: quantity and cost return, nothing is realized. Where that leaves
    # nothing held, the cost that is left over is what the other fills made or lost.
    qty = -event.side.sign * event.last_qty
    net, rate = state.net.get(event.symbol) or NetPosition(), _rate(state, event.symbol)
    if net.qty + qty == 0:
        state.day.net_realized_pnl -= (net.cost + qty * event.last_px) * rate
    held.qty += qty
    held.cost += qty * event.last_px
    if held.qty == 0:
        held.realized_pnl -= held.cost * rate
        state.day.realized_pnl -= held.cost * rate
        held.cost = ZERO
    held.fees -= event.fee
    state.day.fees -= event.fee
    holdings.net_moved(state, event.symbol, qty, qty * event.last_px)
    holdings.hold(state, held)
    state.reversed_ids[event.ref_exec_id] = event.exec_id
    order = state.orders.get(event.cl_ord_id)
    if order is None:
        return
    order.cum_qty = max(ZERO, order.cum_qty - event.last_qty)
    if not order.is_open and order.position_effect is PositionEffect.OPEN:
        # A correction may fill an entry again. For an exit nothing is reserved: what came back must be closed.
        state.unproven[order.cl_ord_id] = state.unproven.get(order.cl_ord_id, ZERO) + event.last_qty


def _rate(state: State, symbol: str) -> Decimal:
    """What a unit of the symbol's currency is worth in the account's at the marks; 1 where nobody has told."""
    instrument = state.instrument(symbol)
    rate = state.rate(instrument.currency) if instrument is not None else None
    return ONE if rate is None else rate


def _trade_closed(state: State, event: TradeClosed) -> None:
    day = state.day
    day.trades += 1
    if event.strategy_id in day.runs:
        day.runs[event.strategy_id].trades += 1
    held = state.position(event.strategy_id, event.symbol)
    if held is not None:
        holdings.hold(state, held)


def _money_settled(day: Session, kind: BreakKind, moved: Decimal) -> None:
    """By how much the figures differed when they were compared: what has been booked since stays."""
    if kind is BreakKind.CASH:
        day.moved_cash += moved
    elif kind is BreakKind.FEES:
        day.fees += moved
    else:
        day.net_realized_pnl += moved
        day.repaired_cost -= moved  # no cash has moved for it


def _repair_applied(state: State, event: RepairApplied) -> None:
    state.reconciliation.unresolved.pop(event.break_id, None)
    if event.kind in MONEY_KINDS:
        _money_settled(state.day, event.kind, Decimal(event.after) - Decimal(event.before))
        return
    if event.kind not in (BreakKind.POSITION_QTY, BreakKind.POSITION_SIDE, BreakKind.AVG_PX) or not event.qty:
        return
    key = position_key(event.strategy_id, event.symbol)
    held = state.positions.get(key) or Position(
        strategy_id=event.strategy_id, symbol=event.symbol, opened_at=event.at, flat_policy="carry"
    )
    before = held.qty
    held.qty = Decimal(event.qty)
    held.cost = held.qty * Decimal(event.avg_px)
    # The broker is right about the net: its average price counts for all of it, whoever the difference goes to.
    net_qty = state.net_qty(event.symbol) + held.qty - before
    cost_before = state.net[event.symbol].cost if event.symbol in state.net else ZERO
    holdings.net_is(state, event.symbol, net_qty, net_qty * Decimal(event.avg_px))
    instrument = state.instrument(event.symbol)
    if instrument is not None and instrument.margin_rate == ONE:
        state.day.repaired_cost += net_qty * Decimal(event.avg_px) - cost_before
    holdings.hold(state, held)
    if event.kind is not BreakKind.AVG_PX:
        # The broker's own position holds whatever these may have filled.
        ended = [name for name in state.unproven if state.orders[name].symbol == event.symbol]
        for name in ended:
            del state.unproven[name]


def _positions_offset(state: State, event: PositionsOffset) -> None:
    """Parts that cancel out are closed at one price: each realizes its own, the net of them stays flat."""
    day = state.day
    for strategy_id in event.strategy_ids:
        held = state.positions.get(position_key(strategy_id, event.symbol))
        if held is None:
            continue
        realized = (held.qty * event.px - held.cost) * event.conversion_rate
        held.realized_pnl += realized
        held.exit_qty += abs(held.qty)
        held.exit_value += abs(held.qty) * event.px
        held.qty = held.cost = ZERO
        day.realized_pnl += realized


def _cursor(state: State, _event: Event) -> int:
    """The broker's transaction that an execution came with."""
    return state.exec_cursor


APPLY: dict[type[Event], Callable[[State, Any], None]] = {
    FillRecorded: holdings.heard_late(_fill_recorded, _cursor),
    FillReversed: holdings.heard_late(_fill_reversed, _cursor),
    TradeClosed: _trade_closed,
    PositionsOffset: _positions_offset,
    RepairApplied: _repair_applied,
}
