"""The points of the small charts: equity by boundary, and closed trades (§9)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from dashboards.view_models import formats
from dashboards.view_models.verdict import rows, section


@dataclass(frozen=True)
class Curve:
    """Equity in account currency against local milliseconds (an axis knows no zone); `start` and `floor` are levels:
    session-start equity, and what it may fall to before the daily loss limit; None where unknown."""

    times_ms: tuple[float, ...]
    equity: tuple[float, ...]
    start: float | None
    floor: float | None


def equity_curve(snapshot: Mapping[str, Any], zone: ZoneInfo) -> Curve:
    """The equity curve; points that cannot be read are left out."""
    times, values = [], []
    given = snapshot.get("equity_curve")
    for point in given if isinstance(given, (list, tuple)) else ():
        if not isinstance(point, (list, tuple)) or len(point) != 2:
            continue
        at, equity = formats.moment(point[0]), formats.decimal(point[1])
        if at is not None and equity is not None:
            local = at.astimezone(zone).replace(tzinfo=UTC)
            times.append(local.timestamp() * 1000)
            values.append(float(equity))
    start = formats.decimal(section(snapshot, "account").get("start_equity"))
    limit = formats.decimal(section(section(snapshot, "risk"), "daily_loss").get("limit"))
    floor = None if start is None or limit is None else float(start - limit)
    return Curve(tuple(times), tuple(values), None if start is None else float(start), floor)


@dataclass(frozen=True)
class TradeBars:
    """Net result of each closed trade, oldest first, with its symbol."""

    symbols: tuple[str, ...]
    net: tuple[float, ...]


def trade_bars(snapshot: Mapping[str, Any], most: int = 40) -> TradeBars:
    """The last `most` closed trades in the order in which they closed."""
    found = []
    for trade in rows(snapshot, "trades")[:most]:
        net = formats.decimal(trade.get("net_pnl"))
        if net is not None:
            found.append((str(trade.get("symbol") or ""), float(net)))
    found.reverse()
    return TradeBars(tuple(symbol for symbol, _ in found), tuple(net for _, net in found))
