"""What lives for one trading day and is reset at the next: runs, watchlist, ownership, questions (§4, §9, §10).

Plain structs that only the fold changes, like the rest of the state they are part of.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.domain.candidates import Candidate
from qmworkbench.domain.events.market import PreOpenScanned, WatchState
from qmworkbench.domain.events.session import RunSpec
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.safety import HaltPolicy, HaltSettings, ReconciliationSettings
from qmworkbench.domain.sessions import Environment, Phase, SessionWindow, TradingState


def position_key(strategy_id: str, symbol: str) -> str:
    """How positions and ownership are keyed: an instance may hold a symbol beside another (DESIGN "Identity")."""
    return f"{strategy_id}|{symbol}"


class WatchItem(msgspec.Struct, kw_only=True):
    """A symbol's life on the watchlist (§10): each state with the time it was reached; `given_to` names the instances
    that got it, in order.
    """

    symbol: str
    state: WatchState
    times: dict[str, datetime] = {}
    rank: int | None = None
    given_to: list[str] = []
    reason: str = ""
    missed_boundaries: int = 0


class Assignment(msgspec.Struct, kw_only=True):
    """An instance owns a symbol, alone or beside others; `budget` is per position, in account currency."""

    symbol: str
    strategy_id: str
    budget: Decimal
    at: datetime


class Run(msgspec.Struct, kw_only=True):
    """One strategy instance within this session (M: a run reaches RUN_ENDED); `owned` counts its symbols.

    `state_code`, `state_reason`, `state_by` and `state_since` tell why it is in its state; "" and None at the start.
    """

    run_id: str
    spec: RunSpec
    state: TradingState = TradingState.ACTIVE
    state_reason: str = ""
    state_code: str = ""
    state_by: str = ""
    state_since: datetime | None = None
    ended: bool = False
    trades: int = 0
    rejections: int = 0
    owned: int = 0
    last_boundary_at: datetime | None = None


class RequiredDecision(msgspec.Struct, kw_only=True):
    """A question that waits for a person."""

    decision_id: str
    question: str
    options: tuple[str, ...]
    since: datetime
    escalated_at: datetime | None = None


class Session(msgspec.Struct, kw_only=True):
    """What lives for one trading day and is reset at the next SessionOpened.

    `assignments` are keyed by position_key; `owners` names the instances of each symbol, in the order they came: one
    at most, unless `shared_symbols`. `realized_pnl` sums what instances realized, each against its own cost;
    `net_realized_pnl` is the broker's figure, against the net cost. They meet when all is flat. `start_equity` holds
    the broker's transactions up to `start_cursor`, `activity_pnl` is what moved equity without an order after that.
    `start_funds` is the cash it began with and what our books then said that positions had cost, None where that cannot
    be told.
    `repaired_cost` is by how much reconciliation has restated what positions cost, no cash having moved for it,
    `moved_cash` what a person has said came or went.
    """

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
    shared_symbols: bool
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
    start_cursor: int = 0
    start_funds: Decimal | None = None
    activity_pnl: Decimal = ZERO
    repaired_cost: Decimal = ZERO
    moved_cash: Decimal = ZERO
    first_cursor: int = 0
    realized_pnl: Decimal = ZERO
    net_realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    fills: int = 0
    orders: int = 0
    trades: int = 0
    breaks: int = 0
    recovered: bool = False
    recovering: bool = False
    hold_after_recovery: bool = False
    pre_open: PreOpenScanned | None = None
    candidates: tuple[Candidate, ...] = ()
    near_misses: dict[str, str] = {}
    declined: dict[str, str] = {}
    watchlist: dict[str, WatchItem] = {}
    assignments: dict[str, Assignment] = {}
    owners: dict[str, list[str]] = {}
    decisions: dict[str, RequiredDecision] = {}
    reconciliation: ReconciliationSettings = ReconciliationSettings()
    halt_policies: tuple[HaltPolicy, ...] = ()
    halt_settings: HaltSettings = HaltSettings()
    clock_skew_ms: int | None = None
    requests_lost: list[datetime] = []
    # The boundary after which the broker last rejected an entry, by position_key.
    rejected_at: dict[str, int] = {}

    @property
    def max_loss(self) -> Decimal | None:
        """The loss at which entries stop today, a positive amount (§11); None while session-start equity is unknown."""
        return None if self.start_equity is None else self.limits.max_loss(self.start_equity)

    def assignment(self, strategy_id: str, symbol: str) -> Assignment | None:
        """The instance's hold on the symbol, None where it has none."""
        return self.assignments.get(position_key(strategy_id, symbol))
