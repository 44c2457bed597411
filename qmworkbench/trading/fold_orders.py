"""How orders, fills, trades and repairs change the state (§13, §14): the half of the fold that concerns exposure."""

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.orders import (
    CancelObserved,
    CancelRequested,
    ExecutionReported,
    ExitRequested,
    OrderChanged,
    OrderDenied,
    OrderIntended,
    OrderQueryRequested,
    ReplaceRequested,
)
from qmworkbench.domain.execution import ExecutionReport, OrderRequest, SubmitOutcome
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import TERMINAL, Arc, Leg, Order, OrdStatus, PositionEffect, Replacement
from qmworkbench.trading import holdings
from qmworkbench.trading.coming import intended
from qmworkbench.trading.state import State, position_key

_SUBMIT_MEMORY = timedelta(minutes=1)
# Numbers from here on are times since 1970 (this one is in 1973), and clocks of a venue and ours may lie apart.
_A_TIME_NS = 10**17
_CLOCKS_APART = timedelta(days=2)
_LONGEST_JUMP = 10**6
# Bound once: finding a member in its enum costs several times what comparing it does (Python 3.11).
_ENTRY: Final = Leg.ENTRY
_ACK: Final = Arc.ACK
_FILL: Final = Arc.FILL
_SUBMIT: Final = Arc.SUBMIT
_OPEN: Final = PositionEffect.OPEN
_CLOSE: Final = PositionEffect.CLOSE
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
    intended(state, order)
    state.intents[request.cl_ord_id] = event
    for leg in request.legs:
        _admit(
            state,
            Order(
                cl_ord_id=leg.cl_ord_id,
                strategy_id=event.strategy_id,
                symbol=request.symbol,
                side=request.side.opposite,
                position_effect=_CLOSE,
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
    if request.position_effect is _OPEN:
        day.entries_intended += 1
    del day.submits[: bisect_right(day.submits, event.at - _SUBMIT_MEMORY)]
    day.submits.append(event.at)


def _admit(state: State, order: Order) -> None:
    holdings.admit(state, order)
    state.day.orders += 1


def _order_denied(state: State, event: OrderDenied) -> None:
    order = _order_from(event.request, event)
    order.status = OrdStatus.DENIED
    state.orders[order.cl_ord_id] = order


def _cancel_requested(state: State, event: CancelRequested) -> None:
    order = state.orders.get(event.cl_ord_id)
    if order is not None and (event.working_id or event.cl_ord_id) == order.broker_id:
        order.cancel_requested_at, order.cancel_failed = event.at, False
        order.cancels += 1


def _cancel_observed(state: State, event: CancelObserved) -> None:
    order = state.order_named(event.cl_ord_id)
    if order is not None and event.cl_ord_id == order.broker_id and event.outcome is not SubmitOutcome.SENT:
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
    if report.cursor > state.exec_cursor and not runs_ahead(state, report.cursor):
        state.exec_cursor = report.cursor
    # The first telling counts: one that contradicts it is known from now on as well, and replaces nothing.
    digest = report_digest(report)
    if state.exec_ids.setdefault(report.exec_id, digest) != digest:
        state.exec_ids[f"{report.exec_id} {digest}"] = digest


def runs_ahead(state: State, cursor: int) -> bool:
    """Whether a transaction number is out of all proportion: taken for the newest, it would hide all news below it.

    Brokers that number count up by ones; where a time in nanoseconds stands for a number, it is about now.
    """
    if cursor - state.exec_cursor <= _LONGEST_JUMP or not state.exec_cursor:
        return False
    if state.exec_cursor < _A_TIME_NS or state.now is None:
        return True
    return cursor > int((state.now + _CLOCKS_APART).timestamp()) * 10**9


def report_digest(report: ExecutionReport) -> str:
    """16 hex digits over a report's content: the same id with another digest is not the same news.

    The broker's number for the telling is left out: the same execution said again later is said twice, not another.
    """
    said = msgspec.structs.replace(report, cursor=0)
    return hashlib.blake2b(_encode(said), digest_size=8).hexdigest()


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
    if order.leg is _ENTRY and (arc is _FILL or arc is Arc.REJECT):
        _count_rejections(state, order, arc)
    if arc is _FILL and event.cl_ord_id in state.unproven:
        _proven(state, event.cl_ord_id, event.cum_qty - order.cum_qty)
    if event.order_qty != order.order_qty and order.reserve_notional:
        order.reserve_notional *= event.order_qty / order.order_qty
    order.status, order.cum_qty, order.order_qty = event.status, event.cum_qty, event.order_qty
    order.last_at = event.at
    if event.order_id:
        order.order_id = event.order_id
    if event.reason:
        order.reason = event.reason
    if arc is not _ACK and arc is not _FILL:
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
    if arc is _FILL:
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
    if arc is _SUBMIT:
        order.submitted_at = event.at
    elif arc is Arc.CANCEL_REJECT:
        order.cancel_failed = True
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


APPLY: dict[type[Event], Callable[[State, Any], None]] = {
    OrderIntended: _order_intended,
    OrderDenied: _order_denied,
    CancelRequested: _cancel_requested,
    CancelObserved: _cancel_observed,
    ReplaceRequested: _replace_requested,
    ExitRequested: _exit_requested,
    OrderQueryRequested: _order_query_requested,
    ExecutionReported: _execution_reported,
    OrderChanged: _order_changed,
}
