"""Our orders in Alpaca's JSON; what that has no word for is refused, or goes in `qm` to a venue of ours (§13)."""

from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.brokers.alpaca.words import OUT_TIMES, OUT_TYPES
from qmworkbench.domain.execution import LegRequest, OrderRequest, ReplaceRequest
from qmworkbench.domain.orders import Leg, PositionEffect, TimeInForce
from qmworkbench.ports import RequestRefused

_HUNDREDTH = Decimal(100)


def submit_body(request: OrderRequest, *, ours: bool) -> dict[str, Any]:
    """The body of POST /v2/orders. Raises RequestRefused where the broker has no such order."""
    trails = request.trail_bps is not None
    effect = "close" if request.position_effect is PositionEffect.CLOSE else "open"
    body: dict[str, Any] = {
        "client_order_id": request.cl_ord_id,
        "symbol": request.symbol,
        "side": request.side.value,
        "position_intent": f"{request.side.value}_to_{effect}",
        "type": "trailing_stop" if trails else OUT_TYPES[request.ord_type],
        "time_in_force": OUT_TIMES[request.time_in_force],
        "qty": _plain(request.order_qty),
        "order_class": _order_class(request.legs),
    }
    if request.limit_px is not None:
        body["limit_price"] = _plain(request.limit_px)
    if request.stop_px is not None:
        body["stop_price"] = _plain(request.stop_px)
    if trails:
        body["trail_percent"] = _plain(Decimal(request.trail_bps or 0) / _HUNDREDTH)
    for leg in request.legs:
        if leg.leg is Leg.STOP and leg.stop_px is not None:
            body["stop_loss"] = {"stop_price": _plain(leg.stop_px)}
        elif leg.leg is Leg.TARGET and leg.limit_px is not None:
            body["take_profit"] = {"limit_price": _plain(leg.limit_px)}
    if ours:
        body["qm"] = {"decided_at": request.decided_at, "netted": request.netted, "legs": _legs(request.legs)}
    else:
        _demand_sayable(request)
    return body


def replace_body(request: ReplaceRequest) -> dict[str, Any]:
    """The body of PATCH /v2/orders/{id}."""
    body: dict[str, Any] = {"client_order_id": request.cl_ord_id, "qty": _plain(request.order_qty)}
    if request.limit_px is not None:
        body["limit_price"] = _plain(request.limit_px)
    if request.stop_px is not None:
        body["stop_price"] = _plain(request.stop_px)
    return body


def _order_class(legs: tuple[LegRequest, ...]) -> str:
    sayable = {leg.leg for leg in legs} & {Leg.STOP, Leg.TARGET}
    return {0: "simple", 1: "oto"}.get(len(sayable), "bracket")


def _legs(legs: tuple[LegRequest, ...]) -> list[dict[str, Any]]:
    """The exits without their names: those are the broker's to give."""
    return [{name: value for name, value in msgspec.structs.asdict(leg).items() if name != "cl_ord_id"} for leg in legs]


def _demand_sayable(request: OrderRequest) -> None:
    """Alpaca's brackets: a stop and a target at fixed levels, for as long as their entry, which is day or gtc."""
    unsaid = ""
    for leg in request.legs:
        if leg.leg is Leg.CLOSE:
            unsaid = "an exit at the close beside an entry"
        elif leg.trail_bps is not None:
            unsaid = "an exit that trails"
        elif leg.time_in_force is not request.time_in_force:
            unsaid = f"an exit that is {leg.time_in_force} beside an entry that is {request.time_in_force}"
    if request.legs and request.time_in_force not in (TimeInForce.DAY, TimeInForce.GTC):
        unsaid = f"exits beside an entry that is {request.time_in_force}"
    if request.netted:
        unsaid = "a part of a net position"
    if unsaid:
        raise RequestRefused(
            f"unsupported: {request.cl_ord_id}: this broker has no word for {unsaid}; nothing was sent"
        )


def _plain(value: Decimal) -> str:
    return f"{value:f}"
