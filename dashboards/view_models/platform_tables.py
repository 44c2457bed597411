"""Health, risk limits, denials, blocks, runs, phases and reconciliation as tables (§7, §9, §11, §14)."""

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models import formats
from dashboards.view_models.cards import share
from dashboards.view_models.tables import RIGHT, Cell, Row, Table, action, cell, column, row, table
from dashboards.view_models.verdict import Verdict, rows, section, severity

DENIALS_SHOWN: Final = 8
MONEY_BREAKS: Final = frozenset({"cash", "fees", "realized_pnl"})
VIOLATIONS_SHOWN: Final = 3
# Of a session that has had more, the Core API tells so many.
DENIALS_TOLD: Final = 20
VIOLATIONS_TOLD: Final = 20
_HEALTH_TONES: Final = {"healthy": "ok", "degraded": "warn", "failed": "bad"}
_RESULT_TONES: Final = {"clean": "ok", "repaired": "info", "unresolved": "bad", "incomplete": "warn"}
_WORST_FIRST: Final = {"failed": 0, "degraded": 1, "healthy": 2}

_HEALTH: Final = (
    column("Component"),
    column("Status"),
    column("Latency", RIGHT),
    column("Last success", RIGHT, hint="how long ago it last did its work"),
)
_RISK: Final = (column("Limit"), column("Used", RIGHT), column("Limit at", RIGHT), column("", hint="share used"))
_DENIALS: Final = (
    column("Time"),
    column("Symbol"),
    column("Strategy", wide_only=True),
    column("Denied because", grow=True),
)
_BLOCKED: Final = (column("Symbol"), column("Scope"), column("By"), column("Reason", grow=True))
_RUNS: Final = (
    column("Strategy"),
    column("State"),
    column("Trades", RIGHT),
    column("Last boundary", RIGHT),
)
_PHASES: Final = (column("Phase"), column("Entered", RIGHT), column("Entry condition", wide_only=True, grow=True))
_BREAKS: Final = (
    column("Severity"),
    column("Symbol"),
    column("What differs"),
    column("Ours", RIGHT),
    column("Broker's", RIGHT),
    column("Cause", wide_only=True, grow=True),
)


def health(reading: Reading) -> Table:
    """Components, worst first; what is wrong stands below the component's line."""
    report = reading.health or {}
    parts = sorted(rows(report, "components"), key=lambda part: _WORST_FIRST.get(str(part.get("status")), 0))
    ill = sum(part.get("status") != "healthy" for part in parts)
    note = (f"{ill} of {len(parts)} not healthy" if ill else "all healthy") if parts else ""
    shown = [_component(part, report.get("at")) for part in parts]
    return table("System health", _HEALTH, shown, empty="No health report from the platform.", note=note)


def _component(part: Mapping[str, Any], at: Any) -> Row:
    status = str(part.get("status") or "unknown")
    name = formats.words(part.get("component"))
    shown = row(
        str(part.get("component")),
        [
            cell(
                name,
                strong=part.get("critical") is True,
                hint="critical: without it nothing may be traded" if part.get("critical") else "",
            ),
            cell(status, tone=_HEALTH_TONES.get(status, "bad"), chip=True),
            formats.milliseconds(part.get("latency_ms")),
            _ago(part.get("last_success"), at),
        ],
    )
    shown["below"] = str(part.get("detail") or "") if status != "healthy" else ""
    return shown


def _ago(then: Any, at: Any) -> str:
    seconds = formats.seconds_between(then, at)
    return "never" if then is None else formats.ABSENT if seconds is None else f"{formats.age(seconds)} ago"


def risk(reading: Reading, verdict: Verdict) -> Table:
    """The Risk Manager's limits and what is used of each."""
    given = section(reading.snapshot or {}, "risk")
    shown = [
        _limit(label, section(given, name), amount)
        for label, name, amount in (
            ("Daily loss", "daily_loss", True),
            ("Trades today", "trades", False),
            ("Open positions", "open_positions", False),
            ("Submits, last minute", "submits_last_minute", False),
        )
        if section(given, name)
    ]
    violated = rows(given, "violations")
    shown += [_violation(n, each) for n, each in enumerate(violated[:VIOLATIONS_SHOWN])]
    digest = str(given.get("limits_hash") or "")
    note = f"limits {digest[:8]}" if digest else ""
    more = max(0, len(violated) - VIOLATIONS_SHOWN)
    empty = "No limits yet: they come with the session."
    told = len(violated) < VIOLATIONS_TOLD
    return table("Risk limits", _RISK, shown, empty=empty, mark=verdict.mark, note=note, more=more, told=told)


def _violation(n: int, each: Mapping[str, Any]) -> Row:
    """A limit that was breached today, with what that did (§11): on record, and not forgotten when it is over."""
    about = str(each.get("symbol") or "")
    shown = row(
        f"violation/{n}",
        [
            cell(f"{formats.words(each.get('code'))} {about}".strip(), tone="bad"),
            cell(str(each.get("value") or formats.ABSENT), tone="bad"),
            str(each.get("limit") or formats.ABSENT),
            cell("breached", tone="bad", chip=True),
        ],
    )
    shown["below"] = str(each.get("effect") or "")
    return shown


def _limit(label: str, used: Mapping[str, Any], amount: bool) -> Row:
    write = formats.money if amount else formats.whole
    pct = share(formats.decimal(used.get("used")), formats.decimal(used.get("limit")))
    tone = "" if pct is None else "bad" if pct >= 100 else "warn" if pct >= 75 else "ok"
    return row(
        label,
        [
            label,
            write(used.get("used")),
            write(used.get("limit")),
            formats.ABSENT
            if pct is None
            else cell("", pct=float(pct), tone=tone, hint=formats.percent(pct, signed=False, places=0)),
        ],
    )


def denials(reading: Reading, zone: ZoneInfo) -> Table:
    """Entries that the Risk Manager refused before anything was sent."""
    given = rows(section(reading.snapshot or {}, "risk"), "denials")
    shown = [
        row(
            f"{each.get('at')}|{each.get('symbol')}|{n}",
            [
                formats.clock(each.get("at"), zone),
                cell(str(each.get("symbol") or ""), strong=True),
                str(each.get("strategy_id") or formats.ABSENT),
                str(each.get("text") or ", ".join(str(code) for code in each.get("codes") or ())),
            ],
        )
        for n, each in enumerate(given[:DENIALS_SHOWN])
    ]
    more = max(0, len(given) - DENIALS_SHOWN)
    told = len(given) < DENIALS_TOLD
    return table("Denied by risk", _DENIALS, shown, empty="Nothing was denied.", more=more, told=told)


def blocked(reading: Reading) -> Table:
    """Symbols that may not be entered; those from the limits file are lifted there."""
    given = rows(section(reading.snapshot or {}, "risk"), "blocked")
    shown = []
    for each in given:
        symbol, by = str(each.get("symbol") or ""), str(each.get("by") or "")
        actions = [] if by == "limits" else [action("unblock", "Unblock", symbol)]
        cells = [cell(symbol, strong=True), str(each.get("scope") or ""), by, str(each.get("reason") or "")]
        shown.append(row(symbol, cells, actions=actions))
    return table("Blocked symbols", _BLOCKED, shown, empty="No symbol is blocked.")


def runs(reading: Reading, zone: ZoneInfo, verdict: Verdict) -> Table:
    """Strategy instances: each must reach its end. The worse of the book's state and its own is shown."""
    snapshot = reading.snapshot or {}
    book = section(snapshot, "trading_state")
    shown = []
    for each in rows(snapshot, "runs"):
        name = str(each.get("strategy_id") or "")
        cells = [
            cell(name, strong=True),
            _run_state(each, book),
            formats.whole(each.get("trades")),
            formats.clock(each.get("last_boundary_at"), zone, seconds=False),
        ]
        shown.append(row(str(each.get("run_id") or name), cells, actions=_run_actions(each, name, book)))
        shown[-1]["below"] = _of_note(each, snapshot.get("at"), zone)
    return table("Strategies", _RUNS, shown, empty="No strategy runs.", mark=verdict.mark)


def _run_actions(run: Mapping[str, Any], name: str, book: Mapping[str, Any]) -> list[Row]:
    if run.get("ended"):
        return []
    if run.get("state") == "active":
        return [action("stop", "Stop", name)]
    # While the book is halted a restart is refused anyway: the book is resumed first.
    return [] if severity(book.get("state")) > 0 else [action("restart", "Restart", name)]


def _of_note(run: Mapping[str, Any], now: Any, zone: ZoneInfo) -> str:
    """What a person should know of an instance before touching it; "" where all is as it should be."""
    found = []
    if run.get("why") and run.get("since") and not run.get("ended"):
        found.append(f"stopped by {run.get('by')} at {formats.dated(run['since'], now, zone)}: {run['why']}")
    doubtful = run.get("in_doubt")
    if isinstance(doubtful, list | tuple) and doubtful:
        found.append(f"{formats.plural(len(doubtful), 'order')} in doubt")
    lost = [str(held.get("symbol")) for held in rows(run, "holds") if held.get("owned") is False]
    if lost and not run.get("ended"):
        found.append(f"holds {', '.join(lost)} without owning it")
    return " · ".join(found)


def _run_state(run: Mapping[str, Any], book: Mapping[str, Any]) -> Cell:
    ended, own = run.get("ended"), str(run.get("shown") or formats.words(run.get("state")))
    if ended:
        return cell("ended", tone="dim", chip=True, hint=ended if isinstance(ended, str) else "")
    if severity(book.get("state")) > severity(run.get("state")):
        return cell(str(book.get("shown") or "unknown"), tone="warn", chip=True, hint=f"the book; by itself {own}")
    return cell(own, tone="ok" if severity(run.get("state")) == 0 else "warn", chip=True)


def phases(reading: Reading, zone: ZoneInfo) -> Table:
    """The day's phases with the condition each was entered on (§4)."""
    snapshot = reading.snapshot or {}
    now = snapshot.get("phase")
    shown = []
    for each in rows(snapshot, "phases"):
        name, entered = each.get("phase"), each.get("entered_at")
        label = cell(formats.words(name), tone="mark" if name == now else "", strong=name == now)
        cells = [label, formats.clock(entered, zone), str(each.get("condition") or "")]
        shown.append(row(str(name), cells, tone="" if entered else "dim"))
    return table("Session phases", _PHASES, shown, empty="No session yet.")


def acceptable(item: Mapping[str, Any]) -> bool:
    """Whether a person may settle this difference with the broker's figure: one in money alone (§14)."""
    return bool(item.get("break_id")) and item.get("kind") in MONEY_BREAKS


def reconciliation(reading: Reading, zone: ZoneInfo) -> Table:
    """The last comparison with the broker; only unresolved breaks are listed."""
    snapshot = reading.snapshot or {}
    last = section(snapshot, "reconciliation")
    result, at = str(last.get("result") or ""), last.get("completed_at")
    shown = []
    for n, each in enumerate(rows(last, "unresolved")):
        severity = str(each.get("severity") or "")
        cells = [
            cell(severity, tone="bad" if severity in ("P0", "P1") else "warn", chip=True),
            cell(str(each.get("symbol") or formats.ABSENT), strong=True),
            formats.words(each.get("kind")),
            str(each.get("before") or formats.ABSENT),
            str(each.get("after") or formats.ABSENT),
            str(each.get("cause") or ""),
        ]
        identity = str(each.get("break_id") or "")
        actions = [action("accept", "Accept", formats.words(each.get("kind")), identity)] if acceptable(each) else []
        shown.append(row(f"{each.get('kind')}|{each.get('symbol')}|{n}", cells, actions=actions))
    if not result or at is None:
        return table("Reconciliation", _BREAKS, shown, empty="Not compared with the broker yet.")
    trigger = formats.words(last.get("trigger")).lower()
    note = f"{result} at {formats.dated(at, snapshot.get('at'), zone)} ({trigger})"
    found = table("Reconciliation", _BREAKS, shown, empty=_settled(result, last), note=note)
    found["note_tone"] = _RESULT_TONES.get(result, "warn")
    return found


def _settled(result: str, last: Mapping[str, Any]) -> str:
    breaks = formats.decimal(last.get("breaks")) or 0
    if result == "incomplete":
        return "The broker could not be read whole; nothing was concluded from it."
    if not breaks:
        return "Our books and the broker's agree: no break."
    return f"{formats.plural(int(breaks), 'break')} found and repaired, none left open."
