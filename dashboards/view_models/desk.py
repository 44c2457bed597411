"""What the command desk may offer now: which forms make sense, and what they can name (§10, §19, §23)."""

from typing import Any, Final
from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models import formats
from dashboards.view_models.verdict import rows, section

_LIVE_WATCH: Final = frozenset({"found", "assigned", "entered"})
_PASSED: Final = frozenset({"clean", "repaired"})

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
            "reconcile": none,
            "note": "" if snapshot.get("session_id") else none,  # also after the close: it is read in the review
        },
        "symbols": sorted(known - {""}),
        "watched": sorted(watched),
        "blocked": sorted(blocked),
        "strategies": sorted(running),
        "reconciled": _reconciled(reading, zone),
    }


def _reconciled(reading: Reading, zone: ZoneInfo) -> Row:
    """§23 "broker state reconciled": the line that the machine checks. Only one completed since the halt counts."""
    snapshot = reading.snapshot or {}
    last, halt = section(snapshot, "reconciliation"), section(snapshot, "trading_state")
    result, at = str(last.get("result") or ""), last.get("completed_at")
    if not at:
        return {"ok": False, "text": "not compared with the broker yet"}
    told = f"{result} at {formats.clock(at, zone)}"
    if result not in _PASSED or rows(last, "unresolved"):
        return {"ok": False, "text": told}
    gap = formats.seconds_between(halt.get("since"), at)
    if gap is not None and gap < 0:
        return {"ok": False, "text": f"{told}, before the halt: reconcile again"}
    return {"ok": True, "text": told}
