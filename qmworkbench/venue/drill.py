"""Planted breaks: falsify the venue's books on purpose, to see that reconciliation finds it (§14, §17).

Each kind is what a real account can show us unasked: a position somebody changed, an order somebody else placed, a fill
we never heard of or one too many, an order that is gone without a word, money that came or went. Every plant is on
record in the table `drills`.
"""

from decimal import Decimal
from typing import TypedDict

import msgspec

from qmworkbench.domain.execution import ExecType, OrderRequest
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.venue import brackets, door
from qmworkbench.venue.books import Books
from qmworkbench.venue.orders import Ending
from qmworkbench.venue.records import Holding, VenueError


class ForeignFill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill of an order that this platform never sent: it moves position and cash, and is reported like any
    other.
    """

    cl_ord_id: str
    side: Side
    qty: Decimal
    px: Decimal


class OverFill(msgspec.Struct, frozen=True, kw_only=True):
    """`qty` more of an order fills than was left of it, at its own average price; it may have ended."""

    cl_ord_id: str
    qty: Decimal


class Breaks(TypedDict, total=False):
    """The kinds of break there are.

    `qty_delta` changes the position and nothing else: no execution, no cash. `order` rests in the books unasked,
    without checks. `execution` trades at its price. `overfill` is one execution too many. `vanished` names an order
    that ends in the books, with the exits that wait for it, and nobody is told. `cash_delta` moves cash without an
    execution.
    """

    qty_delta: Decimal | None
    order: OrderRequest | None
    execution: ForeignFill | None
    overfill: OverFill | None
    vanished: str | None
    cash_delta: Decimal | None


def plant(books: Books, symbol: str, breaks: Breaks) -> None:
    """Plant exactly one break in `symbol` (for cash the symbol is only a label). Raises VenueError when not exactly one
    is given.
    """
    chosen = [name for name, value in breaks.items() if value is not None]
    if len(chosen) != 1:
        kinds = ", ".join(Breaks.__annotations__)
        raise VenueError(f"plant_break({symbol}): give exactly one of {kinds}, not {chosen or 'none'}")
    if (qty_delta := breaks.get("qty_delta")) is not None:
        _plant_position(books, symbol, qty_delta)
    if (order := breaks.get("order")) is not None:
        _plant_order(books, symbol, order)
    if (execution := breaks.get("execution")) is not None:
        _plant_fill(books, symbol, execution)
    if (overfill := breaks.get("overfill")) is not None:
        _plant_overfill(books, symbol, overfill)
    if (vanished := breaks.get("vanished")) is not None:
        _plant_vanished(books, symbol, vanished)
    if (cash_delta := breaks.get("cash_delta")) is not None:
        books.move_cash(cash_delta)
    books.note_drill(chosen[0], symbol, str(dict(breaks)[chosen[0]]))


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


def _plant_overfill(books: Books, symbol: str, more: OverFill) -> None:
    order = books.find(more.cl_ord_id)
    if order is None or order.symbol != symbol or not order.cum_qty:
        raise VenueError(f"plant_break({symbol}): {more.cl_ord_id} names no order of it that has filled; name one")
    if not more.qty.is_finite() or more.qty <= 0:
        raise VenueError(f"plant_break({symbol}): an over-fill of {more.qty} is none; give a quantity above 0")
    qty = order.leaves_qty + more.qty
    books.fill(order, qty, order.avg_px, books.now)
    brackets.fill_restated(books, order, qty, books.now)


def _plant_vanished(books: Books, symbol: str, cl_ord_id: str) -> None:
    order = books.find(cl_ord_id)
    if order is None or order.symbol != symbol or not order.is_open:
        raise VenueError(f"plant_break({symbol}): {cl_ord_id} names no open order of it; name one (`qm broker orders`)")
    for lost in (order, *(leg for leg in books.legs_of(order) if leg.held)):
        lost.status, lost.held, lost.reason = OrdStatus.CANCELED, False, Ending.REQUESTED.value
        books.touch(lost)
