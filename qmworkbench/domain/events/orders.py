"""Orders, risk decisions, executions, trades (§11, §13)."""

from datetime import datetime
from decimal import Decimal

import msgspec

from qmworkbench.domain.events.base import Event, Input
from qmworkbench.domain.execution import BrokerOrder, ExecutionReport, OrderRequest, ReplaceRequest, SubmitOutcome
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, Side


class RuleVerdict(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One risk rule's answer: stable code, whether it let the order pass, the value seen and the limit it was held
    against.
    """

    code: str
    passed: bool
    value: str
    limit: str


class RiskDecided(Event, frozen=True, kw_only=True, tag="risk.decided"):
    """What the Risk Manager said of one intent, allowed or denied, rule by rule, under which limits."""

    cl_ord_id: str
    strategy_id: str
    symbol: str
    leg: Leg
    allowed: bool
    rules: tuple[RuleVerdict, ...]
    limits_hash: str

    @property
    def failed(self) -> tuple[RuleVerdict, ...]:
        return tuple(rule for rule in self.rules if not rule.passed)


class OrderIntended(Event, frozen=True, kw_only=True, tag="order.intended"):
    """The durable wish to send `request`: the journal is the outbox. Bracket legs are in the request.

    `reserve_notional` is in account currency. `initial_stop_px` and the rest describe the position to come.
    """

    request: OrderRequest
    strategy_id: str
    leg: Leg
    signal_id: str
    attempt: int
    decision_px: Decimal
    reserve_notional: Decimal
    reason: str = ""
    max_hold_bars: int | None = None
    flat_policy: str = "at_close"


class OrderDenied(Event, frozen=True, kw_only=True, tag="order.denied"):
    """Our own refusal (never the broker's): the order exists only as this record."""

    request: OrderRequest
    strategy_id: str
    leg: Leg
    signal_id: str
    decision_px: Decimal
    reason: str


class SubmitObserved(Input, frozen=True, kw_only=True, tag="order.submit_observed"):
    """How sending ended: sent, refused (the broker's definite no), or lost (UNKNOWN, never a rejection)."""

    cl_ord_id: str
    outcome: SubmitOutcome
    detail: str = ""


class CancelRequested(Event, frozen=True, kw_only=True, tag="order.cancel_requested"):
    """The broker is asked to cancel; the order works on until it says so. `working_id` is the id the broker has it
    under by now, "" while that is its first.
    """

    cl_ord_id: str
    reason: str
    working_id: str = ""


class CancelObserved(Input, frozen=True, kw_only=True, tag="order.cancel_observed"):
    """How sending a cancel ended; the outcome of the cancel itself is an execution report."""

    cl_ord_id: str
    outcome: SubmitOutcome
    detail: str = ""


class ReplaceRequested(Event, frozen=True, kw_only=True, tag="order.replace_requested"):
    """The broker is asked to let an order go on otherwise; it works as it is until the broker says so.

    `order` is our own id of the order, whatever it has been replaced by before.
    """

    order: str
    request: ReplaceRequest
    reason: str


class ReplaceObserved(Input, frozen=True, kw_only=True, tag="order.replace_observed"):
    """How sending a replace ended; the outcome of the replace itself is an execution report."""

    order: str
    cl_ord_id: str
    outcome: SubmitOutcome
    detail: str = ""


class ExecutionReported(Input, frozen=True, kw_only=True, tag="broker.execution_reported"):
    """One report of the broker, as it came."""

    report: ExecutionReport


class OrderQueryRequested(Event, frozen=True, kw_only=True, tag="order.query_requested"):
    """The broker is asked for an order in doubt, by its cl_ord_id, or the `working_id` it goes on under since."""

    cl_ord_id: str
    reason: str
    working_id: str = ""


class OrderQueried(Input, frozen=True, kw_only=True, tag="order.queried"):
    """The broker's answer. `found` None with `complete` True proves absence only at `cursor` (exact); a failed query
    proves nothing.
    """

    cl_ord_id: str
    complete: bool
    cursor: int
    found: BrokerOrder | None = None
    error: str = ""


class OrderChanged(Event, frozen=True, kw_only=True, tag="order.changed"):
    """An order walked an arc of the table.

    `reject_code` classes a refusal (§13: risk, broker rule, invalid size, market state). After REPLACE, `working_id` is
    the broker's id for it from now on, `limit_px` and `stop_px` its prices. `unproven_qty`: the broker's last word told
    of so much more filled than has reached us; it stays reserved until executions or a comparison settle it.
    """

    cl_ord_id: str
    arc: Arc
    status: OrdStatus
    cum_qty: Decimal
    order_qty: Decimal
    order_id: str | None = None
    reason: str = ""
    reject_code: str = ""
    working_id: str = ""
    limit_px: Decimal | None = None
    stop_px: Decimal | None = None
    unproven_qty: Decimal = ZERO


class ExitRequested(Event, frozen=True, kw_only=True, tag="exit.requested"):
    """We want out of a position: resting legs are cancelled first, then it is closed by its actual quantity, until
    flat.
    """

    strategy_id: str
    symbol: str
    reason: str
    signal_id: str


class FillRecorded(Event, frozen=True, kw_only=True, tag="fill.recorded"):
    """One execution in our books; `slippage_bps` is against the decision price, adverse positive.

    `realized_pnl` is before fees, in account currency at `conversion_rate`; position quantity and cost are those
    after it. All of it is of the instance alone. `net_realized_pnl` is what the fill realizes on the net of all owners,
    as the broker counts; None where that is the same, because nobody else holds the symbol.
    """

    exec_id: str
    cl_ord_id: str
    strategy_id: str
    symbol: str
    side: Side
    last_qty: Decimal
    last_px: Decimal
    fee: Decimal
    transact_time: datetime
    realized_pnl: Decimal
    position_qty: Decimal
    position_cost: Decimal
    conversion_rate: Decimal
    slippage_bps: Decimal | None = None
    adopted: bool = False
    net_realized_pnl: Decimal | None = None


class FillReversed(Event, frozen=True, kw_only=True, tag="fill.reversed"):
    """A bust: the broker took an execution back."""

    exec_id: str
    ref_exec_id: str
    cl_ord_id: str
    strategy_id: str
    symbol: str
    side: Side
    last_qty: Decimal
    last_px: Decimal
    fee: Decimal


class ReportQuarantined(Event, frozen=True, kw_only=True, tag="broker.report_quarantined"):
    """A report that contradicts what is known (other content under a known id, an over-fill, an unknown order, an
    illegal arc).

    Recorded, alarmed, and answered by stopping the strategy, or the book where no strategy owns it.
    """

    exec_id: str
    cl_ord_id: str
    kind: str
    detail: str


class TradeClosed(Event, frozen=True, kw_only=True, tag="trade.closed"):
    """A round trip from flat to flat. `net_pnl` = gross - fees, in account currency at the recorded rate; prices are
    averages.

    `r_multiple` is net P&L over the initial risk, None where there was no stop.
    """

    trade_id: str
    strategy_id: str
    symbol: str
    side: Side
    qty: Decimal
    entry_px: Decimal
    exit_px: Decimal
    opened_at: datetime
    closed_at: datetime
    gross_pnl: Decimal
    fees: Decimal
    net_pnl: Decimal
    exit_leg: Leg
    exit_reason: str
    signal_id: str
    decision_px: Decimal
    bars_held: int
    initial_stop_px: Decimal | None = None
    target_px: Decimal | None = None
    r_multiple: Decimal | None = None


class PositionsOffset(Event, frozen=True, kw_only=True, tag="position.offset"):
    """Instances that held one symbol against each other are flat by book entry: the broker's net position is flat
    already, so nothing was sent. Each part is closed at `px`; `conversion_rate` as of a fill.
    """

    symbol: str
    px: Decimal
    conversion_rate: Decimal
    strategy_ids: tuple[str, ...]
    reason: str
