"""Matching against quotes instead of bars: a moment with a bid and an ask, and no range (§2, §13).

Who buys pays the ask and who sells gets the bid; a limit trades when the far side reaches it, a stop when the side it
would trade on does. No more trades than is quoted there, where a size is known. Crossed or locked quotes are no market:
nothing trades on them and nothing is valued by them. Everything else is as at a bar's open.

A session is matched by bars or by quotes. Quotes are no prints: who waits for the closing price needs bars.
"""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from qmworkbench.domain.numbers import ZERO, decimal_of, floor_to
from qmworkbench.domain.orders import Side
from qmworkbench.venue.bars import Bar, Floats, Universe
from qmworkbench.venue.books import Books
from qmworkbench.venue.crossing import Crossing
from qmworkbench.venue.records import Quote


class Quotes(Protocol):
    """The quotes of one moment, arrays side by side; sizes are NaN, or absent, where they are not known."""

    @property
    def as_of(self) -> datetime: ...
    @property
    def index(self) -> npt.NDArray[np.int32]: ...
    @property
    def bid(self) -> Floats: ...
    @property
    def ask(self) -> Floats: ...
    @property
    def bid_size(self) -> Floats | None: ...
    @property
    def ask_size(self) -> Floats | None: ...


class QuoteFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Quotes in arrays of one's own; `index` ascends and points into the universe."""

    as_of: datetime
    index: npt.NDArray[np.int32]
    bid: Floats
    ask: Floats
    bid_size: Floats | None = None
    ask_size: Floats | None = None


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """A quote that is a market, and how much is quoted on either side; NaN: not known."""

    quote: Quote
    bid_size: float
    ask_size: float


def quoted(symbols: Iterable[str], frame: Quotes, universe: Universe) -> list[Sized]:
    """The quotes of those of `symbols` that are a market: two prices above zero, the bid below the ask."""
    at = {place: k for k, place in enumerate(frame.index.tolist())}
    found = []
    for symbol in symbols:
        k = at.get(universe.index.get(symbol, -1))
        if k is None:
            continue
        bid, ask = frame.bid.item(k), frame.ask.item(k)
        if not 0 < bid < ask < math.inf:
            continue
        quote = Quote(symbol=symbol, bid=decimal_of(bid), ask=decimal_of(ask), at=frame.as_of)
        if ZERO < quote.bid < quote.ask:
            sizes = [math.nan if sizes is None else sizes.item(k) for sizes in (frame.bid_size, frame.ask_size)]
            found.append(Sized(quote=quote, bid_size=sizes[0], ask_size=sizes[1]))
    return found


class QuoteCrossing(Crossing):
    """One symbol's match on one quote: an open whose price depends on the side."""

    def __init__(self, books: Books, sized: Sized) -> None:
        quote, instrument = sized.quote, books.instruments[sized.quote.symbol]
        px = {"open": quote.bid, "high": quote.ask, "low": quote.bid, "close": quote.bid}
        super().__init__(books, Bar(symbol=quote.symbol, as_of=quote.at, volume=0.0, **px))
        # Half the spread is in the quote already.
        self._schedule = msgspec.structs.replace(self._schedule, half_spread_bps=ZERO)
        self._market = {Side.BUY: quote.ask, Side.SELL: quote.bid}
        for side, size in ((Side.BUY, sized.ask_size), (Side.SELL, sized.bid_size)):
            known = math.isfinite(size) and size >= 0
            self._left[side] = floor_to(decimal_of(size), instrument.lot_size) if known else None

    def run(self) -> None:
        """Match everything that was decided before the quote."""
        self._late_fills()
        self._open()


def match(books: Books, frame: Quotes, universe: Universe) -> None:
    """Trade what the quotes reach, and value the symbols by them from now on; halted ones are left alone."""
    symbols = [symbol for symbol in universe.symbols if symbol in books.instruments and symbol not in books.halted]
    for sized in quoted(symbols, frame, universe):
        if sized.quote.symbol in books.by_symbol:
            QuoteCrossing(books, sized).run()
        books.quote(sized.quote)
