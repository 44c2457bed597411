"""Planted breaks: falsify the venue's books on purpose, to see that reconciliation finds it (§14, §17).

Each kind is what a real account can show us unasked: a position somebody changed, an order somebody else
placed, a fill we never heard of, money that came or went. Every plant is on record in the table `drills`.
"""

from decimal import Decimal

import msgspec

from qmworkbench.domain.execution import ExecType, OrderRequest
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.venue import brackets, door
from qmworkbench.venue.books import Books
from qmworkbench.venue.records import Holding, VenueError


class ForeignFill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill of an order that this platform never sent: it moves position and cash, and is reported like any
    other.
    """

    cl_ord_id: str
    side: Side
    qty: Decimal
    px: Decimal


def plant(
    books: Books,
    symbol: str,
    *,
    qty_delta: Decimal | None = None,
    order: OrderRequest | None = None,
    execution: ForeignFill | None = None,
    cash_delta: Decimal | None = None,
) -> None:
    """Plant exactly one break in `symbol` (for cash the symbol is only a label). Raises VenueError when not
    exactly one is given.

    `qty_delta` changes the position and nothing else: no execution, no cash. `order` rests in the books
    unasked, without checks. `execution` trades at its price. `cash_delta` moves cash without an execution.
    """
    given = {"qty_delta": qty_delta, "order": order, "execution": execution, "cash_delta": cash_delta}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise VenueError(f"plant_break({symbol}): give exactly one of {', '.join(given)}, not {chosen or 'none'}")
    if qty_delta is not None:
        _plant_position(books, symbol, qty_delta)
    if order is not None:
        _plant_order(books, symbol, order)
    if execution is not None:
        _plant_fill(books, symbol, execution)
    if cash_delta is not None:
        books.move_cash(cash_delta)
    books.note_drill(chosen[0], symbol, str(given[chosen[0]]))


def _plant_position(books: Books, symbol: str, qty_delta: Decimal) -> None:
    """The average price stays as it was; a position made from nothing costs its last print."""
    held = books.positions.get(symbol) or Holding(symbol=symbol, qty=ZERO, cost=ZERO)
    last = books.marks.get(symbol)
    px = held.avg_px if held.qty else (last.px if last is not None else Decimal(1))
    qty = held.qty + qty_delta
    books.hold(Holding(symbol=symbol, qty=qty, cost=qty * px))


def _plant_order(books: Books, symbol: str, request: OrderRequest) -> None:
    if request.symbol != symbol or books.used([request.cl_ord_id]) is not None:
        raise VenueError(f"plant_break({symbol}): give an order for it under a new id, not {request.cl_ord_id}")
    (order,) = door.orders_for(books, msgspec.structs.replace(request, legs=()))
    books.add(order)
    books.say(order, ExecType.NEW, order.transact_time)


def _plant_fill(books: Books, symbol: str, fill: ForeignFill) -> None:
    if books.used([fill.cl_ord_id]) is not None:
        raise VenueError(f"plant_break({symbol}): {fill.cl_ord_id} already names an order; give a new id")
    request = OrderRequest(
        cl_ord_id=fill.cl_ord_id,
        symbol=symbol,
        side=fill.side,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.LIMIT,
        order_qty=fill.qty,
        time_in_force=TimeInForce.DAY,
        decided_at=books.now,
        limit_px=fill.px,
    )
    (order,) = door.orders_for(books, request)
    books.add(order)
    books.fill(order, fill.qty, fill.px, books.now)
    brackets.follow_position(books, symbol, books.now)
