"""How fills, positions and trades become rows (§13, §17)."""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.events import orders
from qmworkbench.domain.events.reconciliation import BreakKind, RepairApplied
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Side
from qmworkbench.storage import record_forms as forms
from qmworkbench.storage import table_rows
from qmworkbench.storage.projected_rows import Projections, Rows, word
from qmworkbench.storage.times import stored_time

_POSITION_BREAKS: Final = (BreakKind.POSITION_QTY, BreakKind.POSITION_SIDE, BreakKind.AVG_PX)


def _fill_recorded(rows: Rows, seq: int, event: forms.FillRecorded) -> None:
    rows.add(
        table_rows.Execution(
            event.exec_id,
            session_id=rows.session_id,
            cl_ord_id=event.cl_ord_id,
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            side=event.side,
            last_qty=event.last_qty,
            last_px=event.last_px,
            fee=event.fee,
            transact_time=event.transact_time,
            realized_pnl=event.realized_pnl,
            conversion_rate=event.conversion_rate,
            position_qty=event.position_qty,
            position_cost=event.position_cost,
            slippage_bps=event.slippage_bps,
            adopted=int(event.adopted),
            at=event.at,
            seq=seq,
        )
    )
    qty, fee = Decimal(event.last_qty), Decimal(event.fee)
    order = rows.change(table_rows.Order, event.cl_ord_id)
    if order is not None:
        filled = Decimal(order.cum_qty or 0)  # the order's own record follows
        value = Decimal(order.avg_px or 0) * filled + Decimal(event.last_px) * qty
        order.avg_px = _average(filled + qty, value)
        order.fees = str(Decimal(order.fees or 0) + fee)
    _position_filled(rows, seq, event, qty, fee)


def _position_filled(rows: Rows, seq: int, event: forms.FillRecorded, qty: Decimal, fee: Decimal) -> None:
    """P&L and fees count since the position was opened from flat; a fill through zero opens a new one."""
    held = rows.put(table_rows.Position, event.strategy_id, event.symbol)
    was, now = Decimal(held.qty or 0), Decimal(event.position_qty)
    if was and now and (was > 0) != (now > 0):
        held.opened_at = event.transact_time
        held.realized_pnl, held.fees = str(ZERO), str(fee * abs(now) / qty)
    elif was:
        held.realized_pnl = str(Decimal(event.realized_pnl) + Decimal(held.realized_pnl or 0))
        held.fees = str(fee + Decimal(held.fees or 0))
    else:
        held.opened_at = event.transact_time
        held.realized_pnl, held.fees = event.realized_pnl, event.fee
    held.session_id = rows.session_id
    held.qty = event.position_qty
    held.cost = event.position_cost
    held.avg_px = _average(now, Decimal(event.position_cost))
    held.last_at = event.at
    held.seq = seq


def _fill_reversed(rows: Rows, seq: int, event: orders.FillReversed) -> None:
    """A bust takes the execution back at its own price: quantity and cost return, nothing is realized."""
    rows.change(table_rows.Execution, event.ref_exec_id, reversed_by=event.exec_id)
    held = rows.find(table_rows.Position, event.strategy_id, event.symbol) or table_rows.Position()
    sign = 1 if event.side is Side.BUY else -1
    qty = Decimal(held.qty or 0) - sign * event.last_qty
    cost = Decimal(held.cost or 0) - sign * event.last_qty * event.last_px
    rows.put(
        table_rows.Position,
        event.strategy_id,
        event.symbol,
        session_id=rows.session_id,
        qty=str(qty),
        cost=str(cost),
        avg_px=_average(qty, cost),
        fees=str(Decimal(held.fees or 0) - event.fee),
        last_at=stored_time(event.at),
        seq=seq,
    )
    order = rows.find(table_rows.Order, event.cl_ord_id)
    if order is not None:
        left = max(ZERO, Decimal(order.cum_qty or 0) - event.last_qty)
        rows.put_row(order, cum_qty=str(left))


def _positions_offset(rows: Rows, seq: int, event: orders.PositionsOffset) -> None:
    """Parts that cancelled out, each closed at the same price without an execution."""
    for strategy_id in event.strategy_ids:
        held = rows.find(table_rows.Position, strategy_id, event.symbol) or table_rows.Position()
        qty, cost = Decimal(held.qty or 0), Decimal(held.cost or 0)
        realized = Decimal(held.realized_pnl or 0) + (qty * event.px - cost) * event.conversion_rate
        rows.put(
            table_rows.Position,
            strategy_id,
            event.symbol,
            qty=str(ZERO),
            cost=str(ZERO),
            avg_px=None,
            session_id=rows.session_id,
            realized_pnl=str(realized),
            last_at=stored_time(event.at),
            seq=seq,
        )


def _repair_applied(rows: Rows, seq: int, event: RepairApplied) -> None:
    rows.add(
        table_rows.Repair(
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
    )
    rows.change(table_rows.Break, rows.session_id, event.break_id, open=False, settled_at=stored_time(event.at))
    if event.kind in _POSITION_BREAKS and event.qty:
        qty, px = Decimal(event.qty), Decimal(event.avg_px or 0)
        held = rows.find(table_rows.Position, event.strategy_id, event.symbol) or table_rows.Position()
        rows.put(
            table_rows.Position,
            event.strategy_id,
            event.symbol,
            session_id=rows.session_id,
            qty=str(qty),
            cost=str(qty * px),
            avg_px=str(px) if qty else None,
            opened_at=held.opened_at or stored_time(event.at),
            last_at=stored_time(event.at),
            seq=seq,
        )


def _trade_closed(rows: Rows, seq: int, event: forms.TradeClosed) -> None:
    rows.add(
        table_rows.Trade(
            rows.session_id,
            event.trade_id,
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            side=event.side,
            qty=event.qty,
            entry_px=event.entry_px,
            exit_px=event.exit_px,
            opened_at=event.opened_at,
            closed_at=event.closed_at,
            gross_pnl=event.gross_pnl,
            fees=event.fees,
            net_pnl=event.net_pnl,
            r_multiple=event.r_multiple,
            exit_leg=event.exit_leg,
            exit_reason=event.exit_reason,
            signal_id=event.signal_id,
            decision_px=event.decision_px,
            initial_stop_px=event.initial_stop_px,
            target_px=event.target_px,
            bars_held=event.bars_held,
            seq=seq,
        )
    )


def _average(qty: Decimal, value: Decimal) -> str | None:
    """Average price; None of nothing."""
    return str(value / qty) if qty else None


PROJECT: Final[Projections] = {
    forms.FillRecorded: _fill_recorded,
    orders.FillReversed: _fill_reversed,
    orders.PositionsOffset: _positions_offset,
    forms.TradeClosed: _trade_closed,
    RepairApplied: _repair_applied,
}
