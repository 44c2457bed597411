"""How account activities become rows: positions and orders in their new terms, cash that came without a trade (§14)."""

from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.corporate_actions import restated_mark
from qmworkbench.domain.events.overnight import CashBooked, OrderRestated, PositionRestated
from qmworkbench.domain.numbers import ZERO
from qmworkbench.storage import table_rows
from qmworkbench.storage.projected_rows import Projections, Rows, exact
from qmworkbench.storage.table_rows import Row
from qmworkbench.storage.times import stored_time


def _position_restated(rows: Rows, seq: int, event: PositionRestated) -> None:
    at = stored_time(event.at)
    rows.add(
        table_rows.Restatement(
            seq,
            session_id=rows.session_id,
            activity_id=event.activity_id,
            kind=event.activity.value,
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            new_symbol=event.new_symbol,
            qty_before=str(event.qty_before),
            qty_after=str(event.qty_after),
            cost_before=str(event.cost_before),
            cost_after=str(event.cost_after),
            realized_pnl=str(event.realized_pnl),
            px=str(event.px),
            cause=event.cause,
            at=at,
        )
    )
    held = rows.find(table_rows.Position, event.strategy_id, event.symbol)
    realized, fees = (_number(held, name) for name in ("realized_pnl", "fees"))
    realized += event.realized_pnl
    symbol, qty, cost = event.new_symbol or event.symbol, event.qty_after, event.cost_after
    opened_at = held.opened_at if held else None
    if symbol != event.symbol:
        # What is held under the new name already is joined; its round trip goes on.
        other = rows.find(table_rows.Position, event.strategy_id, symbol)
        if other is not None and _number(other, "qty"):
            qty, cost = qty + _number(other, "qty"), cost + _number(other, "cost")
            realized, fees = realized + _number(other, "realized_pnl"), fees + _number(other, "fees")
            opened_at = other.opened_at
        _put(rows, seq, event, event.symbol, ZERO, ZERO, at=at)
    _put(rows, seq, event, symbol, qty, cost, at=at, realized_pnl=str(realized), fees=str(fees), opened_at=opened_at)


def _put(
    rows: Rows, seq: int, event: PositionRestated, symbol: str, qty: Decimal, cost: Decimal, *, at: str, **more: Any
) -> None:
    rows.put(
        table_rows.Position,
        event.strategy_id,
        symbol,
        session_id=rows.session_id,
        qty=str(qty),
        cost=str(cost),
        avg_px=str(cost / qty) if qty else None,
        last_at=at,
        seq=seq,
        **more,
    )


def _order_restated(rows: Rows, seq: int, event: OrderRestated) -> None:
    order = rows.change(table_rows.Order, event.cl_ord_id, symbol=event.symbol, last_at=stored_time(event.at))
    if order is None or not event.ratio:
        return
    average, decided = order.avg_px, order.decision_px
    rows.put_row(
        order,
        order_qty=str(event.order_qty),
        cum_qty=str(event.cum_qty),
        leaves_qty=str(event.order_qty - event.cum_qty),
        stop_px=exact(event.stop_px),
        limit_px=exact(event.limit_px),
        avg_px=str(Decimal(average) / event.ratio) if average else average,
        decision_px=str(restated_mark(Decimal(decided), event.ratio)) if decided else decided,
    )


def _cash_booked(rows: Rows, seq: int, event: CashBooked) -> None:
    rows.add(
        table_rows.CashActivity(
            seq,
            session_id=rows.session_id,
            activity_id=event.activity_id,
            kind=event.activity.value,
            strategy_id=event.strategy_id,
            symbol=event.symbol,
            amount=str(event.amount),
            cause=event.cause,
            cursor=event.cursor,
            at=stored_time(event.at),
        )
    )


def _number(row: Row | None, name: str) -> Decimal:
    return Decimal(getattr(row, name, None) or 0)


PROJECT: Final[Projections] = {
    PositionRestated: _position_restated,
    OrderRestated: _order_restated,
    CashBooked: _cash_booked,
}
