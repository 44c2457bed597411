"""Momentum Radar and strategy watchlist as tables (§9, §10)."""

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models import formats
from dashboards.view_models.tables import RIGHT, Cell, Row, Table, action, cell, column, row, table
from dashboards.view_models.verdict import Verdict, rows

RADAR_SHOWN: Final = 25
WATCH_TONES: Final = {
    "found": "info",
    "assigned": "info",
    "entered": "ok",
    "exited": "dim",
    "closed": "dim",
    "expired": "dim",
    "blocked": "warn",
}
# What holds a position comes first; what is over is history and sinks to the end.
_ORDER: Final = {"entered": 0, "assigned": 1, "found": 2, "exited": 3, "closed": 4, "blocked": 5, "expired": 6}
_OVER: Final = frozenset({"closed", "expired", "blocked"})
_STEPS: Final = ("found", "assigned", "entered", "exited")

_RADAR: Final = (
    column("#", RIGHT),
    column("±", RIGHT, wide_only=True, hint="change of rank since the last boundary"),
    column("Symbol"),
    column("Last", RIGHT),
    column("Change", RIGHT, hint="since the previous close, or the open where that is unknown"),
    column("5 min", RIGHT, hint="rate of change over five minutes"),
    column("Rel vol", RIGHT, hint="volume so far against the usual volume by this time"),
    column("VWAP", RIGHT, wide_only=True, hint="distance from the volume-weighted average price"),
    column("Range", wide_only=True, hint="where the price stands between the day's low and high"),
    column("$ vol", RIGHT, wide_only=True),
    column("Score", RIGHT),
)
_WATCHLIST: Final = (
    column("Symbol"),
    column("State"),
    column("Found", RIGHT),
    column("Assigned", RIGHT, wide_only=True),
    column("Entered", RIGHT),
    column("Exited", RIGHT, wide_only=True),
    column("Ended", RIGHT, wide_only=True, hint="closed, expired or blocked"),
    column("Strategy and reason", wide_only=True, grow=True),
)


def radar(reading: Reading, verdict: Verdict) -> Table:
    """The best ranked symbols; the scanner's candidates are marked."""
    snapshot = reading.snapshot or {}
    given = rows(snapshot, "radar")
    shown = [_radar_row(each) for each in given[:RADAR_SHOWN]]
    candidates = sum(each.get("is_candidate") is True for each in given)
    note = formats.plural(candidates, "candidate") if given else ""
    empty = "No radar yet: it is computed at each market boundary."
    return table("Momentum Radar", _RADAR, shown, empty=empty, mark=verdict.price_mark, note=note)


def _radar_row(each: Mapping[str, Any]) -> Row:
    symbol = str(each.get("symbol") or "")
    candidate, state = each.get("is_candidate") is True, str(each.get("state") or "")
    hint = f"candidate, {state}" if candidate and state else "candidate" if candidate else state
    change, roc = each.get("change_pct"), each.get("roc_5_pct")
    place = formats.decimal(each.get("range_position"))
    return row(
        symbol,
        [
            formats.whole(each.get("rank")),
            _rank_change(each.get("rank_change")),
            cell(f"{symbol} ●" if candidate else symbol, strong=True, tone="mark" if candidate else "", hint=hint),
            formats.price(each.get("last")),
            cell(formats.percent(change), tone=formats.gain_tone(change)),
            cell(formats.percent(roc), tone=formats.gain_tone(roc)),
            formats.ratio(each.get("rel_volume"), places=1, unit="×"),
            formats.percent(each.get("vwap_distance_pct"), places=1),
            formats.ABSENT
            if place is None
            else cell("", pct=float(place * 100), hint=f"{float(place):.0%} of the range"),
            formats.compact(each.get("dollar_volume")),
            formats.ratio(each.get("score")),
        ],
        actions=[action("block", "Block", symbol)],
    )


def _rank_change(change: Any) -> Cell:
    moved = formats.decimal(change)
    if moved is None or moved == 0:
        return ""
    return cell(f"{'▲' if moved > 0 else '▼'}{abs(int(moved))}", tone="ok" if moved > 0 else "bad")


def watchlist(reading: Reading, verdict: Verdict, zone: ZoneInfo) -> Table:
    """What the scanner found, each with the times of its life; what is over comes last."""
    given = rows(reading.snapshot or {}, "watchlist")
    ordered = sorted(given, key=lambda item: _ORDER.get(str(item.get("state")), 2))
    live = sum(item.get("state") not in _OVER for item in given)
    note = f"{live} active, {len(given) - live} ended" if given else ""
    shown = [_watched(item, zone) for item in ordered]
    return table(
        "Active Strategy Watchlist", _WATCHLIST, shown, empty="Nothing on the watchlist.", mark=verdict.mark, note=note
    )


def _watched(item: Mapping[str, Any], zone: ZoneInfo) -> Row:
    symbol, state = str(item.get("symbol") or ""), str(item.get("state") or "")
    given = item.get("times")
    times: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    ended = next((times[step] for step in ("blocked", "closed", "expired") if times.get(step)), None)
    over = state in _OVER
    return row(
        symbol,
        [
            cell(symbol, strong=True, hint=f"radar rank {formats.whole(item.get('rank'))}"),
            cell(formats.words(state), tone=WATCH_TONES.get(state, ""), chip=True),
            *(formats.clock(times.get(step), zone, seconds=False) for step in _STEPS),
            formats.clock(ended, zone, seconds=False),
            ": ".join(part for part in (str(item.get("strategy_id") or ""), str(item.get("reason") or "")) if part),
        ],
        tone="dim" if over else "",
        actions=[] if over else [action("drop", "Drop", symbol), action("block", "Block", symbol)],
    )
