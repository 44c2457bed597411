"""States and intents for the Risk Manager's tests: a real open session, what is held or on its way added by hand."""

from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from qmworkbench.domain.events.market import Mark
from qmworkbench.domain.execution import LegRequest, OrderRequest
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Leg, Order, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.domain.positions import Position
from qmworkbench.trading import holdings, risk
from qmworkbench.trading.coming import forget
from qmworkbench.trading.state import State, decode_state, encode_state
from tests.trading.world import World

D = Decimal
MINE, OTHER = "test-1", "test-2"
SYMBOL = "BBB"
PX = D(30)
HUNDRED = D(100)


@cache
def _opened(shared: bool) -> bytes:
    world = World(strategies=(MINE, OTHER), shared=shared, boundaries=390)
    world.open()
    world.boundary(1, [])
    return encode_state(world.state)


def a_state(shared: bool = False, **limits: Any) -> State:
    """Flat, in the market session, everything in order, marks at round prices; `limits` replaces single limits."""
    state = decode_state(_opened(shared))
    day = state.day
    day.limits = Limits(**({"entry_cutoff_min": 1} | limits))
    day.limits_hash = day.limits.content_hash
    for at, symbol in enumerate(sorted(day.instruments), start=2):
        state.marks[symbol] = Mark(symbol=symbol, px=D(10 * at), at=state.clock())
        day.owners[symbol] = [MINE, OTHER]
    return state


def an_entry(symbol: str = SYMBOL, qty: Decimal = HUNDRED, side: Side = Side.BUY, **changes: Any) -> risk.Intent:
    """A market entry of MINE at the mark, with a stop a tenth away; `changes` are of the intent or of its request."""
    px = changes.pop("decision_px", PX)
    stop = changes.pop("stop_px", px * (D("0.9") if side is Side.BUY else D("1.1")))
    leg = LegRequest(
        cl_ord_id="leg", leg=Leg.STOP, ord_type=OrdType.STOP, time_in_force=TimeInForce.DAY, stop_px=stop or None
    )
    strategy_id = changes.pop("strategy_id", MINE)
    request = OrderRequest(
        cl_ord_id="new",
        symbol=symbol,
        side=side,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.MARKET,
        order_qty=qty,
        time_in_force=TimeInForce.IOC,
        decided_at=World().opens,
        legs=(leg,) if stop else (),
    )
    request = msgspec.structs.replace(request, **changes)
    return risk.Intent(request=request, strategy_id=strategy_id, leg=Leg.ENTRY, decision_px=px, stop_px=stop)


def an_exit(qty: Decimal, side: Side = Side.SELL, symbol: str = SYMBOL, strategy_id: str = MINE) -> risk.Intent:
    """A market exit."""
    request = OrderRequest(
        cl_ord_id="out",
        symbol=symbol,
        side=side,
        position_effect=PositionEffect.CLOSE,
        ord_type=OrdType.MARKET,
        order_qty=qty,
        time_in_force=TimeInForce.DAY,
        decided_at=World().opens,
    )
    return risk.Intent(request=request, strategy_id=strategy_id, leg=Leg.EXIT, decision_px=PX)


def hold(state: State, qty: Any, symbol: str = SYMBOL, strategy_id: str = MINE, px: Decimal = PX) -> Position:
    """An instance holds this, opened today at `px`."""
    qty = D(qty)
    held = Position(
        strategy_id=strategy_id, symbol=symbol, qty=qty, cost=qty * px, decision_px=px, opened_at=state.clock()
    )
    holdings.hold(state, held)
    holdings.net_moved(state, symbol, qty, qty * px)
    return held


def order(
    state: State,
    qty: Any,
    side: Side = Side.BUY,
    leg: Leg = Leg.ENTRY,
    *,
    symbol: str = SYMBOL,
    strategy_id: str = MINE,
    status: OrdStatus = OrdStatus.ACCEPTED,
    px: Decimal = PX,
    **changes: Any,
) -> Order:
    """An order of ours that was sent, in any status."""
    qty = D(qty)
    sent = Order(
        cl_ord_id=f"o{len(state.orders)}",
        strategy_id=strategy_id,
        symbol=symbol,
        side=side,
        position_effect=PositionEffect.OPEN if leg is Leg.ENTRY else PositionEffect.CLOSE,
        ord_type=OrdType.MARKET,
        order_qty=qty,
        time_in_force=TimeInForce.DAY,
        leg=leg,
        intended_at=state.clock(),
        decision_px=px,
        reserve_notional=qty * px if leg is Leg.ENTRY else D(0),
        **changes,
    )
    holdings.admit(state, sent)
    sent.status = status
    holdings.follow_status(state, sent)
    forget(state)
    return sent


def verdicts(state: State, intent: risk.Intent) -> dict[str, Any]:
    """Every rule's verdict, by code, whatever was changed by hand since the last time."""
    state.__dict__.clear()
    return {verdict.code: verdict for verdict in risk.judge(state, intent)}


def failed(state: State, intent: risk.Intent) -> list[str]:
    """The codes of the rules that denied."""
    state.__dict__.clear()
    return [verdict.code for verdict in risk.judge(state, intent) if not verdict.passed]


def later(state: State, **delta: float) -> None:
    """Time goes on."""
    state.now = state.clock() + timedelta(**delta)
