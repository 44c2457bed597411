"""One reading as everything the page shows, by region: a pure function (§9)."""

from typing import Any
from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models import (
    attention,
    cards,
    desk,
    market_tables,
    platform_tables,
    signals,
    status,
    trading_tables,
)
from dashboards.view_models.verdict import judge


def page_view(reading: Reading, zone: ZoneInfo) -> dict[str, Any]:
    """The view of every region by its name, as plain data. The ages are apart (status.data_age, status.veil)."""
    verdict = judge(reading)
    return {
        "status_bar": status.status_bar(reading, verdict, zone),
        "notices": {"items": status.notices(reading, verdict)},
        "closing": {"panel": attention.closing(reading, zone)},
        "decisions": {"items": attention.decisions(reading, zone), "version": (reading.snapshot or {}).get("version")},
        "cards": {"items": cards.cards(reading, verdict)},
        "emergency": attention.emergency(reading, zone),
        "emergency_progress": attention.emergency_progress(reading, zone),
        "alerts": attention.alerts(reading),
        "desk": desk.desk(reading, zone),
        "positions": trading_tables.positions(reading, verdict, zone),
        "orders": trading_tables.orders(reading, verdict, zone),
        "fills": trading_tables.fills(reading, verdict, zone),
        "trades": trading_tables.trades(reading, verdict, zone),
        "radar": market_tables.radar(reading, verdict),
        "watchlist": market_tables.watchlist(reading, verdict, zone),
        "health": platform_tables.health(reading),
        "risk": platform_tables.risk(reading, verdict),
        "signals": signals.signals(reading, verdict, zone),
        "denials": platform_tables.denials(reading, zone),
        "blocked": platform_tables.blocked(reading),
        "runs": platform_tables.runs(reading, zone, verdict),
        "phases": platform_tables.phases(reading, zone),
        "reconciliation": platform_tables.reconciliation(reading, zone),
    }
