"""The rows of the command center's tables, one function a table (§9, §18)."""

from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain.events.orders import FillRecorded, TradeClosed
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ZERO, cents
from qmworkbench.domain.orders import Leg, Order
from qmworkbench.domain.positions import Position
from qmworkbench.trading.radar_snapshot import RadarSnapshot
from qmworkbench.trading.state import Session, State

RADAR_ROWS: Final = 50
ORDERS_KEPT: Final = 100


def radar_rows(day: Session, radar: RadarSnapshot | None) -> list[dict[str, Any]]:
    """The best ranked symbols with their numbers, percentages as people read them."""
    if radar is None:
        return []
    candidates = {candidate.symbol for candidate in day.candidates}
    rows = []
    for row in radar.top(RADAR_ROWS):
        item = day.watchlist.get(row.symbol)
        rows.append(
            {
                "rank": row.rank,
                "rank_change": row.rank_change,
                "symbol": row.symbol,
                "last": row.last,
                "change_pct": _pct(row.change),
                "roc_5_pct": _pct(row.roc_5),
                "rel_volume": row.rel_volume,
                "vwap_distance_pct": _pct(row.vwap_distance),
                "range_position": row.range_position,
                "dollar_volume": row.dollar_volume,
                "score": row.score,
                "is_candidate": row.symbol in candidates,
                "state": item.state if item is not None else "",
            }
        )
    return rows


def _pct(fraction: float | None) -> float | None:
    return None if fraction is None else round(fraction * 100, 4)


def position_row(state: State, held: Position) -> dict[str, Any]:
    """One position at its mark; `stop_px` is the stop that rests at the broker, `pips` the way gone in a pair."""
    mark = state.marks.get(held.symbol)
    instrument = state.instrument(held.symbol)
    rate = state.rate(instrument.currency) if instrument else None
    stops = [o.stop_px for o in state.working_for(held.strategy_id, held.symbol) if o.leg is Leg.STOP]
    unrealized = None if mark is None or rate is None else cents(held.unrealized(mark.px) * rate)
    return {
        "symbol": held.symbol,
        "strategy_id": held.strategy_id,
        "side": held.side,
        "qty": held.qty,
        "avg_px": _price(held.avg_px),
        "mark_px": mark.px if mark else None,
        "unrealized_pnl": unrealized,
        "pips": _pips(held, mark.px, instrument) if mark is not None and instrument is not None else None,
        "stop_px": stops[0] if stops else held.initial_stop_px,
        "target_px": held.target_px,
        "opened_at": held.opened_at,
        "exit_wanted": held.exit_wanted,
    }


def _pips(held: Position, mark_px: Decimal, instrument: Instrument) -> Decimal | None:
    """How far the market has gone our way, in pips to a tenth; None for what is not counted in them."""
    if not instrument.base_currency or not held.qty:
        return None
    way = 1 if held.qty > 0 else -1
    return round((mark_px - held.avg_px) * way / instrument.pip_size, 1)


def orders_shown(state: State) -> list[Order]:
    """Open ones first, oldest first; then the newest of the rest."""
    ended = [order for order in state.orders.values() if order.cl_ord_id not in state.open_orders]
    return [*state.working(), *reversed(ended[-ORDERS_KEPT:])]


def order_row(order: Order) -> dict[str, Any]:
    """One order, whatever its status."""
    return {
        "cl_ord_id": order.cl_ord_id,
        "symbol": order.symbol,
        "strategy_id": order.strategy_id,
        "leg": order.leg,
        "side": order.side,
        "ord_type": order.ord_type,
        "order_qty": order.order_qty,
        "cum_qty": order.cum_qty,
        "leaves_qty": order.leaves_qty,
        "status": order.status,
        "limit_px": order.limit_px,
        "stop_px": order.stop_px,
        "avg_px": _price(order.avg_px),
        "reason": order.reason,
        "open": order.is_open,
        "cancel_asked": order.cancel_requested_at is not None and not order.cancel_failed,
        "replacing": order.replacing is not None,
        "intended_at": order.intended_at,
        "last_at": order.last_at,
    }


def fill_row(fill: FillRecorded) -> dict[str, Any]:
    """One execution as it was booked."""
    return {
        "exec_id": fill.exec_id,
        "cl_ord_id": fill.cl_ord_id,
        "strategy_id": fill.strategy_id,
        "symbol": fill.symbol,
        "side": fill.side,
        "last_qty": fill.last_qty,
        "last_px": fill.last_px,
        "fee": fill.fee,
        "realized_pnl": cents(fill.realized_pnl),
        "slippage_bps": fill.slippage_bps,
        "transact_time": fill.transact_time,
    }


def trade_row(trade: TradeClosed) -> dict[str, Any]:
    """One round trip, averages and P&L to the cent."""
    return {
        "trade_id": trade.trade_id,
        "strategy_id": trade.strategy_id,
        "symbol": trade.symbol,
        "side": trade.side,
        "qty": trade.qty,
        "entry_px": _price(trade.entry_px),
        "exit_px": _price(trade.exit_px),
        "net_pnl": cents(trade.net_pnl),
        "exit_reason": trade.exit_reason,
        "opened_at": trade.opened_at,
        "closed_at": trade.closed_at,
        "r_multiple": None if trade.r_multiple is None else round(trade.r_multiple, 3),
    }


def _price(px: Decimal) -> Decimal:
    """An average as people read it: eight decimals at most, as the journal's exact quotients may have 28."""
    return round(px, 8).normalize() + ZERO if px else px
