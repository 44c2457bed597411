"""What a client sends about orders, read from the wire's JSON into the venue's own requests (§13).

Alpaca's words come first. What they have no word for (an exit at the close beside an entry, a stop that trails, an
immediate entry with exits) travels in the object `qm`, which a real broker never sees: brokers/alpaca sends it to a
venue that says it is ours, and refuses such an order elsewhere.
"""

import re
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from qmworkbench.domain.execution import LegRequest, OrderRequest, ReplaceRequest
from qmworkbench.domain.orders import Leg, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.venue.wire.names import TIMES_IN_FORCE, TYPES, leg_name
from qmworkbench.venue.wire.refusals import WireError, malformed

_NUMBER: Final = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?\Z")
_TYPES: Final = {word: kind for kind, word in TYPES.items()}
_TIMES: Final = {word: tif for tif, word in TIMES_IN_FORCE.items()}
_DECODER: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


class LegIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One exit of an entry, as `qm.legs` lists them."""

    leg: Leg
    ord_type: OrdType
    time_in_force: TimeInForce
    stop_px: Decimal | None = None
    limit_px: Decimal | None = None
    trail_bps: int | None = None


class Extension(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The object `qm` of an order: when it was decided, whether it is a part of a net position, its exits."""

    decided_at: datetime | None = None
    netted: bool = False
    legs: tuple[LegIn, ...] = ()


def body_of(raw: bytes) -> dict[str, Any]:
    """The JSON object of a request, numbers exact. Raises WireError."""
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise malformed(f"the request body is no JSON object: {error}") from None


def number(body: dict[str, Any], name: str) -> Decimal | None:
    """A quantity or a price, given as a string or a number; None where it is absent. Raises WireError."""
    given = body.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (str, int, Decimal)) or not _NUMBER.match(str(given)):
        raise malformed(f"{name} is {given!r}: give a plain decimal number")
    return Decimal(str(given))


def order_request(body: dict[str, Any], venue: str, *, fallback_id: str, now: datetime) -> OrderRequest:
    """The order a POST asks for. Raises WireError naming the field and its value."""
    for wanted in ("symbol", "side", "type", "time_in_force"):
        if not isinstance(body.get(wanted), str):
            raise malformed(f"{wanted} is {body.get(wanted)!r}: give a word")
    if body.get("notional") is not None:
        raise malformed("notional orders are not taken here: give qty")
    if body.get("extended_hours"):
        raise malformed("extended_hours is not offered here: nothing is matched outside regular hours")
    qty = number(body, "qty")
    if qty is None:
        raise malformed("qty is required")
    name = body.get("client_order_id") or fallback_id
    if not isinstance(name, str):
        raise malformed(f"client_order_id is {name!r}: give a word")
    more = _extension(body)
    effect = PositionEffect.CLOSE if "to_close" in str(body.get("position_intent") or "") else PositionEffect.OPEN
    return OrderRequest(
        cl_ord_id=name,
        symbol=body["symbol"],
        side=_word(body, "side", {"buy": Side.BUY, "sell": Side.SELL}),
        position_effect=effect,
        ord_type=_word(body, "type", _TYPES | {"trailing_stop": OrdType.STOP}),
        order_qty=qty,
        time_in_force=_word(body, "time_in_force", _TIMES),
        decided_at=more.decided_at if more.decided_at is not None else now,
        limit_px=number(body, "limit_price"),
        stop_px=number(body, "stop_price"),
        trail_bps=_trail(body),
        legs=_legs(body, venue, name, more),
        netted=more.netted,
    )


def replace_request(body: dict[str, Any], orig: str, qty: Decimal, *, fallback_id: str) -> ReplaceRequest:
    """What a PATCH asks for; `qty` is the order's now, kept where none is given. Raises WireError."""
    name = body.get("client_order_id") or fallback_id
    if not isinstance(name, str):
        raise malformed(f"client_order_id is {name!r}: give a word")
    asked = number(body, "qty")
    return ReplaceRequest(
        cl_ord_id=name,
        orig_cl_ord_id=orig,
        order_qty=qty if asked is None else asked,
        limit_px=number(body, "limit_price"),
        stop_px=number(body, "stop_price"),
    )


def _extension(body: dict[str, Any]) -> Extension:
    given = body.get("qm")
    if given is None:
        return Extension()
    try:
        return msgspec.convert(given, Extension)
    except msgspec.ValidationError as error:
        raise malformed(f"qm: {error}") from None


def _legs(body: dict[str, Any], venue: str, parent: str, more: Extension) -> tuple[LegRequest, ...]:
    """The exits of an entry: those `qm` lists, else what bracket, oto and their two objects say."""
    kind = body.get("order_class") or "simple"
    if kind not in ("simple", "bracket", "oto"):
        raise malformed(f"order_class {kind!r} is not offered here: simple, bracket or oto; exits go with their entry")
    if more.legs:
        return tuple(_leg(venue, parent, leg) for leg in more.legs)
    if kind == "simple":
        return ()
    tif = _TIMES.get(body["time_in_force"], TimeInForce.DAY)
    wanted: list[LegIn] = []
    stop, target = body.get("stop_loss"), body.get("take_profit")
    if isinstance(stop, dict):
        wanted.append(LegIn(leg=Leg.STOP, ord_type=OrdType.STOP, time_in_force=tif, stop_px=number(stop, "stop_price")))
        if stop.get("limit_price") is not None:
            raise malformed("stop_loss.limit_price: a stop that becomes a limit order is not offered as an exit here")
    if isinstance(target, dict):
        level = number(target, "limit_price")
        wanted.append(LegIn(leg=Leg.TARGET, ord_type=OrdType.LIMIT, time_in_force=tif, limit_px=level))
    if len(wanted) < (2 if kind == "bracket" else 1):
        raise malformed(f"order_class {kind}: give {'stop_loss and take_profit' if kind == 'bracket' else 'one exit'}")
    return tuple(_leg(venue, parent, leg) for leg in wanted)


def _leg(venue: str, parent: str, leg: LegIn) -> LegRequest:
    return LegRequest(cl_ord_id=leg_name(venue, parent, leg.leg), **msgspec.structs.asdict(leg))


def _trail(body: dict[str, Any]) -> int | None:
    if body.get("type") != "trailing_stop":
        return None
    percent = number(body, "trail_percent")
    if percent is None or percent * 100 != int(percent * 100):
        raise malformed(f"trail_percent is {body.get('trail_percent')!r}: give percent in whole hundredths")
    return int(percent * 100)


def _word(body: dict[str, Any], name: str, known: dict[str, Any]) -> Any:
    value = known.get(body[name])
    if value is None:
        raise malformed(f"{name} is {body[name]!r}: give one of {', '.join(known)}")
    return value


__all__ = ["Extension", "LegIn", "WireError", "body_of", "number", "order_request", "replace_request"]
