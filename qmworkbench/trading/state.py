"""The kernel's whole state: one mutable container, changed by the fold alone (§19, DESIGN "Kernel").

Everything here is rebuilt by folding a book's decisions from the first one; nothing is read from elsewhere.
Plain structs and dicts with string keys, so that a checkpoint is one encode and two states compare by hash.
"""

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.domain.candidates import Candidate
from qmworkbench.domain.events.control import Alert
from qmworkbench.domain.events.market import FeedState, Mark, PreOpenScanned, WatchState
from qmworkbench.domain.events.orders import OrderIntended
from qmworkbench.domain.events.reconciliation import BreakFound, ReconciliationResult, Trigger
from qmworkbench.domain.events.session import RunSpec
from qmworkbench.domain.execution import Account
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import Leg, Order
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import BlockScope, Environment, Phase, SessionWindow, TradingState, worse

EXTERNAL = "EXTERNAL"  # owner of what nobody here ordered


def position_key(strategy_id: str, symbol: str) -> str:
    """How positions are keyed: an instance may hold a symbol beside another instance (DESIGN "Identity")."""
    return f"{strategy_id}|{symbol}"


class WatchItem(msgspec.Struct, kw_only=True):
    """A symbol's life on the watchlist (§10): each state with the time it was reached."""

    symbol: str
    state: WatchState
    times: dict[str, datetime] = {}
    rank: int | None = None
    strategy_id: str = ""
    reason: str = ""
    missed_boundaries: int = 0


class Assignment(msgspec.Struct, kw_only=True):
    """Which instance owns a symbol, and the budget per position in account currency."""

    symbol: str
    strategy_id: str
    budget: Decimal
    at: datetime
    missed_boundaries: int = 0


class Run(msgspec.Struct, kw_only=True):
    """One strategy instance within this session (M: a run reaches RUN_ENDED)."""

    run_id: str
    spec: RunSpec
    state: TradingState = TradingState.ACTIVE
    state_reason: str = ""
    ended: bool = False
    trades: int = 0
    rejections: int = 0
    last_boundary_at: datetime | None = None


class Halt(msgspec.Struct, kw_only=True):
    """Why the book is not ACTIVE."""

    state: TradingState = TradingState.ACTIVE
    code: str = ""
    reason: str = ""
    by: str = ""
    since: datetime | None = None


class Block(msgspec.Struct, kw_only=True):
    """Why a symbol is kept out, by whom, since when."""

    scope: BlockScope
    by: str
    reason: str
    at: datetime


class RequiredDecision(msgspec.Struct, kw_only=True):
    """A question that waits for a person."""

    decision_id: str
    question: str
    options: tuple[str, ...]
    since: datetime
    escalated_at: datetime | None = None


class EmergencyLine(msgspec.Struct, kw_only=True):
    """One symbol's way to flat: `step` as in EmergencyStepTaken, `attempt` counts closes sent."""

    step: str
    since: datetime
    attempt: int = 0
    detail: str = ""


class Emergency(msgspec.Struct, kw_only=True):
    """An Emergency Liquidate & Halt under way, a line for each symbol; `reads` counts broker reads at one moment."""

    emergency_id: str
    by: str
    reason: str
    started_at: datetime
    deadline_s: int
    lines: dict[str, EmergencyLine] = {}
    overdue_at: datetime | None = None
    read_at: datetime | None = None
    reads: int = 0
    completed_at: datetime | None = None

    @property
    def running(self) -> bool:
        return self.completed_at is None


class Reconciliation(msgspec.Struct, kw_only=True):
    """The last comparison with the broker and what is still open from it."""

    pending: Trigger | None = None
    requested_at: datetime | None = None
    trigger: Trigger | None = None
    result: ReconciliationResult | None = None
    completed_at: datetime | None = None
    breaks: int = 0
    unresolved: dict[str, BreakFound] = {}


class Session(msgspec.Struct, kw_only=True):
    """What lives for one trading day and is reset at the next SessionOpened."""

    session_id: str
    environment: Environment
    window: SessionWindow
    limits: Limits
    limits_hash: str
    opens_at: datetime
    closes_at: datetime
    unattended: bool
    account_currency: str
    max_candidates: int
    max_owned: int
    scan_settings: dict[str, Any]
    instruments: dict[str, Instrument] = {}
    runs: dict[str, Run] = {}
    phase: Phase = Phase.PRE_START
    services: dict[str, int] = {}
    preflight: dict[str, str] = {}
    critical_down: tuple[str, ...] = ("not yet looked",)
    boundary: int = 0
    boundary_at: datetime | None = None
    boundary_hash: str = ""
    frame_at: datetime | None = None
    silenced: str = ""
    ending: str = ""
    entries_held: str = "the market session has not begun"
    entries_intended: int = 0
    submits: list[datetime] = []
    start_equity: Decimal | None = None
    start_unrealized: Decimal = ZERO
    first_cursor: int = 0
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    fills: int = 0
    orders: int = 0
    trades: int = 0
    breaks: int = 0
    recovered: bool = False
    recovering: bool = False
    pre_open: PreOpenScanned | None = None
    candidates: tuple[Candidate, ...] = ()
    near_misses: dict[str, str] = {}
    declined: dict[str, str] = {}
    watchlist: dict[str, WatchItem] = {}
    assignments: dict[str, Assignment] = {}
    decisions: dict[str, RequiredDecision] = {}


class State(msgspec.Struct, kw_only=True):
    """A book between two events."""

    book: str = ""
    now: datetime | None = None
    session: Session | None = None
    halt: Halt = msgspec.field(default_factory=Halt)
    orders: dict[str, Order] = {}
    intents: dict[str, OrderIntended] = {}
    open_orders: dict[str, None] = {}
    positions: dict[str, Position] = {}
    exec_ids: dict[str, str] = {}
    # This session's executions in our books, by the broker's id.
    fills: dict[str, str] = {}
    exec_cursor: int = 0
    account: Account | None = None
    # Notional opened by executions newer than the account statement, by cursor.
    spent: dict[str, Decimal] = {}
    connected: bool = False
    feed: FeedState = FeedState.GOOD
    feed_detail: str = ""
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

    def working(self) -> list[Order]:
        """Orders that may still fill, oldest first; in-doubt ones included."""
        return [self.orders[cl_ord_id] for cl_ord_id in self.open_orders]

    def working_for(self, strategy_id: str, symbol: str) -> list[Order]:
        return [o for o in self.working() if o.symbol == symbol and o.strategy_id == strategy_id]

    def position(self, strategy_id: str, symbol: str) -> Position | None:
        """The open position, None when flat."""
        return self.positions.get(position_key(strategy_id, symbol))

    def net_qty(self, symbol: str) -> Decimal:
        """What the book holds of a symbol over all owners, signed."""
        return sum((p.qty for p in self.positions.values() if p.symbol == symbol), ZERO)

    def held_symbols(self) -> list[str]:
        return sorted({p.symbol for p in self.positions.values()})

    def trading_state(self, strategy_id: str | None = None) -> TradingState:
        """The worse of the book's state and the strategy's."""
        if strategy_id is None or self.session is None or strategy_id not in self.session.runs:
            return self.halt.state
        return worse(self.halt.state, self.session.runs[strategy_id].state)

    def rate(self, currency: str) -> Decimal | None:
        """Account currency per unit of `currency` at the recorded marks; None where no pair tells it."""
        account = self.session.account_currency if self.session else "USD"
        if currency == account:
            return ONE
        direct = self.marks.get(currency + account)
        if direct is not None and direct.px > 0:
            return direct.px
        inverse = self.marks.get(account + currency)
        return ONE / inverse.px if inverse is not None and inverse.px > 0 else None

    def instrument(self, symbol: str) -> Instrument | None:
        return self.session.instruments.get(symbol) if self.session else None

    def notional(self, symbol: str, qty: Decimal, px: Decimal) -> Decimal | None:
        """Absolute value of `qty` at `px` in account currency; None without instrument or rate."""
        instrument = self.instrument(symbol)
        rate = self.rate(instrument.currency) if instrument else None
        return abs(qty) * px * rate if rate is not None else None

    def unrealized_pnl(self) -> Decimal | None:
        """Open P&L of the whole book at the marks, in account currency; None if a mark or rate is missing."""
        total = ZERO
        for held in self.positions.values():
            mark, instrument = self.marks.get(held.symbol), self.instrument(held.symbol)
            rate = self.rate(instrument.currency) if instrument else None
            if mark is None or rate is None:
                return None
            total += held.unrealized(mark.px) * rate
        return total

    def day_pnl(self) -> Decimal | None:
        """What this session made or lost: realized, plus how far open P&L moved since the start, less fees (§11)."""
        unrealized, day = self.unrealized_pnl(), self.day
        return None if unrealized is None else day.realized_pnl + unrealized - day.start_unrealized - day.fees

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
