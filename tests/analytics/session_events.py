"""Events of a session as the four signals meet them: only what a test is about needs to be said."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from qmworkbench.domain.events import Event, orders, session
from qmworkbench.domain.events.market import FrameComputed, Mark
from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.execution import LegRequest, OrderRequest
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.domain.sessions import SessionWindow
from tests.analytics.frames import MINUTE, OPEN
from tests.service.samples import sample

ORB = "orb-1"


def opened(*instances: str) -> session.SessionOpened:
    """A session of minutes with these instances."""
    runs = tuple(sample(session.RunSpec, strategy_id=name) for name in instances or (ORB,))
    window = sample(SessionWindow, interval_s=60)
    made: session.SessionOpened = sample(session.SessionOpened, at=OPEN, runs=runs, window=window)
    return made


def request(name: str, symbol: str, *, side: Side = Side.BUY, trail_bps: int | None = None) -> OrderRequest:
    stop = LegRequest(
        cl_ord_id=f"{name}-stop", leg=Leg.STOP, ord_type=OrdType.STOP, time_in_force=TimeInForce.DAY,
        stop_px=Decimal(9), trail_bps=trail_bps,
    )  # fmt: skip
    return OrderRequest(
        cl_ord_id=name, symbol=symbol, side=side, position_effect=PositionEffect.OPEN, ord_type=OrdType.MARKET,
        order_qty=Decimal(100), time_in_force=TimeInForce.IOC, decided_at=OPEN, legs=(stop,),
    )  # fmt: skip


def intended(name: str, symbol: str = "OPK", by: str = ORB, **more: Any) -> orders.OrderIntended:
    made: orders.OrderIntended = sample(
        orders.OrderIntended,
        request=request(name, symbol, **more),
        strategy_id=by,
        leg=Leg.ENTRY,
        signal_id=f"s-{name}",
    )
    return made


def denied(name: str, *codes: str, symbol: str = "OPK", by: str = ORB) -> list[Event]:
    rules = tuple(RuleVerdict(code=code, passed=False, value="5", limit="1") for code in codes)
    judged = sample(
        orders.RiskDecided, cl_ord_id=name, strategy_id=by, symbol=symbol, leg=Leg.ENTRY, allowed=False, rules=rules
    )
    said = sample(orders.OrderDenied, request=request(name, symbol), strategy_id=by, leg=Leg.ENTRY)
    return [judged, said] if codes else [said]


def ended(name: str, status: OrdStatus, cum_qty: int = 0) -> orders.OrderChanged:
    made: orders.OrderChanged = sample(
        orders.OrderChanged, cl_ord_id=name, arc=Arc.CANCEL, status=status, cum_qty=Decimal(cum_qty)
    )
    return made


def fill(
    px: str, bps: str | None, *, symbol: str = "OPK", by: str = ORB, held: int = 100, realized: str = "0",
    order: str = "o", side: Side = Side.BUY,
) -> orders.FillRecorded:  # fmt: skip
    """100 filled; `held` are what the position is afterwards, at the fill's price."""
    made: orders.FillRecorded = sample(
        orders.FillRecorded, symbol=symbol, strategy_id=by, cl_ord_id=order, side=side, last_qty=Decimal(100),
        last_px=Decimal(px), position_qty=Decimal(held), position_cost=held * Decimal(px), conversion_rate=Decimal(1),
        realized_pnl=Decimal(realized), slippage_bps=None if bps is None else Decimal(bps), fee=Decimal(0),
        net_realized_pnl=None, adopted=False, transact_time=OPEN,
    )  # fmt: skip
    return made


def trade(
    net: str, *, symbol: str = "OPK", by: str = ORB, leg: Leg = Leg.EXIT, bars: int = 9, stop: str | None = "9",
    signal: str = "", after_min: float = 9,
) -> orders.TradeClosed:  # fmt: skip
    """A trade of 100 at 10 that made `net`."""
    made: orders.TradeClosed = sample(
        orders.TradeClosed, symbol=symbol, strategy_id=by, net_pnl=Decimal(net), gross_pnl=Decimal(net), exit_leg=leg,
        bars_held=bars, entry_px=Decimal(10), qty=Decimal(100), side=Side.BUY, signal_id=signal,
        initial_stop_px=None if stop is None else Decimal(stop), closed_at=OPEN + timedelta(minutes=after_min),
    )  # fmt: skip
    return made


def marked(symbol: str, px: str) -> FrameComputed:
    made: FrameComputed = sample(
        FrameComputed, as_of=OPEN + MINUTE, candidates=(), near_misses=(), signals=(),
        marks=(Mark(symbol, Decimal(px), OPEN + MINUTE),),
    )  # fmt: skip
    return made


def exit_wanted(after_min: float, symbol: str = "OPK", by: str = ORB) -> orders.ExitRequested:
    made: orders.ExitRequested = sample(
        orders.ExitRequested, at=OPEN + timedelta(minutes=after_min), symbol=symbol, strategy_id=by
    )
    return made
