"""What the account is worth, and what new entries may still tie up: the venue's statements (§11, §14).

    equity       = cash + value of positions at their marks
    buying power = equity x leverage - margin of positions - reserved for working entries

A position ties up |qty| x mark x margin rate; a working entry leaves x reserve price x margin rate, the
reserve price being its own limit or stop, or the last print before a market order. All in account currency at
the recorded rate.
"""

from decimal import Decimal

from qmworkbench.domain.execution import Account, BrokerPosition
from qmworkbench.domain.numbers import ZERO
from qmworkbench.venue.accounting import money, paid_in_full
from qmworkbench.venue.books import Books
from qmworkbench.venue.orders import VenueOrder
from qmworkbench.venue.records import Holding


def positions(books: Books) -> list[BrokerPosition]:
    """Net positions, by symbol."""
    return [
        BrokerPosition(
            symbol=symbol,
            qty=held.qty,
            avg_px=held.avg_px,
            market_px=market_px(books, held),
            market_value=market_value(books, held),
            unrealized_pnl=unrealized_pnl(books, held),
        )
        for symbol, held in sorted(books.positions.items())
    ]


def account(books: Books) -> Account:
    """The account at the venue's clock."""
    row = books.account
    return Account(
        currency=row.currency,
        cash=row.cash,
        equity=equity(books),
        buying_power=buying_power(books),
        realized_pnl=row.realized_pnl,
        fees=row.fees,
        cursor=books.cursor,
        as_of=books.now,
        positions_value=sum((market_value(books, held) for held in books.positions.values()), ZERO),
        unrealized_pnl=sum((unrealized_pnl(books, held) for held in books.positions.values()), ZERO),
    )


def equity(books: Books) -> Decimal:
    """Cash and what the positions are worth at their marks."""
    return books.account.cash + sum((_worth(books, held) for held in books.positions.values()), ZERO)


def buying_power(books: Books, without: VenueOrder | None = None) -> Decimal:
    """What new entries may still tie up, the reserve of `without` free again; never below zero."""
    margin = sum(
        (tied_up(books, held.symbol, held.qty, market_px(books, held)) for held in books.positions.values()), ZERO
    )
    reserved = sum((reserved_by(books, order) for order in _entries(books, without)), ZERO)
    return max(equity(books) * books.model.leverage - margin - reserved, ZERO)


def _entries(books: Books, without: VenueOrder | None) -> list[VenueOrder]:
    return [order for order in books.orders.values() if not order.is_exit and order is not without]


def tied_up(books: Books, symbol: str, qty: Decimal, px: Decimal) -> Decimal:
    """The buying power that signed `qty` at `px` takes; a short one by its own margin where the model has one."""
    instrument, shorts = books.instruments[symbol], books.model.short_margin
    if qty < 0 and shorts is not None and paid_in_full(instrument):
        return money(-qty * shorts.per_share(px) * books.model.leverage, _rate(books, symbol))
    return money(abs(qty) * px * instrument.margin_rate, _rate(books, symbol))


def reserved_by(books: Books, entry: VenueOrder) -> Decimal:
    """The buying power that what is left of a working entry takes."""
    return tied_up(books, entry.symbol, entry.side.sign * entry.leaves_qty, entry.reserve_px)


def market_px(books: Books, held: Holding) -> Decimal:
    """The mark of a position: its last print, its average price before there is one."""
    last = books.marks.get(held.symbol)
    return last.px if last is not None else held.avg_px


def market_value(books: Books, held: Holding) -> Decimal:
    """Quantity times mark, signed."""
    return money(held.qty * market_px(books, held), _rate(books, held.symbol))


def unrealized_pnl(books: Books, held: Holding) -> Decimal:
    """What closing the position at its mark would realize."""
    return money(held.qty * market_px(books, held) - held.cost, _rate(books, held.symbol))


def _worth(books: Books, held: Holding) -> Decimal:
    """What the position adds to equity: cash has paid for it already, or only its P&L is ours."""
    paid = paid_in_full(books.instruments[held.symbol])
    return market_value(books, held) if paid else unrealized_pnl(books, held)


def _rate(books: Books, symbol: str) -> Decimal:
    return books.rate(books.instruments[symbol].currency) or ZERO
