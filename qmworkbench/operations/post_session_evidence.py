"""What is known once a session has ended: our books, the broker's own, and the journal's audit (§17)."""

from decimal import Decimal

import msgspec

from qmworkbench.domain.sessions import Environment


class OrderPair(msgspec.Struct, frozen=True, kw_only=True):
    """One order of the session on both sides. "" or None on a side means that side does not have it.

    Statuses are words of domain/orders.py; `sent` False: our own refusal or one that never left, which the broker
    need not have.
    """

    cl_ord_id: str
    symbol: str
    sent: bool
    our_status: str = ""
    our_cum_qty: Decimal | None = None
    their_status: str = ""
    their_cum_qty: Decimal | None = None


class ExecutionPair(msgspec.Struct, frozen=True, kw_only=True):
    """One execution on both sides, by the broker's id; each side as "AAPL buy 100 at 12.34", "" where absent."""

    exec_id: str
    symbol: str
    ours: str = ""
    theirs: str = ""


class PositionPair(msgspec.Struct, frozen=True, kw_only=True):
    """What is held at the end on both sides, signed. `carried` is what the policy lets stay."""

    symbol: str
    our_qty: Decimal
    their_qty: Decimal
    carried: bool = False


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """The day's money on both sides, in account currency."""

    currency: str
    our_realized: Decimal
    their_realized: Decimal
    our_fees: Decimal
    their_fees: Decimal
    our_equity: Decimal | None = None
    their_equity: Decimal | None = None


class MoneyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the account's statement beside ours of the same id: P&L before fees and fees, account currency.

    `what` is trade, trade_cancel or a kind of activity. None on a side: it has no such line. `their_cash` is what the
    line moved, fee included. A line of an activity is compared by its cash, ours in `our_cash`.
    """

    ref: str
    at: str
    what: str
    symbol: str
    said: str
    our_realized: Decimal | None = None
    their_realized: Decimal | None = None
    our_fee: Decimal | None = None
    their_fee: Decimal | None = None
    our_cash: Decimal | None = None
    their_cash: Decimal | None = None

    @property
    def apart(self) -> Decimal:
        """By how much the sides differ, in account currency; a line that one side lacks differs by all of it."""
        zero = Decimal(0)
        pairs = [(self.our_realized, self.their_realized), (self.our_fee, self.their_fee)]
        if self.our_cash is not None:
            pairs.append((self.our_cash, self.their_cash))
        return max((abs((ours or zero) - (theirs or zero)) for ours, theirs in pairs), default=zero)

    @property
    def one_sided(self) -> bool:
        """Only one side has it."""
        return (self.our_realized is None) != (self.their_realized is None)


class BreakSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A break on record. `settled` says whether a repair or a later comparison settled it."""

    break_id: str
    kind: str
    symbol: str
    severity: str
    before: str
    after: str
    cause: str
    settled: bool
    at: str = ""


class HaltSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A change of trading state, an emergency or an order in conflict with what was known; for the list."""

    at: str
    scope: str
    what: str
    reason: str
    by: str


class AuditFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal that does not follow from another: a send without intent, a fill without order …"""

    rule: str
    subject: str
    detail: str


class Blocks(msgspec.Struct, frozen=True, kw_only=True):
    """Block and unblock commands that were accepted, and what the journal's fold holds at the end.

    `lost` are permanent blocks of this session that the folded state does not hold.
    """

    updates: int = 0
    permanent: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class ClosedTrades(msgspec.Struct, frozen=True, kw_only=True):
    """Closed trades against the fills they are made of.

    `net_pnl` is theirs, `from_fills` what the closing fills add up to (realized less fees). `unmatched` are round
    trips that the fills show and no trade records, or the reverse.
    """

    trades: int
    net_pnl: Decimal
    from_fills: Decimal
    open_positions: int = 0
    unmatched: tuple[str, ...] = ()
    detail: str = ""


class PostSessionEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything §17 looks at, for one session.

    The broker's side is None where it could not be read (`broker_error`): then nothing is concluded from it.
    `reconciliation` is the result of the end-of-session comparison as journaled, "" if none completed.
    """

    environment: Environment
    session_id: str
    closed: bool
    phase: str
    reconciliation: str
    broker: str
    orders: tuple[OrderPair, ...] | None
    executions: tuple[ExecutionPair, ...] | None
    positions: tuple[PositionPair, ...] | None
    statement: Statement | None
    money_lines: tuple[MoneyLine, ...]
    blocks: Blocks
    closed_trades: ClosedTrades
    recommendations: int | None
    recommendations_scheduled: bool
    journal_verified: bool | None
    records: int
    runs_open: tuple[str, ...]
    runs: int
    breaks: tuple[BreakSeen, ...]
    halts: tuple[HaltSeen, ...]
    findings: tuple[AuditFinding, ...]
    audited: int
    broker_error: str = ""
    journal_detail: str = ""
    recommendations_detail: str = ""
