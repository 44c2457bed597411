"""Round trips within a day, counted as FINRA Rule 4210(f)(8)(B) counts them, over five sessions (§11).

A day trade is a position opened and closed in one session. Several fills in one direction count once: it is the turn
from opening to closing that is counted. Closing what was held overnight is none, unless more was opened that day
before. Who makes four or more in five sessions, and more than six in a hundred of all trades, is a pattern day trader.
Only symbols with the rule are counted; an order counts as one trade however many fills it takes.
"""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.positions import PositionDelta
from qmworkbench.venue.ledger import Ledger
from qmworkbench.venue.records import RoundTrips

SESSIONS: Final = 5
PATTERN: Final = 4
_LEAST_SHARE: Final = Decimal("0.06")


def count(books: Ledger, symbol: str, delta: PositionDelta, *, first: bool) -> None:
    """A fill has done `delta` to the position of `symbol`; `first`: it is its order's first."""
    number = books.account.session_no
    trips = books.round_trips.get((number, symbol)) or RoundTrips(session_no=number, symbol=symbol)
    trips.trades += first
    if delta.closed_qty and trips.opened:
        trips.day_trades += not trips.closing
        trips.closing = True
        trips.opened = max(trips.opened - delta.closed_qty, Decimal(0))
    if delta.opened_qty:
        trips.opened += delta.opened_qty
        trips.closing = False
    books.keep_round_trips(trips)


def day_trades(books: Ledger) -> int | None:
    """Day trades of the last five sessions, the present one included; None where nothing here is counted."""
    if not books.counts_day_trades:
        return None
    return sum(trips.day_trades for trips in _recent(books))


def is_pattern(books: Ledger) -> bool:
    """Whether the last five sessions make the account that of a pattern day trader."""
    if not books.counts_day_trades:
        return False
    made = sum(trips.day_trades for trips in _recent(books))
    return made >= PATTERN and made > _LEAST_SHARE * sum(trips.trades for trips in _recent(books))


def _recent(books: Ledger) -> list[RoundTrips]:
    since = books.account.session_no - SESSIONS
    return [trips for trips in books.round_trips.values() if trips.session_no > since]
