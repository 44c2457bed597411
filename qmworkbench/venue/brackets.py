"""Exits that travel with their entry, share one quantity and never close more than is held (§13).

The legs of an entry together cover what it has filled and nobody has closed again; whichever trades takes
from the others (OCO). A position that shrinks by any other way, a manual close or another entry's exit,
shrinks the legs of the oldest entry first; flat cancels them all.

Orders that are `netted` belong to a part of the position each: the net position says nothing of them, so they follow
their own entry alone.
"""

from datetime import datetime
from decimal import Decimal

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import OrdStatus
from qmworkbench.venue.books import Books
from qmworkbench.venue.matching import raised_peak
from qmworkbench.venue.orders import Ending, VenueOrder


def entry_filled(books: Books, entry: VenueOrder, px: Decimal, at: datetime) -> None:
    """An entry has traded at `px`: wake its legs, or give them the larger size."""
    covered = max(entry.cum_qty - entry.exited_qty, ZERO)
    for leg in books.legs_of(entry):
        if covered == 0:  # more was closed than it had filled, by a bust or an over-fill: this only makes up for it
            if not leg.held:
                books.end(leg, OrdStatus.CANCELED, Ending.FOLLOWS_POSITION, at)
            continue
        leg.order_qty = leg.cum_qty + covered
        if leg.held:
            leg.held = False
            leg.peak_px = px if leg.trail_bps is not None else None
            books.say(leg, ExecType.NEW, at)
        else:
            leg.peak_px = raised_peak(leg, px)
            books.say(leg, ExecType.RESTATED, at, reason=Ending.FOLLOWS_POSITION)


def exit_filled(books: Books, order: VenueOrder, qty: Decimal, at: datetime) -> None:
    """An exit has traded `qty`: settle with its siblings, then with every other exit of the symbol."""
    entry = books.orders.get(order.parent_id) if order.parent_id else None
    if entry is not None:
        _reduce(books, entry, qty, Ending.OCO, at)
    follow_position(books, order.symbol, at)


def fill_restated(books: Books, order: VenueOrder, change: Decimal, at: datetime) -> None:
    """What `order` has filled is `change` more (less where negative) than the books said before: a bust, a correction.

    Legs at work take the size of what there is to close now. Where an entry has nothing left that they could close they
    end, and what of the entry still works with them: nothing works on without its exits.
    """
    entry = order
    if order.parent_id is not None:
        parent = books.find(order.parent_id)
        if parent is not None:
            entry = parent
            entry.exited_qty = max(entry.exited_qty + change, ZERO)
            books.touch(entry)
    covered = entry.cum_qty - entry.exited_qty
    for leg in [leg for leg in books.legs_of(entry) if not leg.held]:
        if covered <= 0:
            books.end(leg, OrdStatus.CANCELED, Ending.TRADE_BUSTED, at)
            if entry.is_open:
                books.end(entry, OrdStatus.CANCELED, Ending.TRADE_BUSTED, at)
        elif leg.order_qty != leg.cum_qty + covered:
            leg.order_qty = leg.cum_qty + covered
            books.say(leg, ExecType.RESTATED, at, reason=Ending.TRADE_BUSTED)
    follow_position(books, order.symbol, at)


def closable(books: Books, order: VenueOrder) -> Decimal:
    """How much an exit may still close: what is left of it, and no more than is held; 0 where nothing may be."""
    if order.netted:
        return max(order.leaves_qty, ZERO)
    return min(order.leaves_qty, max(-order.side.sign * books.position_qty(order.symbol), ZERO))


def follow_position(books: Books, symbol: str, at: datetime) -> None:
    """Never let the exits of `symbol` stand for more than is held; with nothing held they end."""
    qty = books.position_qty(symbol)
    mine = [order for order in books.by_symbol.get(symbol, {}).values() if not order.netted]
    entries = [order for order in mine if not order.is_exit]
    covered = [(entry, _covered(books, entry)) for entry in entries]
    held = {side: max(side * qty, ZERO) for side in (1, -1)}
    for side in (1, -1):
        excess = sum((c for entry, c in covered if entry.side.sign == side), ZERO) - held[side]
        for entry, standing in covered:
            if entry.side.sign == side and excess > 0 and standing > 0:
                less = min(excess, standing)
                excess -= less
                _reduce(books, entry, less, Ending.FOLLOWS_POSITION, at)
    for order in books.working(symbol):
        if order.is_exit and order.parent_id is None and not order.netted and -order.side.sign * qty <= 0:
            books.end(order, OrdStatus.CANCELED, Ending.NOTHING_TO_REDUCE, at)


def entry_ended(books: Books, entry: VenueOrder, at: datetime) -> None:
    """An entry is over: without a fill its legs go too; with one they stay for what it filled."""
    if entry.cum_qty == 0:
        for leg in books.legs_of(entry):
            books.end(leg, OrdStatus.CANCELED, Ending.ENTRY_NOT_FILLED, at)


def _covered(books: Books, entry: VenueOrder) -> Decimal:
    """How much of the position the legs of `entry` stand for."""
    return max(entry.cum_qty - entry.exited_qty, ZERO) if books.legs_of(entry) else ZERO


def _reduce(books: Books, entry: VenueOrder, qty: Decimal, reason: Ending, at: datetime) -> None:
    """`qty` of what `entry` filled is closed again: its legs shrink, and what of it is still open is called off."""
    entry.exited_qty += qty
    books.touch(entry)
    if entry.is_open:
        books.end(entry, OrdStatus.CANCELED, Ending.EXIT_STARTED, at)
    covered = entry.cum_qty - entry.exited_qty
    for leg in books.legs_of(entry):
        if leg.held:
            continue
        if covered <= 0:
            books.end(leg, OrdStatus.CANCELED, reason, at)
        elif leg.order_qty != leg.cum_qty + covered:
            leg.order_qty = leg.cum_qty + covered
            books.say(leg, ExecType.RESTATED, at, reason=reason)
