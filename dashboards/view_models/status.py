"""The status bar and the notices below it: which environment, may it trade, how healthy, how old (§5, §9, §11)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from dashboards.reading import LinkState, Reading
from dashboards.view_models import formats
from dashboards.view_models.verdict import Verdict, rows, section, stopped

STATE_TONES: Final = {"active": "ok", "reducing": "warn", "halted": "bad"}
# A market clock that is this far from the wall's is a replayed one.
_REPLAY_AFTER: Final = timedelta(minutes=10)
_DEGRADED: Final = "must_halt.data_degraded"
_ENVIRONMENTS: Final = {
    "local": "simulated venue, no real orders",
    "paper": "the broker's paper account, no real capital",
    "live": "REAL CAPITAL: orders go to the live account",
    "backtest": "history, no broker",
}

Row = dict[str, Any]


def status_bar(reading: Reading, verdict: Verdict, zone: ZoneInfo) -> Row:
    """Everything the bar shows but the age, which changes every second (`data_age`)."""
    snapshot = reading.snapshot or {}
    environment = str(snapshot.get("environment") or "")
    return {
        "environment": {
            "text": environment.upper() or "NO SESSION",
            "kind": environment if environment in _ENVIRONMENTS else "none",
            "detail": _ENVIRONMENTS.get(environment, "no session has been opened in this book"),
        },
        "book": str(snapshot.get("book") or ""),
        "state": trading_state(reading, verdict, zone),
        "layers": [
            {"name": layer.name, "tone": layer.tone, "word": layer.word, "detail": layer.detail}
            for layer in verdict.layers
        ],
        "phase": _phase(snapshot),
        "clock": _clock(snapshot, zone),
        "title": _title(reading, snapshot),
        "version": snapshot.get("version"),
        "mark": verdict.price_mark,
        "charts": {"equity": bool(snapshot.get("equity_curve")), "trades": bool(rows(snapshot, "trades"))},
    }


def trading_state(reading: Reading, verdict: Verdict, zone: ZoneInfo) -> Row:
    """The trading state in its full words, never a bare HALTED, and why; ACTIVE is green only where entries pass."""
    snapshot = reading.snapshot or {}
    if not snapshot.get("session_id"):
        known = reading.link.state is LinkState.OK
        text = "NO SESSION" if known else "STATE UNKNOWN"
        return {"text": text, "tone": "dim" if known else "bad", "why": "" if known else reading.link.detail}
    state = section(snapshot, "trading_state")
    name, shown = str(state.get("state") or ""), str(state.get("shown") or "STATE UNKNOWN")
    tone = STATE_TONES.get(name, "bad")
    if name == "active":
        tone, why = _active(snapshot, verdict)
        return {"text": shown, "tone": tone, "why": why}
    parts = [formats.words(state.get("code"))] if state.get("code") else []
    parts += [str(state.get("reason"))] if state.get("reason") else []
    parts += [f"by {state['by']}"] if state.get("by") else []
    parts += [f"since {formats.dated(state['since'], snapshot.get('at'), zone)}"] if state.get("since") else []
    return {"text": shown, "tone": tone, "why": " · ".join(parts)}


def _active(snapshot: Mapping[str, Any], verdict: Verdict) -> tuple[str, str]:
    """ACTIVE says what may pass, not that anything does: tone, and what else keeps entries from passing."""
    phase, feed = str(snapshot.get("phase") or ""), section(snapshot, "feed")
    held = str(snapshot.get("entries_held") or "")
    data = str(feed.get("state") or "good")
    if phase == "closed":
        return "dim", "the session is closed: nothing is traded"
    if held:
        why = f"entries held: {held}"
    elif data != "good":
        why = f"no entries while market data is {data}; exits running"
    elif phase != "market_session":
        why = "entries pass in the market session only"
    else:
        why = ""
    if verdict.platform.tone == "bad":
        return "doubt", why or f"platform {verdict.platform.word}: this state is unreliable"
    return ("held", why) if why else (STATE_TONES["active"], "entries and exits running")


def _phase(snapshot: Mapping[str, Any]) -> Row:
    feed = section(snapshot, "feed")
    boundary, boundaries = formats.decimal(feed.get("boundary")), formats.decimal(feed.get("boundaries"))
    progress = ""
    if boundary is not None and boundaries:
        progress = f"boundary {formats.whole(boundary)} of {formats.whole(boundaries)}"
    phase = str(snapshot.get("phase") or "")
    return {"text": formats.words(phase) if phase else "No phase", "progress": progress}


def _clock(snapshot: Mapping[str, Any], zone: ZoneInfo) -> Row:
    """The market's clock; in a replay it is not the wall's, and says so."""
    at, wall_at = formats.moment(snapshot.get("at")), formats.moment(snapshot.get("wall_at"))
    if at is None:
        return {"time": formats.ABSENT, "date": "", "replay": False}
    return {
        "time": f"{formats.clock(snapshot.get('at'), zone)} {formats.zone_name(snapshot.get('at'), zone)}",
        "date": formats.day_of(snapshot.get("at"), zone),
        "replay": wall_at is not None and abs(wall_at - at) > _REPLAY_AFTER,
    }


def data_age(reading: Reading, now: float, wall: datetime) -> Row:
    """How old the market data are: {text, tone}. A replay is measured by when its boundary was first seen."""
    snapshot = reading.snapshot or {}
    feed = section(snapshot, "feed")
    if snapshot.get("phase") == "closed":
        return {"text": "session closed", "tone": "dim"}
    seconds = reading.data_age_s(now)
    if seconds is None:
        return {"text": "no market data yet", "tone": "dim"}
    at, market = formats.moment(snapshot.get("at")), formats.moment(feed.get("boundary_at"))
    wall_at = formats.moment(snapshot.get("wall_at"))
    if at and market and wall_at and abs(wall_at - at) <= _REPLAY_AFTER:
        seconds = max(seconds, (wall - market).total_seconds())
    good = str(feed.get("state", "good")) == "good"
    return {"text": f"data {formats.age(seconds)} old", "tone": "dim" if good else "warn"}


def _title(reading: Reading, snapshot: Mapping[str, Any]) -> str:
    """The browser tab's text: the state first, because that is what a narrow tab shows."""
    environment = str(snapshot.get("environment") or "").upper()
    state = str(section(snapshot, "trading_state").get("shown") or "") if snapshot.get("session_id") else ""
    parts = [state or "No session", environment, "QuantMatrix"]
    return " · ".join(part for part in parts if part)


def notices(reading: Reading, verdict: Verdict) -> list[Row]:
    """What holds trading back or marks this session, worst first; an empty list is a quiet session."""
    snapshot = reading.snapshot or {}
    found: list[Row] = [*_must_halts(snapshot)]
    if verdict.platform.tone in ("bad", "warn"):
        found.append(_notice(verdict.platform.tone, f"Platform {verdict.platform.word}", verdict.platform.detail))
    if stopped(reading):
        found.append(_notice("info", "Platform stopped", "its session is closed; this is its last state"))
    found += _feed(snapshot)
    held = str(snapshot.get("entries_held") or "")
    if held and snapshot.get("phase") != "closed":
        found.append(_notice("warn", "Entries held", held))
    state = str(section(snapshot, "trading_state").get("state") or "active")
    if snapshot.get("session_id") and state != "active" and snapshot.get("phase") != "closed":
        way = "leaving this state takes a passed reconciliation and a recorded resume (§15, §23)"
        found.append(_notice(STATE_TONES.get(state, "bad"), "No entries", way))
        found += _other_causes(section(snapshot, "trading_state"))
    waiting = len(rows(snapshot, "decisions"))
    if waiting:
        found.append(_notice("warn", f"{formats.plural(waiting, 'decision')} required", "a person has to answer"))
    silenced = str(snapshot.get("silenced") or "")
    if silenced and snapshot.get("phase") != "closed":
        found.append(_notice("info", "Scanner silent", silenced))
    if snapshot.get("recovered") is True:
        found.append(_recovered(rows(snapshot, "recovery")))
    if snapshot.get("unattended") is True:
        found.append(_notice("info", "Unattended", "human lines are signed policy:unattended"))
    return found


def _recovered(checks: Sequence[Mapping[str, Any]]) -> Row:
    """The session was taken over; §19's criteria, as far as they have been looked at."""
    text = "this process took over a session that another left unfinished"
    failed = [str(check.get("title")) for check in checks if check.get("status") == "fail"]
    if failed:
        return _notice("bad", "Recovered, not accepted", f"{text}; §19 does not hold: {', '.join(failed)}")
    accepted = f"; {len(checks)} of {len(checks)} criteria of §19 hold" if checks else ""
    return _notice("info", "Recovered", text + accepted)


def _must_halts(snapshot: Mapping[str, Any]) -> list[Row]:
    """§23's conditions that halted the book, each named: they stand above everything else until it is resumed."""
    if snapshot.get("phase") == "closed":
        return []
    causes = [cause for cause in rows(section(snapshot, "trading_state"), "causes") if cause.get("condition")]
    return [
        _notice("bad", f"Must halt: {cause['condition']}", str(cause.get("reason") or ""))
        | {"remedy": str(cause.get("remedy") or ""), "banner": True}
        for cause in causes
    ]


def _other_causes(halt: Mapping[str, Any]) -> list[Row]:
    """What else halted the book beside the cause in the bar and the conditions of §23: a resume answers all of it."""
    return [
        _notice(
            "warn", "Halted too", f"{formats.words(cause.get('code'))}: {cause.get('reason')} (by {cause.get('by')})"
        )
        for cause in rows(halt, "causes")
        if cause.get("code") != halt.get("code") and not cause.get("condition")
    ]


def _feed(snapshot: Mapping[str, Any]) -> list[Row]:
    """Market data that is not good: what it does by itself, and when that becomes a halt."""
    feed = section(snapshot, "feed")
    state = str(feed.get("state") or "good")
    if state == "good" or not snapshot.get("session_id") or snapshot.get("phase") == "closed":
        return []
    detail = str(feed.get("detail") or "no detail")
    after = feed.get("halts_after_s")
    halted = any(cause.get("code") == _DEGRADED for cause in rows(section(snapshot, "trading_state"), "causes"))
    turns = f"; after {formats.age(float(after))} of it the book halts" if isinstance(after, int) and not halted else ""
    words = f"{detail}; entries are blocked until it is good again{turns}"
    return [_notice("bad" if state == "crossed" else "warn", f"Market data {state}", words)]


def _notice(tone: str, text: str, detail: str) -> Row:
    return {"tone": tone, "text": text, "detail": detail}


def veil(reading: Reading, now: float) -> Row:
    """What covers the page when it no longer shows what is: {"state": "" | name, "title", "detail", "remedy", "age_s"}.

    `age_s` is None before the first contact. Trouble of less than three seconds is no trouble yet.
    """
    link, age_s = reading.link, reading.contact_age_s(now)
    if link.state is LinkState.ENDED:
        return _ended(reading, age_s)
    lost = link.state in (LinkState.ABSENT, LinkState.DOWN, LinkState.REFUSED)
    quiet = stopped(reading) or (link.state is LinkState.ABSENT and reading.snapshot is None)
    if link.state is LinkState.WAITING or quiet or (not lost and (age_s or 0) < 3) or (lost and (age_s or 99) < 3):
        return {"state": "", "title": "", "detail": "", "remedy": "", "age_s": age_s}
    title = link.title or "The platform does not answer"
    detail = link.detail or "its last answer is too old"
    if link.state is not LinkState.ABSENT:
        # Not seen is not stopped: a page that says "offline" while orders go on has cost people money.
        detail += "; it may be trading all the same"
    return {"state": link.state.value, "title": title, "detail": detail, "remedy": link.remedy, "age_s": age_s}


def _ended(reading: Reading, age_s: float | None) -> Row:
    """The page says goodbye: after the session's close that is all there is to say."""
    closed = (reading.snapshot or {}).get("phase") == "closed"
    detail = "the session is closed" if closed else f"{reading.link.detail}; the platform may still be trading"
    remedy = "" if closed else reading.link.remedy
    return {"state": "ended", "title": reading.link.title, "detail": detail, "remedy": remedy, "age_s": age_s}
