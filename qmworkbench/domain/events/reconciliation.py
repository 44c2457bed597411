"""Comparing with the broker, repairing, recovering (§14, §17, §19)."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from qmworkbench.domain.events.base import Event, Input
from qmworkbench.domain.execution import Account, BrokerOrder, BrokerSnapshot
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.sessions import Priority


class Trigger(StrEnum):
    """When reconciliation runs (§14), and continuously."""

    STARTUP = "startup"
    RECONNECT = "reconnect"
    ORDER_INCIDENT = "order_incident"
    END_OF_SESSION = "end_of_session"
    CONTINUOUS = "continuous"
    OPERATOR = "operator"
    RECOVERY = "recovery"
    EMERGENCY = "emergency"


class BreakKind(StrEnum):
    """What can differ."""

    POSITION_QTY = "position_qty"
    POSITION_SIDE = "position_side"
    AVG_PX = "avg_px"
    ORDER_MISSING_AT_BROKER = "order_missing_at_broker"
    ORDER_UNKNOWN_TO_US = "order_unknown_to_us"
    ORDER_QTY = "order_qty"
    ORDER_PX = "order_px"
    EXECUTION_MISSING_HERE = "execution_missing_here"
    EXECUTION_MISSING_AT_BROKER = "execution_missing_at_broker"
    CASH = "cash"
    FEES = "fees"
    REALIZED_PNL = "realized_pnl"


# What a person may settle with the broker's figure; everything else follows the broker's books, or waits for them.
MONEY_KINDS: Final = (BreakKind.CASH, BreakKind.FEES, BreakKind.REALIZED_PNL)


class ReconciliationResult(StrEnum):
    """Exit codes of `qm reconcile`: 0, 1, 2. INCOMPLETE: some query failed, nothing may be concluded."""

    CLEAN = "clean"
    REPAIRED = "repaired"
    UNRESOLVED = "unresolved"
    INCOMPLETE = "incomplete"


class BrokerSnapshotObserved(Input, frozen=True, kw_only=True, tag="broker.snapshot_observed"):
    """The broker's books as read for `trigger`; an incomplete read proves nothing."""

    trigger: Trigger
    snapshot: BrokerSnapshot


class AccountObserved(Input, frozen=True, kw_only=True, tag="broker.account_observed"):
    """A fresh account statement."""

    account: Account


class BrokerConnectionChanged(Input, frozen=True, kw_only=True, tag="broker.connection_changed"):
    """The execution broker was lost or came back."""

    connected: bool
    detail: str


class SessionEquitySet(Event, frozen=True, kw_only=True, tag="session.equity_set"):
    """Session-start equity, journaled once: the base of the daily loss limit and of sizing; without what executions of
    the day have made that its statement already held. `cash` is the statement's own.

    `unrealized_pnl` is what carried positions already stood at, so that the day's own P&L can be told from theirs.
    """

    equity: Decimal
    cash: Decimal
    unrealized_pnl: Decimal


class ReconciliationStarted(Event, frozen=True, kw_only=True, tag="reconciliation.started"):
    """The broker is to be read; executions from after `after_cursor` on: all of the session's at its end, else the
    new ones.
    """

    trigger: Trigger
    after_cursor: int


class BreakFound(Event, frozen=True, kw_only=True, tag="reconciliation.break_found"):
    """One difference. `before` is what we held, `after` what the broker holds; `authority` whose word counts."""

    break_id: str
    kind: BreakKind
    symbol: str
    severity: Priority
    before: str
    after: str
    cause: str
    authority: str


class RepairApplied(Event, frozen=True, kw_only=True, tag="reconciliation.repair_applied"):
    """Our books now follow the broker's for this break; nothing was sent.

    A difference in money may be settled by a person: `authority` then names who, `cause` says why.
    For a position: `qty` and `avg_px` are what the broker holds and `strategy_id` who now owns it (EXTERNAL where
    nobody here did).
    """

    break_id: str
    kind: BreakKind
    symbol: str
    before: str
    after: str
    cause: str
    authority: str
    strategy_id: str = ""
    qty: str = ""
    avg_px: str = ""


class OrderAdopted(Event, frozen=True, kw_only=True, tag="reconciliation.order_adopted"):
    """An order works at the broker that nobody here sent: it is an open order of `strategy_id` (EXTERNAL) from now on,
    so that exposure counts it and a person can cancel it. `reserve_notional` as of an intent.
    """

    order: BrokerOrder
    strategy_id: str
    reserve_notional: Decimal = ZERO


class ReconciliationCompleted(Event, frozen=True, kw_only=True, tag="reconciliation.completed"):
    """`unresolved` are the break ids that stay open; every other one is settled."""

    trigger: Trigger
    result: ReconciliationResult
    breaks: int
    repaired: int
    unresolved: tuple[str, ...] = ()
    detail: str = ""


class SessionRecovered(Input, frozen=True, kw_only=True, tag="session.recovered"):
    """This process took over a session another process left unfinished (§19).

    `hold`: entries wait for a person afterwards, also where nobody attends (`qm recover`).
    """

    from_seq: int
    in_doubt: int
    hold: bool = False


class FallbackImported(Input, frozen=True, kw_only=True, tag="fallback.imported"):
    """A record of the fallback log, taken over at the journal's tail: what a direct emergency did while nothing else
    could be written (§15, §19).

    `record` is the original event's own JSON, `original_at` when it happened, `n` its number in the file that
    `file_hash` names. For a close, `strategy_id` is whose position it closes. Nothing is sent on its account.
    """

    file_hash: str
    n: int
    original_at: datetime
    record: str
    strategy_id: str = ""


class RecoveryCompleted(Event, frozen=True, kw_only=True, tag="session.recovery_completed"):
    """Every order in doubt is resolved and reconciliation passed; entries stay held until released."""

    resolved: int
