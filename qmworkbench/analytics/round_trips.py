"""Round trips computed anew from the fills alone: the yardstick for the trades that were recorded live (§17)."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

import msgspec

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.orders import FillRecorded, FillReversed, PositionsOffset, TradeClosed
from qmworkbench.domain.events.reconciliation import RepairApplied
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.positions import fill_delta


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True):
    """From flat to flat, as the fills tell it. `trade_id` is what the recorded trade must be called.

    `net_pnl` is realized less fees, in account currency.
    """

    trade_id: str
    strategy_id: str
    symbol: str
    net_pnl: Decimal
    closed_at: datetime


class _Open(msgspec.Struct):
    qty: Decimal = ZERO
    cost: Decimal = ZERO
    net: Decimal = ZERO
    entry_order: str = ""


class Recomputed(msgspec.Struct, frozen=True, kw_only=True):
    """What the fills come to. `untold` are positions whose beginning lies outside these events (carried in, repaired,
    reversed): of those nothing can be said until they are flat again. `open_positions` counts those left at the end.
    """

    trips: tuple[RoundTrip, ...]
    untold: tuple[str, ...]
    open_positions: int


def round_trips(events: Iterable[Event]) -> Recomputed:
    """Walk one session's fills, knowing nothing but them."""
    held: dict[tuple[str, str], _Open | None] = {}
    trips: list[RoundTrip] = []
    untold: dict[str, None] = {}
    for event in events:
        if isinstance(event, FillReversed | RepairApplied):
            key = (event.strategy_id, event.symbol)
            held[key] = None
            untold[event.symbol] = None
        if isinstance(event, PositionsOffset):
            trips += _offset(held, event)
            if any(held.get((name, event.symbol), _Open()) is None for name in event.strategy_ids):
                untold[event.symbol] = None
            held.update({(name, event.symbol): _Open() for name in event.strategy_ids})
        if isinstance(event, FillRecorded):
            key = (event.strategy_id, event.symbol)
            known = held.get(key, _Open())
            if known is not None and known.qty + event.side.sign * event.last_qty != event.position_qty:
                known = None
            if known is None:
                untold[event.symbol] = None
                held[key] = _Open() if event.position_qty == 0 else None
                continue
            trip = _booked(known, event)
            held[key] = known
            if trip is not None:
                trips.append(trip)
    still = sum(1 for position in held.values() if position is None or position.qty != 0)
    return Recomputed(trips=tuple(trips), untold=tuple(untold), open_positions=still)


def _offset(held: dict[tuple[str, str], _Open | None], event: PositionsOffset) -> list[RoundTrip]:
    """The trips that a book entry completes: parts that cancelled out, each closed at the entry's price."""
    closed_by = content_id(event.symbol, "offset", event.at.isoformat(), *event.strategy_ids)
    parts = [(name, held.get((name, event.symbol), _Open())) for name in event.strategy_ids]
    return [
        RoundTrip(
            trade_id=content_id(name, event.symbol, part.entry_order, closed_by),
            strategy_id=name,
            symbol=event.symbol,
            net_pnl=part.net + (part.qty * event.px - part.cost) * event.conversion_rate,
            closed_at=event.at,
        )
        for name, part in parts
        if part is not None and part.qty
    ]


def _booked(held: _Open, fill: FillRecorded) -> RoundTrip | None:
    """Take one fill in; the trip it completes, if it does."""
    delta = fill_delta(held.qty, held.cost, fill.side, fill.last_qty, fill.last_px)
    closes = delta.closed_qty != 0 and delta.closed_qty == abs(held.qty)
    # A fill that closes and opens pays one fee: each part its share.
    closing_fee = fill.fee * delta.closed_qty / fill.last_qty if closes else fill.fee
    held.entry_order = held.entry_order or fill.cl_ord_id
    held.net += delta.realized_pnl * fill.conversion_rate - closing_fee
    trip = None
    if closes:
        trip = RoundTrip(
            trade_id=content_id(fill.strategy_id, fill.symbol, held.entry_order, fill.exec_id),
            strategy_id=fill.strategy_id,
            symbol=fill.symbol,
            net_pnl=held.net,
            closed_at=fill.transact_time,
        )
        held.net = closing_fee - fill.fee
        held.entry_order = fill.cl_ord_id if delta.opened_qty else ""
    held.qty, held.cost = delta.qty, delta.cost
    return trip


def unmatched(recomputed: Recomputed, recorded: Iterable[TradeClosed]) -> tuple[str, ...]:
    """Trips without their trade, and trades without their trip, by symbol and id; carried ones are left out."""
    trades = {trade.trade_id: trade for trade in recorded}
    trips = {trip.trade_id: trip for trip in recomputed.trips}
    missing = [f"{trip.symbol} {name} has no trade" for name, trip in trips.items() if name not in trades]
    beyond = [
        f"{trade.symbol} {name} has no fills"
        for name, trade in trades.items()
        if name not in trips and trade.symbol not in recomputed.untold
    ]
    return tuple(missing + beyond)
