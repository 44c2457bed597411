"""An order as the venue's books hold it, and the reasons the venue gives for refusing or ending one (§13)."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from qmworkbench.domain.execution import BrokerOrder
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import TERMINAL, Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce


class Refusal(StrEnum):
    """Why an order or a cancel was refused at the door. Nothing took effect and its id is still free."""

    BAD_CL_ORD_ID = "bad_cl_ord_id"
    DUPLICATE_CL_ORD_ID = "duplicate_cl_ord_id"
    UNKNOWN_SYMBOL = "unknown_symbol"
    UNKNOWN_ORDER = "unknown_order"
    MARKET_CLOSED = "market_closed"
    HALTED = "halted"
    BAD_QTY = "bad_qty"
    QTY_NOT_ON_LOT = "qty_not_on_lot"
    QTY_BELOW_MINIMUM = "qty_below_minimum"
    BAD_PRICE = "bad_price"
    PRICE_NOT_ON_TICK = "price_not_on_tick"
    BAD_TRAIL = "bad_trail"
    BAD_TIME_IN_FORCE = "bad_time_in_force"
    BAD_DECIDED_AT = "bad_decided_at"
    BAD_LEGS = "bad_legs"
    NOT_SHORTABLE = "not_shortable"
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    INSUFFICIENT_BUYING_POWER = "insufficient_buying_power"
    NO_MARKET_PRICE = "no_market_price"
    NO_CONVERSION_RATE = "no_conversion_rate"
    NOTIONAL_BELOW_MINIMUM = "notional_below_minimum"
    SHORTING_DISABLED = "shorting_disabled"
    NO_LOCATE = "no_locate"
    PATTERN_DAY_TRADER = "pattern_day_trader"
    QTY_BELOW_FILLED = "qty_below_filled"  # the rest are a replacement's alone
    LEG_WAITS = "leg_waits"
    LEG_FOLLOWS_ENTRY = "leg_follows_entry"
    ALREADY_TRIGGERED = "already_triggered"


class Ending(StrEnum):
    """Why an order that was accepted ended unfilled, or changed its size: the `reason` of its report."""

    REQUESTED = "requested"
    STOP_ON_WRONG_SIDE = "stop_on_wrong_side"
    TARGET_ON_WRONG_SIDE = "target_on_wrong_side"
    EXIT_AT_OPEN = "exit_at_open"  # a stop or target gapped; everything else of that symbol is canceled
    EXIT_STARTED = "exit_started"  # a leg began to fill: the rest of its entry is no longer wanted
    OPPOSITE_POSITION = "opposite_position"
    UNFILLED_REMAINDER = "unfilled_remainder"
    NOT_MARKETABLE = "not_marketable"
    NO_LIQUIDITY = "no_liquidity"
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    OCO = "oco"
    ENTRY_NOT_FILLED = "entry_not_filled"
    FOLLOWS_POSITION = "follows_position"
    SESSION_OVER = "session_over"
    NO_CLOSING_PRINT = "no_closing_print"
    ALREADY_ENDED = "already_ended"
    REPLACED = "replaced"  # the id was given up for another one
    CANCEL_PENDING = "cancel_pending"
    TOO_LATE_TO_CANCEL = "too_late_to_cancel"
    TOO_LATE_TO_REPLACE = "too_late_to_replace"
    TRADE_BUSTED = "trade_busted"
    REFUSED_BY_BROKER = "refused_by_broker"  # a planned fault
    CORPORATE_ACTION = "corporate_action"  # a split left less than a lot of it
    DELISTED = "delisted"


class OrderRefused(Exception):
    """The venue said no, definitively; nothing changed. `code` is stable, `detail` names value and remedy."""

    def __init__(self, code: "Refusal | Ending", detail: str) -> None:
        super().__init__(f"{code.value}: {detail}")
        self.code = code
        self.detail = detail


class VenueOrder(msgspec.Struct, kw_only=True, gc=False):
    """One order, mutable, stored whole after every change.

    `seq` is its place in the order of arrival: earlier goes first among equals. A `held` leg waits for its entry and
    cannot trade; `triggered` says a stop was touched and what is left of it works as a market order. `peak_px` is the
    best price a trailing stop has seen since it began. `cum_value` is price times quantity over all fills (instrument
    currency), `fees` account currency. On an entry with legs `exited_qty` is how much of its fill has been closed
    again, by its legs or otherwise: the legs together cover `cum_qty - exited_qty`. `reserve_px` is the price at which
    a working entry ties up buying power. `reason` is why it ended, "" before. A `netted` order belongs to a part of the
    net position (OrderRequest): the net position neither forbids nor caps it.

    `cl_ord_id` is the id it came with and stays its name in the books; `working_id` the one it goes on under since it
    was replaced ("" until then), `replaced_id` the one before that. `ahead_qty` is the volume that stands before a
    resting limit at its price (None: not queued yet). `cancel_pending`: a cancel was taken and works after the next
    frame. `fills_late`: it was called off and trades all the same at the next open (faults.py).
    """

    seq: int
    cl_ord_id: str
    order_id: str
    symbol: str
    side: Side
    position_effect: PositionEffect
    ord_type: OrdType
    time_in_force: TimeInForce
    leg: Leg
    status: OrdStatus
    order_qty: Decimal
    decided_at: datetime
    transact_time: datetime
    cum_qty: Decimal = ZERO
    cum_value: Decimal = ZERO
    fees: Decimal = ZERO
    limit_px: Decimal | None = None
    stop_px: Decimal | None = None
    trail_bps: int | None = None
    peak_px: Decimal | None = None
    triggered: bool = False
    held: bool = False
    parent_id: str | None = None
    exited_qty: Decimal = ZERO
    reserve_px: Decimal = ZERO
    reason: str = ""
    netted: bool = False
    working_id: str = ""
    replaced_id: str = ""
    ahead_qty: Decimal | None = None
    cancel_pending: bool = False
    fills_late: bool = False

    @property
    def told_id(self) -> str:
        """The client id it is known under now."""
        return self.working_id or self.cl_ord_id

    @property
    def is_open(self) -> bool:
        return self.status not in TERMINAL

    @property
    def is_working(self) -> bool:
        """It may trade at the next match."""
        return self.status not in TERMINAL and not self.held

    @property
    def is_exit(self) -> bool:
        return self.position_effect is PositionEffect.CLOSE

    @property
    def leaves_qty(self) -> Decimal:
        return self.order_qty - self.cum_qty if self.is_working else ZERO

    @property
    def avg_px(self) -> Decimal:
        return self.cum_value / self.cum_qty if self.cum_qty else ZERO

    def as_told(self, stop_px: Decimal | None) -> BrokerOrder:
        """The order as the venue shows it; `stop_px` is the level in force, which a trailing stop moves."""
        return BrokerOrder(
            cl_ord_id=self.told_id,
            order_id=self.order_id,
            symbol=self.symbol,
            side=self.side,
            position_effect=self.position_effect,
            ord_type=self.ord_type,
            time_in_force=self.time_in_force,
            ord_status=self.status,
            order_qty=self.order_qty,
            cum_qty=self.cum_qty,
            leaves_qty=self.leaves_qty,
            avg_px=self.avg_px,
            transact_time=self.transact_time,
            stop_px=stop_px,
            limit_px=self.limit_px,
            parent_id=self.parent_id,
            leg=self.leg,
            orig_cl_ord_id=self.replaced_id or None,
        )
