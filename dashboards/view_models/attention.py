"""What asks for a person: alerts, required decisions, an emergency, the end of a session (§11, §15, §17, §20)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from dashboards.reading import LinkState, Reading
from dashboards.view_models import formats
from dashboards.view_models.trading_tables import OPEN
from dashboards.view_models.verdict import rows, section

# §15 "Use this when", to pick from when there is no time to type.
EMERGENCY_REASONS: Final = (
    "System state is inconsistent",
    "Execution behavior is unsafe",
    "Market data is unreliable",
    "Repeated broker failures",
    "Risk controls appear compromised",
)
# Of alerts; where more than these are P0, so many of them.
ALERTS_SHOWN: Final = 6
GRAVEST_SHOWN: Final = 12
PRIORITY_TONES: Final = {"P0": "bad", "P1": "bad", "P2": "warn", "P3": "info"}
_STEPS: Final = {
    "entries_canceled": ("entries cancelled", "warn"),
    "exits_canceled": ("cancelling exits", "warn"),
    "position_read": ("position read", "warn"),
    "close_sent": ("close sent", "info"),
    "queued": ("close queued", "warn"),
    "overdue": ("overdue", "bad"),
    "flat": ("flat", "ok"),
}
_OPTION_WORDS: Final = {"continue_exits": "Continue exits", "liquidate": "Liquidate everything"}

Row = dict[str, Any]


def alerts(reading: Reading) -> Row:
    """Open alerts, P0 first, each with what to do about it; of very many the gravest, and how many there are of each
    priority: the commands must not be pushed off the screen when they are needed most."""
    given = rows(reading.snapshot or {}, "alerts")
    ordered = sorted(given, key=lambda alert: (str(alert.get("priority") or "P9"), str(alert.get("alert_id"))))
    gravest = sum(alert.get("priority") == "P0" for alert in ordered)
    shown = ordered[: max(ALERTS_SHOWN, min(gravest, GRAVEST_SHOWN))]
    rest = ordered[len(shown) :]
    return {
        "note": f"{len(ordered)} open" + (f": {_by_priority(ordered)}" if rest else "") if ordered else "",
        "more": f"{len(rest)} more: {_by_priority(rest)}. `qm status` lists every one." if rest else "",
        "items": [
            {
                "key": str(alert.get("alert_id")),
                "priority": str(alert.get("priority") or "?"),
                "tone": PRIORITY_TONES.get(str(alert.get("priority")), "warn"),
                "kind": formats.words(alert.get("kind")),
                "text": str(alert.get("text") or ""),
                "remedy": str(alert.get("remedy") or ""),
            }
            for alert in shown
        ],
        "empty": "No open alerts.",
    }


def _by_priority(alerts: Sequence[Mapping[str, Any]]) -> str:
    """How many there are of each priority, the gravest first: 3 P0, 37 P1."""
    counted = Counter(str(alert.get("priority") or "?") for alert in alerts)
    return ", ".join(f"{count} {priority}" for priority, count in sorted(counted.items()))


def decisions(reading: Reading, zone: ZoneInfo) -> list[Row]:
    """Questions that only a person may answer, with their options as buttons."""
    found = []
    snapshot = reading.snapshot or {}
    now = snapshot.get("at")
    for each in rows(snapshot, "decisions"):
        options = [str(option) for option in each.get("options") or ()]
        escalated = each.get("escalated_at")
        found.append(
            {
                "decision_id": str(each.get("decision_id") or ""),
                "question": str(each.get("question") or ""),
                "since": formats.dated(each.get("since"), now, zone),
                "escalated": f"escalated {formats.dated(escalated, now, zone)}" if escalated else "",
                "options": [
                    {
                        "value": value,
                        "label": _OPTION_WORDS.get(value, formats.words(value)),
                        "grave": value == "liquidate",
                    }
                    for value in options
                ],
            }
        )
    return found


def emergency(reading: Reading, zone: ZoneInfo) -> Row:
    """What Emergency Liquidate & Halt would do now, and how far a begun one has come."""
    snapshot = reading.snapshot or {}
    return {
        "would": _would(snapshot),
        "reasons": list(EMERGENCY_REASONS),
        "progress": _progress(snapshot, zone),
        "version": snapshot.get("version"),
        "linked": reading.link.state is LinkState.OK,
    }


def emergency_progress(reading: Reading, zone: ZoneInfo) -> Row:
    """How far a begun emergency has come, for the strip that stays on the page; {"progress": None} without one."""
    return {"progress": _progress(reading.snapshot or {}, zone)}


def _would(snapshot: Mapping[str, Any]) -> list[str]:
    """The steps of §15 with what they would touch."""
    if not snapshot.get("session_id"):
        return ["No session is known to be open: the platform may have nothing to act on."]
    live = [order for order in rows(snapshot, "orders") if order.get("status") in OPEN]
    held = rows(snapshot, "positions")
    named = ", ".join(f"{each.get('symbol')} {formats.quantity(each.get('qty'))}" for each in held[:6])
    rest = f" and {len(held) - 6} more" if len(held) > 6 else ""
    close = (
        f"close {formats.plural(len(held), 'position')} ({named}{rest})" if held else "close whatever the broker holds"
    )
    return [
        "Stop all entries at once.",
        f"Cancel {formats.plural(len(live), 'open order')}, {close}.",
        "Stay halted until reconciled and released by a person.",
    ]


def _progress(snapshot: Mapping[str, Any], zone: ZoneInfo) -> Row | None:
    begun = section(snapshot, "emergency")
    if not begun:
        return None
    lines = [_line(line) for line in rows(begun, "lines")]
    symbols = [line for line in lines if line["symbol"]]
    flat = sum(line["step"] == "flat" for line in symbols)
    done, now = begun.get("completed_at"), snapshot.get("at")
    halt = section(snapshot, "trading_state")
    state, resumed = str(halt.get("shown") or ""), halt.get("state") == "active"
    if done and resumed:
        headline = f"Over: flat at the broker since {formats.dated(done, now, zone)}"
        detail = f"The book has been resumed since and is {state}."
    elif done:
        headline = f"Flat at the broker since {formats.dated(done, now, zone)}"
        detail = f"The book remains {state}. Do not resume before reconciliation is complete (§15)." if state else ""
    elif symbols:
        headline, detail = (
            f"Liquidating: {flat} of {len(symbols)} flat",
            "Watch cancels and closes until every line is flat.",
        )
    else:
        headline, detail = "Liquidating: reading the broker's positions", "Entries are stopped."
    by, since = begun.get("by") or "unknown", formats.dated(begun.get("started_at"), now, zone)
    return {
        "done": bool(done),
        "headline": headline,
        "detail": detail,
        "who": f"{by} at {since}: {begun.get('reason') or ''}",
        "lines": lines,
    }


def _line(line: Mapping[str, Any]) -> Row:
    step = str(line.get("step") or "")
    word, tone = _STEPS.get(step, (formats.words(step), "warn"))
    attempt = formats.decimal(line.get("attempt")) or 0
    detail = str(line.get("detail") or "")
    tried = f"attempt {int(attempt)}" if attempt > 1 else ""
    return {
        "symbol": str(line.get("symbol") or ""),
        "step": step,
        "word": word,
        "tone": tone,
        "detail": " · ".join(part for part in (detail, tried) if part),
    }


def closing(reading: Reading, zone: ZoneInfo) -> Row | None:
    """The panel of a book without a session, or of one that is over; None during the day."""
    snapshot = reading.snapshot or {}
    if not snapshot.get("session_id"):
        return _nothing_yet(reading)
    if snapshot.get("phase") not in ("review", "closed"):
        return None
    summary: Mapping[str, Any] = next(
        (event for event in reversed(reading.milestones) if event.get("type") == "session.summarized"), {}
    )
    facts = [
        ("Net P&L", formats.money(summary.get("net_pnl"), signed=True)),
        ("Trades", formats.whole(summary.get("trades"))),
        ("Orders", formats.whole(summary.get("orders"))),
        ("Fills", formats.whole(summary.get("fills"))),
        ("Breaks", formats.whole(summary.get("breaks"))),
    ]
    over = snapshot.get("phase") == "closed"
    return {
        "title": f"Session {snapshot.get('session_id')} is {'closed' if over else 'under review'}",
        "text": "Nothing more is decided in it."
        if over
        else "Orders and positions are settled; the summary is being written.",
        "facts": [{"label": label, "value": value} for label, value in facts] if summary else [],
        "verdicts": _verdicts(reading.milestones, rows(snapshot, "reports")),
    }


def _nothing_yet(reading: Reading) -> Row:
    if reading.link.state is LinkState.OK:
        text = "The platform runs and has not opened a session. Its phases appear here as soon as it does."
        return {"title": "No session yet", "text": text, "facts": [], "verdicts": []}
    return {
        "title": reading.link.title or "No session yet",
        "text": f"{reading.link.detail}. {reading.link.remedy}".strip(". ") + ".",
        "facts": [],
        "verdicts": [],
    }


def _verdicts(milestones: Sequence[Mapping[str, Any]], reports: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Preflight verdicts from the journal, and the reports' where the platform names them, with their paths."""
    found = [
        _verdict(
            f"Preflight {event.get('phase')}",
            event.get("verdict"),
            ", ".join(str(f) for f in event.get("failed") or ()),
        )
        for event in milestones
        if event.get("type") == "session.preflight_recorded"
    ]
    return found + [
        _verdict(formats.words(each.get("name")), each.get("verdict"), str(each.get("path") or "")) for each in reports
    ]


def _verdict(name: str, verdict: Any, detail: str) -> Row:
    said = str(verdict or formats.ABSENT)
    return {"name": name, "verdict": said, "tone": {"GO": "ok", "NO-GO": "bad"}.get(said, "warn"), "detail": detail}
