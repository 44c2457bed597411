"""What the venue's things are called on the wire: uuids, times to the nanosecond, and Alpaca's words (§12).

Ids are made from what they name, so that a venue that is started again says the same. A time on the wire is the
book's, made strictly rising: the venue's clock stands still between two bars, a broker's never does, so the number of
a transaction is added to it as nanoseconds, and no time is before the one told last.
"""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.orders import Leg, OrdStatus, OrdType, TimeInForce

NAMESPACE: Final = uuid.UUID("5f1d7a4e-2c9b-5e53-9a60-8f1f0b6f7d21")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
NS: Final = 1_000_000_000

# How far the books and the stream have got, with every answer; who speaks; and what opens the control door.
STAMP_HEADER: Final = "X-QM-Stamp"
UPDATES_HEADER: Final = "X-QM-Updates"
VENUE_HEADER: Final = "X-QM-Venue"
LIFE_HEADER: Final = "X-QM-Life"  # the life of the venue a message is meant for
TOKEN_HEADER: Final = "X-QM-Token"

TYPES: Final = {
    OrdType.MARKET: "market",
    OrdType.LIMIT: "limit",
    OrdType.STOP: "stop",
    OrdType.STOP_LIMIT: "stop_limit",
}
TIMES_IN_FORCE: Final = {
    TimeInForce.DAY: "day",
    TimeInForce.GTC: "gtc",
    TimeInForce.IOC: "ioc",
    TimeInForce.AT_CLOSE: "cls",
}
STATUSES: Final = {
    OrdStatus.ACCEPTED: "new",
    OrdStatus.PARTIALLY_FILLED: "partially_filled",
    OrdStatus.FILLED: "filled",
    OrdStatus.CANCELED: "canceled",
    OrdStatus.EXPIRED: "expired",
    OrdStatus.REJECTED: "rejected",
    OrdStatus.PENDING_CANCEL: "pending_cancel",
    OrdStatus.PENDING_REPLACE: "pending_replace",
}
EVENTS: Final = {
    ExecType.NEW: "new",
    ExecType.CANCELED: "canceled",
    ExecType.EXPIRED: "expired",
    ExecType.REJECTED: "rejected",
    ExecType.REPLACED: "new",
    ExecType.RESTATED: "restated",
    ExecType.CANCEL_REJECTED: "order_cancel_rejected",
    ExecType.REPLACE_REJECTED: "order_replace_rejected",
    ExecType.TRADE_CANCEL: "trade_bust",
    ExecType.ORDER_STATUS: "restated",
}
ENTRY_LEGS: Final = (Leg.STOP, Leg.TARGET, Leg.CLOSE)


def wire_id(venue: str, kind: str, name: str) -> str:
    """The uuid of an order, execution, asset or activity."""
    return str(uuid.uuid5(NAMESPACE, f"{venue}|{kind}|{name}"))


def leg_name(venue: str, parent: str, leg: Leg) -> str:
    """The client id the venue gives a leg of the entry `parent`: its own, nobody may choose it."""
    return wire_id(venue, f"leg {leg.value}", parent)


def ns_of(at: datetime) -> int:
    """Nanoseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND * 1000


def rfc3339(ns: int) -> str:
    """A time as the wire spells it, to the nanosecond."""
    whole, rest = divmod(ns, NS)
    return f"{_EPOCH + timedelta(seconds=whole):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def ns_from(text: str) -> int:
    """The inverse of rfc3339, for a time in any offset. Raises ValueError."""
    head, sep, tail = text.partition(".")
    if not sep:
        return ns_of(_aware(text))
    digits = len(tail) - len(tail.lstrip("0123456789"))
    fraction, zone = tail[:digits], tail[digits:]
    if not 1 <= digits <= 9:
        raise ValueError(f"{text!r} has a fraction of {digits} digits; a second has nine")
    return ns_of(_aware(head + zone)) + int(fraction.ljust(9, "0"))


def _aware(text: str) -> datetime:
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return at.astimezone(UTC)
