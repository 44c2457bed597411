"""The life of an order: its words, its table of legal arcs, and the small driver that walks it (§13).

An order begins INTENDED: the wish is on durable record and nothing has been sent. SUBMITTED means the
request left us and no answer has come; one that is no longer wanted when its turn to be sent comes is withheld, and
CANCELED. UNKNOWN means an answer can no longer be expected (a timeout, a
broken connection, a 5xx) although the order may well be live: only the broker's own books settle it.
ACCEPTED and PARTIALLY_FILLED are orders the broker works. PENDING_CANCEL and PENDING_REPLACE still work
until the broker says otherwise. FILLED, CANCELED, REJECTED, EXPIRED are the broker's last words; DENIED is
our own refusal, before anything was sent.

A replace is asked for an order the broker works and that nobody is cancelling. Unanswered, both quantities may fill,
so the larger counts. Confirmed, the order goes on with its new quantity; refused, it goes on as it was; an answer that
got lost makes it UNKNOWN, because it may be either. A cancel may be asked meanwhile, and then matters more.

News comes late, twice and in the wrong order. A fill may come before the acknowledgement, after the cancel was
confirmed, or after expiry: it counts, and what has ended stays ended. An acknowledgement after a fill, or while a
cancel or replace is unanswered, changes nothing. A cancel may fail because the order has filled, and be refused after
the fill was heard. A replace may be confirmed after the order was found to have ended, or be refused twice. One end may
be told twice, and as CANCELED by one message and EXPIRED by another.

What cannot be explained is illegal: nothing leaves DENIED, an order the broker rejected neither works nor fills, no
order is submitted twice, one that has filled is not cancelled, one that the broker once confirmed is never "absent". An
illegal arc raises IllegalArc and changes nothing. No arc leads from an end back to an open order.

Quantities: `cum_qty` is what has filled, `leaves_qty = order_qty - cum_qty` while the order is open and 0 after. An
open order of which nothing is left, because it filled or was cut down to what had filled, is FILLED.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from qmworkbench.domain.numbers import ZERO


class Side(StrEnum):
    """FIX 54."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> "Side":
        return _OPPOSITE[self]

    @property
    def sign(self) -> int:
        return _SIGN[self]


# Looked up, not compared: finding a member in its enum costs several times as much (Python 3.11).
_OPPOSITE: Final = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}
_SIGN: Final = {Side.BUY: 1, Side.SELL: -1}


class PositionEffect(StrEnum):
    """FIX 77. CLOSE is reduce-only: it may shrink a position to flat and never beyond."""

    OPEN = "open"
    CLOSE = "close"


class OrdType(StrEnum):
    """FIX 40. A STOP becomes a market order once the price touches it, a STOP_LIMIT a limit order; with `trail_bps` a
    STOP's level follows.
    """

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    """FIX 59. IOC: what the next match does not fill is dropped. AT_CLOSE: works only at the session's close."""

    DAY = "day"
    GTC = "gtc"
    IOC = "ioc"
    AT_CLOSE = "at_close"


class Leg(StrEnum):
    """What an order is for. STOP, TARGET and CLOSE rest at the broker beside the entry that carried them."""

    ENTRY = "entry"
    STOP = "stop"
    TARGET = "target"
    CLOSE = "close"
    EXIT = "exit"
    LIQUIDATE = "liquidate"


class OrdStatus(StrEnum):
    """FIX 39, with our own INTENDED, UNKNOWN and DENIED."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DENIED = "denied"


TERMINAL: Final = frozenset(
    {OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED, OrdStatus.DENIED}
)
IN_DOUBT: Final = frozenset({OrdStatus.INTENDED, OrdStatus.SUBMITTED, OrdStatus.UNKNOWN})


class Arc(StrEnum):
    """What can happen to an order."""

    SUBMIT = "submit"
    LOSE = "lose"  # no answer will come: timeout, disconnect, 5xx, unparsable
    ACK = "ack"
    FILL = "fill"
    CANCEL_REQUEST = "cancel_request"
    CANCEL = "cancel"
    CANCEL_REJECT = "cancel_reject"
    REPLACE_REQUEST = "replace_request"
    REPLACE = "replace"
    REPLACE_REJECT = "replace_reject"
    RESTATE = "restate"
    REJECT = "reject"
    EXPIRE = "expire"
    ABANDON = "abandon"  # proven absent at the broker
    WITHHOLD = "withhold"  # never sent: no longer wanted when its turn came
    BUST = "bust"


class IllegalArc(Exception):
    """An order was asked to do what its status does not allow. Nothing has changed."""


# WORKING stands for ACCEPTED or PARTIALLY_FILLED, whichever the filled quantity says.
_WORKING: Final = "working"
_S = OrdStatus
_A = Arc
_Next = OrdStatus | str

_ENDS: dict[Arc, _Next] = {_A.REJECT: _S.REJECTED, _A.CANCEL: _S.CANCELED, _A.EXPIRE: _S.EXPIRED}
_FROM_SENT: dict[Arc, _Next] = _ENDS | {
    _A.ACK: _WORKING,
    _A.FILL: _WORKING,
    _A.RESTATE: _WORKING,
    _A.LOSE: _S.UNKNOWN,
    _A.ABANDON: _S.CANCELED,
}
_FROM_WORKING: dict[Arc, _Next] = _ENDS | {
    _A.ACK: _WORKING,
    _A.FILL: _WORKING,
    _A.CANCEL_REQUEST: _S.PENDING_CANCEL,
    _A.CANCEL_REJECT: _WORKING,
    _A.REPLACE_REQUEST: _S.PENDING_REPLACE,
    _A.REPLACE: _WORKING,
    _A.REPLACE_REJECT: _WORKING,
    _A.RESTATE: _WORKING,
    _A.BUST: _WORKING,
}


def _waiting(status: OrdStatus, answers: dict[Arc, _Next]) -> dict[Arc, _Next]:
    """A working order with a question out: only its answer, an end or silence leads on."""
    stays = (_A.ACK, _A.FILL, _A.RESTATE, _A.BUST, _A.CANCEL_REJECT, _A.REPLACE, _A.REPLACE_REJECT)
    return _ENDS | dict.fromkeys(stays, status) | {_A.LOSE: _S.UNKNOWN, _A.CANCEL_REQUEST: _S.PENDING_CANCEL} | answers


def _stays(status: OrdStatus, *also: Arc) -> dict[Arc, _Next]:
    """Late news about an order that has ended: what it says of quantities counts, the status does not reopen."""
    late = (_A.ACK, _A.FILL, _A.CANCEL_REJECT, _A.REPLACE, _A.REPLACE_REJECT, _A.RESTATE, _A.BUST)
    return dict.fromkeys((*late, *also), status)


TABLE: Final[dict[OrdStatus, dict[Arc, _Next]]] = {
    _S.INTENDED: _FROM_SENT | {_A.SUBMIT: _S.SUBMITTED, _A.CANCEL_REQUEST: _S.INTENDED, _A.WITHHOLD: _S.CANCELED},
    _S.SUBMITTED: _FROM_SENT | {_A.CANCEL_REQUEST: _S.PENDING_CANCEL},
    _S.UNKNOWN: _FROM_SENT
    | {
        _A.CANCEL_REQUEST: _S.UNKNOWN,
        _A.CANCEL_REJECT: _S.UNKNOWN,
        _A.REPLACE: _WORKING,
        _A.REPLACE_REJECT: _WORKING,
        _A.BUST: _S.UNKNOWN,
    },
    _S.ACCEPTED: _FROM_WORKING,
    _S.PARTIALLY_FILLED: _FROM_WORKING,
    _S.PENDING_CANCEL: _waiting(_S.PENDING_CANCEL, {_A.CANCEL_REJECT: _WORKING}),
    _S.PENDING_REPLACE: _waiting(_S.PENDING_REPLACE, {_A.REPLACE: _WORKING, _A.REPLACE_REJECT: _WORKING}),
    _S.FILLED: _stays(_S.FILLED),
    _S.CANCELED: _stays(_S.CANCELED, _A.CANCEL, _A.EXPIRE),
    _S.EXPIRED: _stays(_S.EXPIRED, _A.CANCEL, _A.EXPIRE),
    _S.REJECTED: dict.fromkeys((_A.REJECT, _A.CANCEL_REJECT), _S.REJECTED),
    _S.DENIED: {},
}

# Arcs that may leave nothing to fill: quantity filled, or quantity taken away (a leg is acknowledged for what its entry
# has filled, and may have filled itself by then).
_EXHAUSTS: Final = frozenset({_A.FILL, _A.ACK, _A.REPLACE, _A.RESTATE})


def next_status(status: OrdStatus, arc: Arc, *, order_qty: Decimal, cum_qty: Decimal) -> OrdStatus:
    """Where `arc` leads from `status`; `cum_qty` is the filled quantity after the arc. Raises IllegalArc."""
    target = TABLE[status].get(arc)
    if target is None:
        raise IllegalArc(f"an order that is {status} cannot {arc}")
    if arc in _EXHAUSTS and cum_qty >= order_qty and (status not in TERMINAL or arc is Arc.FILL):
        return OrdStatus.FILLED
    if isinstance(target, OrdStatus):
        return target
    return OrdStatus.PARTIALLY_FILLED if cum_qty > ZERO else OrdStatus.ACCEPTED


class Replacement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an open order is to become: FIX 35=G. None leaves a price as it is."""

    cl_ord_id: str
    order_qty: Decimal
    limit_px: Decimal | None = None
    stop_px: Decimal | None = None


class OrderStyle(msgspec.Struct, frozen=True, kw_only=True):
    """How a strategy instance's orders are made (§13): type, distance from the decision price, how long they may work.

    An entry LIMIT lies `entry_offset_bps` on the paying side of the decision price, a STOP beyond it, a STOP_LIMIT has
    its limit as far again behind its stop. An entry that has not filled after `entry_timeout_s` is cancelled; None: its
    time in force alone ends it. An exit LIMIT that has not filled after `exit_timeout_s` is cancelled and followed by a
    market order, the emergency exit; None for a market exit that may work until the close.
    """

    entry_type: OrdType = OrdType.MARKET
    entry_offset_bps: int = 0
    entry_time_in_force: TimeInForce = TimeInForce.IOC
    entry_timeout_s: int | None = None
    exit_type: OrdType = OrdType.MARKET
    exit_offset_bps: int = 0
    exit_timeout_s: int | None = None


class Order(msgspec.Struct, kw_only=True, gc=False):
    """One order as we know it. Mutable, and changed by the fold over events alone (trading/fold.py).

    An order that is replaced stays this order, under its first `cl_ord_id`; `working_id` is the id the broker has it
    under since ("" while that is the first). `replacing` is what was last asked for, until the broker has answered:
    both quantities are reserved until then.

    Prices are in the instrument's currency; quantities in units of the instrument, never signed: `side` says which way.
    `decision_px` is the close at which the decision was made, the yardstick of slippage. `reserve_notional`
    is what risk sets aside for it, in account currency, while it could still fill.
    `None` prices mean: not of this order type. `order_id` is the broker's name for it, None until told.
    `cancels` counts how often a cancel was asked for, `cancel_failed` says the last one did not take, so that it may be
    asked again later. `abandoned` ids are cancelled on sight if they ever show up at the broker.
    """

    cl_ord_id: str
    strategy_id: str
    symbol: str
    side: Side
    position_effect: PositionEffect
    ord_type: OrdType
    order_qty: Decimal
    time_in_force: TimeInForce
    leg: Leg
    intended_at: datetime
    status: OrdStatus = OrdStatus.INTENDED
    limit_px: Decimal | None = None
    stop_px: Decimal | None = None
    trail_bps: int | None = None
    parent_id: str | None = None
    signal_id: str = ""
    attempt: int = 1
    decision_px: Decimal = ZERO
    reserve_notional: Decimal = ZERO
    order_id: str | None = None
    cum_qty: Decimal = ZERO
    avg_px: Decimal = ZERO
    fees: Decimal = ZERO
    submitted_at: datetime | None = None
    last_at: datetime | None = None
    reason: str = ""
    cancel_requested_at: datetime | None = None
    cancel_failed: bool = False
    queried_at: datetime | None = None
    abandoned: bool = False
    working_id: str = ""
    replacing: Replacement | None = None
    reject_code: str = ""
    cancels: int = 0

    @property
    def is_open(self) -> bool:
        return self.status not in TERMINAL

    @property
    def is_in_doubt(self) -> bool:
        return self.status in IN_DOUBT

    @property
    def leaves_qty(self) -> Decimal:
        """What could still fill: 0 once the order has ended; while a replace is unanswered, by the larger quantity."""
        if self.status in TERMINAL:
            return ZERO
        asked = self.replacing
        qty = self.order_qty if asked is None or asked.order_qty < self.order_qty else asked.order_qty
        return qty - self.cum_qty

    @property
    def broker_id(self) -> str:
        """The client id the broker has the order under: what queries, cancels and replaces name."""
        return self.working_id or self.cl_ord_id
