"""What the command desk may offer now: which forms make sense, and what they can name (§10, §19, §23)."""

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models import formats
from dashboards.view_models.platform_tables import acceptable
from dashboards.view_models.trading_tables import CONFIRMED, OPEN
from dashboards.view_models.verdict import rows, section

_LIVE_WATCH: Final = frozenset({"found", "assigned", "entered"})
_PASSED: Final = frozenset({"clean", "repaired"})
BROKER_LINE: Final = "broker state reconciled"
DECISION_LINE: Final = "operator decision recorded"
# The lines that a person answers, and the command's field for each.
TICKED: Final = {
    "incident cause understood": "cause_understood",
    "internal state repaired": "internal_state_repaired",
    "risk controls verified": "risk_controls_verified",
}

Row = dict[str, Any]


def desk(reading: Reading, zone: ZoneInfo) -> Row:
    """`offers` says of each form "" when it can be used, else why not; a refusal is still the platform's to make."""
    snapshot = reading.snapshot or {}
    state = str(section(snapshot, "trading_state").get("state") or "")
    open_session = bool(snapshot.get("session_id")) and snapshot.get("phase") != "closed"
    none = "" if open_session else "no session is open"
    watched = [str(item.get("symbol")) for item in rows(snapshot, "watchlist") if item.get("state") in _LIVE_WATCH]
    blocked = [str(b.get("symbol")) for b in rows(section(snapshot, "risk"), "blocked") if b.get("by") != "limits"]
    running = [str(run.get("strategy_id")) for run in rows(snapshot, "runs") if not run.get("ended")]
    stopped = [
        str(run.get("strategy_id"))
        for run in rows(snapshot, "runs")
        if not run.get("ended") and run.get("state") != "active"
    ]
    working = [order for order in rows(snapshot, "orders") if order.get("status") in OPEN]
    live = [order for order in working if not order.get("cancel_asked")]
    held = [held for held in rows(snapshot, "positions") if not held.get("exit_wanted")]
    money = [_difference(each) for each in rows(section(snapshot, "reconciliation"), "unresolved") if acceptable(each)]
    known = {str(each.get("symbol")) for name in ("radar", "watchlist", "positions") for each in rows(snapshot, name)}
    return {
        "version": snapshot.get("version"),
        "offers": {
            "pause": none or ("" if state == "active" else "entries are blocked already"),
            "resume": none or ("the book is ACTIVE" if state == "active" else ""),
            "release": none or ("" if snapshot.get("entries_held") else "no entries are held"),
            "block": none,
            "unblock": none or ("" if blocked else "no symbol is blocked by a person"),
            "drop": none or ("" if watched else "the watchlist has nothing to drop"),
            "stop": none or ("" if running else "no strategy runs"),
            "restart": none
            or ("no strategy is stopped" if not stopped else "" if state == "active" else "resume the book first"),
            "cancel": none or ("" if live else "no order works"),
            "replace": none or ("" if _replaceable(live) else "no order rests at the broker"),
            "close": none or ("" if held else "nothing is held"),
            "reconcile": none,
            "accept": none or ("" if money else "no difference in money is open"),
            "note": "" if snapshot.get("session_id") else none,  # also after the close: it is read in the review
        },
        "symbols": sorted(known - {""}),
        "watched": sorted(watched),
        "blocked": sorted(blocked),
        "strategies": sorted(running),
        "stopped": sorted(stopped),
        "against_restart": _against_restart(snapshot),
        "working": [_named(order) for order in live],
        "replaceable": [_named(order) | _prices(order) for order in _replaceable(live)],
        "held": [_position(each) for each in held],
        "money": money,
        "lines": _lines(reading, zone),
    }


def _replaceable(live: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [order for order in live if order.get("status") in CONFIRMED and not order.get("replacing")]


def _named(order: Mapping[str, Any]) -> Row:
    what = f"{order.get('side')} {order.get('leg')} {formats.quantity(order.get('leaves_qty'))}"
    return {"value": str(order.get("cl_ord_id")), "label": f"{order.get('symbol')} {what}"}


def _prices(order: Mapping[str, Any]) -> Row:
    return {name: str(order.get(name) or "") for name in ("order_qty", "limit_px", "stop_px")}


def _position(held: Mapping[str, Any]) -> Row:
    symbol, owner = str(held.get("symbol")), str(held.get("strategy_id"))
    return {"value": f"{owner}|{symbol}", "label": f"{symbol} {formats.quantity(held.get('qty'))} ({owner})"}


def _difference(item: Mapping[str, Any]) -> Row:
    told = f"{formats.words(item.get('kind'))}: ours {item.get('before')}, the broker's {item.get('after')}"
    return {"value": str(item.get("break_id")), "label": told}


def _against_restart(snapshot: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the platform will refuse a restart for, by instance, so that it is read before it is tried."""
    return {
        str(run.get("strategy_id")): [f"{each.get('reason')}: {each.get('remedy')}" for each in against]
        for run in rows(snapshot, "runs")
        if (against := rows(run, "against_restart")) and not run.get("ended")
    }


def _lines(reading: Reading, zone: ZoneInfo) -> list[Row]:
    """§23 Safe To Resume, line by line: what the operator ticks, and what the platform has found by itself."""
    found = []
    for each in rows(reading.snapshot or {}, "resume"):
        label = str(each.get("line") or "")
        against = [str(text) for text in each.get("against") or ()]
        told = "; ".join(against)
        if label == BROKER_LINE and not against:
            told = _reconciled(reading, zone)["text"]
        found.append(
            {
                "name": TICKED.get(label, ""),
                "label": label.capitalize(),
                "ok": not against,
                "text": told or ("this form" if label == DECISION_LINE else ""),
            }
        )
    return found


def _reconciled(reading: Reading, zone: ZoneInfo) -> Row:
    """§23 "broker state reconciled": the line that the machine checks. Only one completed since the halt counts."""
    snapshot = reading.snapshot or {}
    last, halt = section(snapshot, "reconciliation"), section(snapshot, "trading_state")
    result, at = str(last.get("result") or ""), last.get("completed_at")
    if not at:
        return {"ok": False, "text": "not compared with the broker yet"}
    told = f"{result} at {formats.dated(at, snapshot.get('at'), zone)}"
    if result not in _PASSED or rows(last, "unresolved"):
        return {"ok": False, "text": told}
    gap = formats.seconds_between(halt.get("since"), at)
    if gap is not None and gap < 0:
        return {"ok": False, "text": f"{told}, before the halt: reconcile again"}
    return {"ok": True, "text": told}
