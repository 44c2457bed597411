"""What we say to a broker and what it says back: order requests, execution reports, snapshots (§12-§14)."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.domain.orders import Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce


class LegRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An exit that travels with its entry and rests at the broker once the entry fills (a bracket leg).

    The legs of one entry cancel each other (OCO) and together never close more than the entry has filled.
    `stop_px` for STOP (`trail_bps` lets it follow the best price, in basis points), `limit_px` for TARGET,
    neither for CLOSE, which works at the session's close.
    """

    cl_ord_id: str
    leg: Leg
    ord_type: OrdType
    time_in_force: TimeInForce
    stop_px: Decimal | None = None
    limit_px: Decimal | None = None
    trail_bps: int | None = None


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new order as it goes to the broker. `cl_ord_id` is unique for the life of the account.

    `position_effect` CLOSE asks for reduce-only. `decided_at` is when we decided: the venue fills it from the next
    bar's open on, never at the bar it was decided on.
    `netted`: the order, and its legs, belong to one part of a net position that others hold parts of beside it, maybe
    on the other side. The account's net position neither forbids nor caps them: who sends them keeps them within the
    part, and legs within what their entry has filled.
    """

    cl_ord_id: str
    symbol: str
    side: Side
    position_effect: PositionEffect
    ord_type: OrdType
    order_qty: Decimal
    time_in_force: TimeInForce
    decided_at: datetime
    limit_px: Decimal | None = None
    stop_px: Decimal | None = None
    trail_bps: int | None = None
    legs: tuple[LegRequest, ...] = ()
    netted: bool = False


class ReplaceRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An open order is to go on with another quantity or price (FIX 35=G).

    `orig_cl_ord_id` is the id the broker has it under, `cl_ord_id` the new one it goes on under, unique like any other.
    `order_qty` is the whole quantity, what has filled included. None leaves a price as it is.
    """

    cl_ord_id: str
    orig_cl_ord_id: str
    order_qty: Decimal
    limit_px: Decimal | None = None
    stop_px: Decimal | None = None


class ExecType(StrEnum):
    """FIX 150."""

    NEW = "new"
    TRADE = "trade"
    CANCELED = "canceled"
    REPLACED = "replaced"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RESTATED = "restated"
    ORDER_STATUS = "order_status"
    CANCEL_REJECTED = "cancel_rejected"
    REPLACE_REJECTED = "replace_rejected"
    TRADE_CANCEL = "trade_cancel"


class ExecutionReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing the broker says about one order (FIX 35=8, and 35=9 as CANCEL_REJECTED).

    `cursor` is the broker's own transaction number: strictly rising, the place to resume reading from.
    `exec_id` identifies the report; the same id twice is the same news. `last_qty`, `last_px`, `fee` are
    this execution's and 0 unless `exec_type` is TRADE (or a TRADE_CANCEL of `ref_exec_id`).
    `parent_id` names the entry of a bracket leg, `leg` which of its legs, where a broker that names legs by ids of its
    own tells it. `orig_cl_ord_id` is told with REPLACED, whose `cl_ord_id` is the new
    one, and with REPLACE_REJECTED, whose `cl_ord_id` is the one that was asked for and does not exist. `reason` is
    coded text for rejects, cancels and expiries, "" else. `conversion_rate` is the account currency paid for one unit
    of the instrument's currency when the broker booked this execution: P&L times this rate is what the account
    statement shows. `fee` is in account currency already.
    """

    cursor: int
    exec_id: str
    exec_type: ExecType
    cl_ord_id: str
    order_id: str
    symbol: str
    side: Side
    ord_status: OrdStatus
    order_qty: Decimal
    cum_qty: Decimal
    transact_time: datetime
    avg_px: Decimal = ZERO
    last_qty: Decimal = ZERO
    last_px: Decimal = ZERO
    fee: Decimal = ZERO
    parent_id: str | None = None
    ref_exec_id: str | None = None
    reason: str = ""
    conversion_rate: Decimal = ONE
    orig_cl_ord_id: str | None = None
    leg: Leg | None = None


class BrokerOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order as the broker's books hold it; `leaves_qty` is 0 once it has ended."""

    cl_ord_id: str
    order_id: str
    symbol: str
    side: Side
    position_effect: PositionEffect
    ord_type: OrdType
    time_in_force: TimeInForce
    ord_status: OrdStatus
    order_qty: Decimal
    cum_qty: Decimal
    leaves_qty: Decimal
    avg_px: Decimal
    transact_time: datetime
    stop_px: Decimal | None = None
    limit_px: Decimal | None = None
    parent_id: str | None = None
    leg: Leg = Leg.ENTRY
    orig_cl_ord_id: str | None = None


class BrokerPosition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A net position as the broker's books hold it: `qty` signed, prices in the instrument's currency.

    `market_value` (signed) and `unrealized_pnl` are in account currency at the broker's own prices and rates.
    """

    symbol: str
    qty: Decimal
    avg_px: Decimal
    market_px: Decimal
    market_value: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO


class Account(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The account as the broker states it, in `currency`.

    `equity` is what the account is worth with every position at the market; `realized_pnl` and `fees` are since
    `session_date`'s start. `day_trades` counts round trips opened and closed on one day over the last five sessions
    (FINRA 4210), None where the account has no such count. `positions_value` (signed market value) and `unrealized_pnl`
    sum over all positions at the broker's own prices. `cursor` is the last transaction this statement includes: a later
    fill is not in it.
    """

    currency: str
    cash: Decimal
    equity: Decimal
    buying_power: Decimal
    realized_pnl: Decimal
    fees: Decimal
    cursor: int
    as_of: datetime
    positions_value: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    day_trades: int | None = None
    pattern_day_trader: bool = False
    shorting_enabled: bool = True


class ActivityKind(StrEnum):
    """What moves an account without an order of ours (§14): the broker's own entries, most of them overnight."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    SYMBOL_CHANGE = "symbol_change"
    DELISTING = "delisting"
    CASH_IN_LIEU = "cash_in_lieu"
    FINANCING = "financing"
    BORROW_FEE = "borrow_fee"


class AccountActivity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of the broker's account activities that is no execution.

    `cursor` counts with the execution reports. `qty_before` and `qty_after` are the broker's net position (equal where
    only money moves), `amount` is the cash it moved in account currency, signed. `ratio` is new shares for one old one
    (a split; 0 else), `new_symbol` what the position is called from now on ("" unchanged), `effective` the ISO date of
    the session it first counts in. `px` is the price behind it, in the instrument's currency (0 where none is).
    """

    cursor: int
    activity_id: str
    kind: ActivityKind
    symbol: str
    effective: str
    qty_before: Decimal
    qty_after: Decimal
    transact_time: datetime
    amount: Decimal = ZERO
    ratio: Decimal = ZERO
    px: Decimal = ZERO
    new_symbol: str = ""
    detail: str = ""


class BrokerSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything reconciliation needs from the broker, read together.

    `complete` False means some query failed: nothing may be concluded from what is missing (§14).
    `executions` are the fills since the cursor that was asked from.
    """

    complete: bool
    cursor: int
    as_of: datetime
    positions: tuple[BrokerPosition, ...] = ()
    open_orders: tuple[BrokerOrder, ...] = ()
    executions: tuple[ExecutionReport, ...] = ()
    account: Account | None = None
    error: str = ""


class SubmitOutcome(StrEnum):
    """How a request to the broker ended. LOST is never a rejection: the order may be live. WITHHELD never left us."""

    SENT = "sent"
    REFUSED = "refused"
    LOST = "lost"
    WITHHELD = "withheld"
