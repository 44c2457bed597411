"""How orders, risk decisions, fills, positions and trades become rows (§13, §17)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.events import Event, orders
from qmworkbench.domain.events.reconciliation import BreakKind, RepairApplied
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import TERMINAL, Arc, Leg, OrdStatus, PositionEffect, Side
from qmworkbench.storage import tables
from qmworkbench.storage.projected_rows import Rows, codes, document, exact, word
from qmworkbench.storage.times import stored_time

_ENDED: Final = frozenset(word(status) for status in TERMINAL)  # told by text: an Enum's hash is slow
_POSITION_BREAKS: Final = (BreakKind.POSITION_QTY, BreakKind.POSITION_SIDE, BreakKind.AVG_PX)


def _risk_decided(rows: Rows, seq: int, event: orders.RiskDecided) -> None:
    rows.add(
        tables.RISK_DECISIONS,
        seq,
        session_id=rows.session_id,
        at=stored_time(event.at),
        cl_ord_id=event.cl_ord_id,
        strategy_id=event.strategy_id,
        symbol=event.symbol,
        leg=word(event.leg),
        allowed=int(event.allowed),
        failed=codes(event.failed),
        rules=document(event.rules),
        limits_hash=event.limits_hash,
    )


def _order_intended(rows: Rows, seq: int, event: orders.OrderIntended) -> None:
    request = event.request
    _new_order(rows, seq, event, OrdStatus.INTENDED, attempt=event.attempt, reserve=event.reserve_notional)
    for leg in request.legs:
        rows.add(
            tables.ORDERS,
            leg.cl_ord_id,
            session_id=rows.session_id,
            strategy_id=event.strategy_id,
            symbol=request.symbol,
            side=word(request.side.opposite),
            position_effect=word(PositionEffect.CLOSE),
            leg=word(leg.leg),
            ord_type=word(leg.ord_type),
            time_in_force=word(leg.time_in_force),
            status=word(OrdStatus.INTENDED),
            order_qty=str(request.order_qty),
            cum_qty="0",
            leaves_qty=str(request.order_qty),
            limit_px=exact(leg.limit_px),
            stop_px=exact(leg.stop_px),
            trail_bps=leg.trail_bps,
            parent_id=request.cl_ord_id,
            signal_id=event.signal_id,
            attempt=event.attempt,
            decision_px=exact(leg.stop_px or leg.limit_px),
            fees="0",
            intended_at=stored_time(event.at),
            last_at=stored_time(event.at),
            seq=seq,
        )
    if event.signal_id:
        rows.change(tables.SIGNALS, event.signal_id, outcome="intended", cl_ord_id=request.cl_ord_id)


def _order_denied(rows: Rows, seq: int, event: orders.OrderDenied) -> None:
    _new_order(rows, seq, event, OrdStatus.DENIED, attempt=None, reserve=None)
    rows.put(tables.ORDERS, event.request.cl_ord_id, leaves_qty="0", ended_at=stored_time(event.at))
    if event.signal_id:
        cl_ord_id = event.request.cl_ord_id
        rows.change(tables.SIGNALS, event.signal_id, outcome="denied", outcome_reason=event.reason, cl_ord_id=cl_ord_id)


def _new_order(
    rows: Rows,
    seq: int,
    event: orders.OrderIntended | orders.OrderDenied,
    status: OrdStatus,
    *,
    attempt: int | None,
    reserve: Decimal | None,
) -> None:
    request = event.request
    rows.add(
        tables.ORDERS,
        request.cl_ord_id,
        session_id=rows.session_id,
        strategy_id=event.strategy_id,
        symbol=request.symbol,
        side=word(request.side),
        position_effect=word(request.position_effect),
        leg=word(event.leg),
        ord_type=word(request.ord_type),
        time_in_force=word(request.time_in_force),
        status=word(status),
        order_qty=str(request.order_qty),
        cum_qty="0",
        leaves_qty=str(request.order_qty),
        limit_px=exact(request.limit_px),
        stop_px=exact(request.stop_px),
        trail_bps=request.trail_bps,
        signal_id=event.signal_id,
        attempt=attempt,
        decision_px=str(event.decision_px),
        reserve_notional=exact(reserve),
        fees="0",
        reason=event.reason,
        intended_at=stored_time(event.at),
        last_at=stored_time(event.at),
        seq=seq,
    )


def _submit_observed(rows: Rows, seq: int, event: orders.SubmitObserved) -> None:
    rows.change(tables.ORDERS, event.cl_ord_id, submit_outcome=word(event.outcome))


def _cancel_requested(rows: Rows, seq: int, event: orders.CancelRequested) -> None:
    rows.change(tables.ORDERS, event.cl_ord_id, cancel_requested_at=stored_time(event.at))


def _cancel_observed(rows: Rows, seq: int, event: orders.CancelObserved) -> None:
    rows.change(tables.ORDERS, event.cl_ord_id, cancel_outcome=word(event.outcome))


def _order_changed(rows: Rows, seq: int, event: orders.OrderChanged) -> None:
    row = rows.change(tables.ORDERS, event.cl_ord_id)
    if row is None:
        return
    at, status = stored_time(event.at), word(event.status)
    ended = status in _ENDED
    row["status"] = status
    row["cum_qty"] = str(event.cum_qty)
    row["order_qty"] = str(event.order_qty)
    row["leaves_qty"] = "0" if ended else str(event.order_qty - event.cum_qty)
    row["last_at"] = at
    if event.order_id:
        row["order_id"] = event.order_id
    if event.reason:
        row["reason"] = event.reason
    if event.limit_px:
        row["limit_px"] = str(event.limit_px)
    if event.stop_px:
        row["stop_px"] = str(event.stop_px)
    if event.arc is Arc.SUBMIT:
        row["submitted_at"] = at
    row["ended_at"] = (row["ended_at"] or at) if ended else None


def _fill_recorded(rows: Rows, seq: int, event: orders.FillRecorded) -> None:
    rows.add(
        tables.EXECUTIONS,
        event.exec_id,
        session_id=rows.session_id,
        cl_ord_id=event.cl_ord_id,
        strategy_id=event.strategy_id,
        symbol=event.symbol,
        side=word(event.side),
        last_qty=str(event.last_qty),
        last_px=str(event.last_px),
        fee=str(event.fee),
        transact_time=stored_time(event.transact_time),
        realized_pnl=str(event.realized_pnl),
        conversion_rate=str(event.conversion_rate),
        position_qty=str(event.position_qty),
        position_cost=str(event.position_cost),
        slippage_bps=exact(event.slippage_bps),
        adopted=int(event.adopted),
        at=stored_time(event.at),
        seq=seq,
    )
    order = rows.change(tables.ORDERS, event.cl_ord_id)
    if order is not None:
        filled = Decimal(order["cum_qty"] or 0)  # the order's own record follows
        value = Decimal(order["avg_px"] or 0) * filled + event.last_px * event.last_qty
        order["avg_px"] = _average(filled + event.last_qty, value)
        order["fees"] = str(Decimal(order["fees"] or 0) + event.fee)
    _position_filled(rows, seq, event)


def _position_filled(rows: Rows, seq: int, event: orders.FillRecorded) -> None:
    """P&L and fees count since the position was opened from flat; a fill through zero opens a new one."""
    held = rows.put(tables.POSITIONS, event.strategy_id, event.symbol)
    was, now = Decimal(held["qty"] or 0), event.position_qty
    flips = was != 0 and now != 0 and (was > 0) != (now > 0)
    pnl, fees = event.realized_pnl, event.fee
    if flips:
        pnl, fees = ZERO, event.fee * abs(now) / event.last_qty
    elif was:
        pnl, fees = pnl + Decimal(held["realized_pnl"] or 0), fees + Decimal(held["fees"] or 0)
    if flips or not was:
        held["opened_at"] = stored_time(event.transact_time)
    held["session_id"] = rows.session_id
    held["qty"] = str(now)
    held["cost"] = str(event.position_cost)
    held["avg_px"] = _average(now, event.position_cost)
    held["realized_pnl"] = str(pnl)
    held["fees"] = str(fees)
    held["last_at"] = stored_time(event.at)
    held["seq"] = seq


def _fill_reversed(rows: Rows, seq: int, event: orders.FillReversed) -> None:
    """A bust takes the execution back at its own price: quantity and cost return, nothing is realized."""
    rows.change(tables.EXECUTIONS, event.ref_exec_id, reversed_by=event.exec_id)
    held = rows.find(tables.POSITIONS, event.strategy_id, event.symbol) or {}
    sign = 1 if event.side is Side.BUY else -1
    qty = Decimal(held.get("qty") or 0) - sign * event.last_qty
    cost = Decimal(held.get("cost") or 0) - sign * event.last_qty * event.last_px
    rows.put(
        tables.POSITIONS,
        event.strategy_id,
        event.symbol,
        session_id=rows.session_id,
        qty=str(qty),
        cost=str(cost),
        avg_px=_average(qty, cost),
        fees=str(Decimal(held.get("fees") or 0) - event.fee),
        last_at=stored_time(event.at),
        seq=seq,
    )
    order = rows.find(tables.ORDERS, event.cl_ord_id)
    if order is not None:
        left = max(ZERO, Decimal(order.get("cum_qty") or 0) - event.last_qty)
        rows.put_row(tables.ORDERS, order, cum_qty=str(left))


def _positions_offset(rows: Rows, seq: int, event: orders.PositionsOffset) -> None:
    """Parts that cancelled out, each closed at the same price without an execution."""
    for strategy_id in event.strategy_ids:
        held = rows.find(tables.POSITIONS, strategy_id, event.symbol) or {}
        qty, cost = Decimal(held.get("qty") or 0), Decimal(held.get("cost") or 0)
        realized = Decimal(held.get("realized_pnl") or 0) + (qty * event.px - cost) * event.conversion_rate
        rows.put(
            tables.POSITIONS,
            strategy_id,
            event.symbol,
            **{"qty": str(ZERO), "cost": str(ZERO), "avg_px": None},
            session_id=rows.session_id,
            realized_pnl=str(realized),
            last_at=stored_time(event.at),
            seq=seq,
        )


def _repair_applied(rows: Rows, seq: int, event: RepairApplied) -> None:
    rows.add(
        tables.REPAIRS,
        seq,
        session_id=rows.session_id,
        break_id=event.break_id,
        kind=word(event.kind),
        symbol=event.symbol,
        at=stored_time(event.at),
        before=event.before,
        after=event.after,
        cause=event.cause,
        authority=event.authority,
        strategy_id=event.strategy_id,
        qty=event.qty,
        avg_px=event.avg_px,
    )
    rows.change(tables.BREAKS, rows.session_id, event.break_id, open=False, settled_at=stored_time(event.at))
    if event.kind in _POSITION_BREAKS and event.qty:
        qty, px = Decimal(event.qty), Decimal(event.avg_px or 0)
        held = rows.find(tables.POSITIONS, event.strategy_id, event.symbol) or {}
        rows.put(
            tables.POSITIONS,
            event.strategy_id,
            event.symbol,
            session_id=rows.session_id,
            qty=str(qty),
            cost=str(qty * px),
            avg_px=str(px) if qty else None,
            opened_at=held.get("opened_at") or stored_time(event.at),
            last_at=stored_time(event.at),
            seq=seq,
        )


def _report_quarantined(rows: Rows, seq: int, event: orders.ReportQuarantined) -> None:
    rows.add(
        tables.QUARANTINED_REPORTS,
        seq,
        session_id=rows.session_id,
        at=stored_time(event.at),
        exec_id=event.exec_id,
        cl_ord_id=event.cl_ord_id,
        kind=event.kind,
        detail=event.detail,
    )


def _trade_closed(rows: Rows, seq: int, event: orders.TradeClosed) -> None:
    rows.add(
        tables.TRADES,
        rows.session_id,
        event.trade_id,
        strategy_id=event.strategy_id,
        symbol=event.symbol,
        side=word(event.side),
        qty=str(event.qty),
        entry_px=str(event.entry_px),
        exit_px=str(event.exit_px),
        opened_at=stored_time(event.opened_at),
        closed_at=stored_time(event.closed_at),
        gross_pnl=str(event.gross_pnl),
        fees=str(event.fees),
        net_pnl=str(event.net_pnl),
        r_multiple=exact(event.r_multiple),
        exit_leg=Leg(event.exit_leg).value,
        exit_reason=event.exit_reason,
        signal_id=event.signal_id,
        decision_px=str(event.decision_px),
        initial_stop_px=exact(event.initial_stop_px),
        target_px=exact(event.target_px),
        bars_held=event.bars_held,
        seq=seq,
    )


def _average(qty: Decimal, value: Decimal) -> str | None:
    """Average price; None of nothing."""
    return str(value / qty) if qty else None


PROJECT: Final[dict[type[Event], Callable[[Rows, int, Any], None]]] = {
    orders.RiskDecided: _risk_decided,
    orders.OrderIntended: _order_intended,
    orders.OrderDenied: _order_denied,
    orders.SubmitObserved: _submit_observed,
    orders.CancelRequested: _cancel_requested,
    orders.CancelObserved: _cancel_observed,
    orders.OrderChanged: _order_changed,
    orders.FillRecorded: _fill_recorded,
    orders.FillReversed: _fill_reversed,
    orders.ReportQuarantined: _report_quarantined,
    orders.TradeClosed: _trade_closed,
    orders.PositionsOffset: _positions_offset,
    RepairApplied: _repair_applied,
}
