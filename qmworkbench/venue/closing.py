"""The session's end: AT_CLOSE orders trade at each symbol's last regular print, day orders expire (§16).

A symbol that has stopped printing, long before the close or the whole session, has no closing price: its
AT_CLOSE orders expire with `no_closing_print`, and who counted on them still holds the position. The auction
takes any size: no cap applies. An order decided at or after the last print cannot have it.
"""

from datetime import datetime, timedelta

from qmworkbench.domain.orders import OrdStatus, TimeInForce
from qmworkbench.venue import brackets
from qmworkbench.venue.bars import Print
from qmworkbench.venue.books import NEVER, Books
from qmworkbench.venue.matching import fill_px, priority
from qmworkbench.venue.orders import Ending, VenueOrder


def close_books(books: Books, at: datetime) -> None:
    """Fill or expire every AT_CLOSE order, symbol by symbol, exits first."""
    for symbol in books.tracked():
        waiting = [order for order in books.working(symbol) if order.time_in_force is TimeInForce.AT_CLOSE]
        for order in sorted(waiting, key=priority):
            if not order.is_working:
                continue
            last = _closing_print(books, symbol, at)
            if last is None or order.decided_at >= last.at:
                _end(books, order, OrdStatus.EXPIRED, Ending.NO_CLOSING_PRINT, at)
            else:
                _trade(books, order, last, at)


def _closing_print(books: Books, symbol: str, at: datetime) -> Print | None:
    """The print that counts as the close, None where the symbol had stopped trading."""
    last = books.marks.get(symbol)
    max_age = timedelta(seconds=books.model.schedule(books.instruments[symbol]).closing_print_max_age_s)
    if (
        last is None
        or symbol in books.halted
        or last.at <= (books.account.opened_at or NEVER)
        or at - last.at > max_age
    ):
        return None
    return last


def _trade(books: Books, order: VenueOrder, last: Print, at: datetime) -> None:
    instrument = books.instruments[order.symbol]
    opposite = order.side.sign * books.position_qty(order.symbol) < 0
    if not order.is_exit and opposite and not order.netted:
        _end(books, order, OrdStatus.CANCELED, Ending.OPPOSITE_POSITION, at)
        return
    qty = brackets.closable(books, order) if order.is_exit else order.leaves_qty
    if qty == 0:
        _end(books, order, OrdStatus.CANCELED, Ending.NOTHING_TO_REDUCE, at)
        return
    closed = books.trade(order, qty, fill_px(order, last.px, books.model.schedule(instrument), instrument), at)
    if order.is_exit:
        brackets.exit_filled(books, order, closed, at)


def _end(books: Books, order: VenueOrder, status: OrdStatus, reason: Ending, at: datetime) -> None:
    books.end(order, status, reason, at)
    if not order.is_exit:
        brackets.entry_ended(books, order, at)


def expire_day_orders(books: Books, at: datetime) -> None:
    """End what was good for this session only; held legs go with their entry."""
    for order in sorted(books.orders.values(), key=lambda order: order.seq):
        if order.is_working and order.time_in_force is not TimeInForce.GTC:
            _end(books, order, OrdStatus.EXPIRED, Ending.SESSION_OVER, at)
