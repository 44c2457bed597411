"""Positions, orders, fills and trades as tables (§9, §13)."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models import formats
from dashboards.view_models.tables import RIGHT, Cell, Row, Table, action, cell, column, row, table
from dashboards.view_models.verdict import Verdict, rows

ORDER_TONES: Final = {
    "intended": "info",
    "submitted": "info",
    "unknown": "bad",
    "accepted": "info",
    "partially_filled": "warn",
    "pending_cancel": "warn",
    "pending_replace": "warn",
    "filled": "ok",
    "canceled": "dim",
    "rejected": "bad",
    "expired": "dim",
    "denied": "warn",
}
OPEN: Final = frozenset(
    {"intended", "submitted", "unknown", "accepted", "partially_filled", "pending_cancel", "pending_replace"}
)
CONFIRMED: Final = frozenset({"accepted", "partially_filled"})
ENDED_ORDERS_SHOWN: Final = 6
# Of a session that has had more, the Core API tells so many.
ENDED_ORDERS_TOLD: Final = 100
FILLS_TOLD: Final = 50
FILLS_SHOWN: Final = 12
TRADES_SHOWN: Final = 12

_POSITIONS: Final = (
    column("Symbol"),
    column("Strategy", wide_only=True, grow=True),
    column("Qty", RIGHT, hint="units held; short positions are negative"),
    column("Entry", RIGHT, wide_only=True, hint="average entry price"),
    column("Mark", RIGHT),
    column("Unrealized", RIGHT),
    column("Stop", RIGHT, hint="level of the stop, and how far the mark is from it"),
    column("Target", RIGHT, wide_only=True, hint="level of the target, and how far the mark is from it"),
    column("Since", RIGHT, wide_only=True),
)
_ORDERS: Final = (
    column("Time"),
    column("Symbol"),
    column("Order", hint="side, and what it is for"),
    column("Filled", RIGHT, hint="filled of ordered quantity"),
    column("Price", RIGHT, wide_only=True, hint="limit or stop price, and @ the average of what has filled"),
    column("Status"),
    column("Reason", wide_only=True, grow=True),
)
_FILLS: Final = (
    column("Time"),
    column("Symbol"),
    column("Side"),
    column("Qty", RIGHT),
    column("Price", RIGHT),
    column("Fee", RIGHT, wide_only=True),
    column("Slippage", RIGHT, hint="against the decision price, in basis points; positive costs"),
    column("Realized", RIGHT, wide_only=True),
)
_TRADES: Final = (
    column("Closed"),
    column("Symbol"),
    column("Qty", RIGHT, wide_only=True),
    column("Entry", RIGHT, wide_only=True),
    column("Exit", RIGHT, wide_only=True),
    column("Net", RIGHT),
    column("R", RIGHT, hint="net result in multiples of the risk taken at entry"),
    column("Exit by"),
)


def positions(reading: Reading, verdict: Verdict, zone: ZoneInfo) -> Table:
    """Open positions with their unrealized P&L and the distance to stop and target."""
    held = rows(reading.snapshot or {}, "positions")
    note = formats.plural(len(held), "open position") if held else ""
    symbols = len({each.get("symbol") for each in held})
    if symbols < len(held):  # the limit counts symbols: where instances share them there are more positions
        note += f" in {formats.plural(symbols, 'symbol')}"
    shown = [_position(each, (reading.snapshot or {}).get("at"), zone) for each in held]
    return table("Positions", _POSITIONS, shown, empty="No open positions.", mark=verdict.price_mark, note=note)


def _position(held: Mapping[str, Any], now: Any, zone: ZoneInfo) -> dict[str, Any]:
    symbol, mark = str(held.get("symbol", "")), formats.decimal(held.get("mark_px"))
    short = (formats.decimal(held.get("qty")) or Decimal(0)) < 0
    leaving, pips = str(held.get("exit_wanted") or ""), formats.decimal(held.get("pips"))
    return row(
        f"{held.get('strategy_id')}|{symbol}",
        [
            cell(symbol, strong=True, hint=f"leaving: {leaving}" if leaving else ""),
            cell(f"leaving: {leaving}", tone="warn") if leaving else str(held.get("strategy_id") or formats.ABSENT),
            cell(formats.quantity(held.get("qty")), hint="short" if short else "long"),
            formats.price(held.get("avg_px")),
            formats.price(held.get("mark_px")),
            cell(
                formats.money(held.get("unrealized_pnl"), signed=True)
                + ("" if pips is None else f" · {formats.money(pips, signed=True, places=1)} pips"),
                tone=formats.gain_tone(held.get("unrealized_pnl")),
            ),
            _level(held.get("stop_px"), mark, toward=1 if short else -1),
            _level(held.get("target_px"), mark, toward=-1 if short else 1),
            formats.dated(held.get("opened_at"), now, zone, seconds=False),
        ],
        actions=[] if leaving else [action("close", "Close", symbol, f"{held.get('strategy_id')}|{symbol}")],
    )


def _level(level: Any, mark: Decimal | None, *, toward: int) -> Cell:
    """A price level with the mark's distance to it; `toward` is +1 where the level lies above the mark."""
    px = formats.decimal(level)
    if px is None or not mark:
        return formats.price(level)
    away = (px - mark) * toward / mark * 100
    if away <= 0:
        return cell(f"{formats.price(px)} · reached", tone="warn", hint="the mark is at or beyond this level")
    return f"{formats.price(px)} · {formats.percent(away, signed=False, places=1)}"


def orders(reading: Reading, verdict: Verdict, zone: ZoneInfo) -> Table:
    """Open orders first, then the newest that have ended."""
    snapshot = reading.snapshot or {}
    given = rows(snapshot, "orders")
    live = [order for order in given if order.get("status") in OPEN]
    ended = [order for order in given if order.get("status") not in OPEN]
    shown = [_order(order, snapshot.get("at"), zone) for order in [*live, *ended[:ENDED_ORDERS_SHOWN]]]
    doubt = sum(order.get("status") == "unknown" for order in live)
    note = f"{len(live)} open" + (f", {doubt} in doubt" if doubt else "") if given else ""
    more = max(0, len(ended) - ENDED_ORDERS_SHOWN)
    told = len(ended) < ENDED_ORDERS_TOLD
    return table("Orders", _ORDERS, shown, empty="No orders yet.", mark=verdict.mark, note=note, more=more, told=told)


def _order(order: Mapping[str, Any], now: Any, zone: ZoneInfo) -> dict[str, Any]:
    status, identity = str(order.get("status") or ""), str(order.get("cl_ord_id") or "")
    return row(
        identity,
        [
            formats.dated(order.get("last_at") or order.get("intended_at"), now, zone),
            cell(str(order.get("symbol") or ""), strong=True, hint=identity),
            _side(order.get("side"), str(order.get("leg") or "")),
            f"{formats.quantity(order.get('cum_qty'))} / {formats.quantity(order.get('order_qty'))}",
            _order_price(order),
            cell(formats.words(status), tone=ORDER_TONES.get(status, "warn"), chip=True),
            str(order.get("reason") or ""),
        ],
        tone="" if status in OPEN else "dim",
        actions=_order_actions(order) if status in OPEN else [],
    )


def _order_actions(order: Mapping[str, Any]) -> list[Row]:
    """What a person may do with an order that works: not twice, and nothing to one nobody is sure of but a cancel."""
    if order.get("cancel_asked"):
        return []
    symbol, identity = str(order.get("symbol") or ""), str(order.get("cl_ord_id") or "")
    found = [action("cancel", "Cancel", symbol, identity)]
    if order.get("status") in CONFIRMED and not order.get("replacing"):
        found.append(action("replace", "Replace", symbol, identity))
    return found


def _order_price(order: Mapping[str, Any]) -> str:
    """What the order asks for, and what it got: "limit 12.52 @ 12.52"."""
    resting = order.get("limit_px") or order.get("stop_px")
    asked = " ".join(
        part for part in (str(order.get("ord_type") or ""), formats.price(resting) if resting else "") if part
    )
    got = f"@ {formats.price(order.get('avg_px'))}" if formats.decimal(order.get("avg_px")) else ""
    return " ".join(part for part in (asked, got) if part) or formats.ABSENT


def _side(side: Any, leg: str = "") -> Cell:
    text = str(side or formats.ABSENT)
    return cell(f"{text} {leg}".strip(), tone={"buy": "buy", "sell": "sell"}.get(text, ""))


def fills(reading: Reading, verdict: Verdict, zone: ZoneInfo) -> Table:
    """The newest executions."""
    given = rows(reading.snapshot or {}, "fills")
    shown = [_fill(n, each, zone) for n, each in enumerate(given[:FILLS_SHOWN])]
    more = max(0, len(given) - FILLS_SHOWN)
    told = len(given) < FILLS_TOLD
    return table("Recent fills", _FILLS, shown, empty="No fills yet.", mark=verdict.mark, more=more, told=told)


def _fill(n: int, fill: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    realized, slippage = formats.decimal(fill.get("realized_pnl")), formats.decimal(fill.get("slippage_bps"))
    return row(
        str(fill.get("exec_id") or n),
        [
            formats.clock(fill.get("transact_time"), zone),
            cell(str(fill.get("symbol") or ""), strong=True),
            _side(fill.get("side")),
            formats.quantity(fill.get("last_qty")),
            formats.price(fill.get("last_px")),
            formats.money(fill.get("fee")),
            formats.ABSENT if slippage is None else f"{formats.money(slippage, signed=True, places=1)} bps",
            cell(formats.money(realized, signed=True), tone=formats.gain_tone(realized))
            if realized
            else formats.ABSENT,
        ],
    )


def trades(reading: Reading, verdict: Verdict, zone: ZoneInfo) -> Table:
    """The newest closed round trips, and how the day's stand."""
    given = rows(reading.snapshot or {}, "trades")
    shown = [_trade(n, each, zone) for n, each in enumerate(given[:TRADES_SHOWN])]
    won = sum((formats.decimal(trade.get("net_pnl")) or 0) > 0 for trade in given)
    note = f"{formats.plural(len(given), 'trade')}, {won} won" if given else ""
    more = max(0, len(given) - TRADES_SHOWN)
    return table(
        "Closed trades", _TRADES, shown, empty="No closed trades yet.", mark=verdict.mark, note=note, more=more
    )


def _trade(n: int, trade: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    r_multiple = formats.decimal(trade.get("r_multiple"))
    return row(
        str(trade.get("trade_id") or n),
        [
            formats.clock(trade.get("closed_at"), zone, seconds=False),
            cell(str(trade.get("symbol") or ""), strong=True),
            formats.quantity(trade.get("qty")),
            formats.price(trade.get("entry_px")),
            formats.price(trade.get("exit_px")),
            cell(formats.money(trade.get("net_pnl"), signed=True), tone=formats.gain_tone(trade.get("net_pnl"))),
            formats.ABSENT if r_multiple is None else f"{formats.money(r_multiple, signed=True)}R",
            formats.words(trade.get("exit_reason")),
        ],
    )
