"""Bars that surely do nothing to any order of their symbol: most do not, and are told from two comparisons (§13).

Between which prices nothing of a symbol stirs is worked out once and kept until one of its orders changes. It is a
little narrower than it might be, for what floats lose: where it says no, the exact numbers decide.
"""

import math
from decimal import Decimal
from typing import Final

from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.orders import OrdType, Side, TimeInForce
from qmworkbench.venue.bars import Row
from qmworkbench.venue.books import Books
from qmworkbench.venue.matching import stop_level, works_as
from qmworkbench.venue.orders import VenueOrder

_ROOM: Final = 2e-8
_UNKNOWN: Final = (math.inf, -math.inf)  # a zone that no bar lies in


def is_quiet(books: Books, row: Row) -> bool:
    """Whether the bar touches nothing, and raises no trailing stop's best price either."""
    zone = books.zones.get(row.symbol, _UNKNOWN)
    if zone is _UNKNOWN:
        zone = books.zones[row.symbol] = _zone(books, row.symbol)
    return zone is not None and row.low > zone[0] and row.high < zone[1]


def _zone(books: Books, symbol: str) -> tuple[float, float] | None:
    """Between which prices nothing of `symbol` stirs; None: something always does."""
    instrument = books.instruments[symbol]
    queued = books.model.schedule(instrument).queue is not None
    floor, ceiling = -math.inf, math.inf
    for order in books.by_symbol.get(symbol, {}).values():
        if order.fills_late:
            return None
        if not order.is_working or order.time_in_force is TimeInForce.AT_CLOSE:
            continue
        new_in_line = queued and order.ahead_qty is None and works_as(order) is OrdType.LIMIT
        if order.time_in_force is TimeInForce.IOC or new_in_line:
            return None
        below, above = _levels(order, instrument)
        if below is None and above is None:
            return None
        if below is not None:
            floor = max(floor, float(below))
        if above is not None:
            ceiling = min(ceiling, float(above))
    return floor * (1 + _ROOM) + _ROOM, ceiling * (1 - _ROOM) - _ROOM


def _levels(order: VenueOrder, instrument: Instrument) -> tuple[Decimal | None, Decimal | None]:
    """The prices below and above the market at which something happens to the order; none of an order at market."""
    kind = works_as(order)
    if kind is OrdType.MARKET:
        return None, None
    if kind is OrdType.LIMIT:
        return (order.limit_px, None) if order.side is Side.BUY else (None, order.limit_px)
    level = stop_level(order, instrument)
    best = order.peak_px if order.trail_bps is not None else None
    return (best, level) if order.side is Side.BUY else (level, best)
