"""What `qm status` looks at, layer by layer, from a view and the files of the book (M: Three-Layer Model)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qmworkbench.cli.status import Line

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

_URGENCY = {"P0": "fail", "P1": "fail"}


def lines_of(config: "Config", view: dict[str, Any], source: str, trouble: str) -> list[Line]:
    """Every line. `view` is the snapshot of the Core API or of the record, `source` says which."""
    from qmworkbench.storage.stores import written_at

    seen_at = _moment(view.get("wall_at")) or _written_at(written_at(config.paths))
    return [
        *_platform(config, view, source, trouble, seen_at),
        *_strategies(view, source, seen_at),
        *_portfolio(view, source, seen_at),
    ]


def _platform(
    config: "Config", view: dict[str, Any], source: str, trouble: str, seen_at: datetime | None
) -> list[Line]:
    from qmworkbench.service.lease import holder_of, is_held
    from qmworkbench.storage.stores import open_reader, shown, written_at

    paths = config.paths
    held, holder = is_held(paths.lease), holder_of(paths.lease)
    is_open = view["phase"] not in ("", "closed")
    lines = []
    if held:
        who = holder.sentence() if holder is not None else "a process that has not said who it is"
        lines.append(Line("platform", "process", "ok", who, "lease", holder.since if holder else None))
    elif is_open:
        lines.append(Line("platform", "process", "fail", "none, and the session is open: run `qm day` again", "lease"))
    else:
        lines.append(Line("platform", "process", "idle", "none is running", "lease"))
    headless = held and source != "core API" and not paths.api_json.exists()
    if source == "core API":
        lines.append(Line("platform", "core API", "ok", "answers", "core API", seen_at))
    elif headless:
        lines.append(Line("platform", "core API", "idle", "none: a headless run serves none", "api.json"))
    elif trouble:
        lines.append(Line("platform", "core API", "fail", trouble, "core API"))
    else:
        lines.append(Line("platform", "core API", "idle", "not served", "api.json"))
    with open_reader(paths) as journal:
        seq, head = journal.head()
    value = f"{seq:,} decisions, head {head[:16]}"
    lines.append(Line("platform", "journal", "ok", value, shown(paths), _written_at(written_at(paths))))
    lines += _health(view, source)
    lines.append(_session(view, source, seen_at))
    if is_open:
        connected = view["broker"]["connected"]
        said = view["broker"]["detail"] or "connected"
        lines.append(Line("platform", "broker", "ok" if connected else "fail", said, source, seen_at))
        lines.append(_feed(view, source))
    lines.append(_reconciled(view, source))
    lines += [
        Line("platform", f"{alert['priority']} {alert['kind']}", _URGENCY.get(alert["priority"], "warn"),
             f"{alert['text']}. {alert['remedy']}", source, seen_at)
        for alert in view["alerts"]
    ]  # fmt: skip
    return lines


def _health(view: dict[str, Any], source: str) -> list[Line]:
    """Every component that is not well, as the running platform tells it; from the record alone nothing is known."""
    if "health" not in view:
        return []
    parts = view["health"]["components"]
    ill = [part for part in parts if part["status"] != "healthy"]
    if not ill:
        return [Line("platform", "components", "ok", f"all {len(parts)} healthy", source)]
    return [
        Line(
            "platform",
            part["component"].replace("_", " "),
            "fail" if part["critical"] and part["status"] == "failed" else "warn",
            f"{part['status']}: {part['detail']}",
            source,
            _moment(part["last_success"]),
        )
        for part in ill
    ]


def _session(view: dict[str, Any], source: str, seen_at: datetime | None) -> Line:
    recovered = ", recovered" if view.get("recovered") else ""
    return Line(
        "platform", "session", "ok", f"{view['session_id']} in phase {view['phase']}{recovered}", source, seen_at
    )


def _feed(view: dict[str, Any], source: str) -> Line:
    feed = view["feed"]
    state = "ok" if feed["state"] == "good" else "warn"
    value = f"{feed['state']}, boundary {feed['boundary']} of {feed['boundaries']} {feed['detail']}".rstrip()
    # Market time: its age on the wall would say nothing in a replay.
    return Line("platform", "market data", state, f"{value}, at {feed['boundary_at'] or 'no boundary yet'}", source)


def _reconciled(view: dict[str, Any], source: str) -> Line:
    found = view["reconciliation"]
    unresolved = found["unresolved"]
    value = f"{found['result'] or 'not yet'}, {found['breaks']} breaks"
    if unresolved:
        value += ": " + "; ".join(
            f"{b['kind']} {b['symbol']}".strip() + f": {b['before']} here, {b['after']} there" for b in unresolved
        )
    return Line("platform", "reconciliation", "fail" if unresolved else "ok", value, source)


def _strategies(view: dict[str, Any], source: str, seen_at: datetime | None) -> list[Line]:
    trading = view["trading_state"]
    active = str(trading["state"]).lower() == "active"
    why = f": {_cause(trading)}" if trading["reason"] else ""
    lines = [
        Line("strategies", "trading state", "ok" if active else "warn", f"{trading['shown']}{why}", source, seen_at)
    ]
    # One cause alone decides the state; the others are there still when that one is settled.
    others = [cause for cause in trading["causes"] if cause["code"] != trading["code"]]
    lines += [Line("strategies", "halted by too", "warn", _cause(cause), source) for cause in others if not active]
    begun = view["emergency"]
    if begun and not active:
        lines.append(Line("strategies", "emergency", "warn", _emergency(begun), source))
    lines += [
        Line("strategies", "decision required", "warn", _decision(asked), source) for asked in view.get("decisions", ())
    ]
    if view.get("entries_held"):
        lines.append(Line("strategies", "entries", "warn", f"held: {view['entries_held']}", source, seen_at))
    for run in view.get("runs", ()):
        state = "idle" if run["ended"] else "ok" if str(run["state"]).lower() == "active" else "warn"
        ended = ", ended" if run["ended"] else ""
        # The worse of book and instance counts: ACTIVE beside a halted book would be taken for its entries passing.
        held = state == "ok" and not active
        shown = f"held by the book; by itself {run['shown']}" if held else run["shown"]
        state = "warn" if held else state
        value = f"{shown}{ended}, {run['trades']} trade{'' if run['trades'] == 1 else 's'}"
        lines.append(Line("strategies", run["strategy_id"], state, value, source, seen_at))
    return [*lines, *_signals(view, source, seen_at)]


def _cause(halt: dict[str, Any]) -> str:
    since = f", since {halt['since']}" if halt["since"] else ""
    return f"{halt['reason']} (by {halt['by'] or 'unknown'}{since})"


def _emergency(begun: dict[str, Any]) -> str:
    """How far it has come, symbol by symbol (§15: watch every position to zero)."""
    if begun["completed_at"]:
        return f"flat at the broker since {begun['completed_at']}; reconcile before a resume"
    lines = [line for line in begun["lines"] if line["symbol"]]
    flat = sum(line["step"] == "flat" for line in lines)
    rest = [f"{n['symbol']} {n['step'].replace('_', ' ')} {n['detail']}".strip() for n in lines if n["step"] != "flat"]
    return f"liquidating, {flat} of {len(lines)} flat" + (f": {'; '.join(rest)}" if rest else "")


def _decision(asked: dict[str, Any]) -> str:
    choices = "|".join(asked["options"])
    return f"{asked['question']} Asked {asked['since']}: `qm decide {asked['decision_id']} {choices} --reason …`"


def _signals(view: dict[str, Any], source: str, seen_at: datetime | None) -> list[Line]:
    """The four signals of §9: what each saw, or how much it still has to see before it says anything."""
    lines = []
    for signal in view.get("analytics", {}).get("signals", ()):
        value = signal["text"]
        if signal["state"] in ("active", "quiet"):
            unit = "" if signal["unit"] == "entries" else f" {signal['unit']}"
            value += f" (value {signal['value']:g}{unit}, threshold {signal['threshold']:g}{unit})"
        elif signal["state"] == "few":
            value += f" (too few to say anything: {signal['sample']} of {signal['needed']})"
        state = {"active": "warn", "quiet": "ok"}.get(signal["state"], "idle")
        lines.append(Line("strategies", signal["title"].lower(), state, value, source, seen_at))
    return lines


def _portfolio(view: dict[str, Any], source: str, seen_at: datetime | None) -> list[Line]:
    account = view.get("account")
    lines = []
    if account:
        value = (
            f"equity {_money(account['equity'])} {account['currency']}, day {_money(account['day_pnl'])}, realized "
            f"{_money(account['realized_pnl'])}, fees {_money(account['fees'])}"
        )
        lines.append(Line("portfolio", "account", "ok", value, source, seen_at))
    for held in view["positions"]:
        mark = "no mark" if held["mark_px"] is None else f"mark {held['mark_px']}"
        value = f"{held['side']} {held['qty']} at {held['avg_px']}, {mark}, {_money(held['unrealized_pnl'])}"
        if held.get("pips") is not None:
            value += f", {float(held['pips']):+.1f} pips"
        lines.append(Line("portfolio", held["symbol"], "ok", f"{value} ({held['strategy_id']})", source, seen_at))
    if not view["positions"]:
        lines.append(Line("portfolio", "positions", "ok", "flat", source, seen_at))
    if view.get("session_id"):
        lines.append(_orders(view, source, seen_at))
    return lines


def _orders(view: dict[str, Any], source: str, seen_at: datetime | None) -> Line:
    working = [order for order in view["orders"] if order["open"]]
    doubtful = sum(order["status"] == "unknown" for order in working)
    doubt = f", {doubtful} in doubt" if doubtful else ""
    value = f"{len(working)} open{doubt}" + (": `qm order list` has their ids" if working else "")
    return Line("portfolio", "orders", "warn" if doubtful else "ok", value, source, seen_at)


def _money(value: str | None) -> str:
    return "unknown" if value is None else f"{float(value):,.2f}"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def _written_at(journal: Path) -> datetime | None:
    """When the journal was last written: its own file or the log beside it."""
    times = [path.stat().st_mtime for path in (journal, journal.with_name(f"{journal.name}-wal")) if path.exists()]
    return datetime.fromtimestamp(max(times), UTC) if times else None
