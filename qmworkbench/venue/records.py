"""The rows of the venue's books: account, positions, rates, transactions, drills (§14)."""

from datetime import datetime
from decimal import Decimal

import msgspec

from qmworkbench.domain.execution import AccountActivity, ExecutionReport
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ZERO
from qmworkbench.venue.bars import Print
from qmworkbench.venue.orders import VenueOrder


class VenueError(Exception):
    """The venue cannot do its work: its file is in use, foreign, damaged, or would not take a write."""


class AccountRow(msgspec.Struct, kw_only=True):
    """The account: money in `currency`; `realized_pnl` and `fees` since the session began; `last_as_of` the
    last frame matched, `session_date` the last session's date (ISO, "" before a dated one), `session_no` how many
    sessions were opened, `reached_by` how its clients do since the first one (reached.py).
    """

    venue: str
    currency: str
    initial_cash: Decimal
    cash: Decimal
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    session_id: str = ""
    session_open: bool = False
    opened_at: datetime | None = None
    last_as_of: datetime | None = None
    session_date: str = ""
    session_no: int = 0
    reached_by: str = ""


class Holding(msgspec.Struct, kw_only=True, gc=False):
    """A net position: signed quantity, and the signed price paid for it in the instrument's currency."""

    symbol: str
    qty: Decimal
    cost: Decimal

    @property
    def avg_px(self) -> Decimal:
        return self.cost / self.qty if self.qty else ZERO


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit of `currency` is worth in account currency, since when, and where that came from."""

    currency: str
    rate: Decimal
    at: datetime
    source: str


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a symbol was last quoted at: `bid` is paid for it, `ask` is asked for it."""

    symbol: str
    bid: Decimal
    ask: Decimal
    at: datetime


class RoundTrips(msgspec.Struct, kw_only=True):
    """What one session opened and closed of a symbol (day_trades.py): `opened` is what was opened in it and is not
    closed again, `closing` says that the last fill closed, `trades` how many orders filled.
    """

    session_no: int
    symbol: str
    opened: Decimal = ZERO
    closing: bool = False
    day_trades: int = 0
    trades: int = 0


class Scheduled(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happens by itself `frames` matched frames from now (faults.py); 0: it has happened."""

    id: int
    kind: str
    ref: str
    frames: int


class Valuation(msgspec.Struct, frozen=True, kw_only=True):
    """What the positions add up to, in account currency; `margin` is the buying power they tie up."""

    equity: Decimal
    margin: Decimal
    positions_value: Decimal
    unrealized_pnl: Decimal


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One transaction of the books: what was reported, and what it did to the account (account currency).

    `repeated`: it was said before, word for word, and moves nothing.
    """

    report: ExecutionReport
    cash_delta: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    repeated: bool = False


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """One account activity of the books. `activity.amount` is the cash it moved; `realized_pnl` what of that is P&L."""

    activity: AccountActivity
    realized_pnl: Decimal = ZERO


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the account's statement: an execution, a bust, or what was booked without an order.

    `what` is trade, trade_cancel or an ActivityKind; `ref` the execution's or activity's id. Money in account currency:
    `cash_delta` is what the line moved, fee included, and `realized_pnl` what of it is P&L, before the fee.
    """

    cursor: int
    at: datetime
    what: str
    ref: str
    symbol: str
    side: str = ""
    qty: Decimal = ZERO
    px: Decimal = ZERO
    fee: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    cash_delta: Decimal = ZERO


class Batch(msgspec.Struct, kw_only=True):
    """Everything one operation changed, to be written together.

    `peaks` are those of orders unchanged otherwise, `listings` the terms of what is held or ordered, `order_ids` the
    new ids that orders go on under, by their first. `behind_next` are places in `entries` (faults.py). `binding`
    says something was promised, not just a bar looked at.
    """

    account: AccountRow | None = None
    orders: dict[str, VenueOrder] = msgspec.field(default_factory=dict)
    peaks: dict[str, Decimal | None] = msgspec.field(default_factory=dict)
    positions: dict[str, Holding] = msgspec.field(default_factory=dict)
    marks: dict[str, Print] = msgspec.field(default_factory=dict)
    rates: dict[str, Rate] = msgspec.field(default_factory=dict)
    halts: dict[str, bool] = msgspec.field(default_factory=dict)
    entries: list[Entry] = msgspec.field(default_factory=list)
    activities: list[Booked] = msgspec.field(default_factory=list)
    listings: dict[str, Instrument] = msgspec.field(default_factory=dict)
    drills: list[tuple[str, str, str]] = msgspec.field(default_factory=list)
    order_ids: dict[str, str] = msgspec.field(default_factory=dict)
    quotes: dict[str, Quote] = msgspec.field(default_factory=dict)
    round_trips: dict[tuple[int, str], RoundTrips] = msgspec.field(default_factory=dict)
    counters: dict[str, int] = msgspec.field(default_factory=dict)
    scheduled: dict[int, Scheduled] = msgspec.field(default_factory=dict)
    behind_next: list[int] = msgspec.field(default_factory=list)
    binding: bool = False

    def reorder(self) -> None:
        """Let each entry named in `behind_next` change numbers with the one after it, where there is one."""
        for place in self.behind_next:
            if place + 1 < len(self.entries):
                first, second = self.entries[place : place + 2]
                numbers = first.report.cursor, second.report.cursor
                self.entries[place : place + 2] = [_numbered(second, numbers[0]), _numbered(first, numbers[1])]

    def __bool__(self) -> bool:
        # Whatever else there is comes with a promise.
        unbinding = self.marks or self.peaks or self.rates or self.quotes or self.account is not None
        return self.binding or bool(unbinding)


def _numbered(entry: Entry, cursor: int) -> Entry:
    return msgspec.structs.replace(entry, report=msgspec.structs.replace(entry.report, cursor=cursor))
