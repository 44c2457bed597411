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
from qmworkbench.domain.orders import Side
from qmworkbench.venue import day_trades
from qmworkbench.venue.accounting import money, paid_in_full
from qmworkbench.venue.books import Books
from qmworkbench.venue.orders import VenueOrder
from qmworkbench.venue.records import Holding, Valuation


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
    row, worth = books.account, valuation(books)
    return Account(
        currency=row.currency,
        cash=row.cash,
        equity=worth.equity,
        buying_power=buying_power(books),
        realized_pnl=row.realized_pnl,
        fees=row.fees,
        cursor=books.cursor,
        as_of=books.now,
        positions_value=worth.positions_value,
        unrealized_pnl=worth.unrealized_pnl,
        day_trades=day_trades.day_trades(books),
        pattern_day_trader=day_trades.is_pattern(books),
        shorting_enabled=books.model.shorting_enabled,
    )


def valuation(books: Books) -> Valuation:
    """What the positions are worth at their marks; kept until one of them, a mark, a rate or the cash moves."""
    if books.worth is not None:
        return books.worth
    values, gains, worths, margins = [], [], [], []
    for symbol, held in books.positions.items():
        rate, px = _rate(books, symbol), market_px(books, held)
        value = money(held.qty * px, rate)
        gain = money(held.qty * px - held.cost, rate)
        values.append(value)
        gains.append(gain)
        # Cash has paid for it already, or only its P&L is ours.
        worths.append(value if paid_in_full(books.instruments[symbol]) else gain)
        margins.append(tied_up(books, symbol, held.qty, px))
    books.worth = Valuation(
        equity=books.account.cash + sum(worths, ZERO),
        margin=sum(margins, ZERO),
        positions_value=sum(values, ZERO),
        unrealized_pnl=sum(gains, ZERO),
    )
    return books.worth


def buying_power(books: Books, without: VenueOrder | None = None) -> Decimal:
    """What new entries may still tie up, the reserve of `without` free again; never below zero."""
    worth, reserved = valuation(books), ZERO
    for order in books.entries.values():
        if order is not without:
            reserved += reserved_by(books, order)
    return max(worth.equity * books.model.leverage - worth.margin - reserved, ZERO)


def tied_up(books: Books, symbol: str, qty: Decimal, px: Decimal) -> Decimal:
    """The buying power that signed `qty` at `px` takes; a short one by its own margin where the model has one."""
    instrument, shorts = books.instruments[symbol], books.model.short_margin
    if qty < 0 and shorts is not None and paid_in_full(instrument):
        return money(-qty * shorts.per_share(px) * books.model.leverage, _rate(books, symbol))
    return money(abs(qty) * px * instrument.margin_rate, _rate(books, symbol))


def reserved_by(books: Books, entry: VenueOrder) -> Decimal:
    """The buying power that what is left of a working entry takes; one that has ended is in the books for its legs."""
    if entry.is_working:
        return tied_up(books, entry.symbol, entry.side.sign * entry.leaves_qty, entry.reserve_px)
    idle = books.idle.get(entry.cl_ord_id)
    if idle is None:
        idle = books.idle[entry.cl_ord_id] = tied_up(books, entry.symbol, ZERO, entry.reserve_px)
    return idle


def market_px(books: Books, held: Holding) -> Decimal:
    """The mark of a position: its last print, or what a later quote would close it at; before either its average."""
    px = books.last_px(held.symbol, Side.SELL if held.qty > 0 else Side.BUY)
    return held.avg_px if px is None else px


def market_value(books: Books, held: Holding) -> Decimal:
    """Quantity times mark, signed."""
    return money(held.qty * market_px(books, held), _rate(books, held.symbol))


def unrealized_pnl(books: Books, held: Holding) -> Decimal:
    """What closing the position at its mark would realize."""
    return money(held.qty * market_px(books, held) - held.cost, _rate(books, held.symbol))


def _rate(books: Books, symbol: str) -> Decimal:
    return books.rate(books.instruments[symbol].currency) or ZERO
