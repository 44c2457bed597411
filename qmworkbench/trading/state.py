"""The kernel's whole state: one mutable container, changed by the fold alone (§19, DESIGN "Kernel").

Everything here is rebuilt by folding a book's decisions from the first one; nothing is read from elsewhere.
Plain structs and dicts with string keys, so that a checkpoint is one encode and two states compare by hash.
"""

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from qmworkbench.domain.events.control import Alert
from qmworkbench.domain.events.market import FeedState, Mark
from qmworkbench.domain.events.orders import OrderIntended
from qmworkbench.domain.execution import Account
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import Leg, Order
from qmworkbench.domain.positions import NetPosition, Position
from qmworkbench.domain.sessions import TradingState, worse
from qmworkbench.trading.book_state import (
    Asked,
    Block,
    Emergency,
    EmergencyLine,
    Halt,
    HaltCause,
    Reconciliation,
)
from qmworkbench.trading.session_state import Assignment, RequiredDecision, Run, Session, WatchItem, position_key

__all__ = [
    "EXTERNAL",
    "Asked",
    "Assignment",
    "Block",
    "Emergency",
    "EmergencyLine",
    "Halt",
    "HaltCause",
    "Reconciliation",
    "RequiredDecision",
    "Run",
    "Session",
    "State",
    "WatchItem",
    "decode_state",
    "encode_state",
    "position_key",
    "state_hash",
]

EXTERNAL = "EXTERNAL"  # owner of what nobody here ordered
_OPEN_PNL = "open_pnl by symbol"
_ALL = "the whole book"  # beside the symbols


class State(msgspec.Struct, kw_only=True, dict=True):
    """A book between two events.

    `positions` are the instances' own, by position_key; `net` is what they come to for the broker, by symbol: the sum
    of the quantities, at the cost the broker has for it. `leaving` are the positions wanted closed. `open_orders` are
    the orders that may still fill, oldest first; `open_at` finds them by symbol and owner, `open_entries` and
    `unsettled` (an answer is due) are those among them that rules look at again and again.
    """

    book: str = ""
    now: datetime | None = None
    session: Session | None = None
    halt: Halt = msgspec.field(default_factory=Halt)
    orders: dict[str, Order] = {}
    intents: dict[str, OrderIntended] = {}
    open_orders: dict[str, None] = {}
    open_at: dict[str, dict[str, dict[str, None]]] = {}
    open_entries: dict[str, None] = {}
    unsettled: dict[str, None] = {}
    # What orders that have ended may still turn out to have filled, by their id: the gap a cancel's or expiry's
    # answer told of, an execution taken back. Reserved until executions or a comparison settle it.
    unproven: dict[str, Decimal] = {}
    # Ids the broker has replaced orders under, by which its reports find our order.
    working_ids: dict[str, str] = {}
    positions: dict[str, Position] = {}
    net: dict[str, NetPosition] = {}
    leaving: dict[str, None] = {}
    exec_ids: dict[str, str] = {}
    # This session's executions in our books, by the broker's id.
    fills: dict[str, str] = {}
    # Those of them that no order of ours explains: in whose books they are.
    foreign_fills: dict[str, str] = {}
    # Executions the broker took back this session, by their id: by which report.
    reversed_ids: dict[str, str] = {}
    exec_cursor: int = 0
    # This session's account activities in our books, and the newest ever.
    activity_ids: dict[str, str] = {}
    activity_cursor: int = 0
    account: Account | None = None
    # Notional opened by executions newer than the account statement, by cursor.
    spent: dict[str, Decimal] = {}
    connected: bool = False
    feed: FeedState = FeedState.GOOD
    feed_detail: str = ""
    # Since when market data is not good, and since when its prices cannot be believed at all.
    feed_since: datetime | None = None
    untrusted_since: datetime | None = None
    # Since when a report contradicts our books that no comparison has explained yet.
    contradicted_since: datetime | None = None
    marks: dict[str, Mark] = {}
    blocked: dict[str, Block] = {}
    alerts: dict[str, Alert] = {}
    commands: dict[str, str] = {}
    reconciliation: Reconciliation = msgspec.field(default_factory=Reconciliation)
    emergency: Emergency | None = None
    closed_sessions: list[str] = []

    # --- questions the rules ask; no side effects ---------------------------------------------------

    @property
    def day(self) -> Session:
        """The open session. Raises RuntimeError when none was opened: a rule ran too early."""
        if self.session is None:
            raise RuntimeError("no session is open in this book")
        return self.session

    def clock(self) -> datetime:
        """The time of the newest input."""
        if self.now is None:
            raise RuntimeError("no input has been seen yet, so there is no time")
        return self.now

    @property
    def heard_cursor(self) -> int:
        """The broker's newest transaction that has reached us, of either kind."""
        return max(self.exec_cursor, self.activity_cursor)

    def order_named(self, cl_ord_id: str) -> Order | None:
        """Our order behind any id the broker has or had it under; None where nobody here sent it."""
        order = self.orders.get(cl_ord_id)
        if order is not None:
            return order
        return self.orders.get(self.working_ids.get(cl_ord_id, ""))

    def working(self) -> list[Order]:
        """Orders that may still fill, oldest first; in-doubt ones included."""
        return [self.orders[cl_ord_id] for cl_ord_id in self.open_orders]

    def working_for(self, strategy_id: str, symbol: str) -> list[Order]:
        """Orders of one instance in one symbol that may still fill, oldest first."""
        return [self.orders[cl_ord_id] for cl_ord_id in self.open_at.get(symbol, {}).get(strategy_id, ())]

    def working_in(self, symbol: str) -> list[Order]:
        """Orders in a symbol that may still fill, owner by owner."""
        return [self.orders[cl_ord_id] for ids in self.open_at.get(symbol, {}).values() for cl_ord_id in ids]

    def working_entries(self) -> list[Order]:
        """Entries that may still fill, oldest first."""
        return [self.orders[cl_ord_id] for cl_ord_id in self.open_entries]

    def position(self, strategy_id: str, symbol: str) -> Position | None:
        """The open position, None when flat."""
        return self.positions.get(position_key(strategy_id, symbol))

    def net_qty(self, symbol: str) -> Decimal:
        """What the book holds of a symbol over all owners, signed."""
        net = self.net.get(symbol)
        return net.qty if net is not None else ZERO

    def holders(self, symbol: str) -> list[Position]:
        """The instances' positions in a symbol, in the order they were opened."""
        return [held for held in self.positions.values() if held.symbol == symbol]

    def is_netted(self, symbol: str) -> bool:
        """Orders in the symbol are for a part of what the broker holds: symbols are shared, or it came to be shared."""
        if self.day.shared_symbols:
            return True
        if len(self.positions) == len(self.net):
            return False  # every symbol has one holder
        return sum(held.strategy_id != EXTERNAL for held in self.holders(symbol)) > 1

    def held_symbols(self) -> list[str]:
        """Symbols that some instance holds, also where they come to nothing together."""
        return sorted({p.symbol for p in self.positions.values()})

    def trading_state(self, strategy_id: str | None = None) -> TradingState:
        """The worse of the book's state and the strategy's."""
        if strategy_id is None or self.session is None or strategy_id not in self.session.runs:
            return self.halt.state
        book, own = self.halt.state, self.session.runs[strategy_id].state
        return book if book is own else worse(book, own)

    def rate(self, currency: str) -> Decimal | None:
        """Account currency per unit of `currency` at the recorded marks, by their own pair or through the dollar; None
        where no pairs tell it.
        """
        account = self.session.account_currency if self.session is not None else "USD"
        if currency == account:
            return ONE
        # What the newest prices came to is kept beside the state, and counts as long as they are the newest.
        kept = self.__dict__.get(currency)
        if kept is not None and kept[0] == account:
            marks = self.marks
            if (marks.get(kept[1]) or marks.get(kept[2])) is kept[3]:
                return kept[4]  # type: ignore[no-any-return]
        told = self._rate_between(currency, account)
        if told is not None or "USD" in (currency, account):
            return told
        first, second = self._rate_between(currency, "USD"), self._rate_between("USD", account)
        return None if first is None or second is None else first * second

    def _rate_between(self, currency: str, other: str) -> Decimal | None:
        """`other` per unit of `currency` by the one pair of both, whichever way it is quoted."""
        one_way, other_way = currency + other, other + currency
        told = self.marks.get(one_way)
        if told is not None and told.px > 0:
            rate = told.px
        else:
            told = self.marks.get(other_way)
            if told is None or told.px <= 0:
                return None
            rate = ONE / told.px
        self.__dict__[currency] = (other, one_way, other_way, told, rate)
        return rate

    def instrument(self, symbol: str) -> Instrument | None:
        return self.session.instruments.get(symbol) if self.session else None

    def notional(self, symbol: str, qty: Decimal, px: Decimal) -> Decimal | None:
        """Absolute value of `qty` at `px` in account currency; None without instrument or rate."""
        instrument = self.instrument(symbol)
        rate = self.rate(instrument.currency) if instrument else None
        return abs(qty) * px * rate if rate is not None else None

    def unrealized_pnl(self) -> Decimal | None:
        """Open P&L of the whole book at the marks, in account currency, against the net cost; None if a mark or rate is
        missing.
        """
        # It is kept beside the state until a holding or any price moves, and symbol by symbol as well (revalued).
        kept: dict[str, Decimal] = self.__dict__.setdefault(_OPEN_PNL, {})
        total = kept.get(_ALL)
        if total is not None:
            return total
        total = ZERO
        for symbol in self.net:
            open_pnl = kept.get(symbol)
            if open_pnl is None:
                open_pnl = self.open_pnl(symbol)
                if open_pnl is None:
                    return None
                kept[symbol] = open_pnl
            total += open_pnl
        kept[_ALL] = total
        return total

    def open_pnl(self, symbol: str) -> Decimal | None:
        """Open P&L of one symbol that is held, in account currency; None where its mark or its rate is missing."""
        mark, instrument = self.marks.get(symbol), self.instrument(symbol)
        rate = self.rate(instrument.currency) if instrument is not None else None
        return None if mark is None or rate is None else self.net[symbol].unrealized(mark.px) * rate

    def revalued(self, symbol: str | None = None) -> None:
        """For the fold: what is held of a symbol has changed, or prices have (None)."""
        kept = self.__dict__.get(_OPEN_PNL)
        if kept and symbol is not None:
            kept.pop(symbol, None)
            kept.pop(_ALL, None)
        elif kept:
            kept.clear()

    def missing_rate(self, symbol: str) -> str:
        """Which rate is missing to count the symbol's money in the account's currency; "" where none is."""
        instrument = self.instrument(symbol)
        if instrument is None or self.rate(instrument.currency) is not None:
            return ""
        return f"no rate from {instrument.currency} to {self.day.account_currency} is recorded"

    def unvalued(self) -> list[str]:
        """What is missing to value everything that is held, by symbol; empty where nothing is."""
        missing = []
        for symbol in sorted(self.net):
            lacks = self.missing_rate(symbol) or ("" if symbol in self.marks else "no price yet")
            if lacks or self.instrument(symbol) is None:
                missing.append(f"{symbol}: {lacks or 'not in this session'}")
        return missing

    def day_pnl(self) -> Decimal | None:
        """What this session made or lost: realized, dividends and interest booked in it, plus how far open P&L moved
        since the start, less fees (§11).

        On the broker's net basis throughout, as the open P&L of the session's start is.
        """
        unrealized, day = self.unrealized_pnl(), self.day
        if unrealized is None:
            return None
        return day.net_realized_pnl + day.activity_pnl + unrealized - day.start_unrealized - day.fees

    def minutes_since_open(self) -> float:
        return (self.clock() - self.day.opens_at) / timedelta(minutes=1)

    def minutes_to_close(self) -> float:
        return (self.day.closes_at - self.clock()) / timedelta(minutes=1)

    def exit_legs(self, strategy_id: str, symbol: str) -> list[Order]:
        """Working orders that shrink the position: resting legs and exits."""
        return [o for o in self.working_for(strategy_id, symbol) if o.leg is not Leg.ENTRY]


_encoder = msgspec.msgpack.Encoder(decimal_format="string")
_decoder = msgspec.msgpack.Decoder(State)


def encode_state(state: State) -> bytes:
    """The state as a checkpoint holds it. Dict order is part of it: the fold always builds the same order."""
    return _encoder.encode(state)


def decode_state(data: bytes) -> State:
    """The state a checkpoint holds. Raises msgspec.ValidationError if it is of another shape."""
    return _decoder.decode(data)


def state_hash(state: State) -> str:
    """16 hex digits over the whole state: live, folded and checkpointed must agree."""
    return hashlib.sha256(encode_state(state)).hexdigest()[:16]
