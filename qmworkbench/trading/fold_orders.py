"""How orders, fills, trades and repairs change the state (§13, §14): the half of the fold that concerns exposure."""

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.domain.events import Event, imported
from qmworkbench.domain.events.orders import (
    CancelObserved,
    CancelRequested,
    ExecutionReported,
    ExitRequested,
    FillRecorded,
    FillReversed,
    OrderChanged,
    OrderDenied,
    OrderIntended,
    OrderQueryRequested,
    PositionsOffset,
    ReplaceRequested,
    TradeClosed,
)
from qmworkbench.domain.events.reconciliation import BreakKind, FallbackImported, RepairApplied
from qmworkbench.domain.execution import ExecutionReport, OrderRequest, SubmitOutcome
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import TERMINAL, Arc, Leg, Order, OrdStatus, PositionEffect, Replacement
from qmworkbench.domain.positions import Position, fill_delta
from qmworkbench.trading import holdings
from qmworkbench.trading.state import State, position_key

_SUBMIT_MEMORY = timedelta(minutes=1)
_encode = msgspec.msgpack.Encoder(decimal_format="string").encode


def _order_from(request: OrderRequest, event: OrderIntended | OrderDenied) -> Order:
    return Order(
        cl_ord_id=request.cl_ord_id,
        strategy_id=event.strategy_id,
        symbol=request.symbol,
        side=request.side,
        position_effect=request.position_effect,
        ord_type=request.ord_type,
        order_qty=request.order_qty,
        time_in_force=request.time_in_force,
        leg=event.leg,
        intended_at=event.at,
        last_at=event.at,
        limit_px=request.limit_px,
        stop_px=request.stop_px,
        trail_bps=request.trail_bps,
        signal_id=event.signal_id,
        decision_px=event.decision_px,
        reason=event.reason,
    )


def _order_intended(state: State, event: OrderIntended) -> None:
    request, day = event.request, state.day
    order = _order_from(request, event)
    order.attempt, order.reserve_notional = event.attempt, event.reserve_notional
    _admit(state, order)
    state.intents[request.cl_ord_id] = event
    for leg in request.legs:
        _admit(
            state,
            Order(
                cl_ord_id=leg.cl_ord_id,
                strategy_id=event.strategy_id,
                symbol=request.symbol,
                side=request.side.opposite,
                position_effect=PositionEffect.CLOSE,
                ord_type=leg.ord_type,
                order_qty=request.order_qty,
                time_in_force=leg.time_in_force,
                leg=leg.leg,
                intended_at=event.at,
                last_at=event.at,
                limit_px=leg.limit_px,
                stop_px=leg.stop_px,
                trail_bps=leg.trail_bps,
                parent_id=request.cl_ord_id,
                signal_id=event.signal_id,
                decision_px=leg.stop_px or leg.limit_px or ZERO,
            ),
        )
    if request.position_effect is PositionEffect.OPEN:
        day.entries_intended += 1
    del day.submits[: bisect_right(day.submits, event.at - _SUBMIT_MEMORY)]
    day.submits.append(event.at)


def _imported(state: State, event: FallbackImported) -> None:
    """A close that a direct emergency sent is an order of ours like any other: its fills must find it."""
    original = imported(event)
    if not isinstance(original, OrderIntended) or state.session is None:
        return
    if original.request.cl_ord_id not in state.orders:
        owner = event.strategy_id or original.strategy_id
        # Dated when it was taken over: it happened on the wall's clock, and the session may run on the bars'.
        _order_intended(state, msgspec.structs.replace(original, at=event.at, strategy_id=owner))


def _admit(state: State, order: Order) -> None:
    holdings.admit(state, order)
    state.day.orders += 1


def _order_denied(state: State, event: OrderDenied) -> None:
    order = _order_from(event.request, event)
    order.status = OrdStatus.DENIED
    state.orders[order.cl_ord_id] = order


def _cancel_requested(state: State, event: CancelRequested) -> None:
    order = state.orders.get(event.cl_ord_id)
    if order is not None:
        order.cancel_requested_at, order.cancel_failed = event.at, False
        order.cancels += 1


def _cancel_observed(state: State, event: CancelObserved) -> None:
    order = state.orders.get(event.cl_ord_id)
    if order is not None and event.outcome is not SubmitOutcome.SENT:
        order.cancel_failed = True


def _replace_requested(state: State, event: ReplaceRequested) -> None:
    order, asked = state.orders.get(event.order), event.request
    if order is not None:
        order.replacing = Replacement(
            cl_ord_id=asked.cl_ord_id, order_qty=asked.order_qty, limit_px=asked.limit_px, stop_px=asked.stop_px
        )
        # From now on the broker may speak of it under either id.
        state.working_ids[asked.cl_ord_id] = order.cl_ord_id


def _exit_requested(state: State, event: ExitRequested) -> None:
    held = state.positions.get(position_key(event.strategy_id, event.symbol))
    if held is not None:
        held.exit_wanted, held.exit_signal_id = event.reason, event.signal_id
        holdings.hold(state, held)


def _order_query_requested(state: State, event: OrderQueryRequested) -> None:
    order = state.orders.get(event.cl_ord_id)
    if order is not None:
        order.queried_at = event.at


def _execution_reported(state: State, event: ExecutionReported) -> None:
    report = event.report
    state.exec_cursor = max(state.exec_cursor, report.cursor)
    state.exec_ids[report.exec_id] = report_digest(report)


def report_digest(report: ExecutionReport) -> str:
    """16 hex digits over a report's content: the same id with another digest is not the same news."""
    return hashlib.blake2b(_encode(report), digest_size=8).hexdigest()


def executed(state: State, exec_id: str) -> tuple[Decimal, Decimal] | None:
    """Quantity and price of one of this session's executions; None where it is not in our books."""
    text = state.fills.get(exec_id)
    if text is None:
        return None
    _, _, qty, _, px = text.split()
    return Decimal(qty), Decimal(px)


def _order_changed(state: State, event: OrderChanged) -> None:
    order = state.orders[event.cl_ord_id]
    arc, before = event.arc, order.status
    if order.leg is Leg.ENTRY and (arc is Arc.REJECT or arc is Arc.FILL):
        _count_rejections(state, order, arc)
    if arc is Arc.FILL and event.cl_ord_id in state.unproven:
        _proven(state, event.cl_ord_id, event.cum_qty - order.cum_qty)
    if event.order_qty != order.order_qty and order.reserve_notional:
        order.reserve_notional *= event.order_qty / order.order_qty
    order.status, order.cum_qty, order.order_qty = event.status, event.cum_qty, event.order_qty
    order.last_at = event.at
    if event.order_id:
        order.order_id = event.order_id
    if event.reason:
        order.reason = event.reason
    if arc is not Arc.ACK and arc is not Arc.FILL:
        _note_arc(state, order, event)
    elif event.working_id:
        _goes_on_as(state, order, event.working_id)
    if event.status is not before:
        holdings.follow_status(state, order)


def _count_rejections(state: State, order: Order, arc: Arc) -> None:
    """Entries rejected in a row, and since when the instance leaves the symbol alone. Exits do not count."""
    run = state.day.runs.get(order.strategy_id)
    if run is None:
        return
    if arc is Arc.FILL:
        run.rejections = 0
    elif order.status is not OrdStatus.REJECTED:
        run.rejections += 1
        state.day.rejected_at[position_key(order.strategy_id, order.symbol)] = state.day.boundary


def _note_arc(state: State, order: Order, event: OrderChanged) -> None:
    """What single arcs leave behind beside status and quantities."""
    arc = event.arc
    order.limit_px = order.limit_px if event.limit_px is None else event.limit_px
    order.stop_px = order.stop_px if event.stop_px is None else event.stop_px
    if event.reject_code:
        order.reject_code = event.reject_code
    if event.working_id:
        _goes_on_as(state, order, event.working_id)
    if arc is Arc.CANCEL_REJECT:
        order.cancel_failed = True
    elif arc is Arc.SUBMIT:
        order.submitted_at = event.at
    elif arc is Arc.ABANDON:
        order.abandoned = True
    elif arc is Arc.REPLACE_REJECT or order.status in TERMINAL:
        order.replacing = None
    if event.unproven_qty > ZERO and order.status in TERMINAL:
        state.unproven[order.cl_ord_id] = event.unproven_qty


def _goes_on_as(state: State, order: Order, working_id: str) -> None:
    """The broker has it under this id from now on; a replace that asked for it is answered."""
    order.working_id = working_id
    state.working_ids[working_id] = order.cl_ord_id
    if order.replacing is not None and order.replacing.cl_ord_id == working_id:
        order.replacing = None
    if order.cancel_requested_at is not None and order.is_open:
        # The cancel named an id that the broker gave up: it has to be asked for again.
        order.cancel_failed = True


def _proven(state: State, name: str, qty: Decimal) -> None:
    """So much of what an ended order may have filled has reached us."""
    left = state.unproven[name] - qty
    if left > ZERO:
        state.unproven[name] = left
    else:
        del state.unproven[name]


def _fill_recorded(state: State, event: FillRecorded) -> None:
    day = state.day
    order = state.orders.get(event.cl_ord_id)
    if order is not None:
        filled = order.cum_qty + event.last_qty
        order.avg_px = (order.avg_px * order.cum_qty + event.last_px * event.last_qty) / filled
        order.fees += event.fee
    day.realized_pnl += event.realized_pnl
    day.net_realized_pnl += event.realized_pnl if event.net_realized_pnl is None else event.net_realized_pnl
    day.fees += event.fee
    day.fills += 1
    holdings.net_fill(state, event.symbol, event.side, event.last_qty, event.last_px)
    state.fills[event.exec_id] = f"{event.symbol} {event.side} {event.last_qty} at {event.last_px}"
    key = position_key(event.strategy_id, event.symbol)
    held = state.positions.get(key) or Position(strategy_id=event.strategy_id, symbol=event.symbol)
    delta = fill_delta(held.qty, held.cost, event.side, event.last_qty, event.last_px)
    if delta.opened_qty:
        # Not in any account statement older than this execution: buying power must not count it twice free.
        spent = event.last_px * delta.opened_qty * event.conversion_rate
        state.spent[str(state.exec_cursor)] = state.spent.get(str(state.exec_cursor), ZERO) + spent
    flips = bool(delta.opened_qty and delta.closed_qty)
    if delta.opened_qty and (held.qty == 0 or flips):
        held = _opened(state, event, held)
    held.qty, held.cost = event.position_qty, event.position_cost
    if flips:
        # The closing part belongs to the round trip that ended; the new one carries its share of the fee alone.
        held.fees = event.fee * delta.opened_qty / event.last_qty
        held.entry_qty, held.entry_value = delta.opened_qty, delta.opened_qty * event.last_px
        holdings.hold(state, held)
        return
    held.realized_pnl += event.realized_pnl
    held.fees += event.fee
    held.exit_qty += delta.closed_qty
    held.exit_value += delta.closed_qty * event.last_px
    held.entry_qty += delta.opened_qty
    held.entry_value += delta.opened_qty * event.last_px
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
        if leg.leg is Leg.STOP:
            held.initial_stop_px = leg.stop_px
        elif leg.leg is Leg.TARGET:
            held.target_px = leg.limit_px
    return held


def _fill_reversed(state: State, event: FillReversed) -> None:
    key = position_key(event.strategy_id, event.symbol)
    held = state.positions.get(key) or Position(strategy_id=event.strategy_id, symbol=event.symbol)
    # A bust takes the execution back at its own price: quantity and cost return, nothing is realized.
    qty = -event.side.sign * event.last_qty
    held.qty += qty
    held.cost += qty * event.last_px
    held.fees -= event.fee
    state.day.fees -= event.fee
    holdings.net_moved(state, event.symbol, qty, qty * event.last_px)
    holdings.hold(state, held)
    state.reversed_ids[event.ref_exec_id] = event.exec_id
    order = state.orders.get(event.cl_ord_id)
    if order is None:
        return
    # A correction comes as a fill of its own, if it comes: nothing is reserved for it, or no exit could follow.
    order.cum_qty = max(ZERO, order.cum_qty - event.last_qty)


def _trade_closed(state: State, event: TradeClosed) -> None:
    day = state.day
    day.trades += 1
    if event.strategy_id in day.runs:
        day.runs[event.strategy_id].trades += 1
    held = state.position(event.strategy_id, event.symbol)
    if held is not None and held.qty == 0:
        holdings.hold(state, held)


def _repair_applied(state: State, event: RepairApplied) -> None:
    state.reconciliation.unresolved.pop(event.break_id, None)
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


APPLY: dict[type[Event], Callable[[State, Any], None]] = {
    FallbackImported: _imported,
    OrderIntended: _order_intended,
    OrderDenied: _order_denied,
    CancelRequested: _cancel_requested,
    CancelObserved: _cancel_observed,
    ReplaceRequested: _replace_requested,
    ExitRequested: _exit_requested,
    OrderQueryRequested: _order_query_requested,
    ExecutionReported: _execution_reported,
    OrderChanged: _order_changed,
    FillRecorded: _fill_recorded,
    FillReversed: _fill_reversed,
    TradeClosed: _trade_closed,
    PositionsOffset: _positions_offset,
    RepairApplied: _repair_applied,
}
