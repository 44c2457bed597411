"""Executions that are taken back or corrected after the fact (§14): the books are put right, and everybody is told.

A bust is a TRADE_CANCEL report that names the execution. Position, cash, fees and the order's filled quantity go back
by what it was; an order that has ended stays ended, one that works may fill that quantity again. A correction is a bust
and a new execution in one transaction.
"""

from decimal import Decimal

from qmworkbench.venue import brackets
from qmworkbench.venue.books import Books
from qmworkbench.venue.orders import VenueOrder
from qmworkbench.venue.records import Entry, VenueError


def bust(books: Books, exec_id: str) -> None:
    """Take an execution back. Raises VenueError for one that never was, or was taken back already."""
    order, entry = _booked(books, exec_id)
    books.take_back(order, entry, books.now)
    brackets.fill_restated(books, order, -entry.report.last_qty, books.now)


def correct(books: Books, exec_id: str, *, px: Decimal | None = None, qty: Decimal | None = None) -> str:
    """Book an execution anew at another price or quantity; returns the new execution's id. Raises as bust, and for
    numbers that are no trade.
    """
    order, entry = _booked(books, exec_id)
    was = entry.report
    new_px, new_qty = (was.last_px if px is None else px), (was.last_qty if qty is None else qty)
    for name, value in (("px", new_px), ("qty", new_qty)):
        if not value.is_finite() or value <= 0:
            raise VenueError(f"correct({exec_id}): {name} {value} is no trade; give one above 0, or bust it")
    books.take_back(order, entry, books.now)
    new_id = books.fill(order, new_qty, new_px, books.now)
    brackets.fill_restated(books, order, new_qty - was.last_qty, books.now)
    return new_id


def _booked(books: Books, exec_id: str) -> tuple[VenueOrder, Entry]:
    entry = books.execution(exec_id)
    order = None if entry is None else books.find(entry.report.cl_ord_id)
    if entry is None or order is None:
        raise VenueError(f"{exec_id} is no execution that could be taken back: it never was, or is already")
    return order, entry
