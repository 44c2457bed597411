"""Why did it (not) trade X at 10:04? Computed again from stored bars, proved, told in sentences (§9, §17)."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from qmworkbench.domain.candidates import FilterVerdict
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.market import (
    AssignmentDeclined,
    AssignmentMade,
    BoundaryClosed,
    FrameComputed,
    SignalIgnored,
)
from qmworkbench.domain.events.orders import OrderDenied, OrderIntended
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.service.frames import signal_source
from qmworkbench.service.ground import Ground, load_ground
from qmworkbench.service.stories import tell
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.paths import BookPaths
from qmworkbench.trading.fold import fold
from qmworkbench.trading.frame_computer import request_for
from qmworkbench.trading.radar_snapshot import RadarSnapshot
from qmworkbench.trading.scanner import ScanSettings, explain
from qmworkbench.trading.state import State

_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_NEAREST: Final = 3
# What happened at a boundary, the most telling first.
_DECISIVE: Final = (OrderIntended, OrderDenied, SignalIgnored, AssignmentDeclined, AssignmentMade)


class NoSuchSession(ValueError):
    """The book has no session to ask about; the message names those there are."""


@dataclass(frozen=True)
class Why:
    """The answer: sentences in the order one would tell them, and what they were made from."""

    sentences: tuple[str, ...]
    evidence: dict[str, Any]


@dataclass(frozen=True)
class _Session:
    """A session as its journal tells it, up to the boundary asked about and beyond."""

    opened: SessionOpened
    story: Sequence[tuple[int, Event]]
    state: State
    boundary: BoundaryClosed | None
    computed: FrameComputed | None
    zone: ZoneInfo
    calendar: str

    def local(self, at: datetime) -> str:
        """A time as the exchange's clock shows it."""
        return f"{at.astimezone(self.zone):%H:%M:%S}".removesuffix(":00")


def why(paths: BookPaths, symbol: str, at: str, *, session_id: str | None = None) -> Why:
    """The story of `symbol` around `at`, exchange time such as "10:04", in one session (None: the book's newest).

    Any symbol and any time of day may be asked. Raises ValueError for a text that is no time, NoSuchSession, and
    StorageRefused where journal or bars cannot be read.
    """
    asked = symbol.strip().upper()
    with JournalReader(paths.journal) as journal:
        found = _read(journal, session_id, at)
    session = found.session
    told: list[str] = list(found.notes)
    evidence: dict[str, Any] = {
        "session_id": session.opened.session_id,
        "symbol": asked,
        "asked_at": found.moment,
        "boundary": session.boundary.boundary if session.boundary else None,
        "as_of": session.boundary.at if session.boundary else None,
    }
    symbols = [instrument.symbol for instrument in session.opened.instruments]
    if asked not in symbols:
        near = difflib.get_close_matches(asked, symbols, n=_NEAREST, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        told.append(f"{asked} is not among the {len(symbols)} symbols of session {session.opened.session_id}{hint}")
        return Why(tuple(told), evidence | {"nearest": near})
    if session.boundary is not None:
        _tell_the_boundary(paths, session, asked, told, evidence)
    _tell_the_day(session, asked, found.moment, told, evidence)
    return Why(tuple(told), evidence)


# --- which session, which boundary ------------------------------------------------------------------------------


@dataclass
class _Found:
    session: _Session
    moment: datetime
    notes: list[str] = field(default_factory=list)


def _read(journal: JournalReader, session_id: str | None, at: str) -> _Found:
    begun = [(seq, event) for seq, event in journal.session_events() if isinstance(event, SessionOpened)]
    chosen = [(seq, event) for seq, event in begun if session_id in (None, event.session_id)]
    if not chosen:
        there = ", ".join(dict.fromkeys(event.session_id for _, event in begun)) or "none"
        raise NoSuchSession(
            f"the book at {journal.path.parent} has no session {session_id or ''}; it has {there}".strip()
        )
    first, opened = chosen[-1]
    calendar = SessionCalendar(opened.instruments[0].calendar)
    notes: list[str] = []
    moment = _moment(at, opened, calendar.time_zone, notes)
    before = list(journal.events(upto_seq=first - 1)) if first > 1 else []
    story = [(first, opened), *_of_session(journal, first)]
    boundary, computed, upto = _boundary_at(story, moment)
    state = fold([event for _, event in before] + [event for seq, event in story if seq < upto])
    session = _Session(opened, story, state, boundary, computed, calendar.time_zone, calendar.name)
    if boundary is None:
        notes.append(f"no bars of session {opened.session_id} had closed at {session.local(moment)}")
    elif moment - boundary.at >= timedelta(seconds=opened.window.interval_s):
        notes.append(f"the last bars before {session.local(moment)} closed at {session.local(boundary.at)}")
    return _Found(session, moment, notes)


def _of_session(journal: JournalReader, first: int) -> list[tuple[int, Event]]:
    """The events after a session's opening, up to the next session's."""
    found: list[tuple[int, Event]] = []
    for seq, event in journal.events(after_seq=first):
        if isinstance(event, SessionOpened):
            break
        found.append((seq, event))
    return found


def _moment(at: str, opened: SessionOpened, zone: ZoneInfo, notes: list[str]) -> datetime:
    """The moment meant by a time of day: the one that lies in the session, else the nearest to it."""
    match = _CLOCK.fullmatch(at.strip())
    hour, minute, second = (int(part or 0) for part in match.groups()) if match else (99, 0, 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{at!r} is no time of day: give the exchange's time, such as 10:04 or 15:30:30")
    opens, closes = (datetime.fromisoformat(t) for t in (opened.window.opens_at, opened.window.closes_at))
    days = {opens.astimezone(zone).date(), closes.astimezone(zone).date()}
    moments = sorted(datetime.combine(day, time(hour, minute, second), zone) for day in days)
    inside = [moment for moment in moments if opens <= moment <= closes]
    chosen = inside[-1] if inside else min(moments, key=lambda m: min(abs(m - opens), abs(m - closes)))
    if not inside:
        hours = f"{opens.astimezone(zone):%H:%M} to {closes.astimezone(zone):%H:%M}"
        notes.append(f"{at} lies outside the session's hours, {hours} exchange time")
    return chosen.astimezone(opens.tzinfo)


def _boundary_at(
    story: Sequence[tuple[int, Event]], moment: datetime
) -> tuple[BoundaryClosed | None, FrameComputed | None, int]:
    """The last boundary closed by then, its computed frame, and the sequence before which the state is to be taken."""
    boundary: BoundaryClosed | None = None
    computed: FrameComputed | None = None
    upto = story[0][0] + 1
    for seq, event in story:
        if isinstance(event, BoundaryClosed):
            if event.at > moment:
                break
            boundary, computed, upto = event, None, seq + 1
        elif isinstance(event, FrameComputed) and boundary is not None and event.as_of == boundary.at:
            computed, upto = event, seq
    return boundary, computed, upto


# --- the minute: radar, filters, strategies -----------------------------------------------------------------------


def _tell_the_boundary(
    paths: BookPaths, session: _Session, symbol: str, told: list[str], evidence: dict[str, Any]
) -> None:
    assert session.boundary is not None, "asked only for a boundary that closed"
    bars = BarStore(paths.session(session.opened.session_id).bars)
    ground = load_ground(bars)
    radar, features = _recomputed(bars, ground, session, symbol)
    on_record = session.computed.radar_hash if session.computed is not None else ""
    verified = radar.content_hash == on_record
    row = radar.row(symbol)
    evidence |= {
        "radar": msgspec.to_builtins(row),
        "radar_hash": radar.content_hash,
        "radar_hash_on_record": on_record,
        "verified": verified,
        "features": features,
    }
    when = f"{symbol} at {session.local(session.boundary.at)}, boundary {session.boundary.boundary}"
    if row.last is None:
        told.append(f"{when}: it had not traded yet")
    else:
        change = f", {row.change * 100:+.2f} %" if row.change is not None else ""
        told.append(f"{when}: last {row.last:g}{change}, rank {row.rank} of {len(radar.order)}")
    if not on_record:
        told.append("no decision was taken on that boundary: the frame was not computed before the process ended")
    elif not verified:
        told.append(
            f"beware: the radar computed now ({radar.content_hash}) is not the one on record ({on_record}); "
            "the code or the bars have changed since"
        )
    settings = msgspec.convert(session.opened.scan_settings, ScanSettings)
    verdicts = explain(radar, settings, request_for(session.state).conditions, symbol)
    evidence["verdicts"] = [msgspec.to_builtins(verdict) | {"sentence": verdict.sentence()} for verdict in verdicts]
    told.append(_answer(session, symbol, verdicts))
    told += _verdict_sentences(verdicts)
    told += [f"{strategy_id} saw {saw}" for strategy_id, saw in features.items()]


def _answer(session: _Session, symbol: str, verdicts: Sequence[FilterVerdict]) -> str:
    """The question answered in one sentence: held, sent, denied, no signal, nobody's, or not let through."""
    boundary, state = session.boundary, session.state
    assert boundary is not None, "asked only for a boundary that closed"
    held = [position for position in state.positions.values() if position.symbol == symbol]
    if held:
        since = session.local(held[0].opened_at) if held[0].opened_at else "before the session"
        others = [f"{position.strategy_id} {position.qty}" for position in held[1:]]
        beside = f" (and beside it {', '.join(others)}: {state.net_qty(symbol)} in all)" if others else ""
        return f"it was in a trade: {held[0].strategy_id} held {held[0].qty} since {since}{beside}"
    ids: set[str] = set()
    decided = {
        type(event): text
        for _, event in session.story
        if event.at == boundary.at and (text := tell(event, symbol, ids)) and isinstance(event, _DECISIVE)
    }
    for kind in _DECISIVE:
        if kind in decided:
            return f"what happened: {decided[kind]}"
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if session.computed is None:
        return "it was not traded: nothing was decided on that boundary"
    owners = state.day.owners.get(symbol, [])
    if owners:
        rules = "its rules" if len(owners) == 1 else "their rules"
        return f"it was not traded: {', '.join(owners)} owned it, and {rules} gave no entry there"
    if failed:
        return f"it was not traded: the scanner kept it out, because {failed[0].sentence()}"
    return "it was not traded: the scanner let it through, and no strategy owned it yet"


def _verdict_sentences(verdicts: Sequence[FilterVerdict]) -> list[str]:
    failed = [verdict for verdict in verdicts if not verdict.passed]
    passed = [verdict for verdict in verdicts if verdict.passed]
    good = f"passed: {'; '.join(verdict.sentence() for verdict in passed)}" if passed else ""
    if not failed:
        return ["the scanner let it through", good]
    out = f"the scanner kept it out: {'; '.join(verdict.sentence() for verdict in failed)}"
    return [out, good] if good else [out]


def _recomputed(bars: BarStore, ground: Ground, session: _Session, symbol: str) -> tuple[RadarSnapshot, dict[str, str]]:
    """The radar at the boundary, and what each run that owned the symbol saw of it."""
    assert session.boundary is not None, "asked only for a boundary that closed"
    instruments = {instrument.symbol: instrument for instrument in session.opened.instruments}
    runs = [run.spec for run in session.state.day.runs.values()]
    owned = [(strategy_id, (symbol,)) for strategy_id, name in request_for(session.state).owned if name == symbol]
    signals = signal_source(ground, instruments, runs)
    radar, snapshot = ground.radar(), None
    for frame in bars.frames():
        if frame.as_of > session.boundary.at:
            break
        snapshot = radar.advance(frame, ground.spread_bps(frame.as_of))
        signals.append(frame)
    if snapshot is None:
        raise ValueError(
            f"{bars.directory} holds no bars up to {session.local(session.boundary.at)}: restore it from a copy"
        )
    features: dict[str, str] = {}
    if owned and not session.boundary.extended:
        for row in signals.signals(owned).frame.iter_rows(named=True):
            flags = [
                name.replace("_", " ") for name in ("entry_long", "entry_short", "exit_long", "exit_short") if row[name]
            ]
            seen = [
                f"{name[2:]} {value:.6g}" for name, value in row.items() if name.startswith("f_") and value is not None
            ]
            features[row["instance_id"]] = (
                f"{' and '.join(flags) or 'no signal'} ({', '.join(seen) or 'still warming up'})"
            )
    return snapshot, features


# --- the day ------------------------------------------------------------------------------------------------------


def _tell_the_day(session: _Session, symbol: str, moment: datetime, told: list[str], evidence: dict[str, Any]) -> None:
    ids: set[str] = set()
    lines: list[dict[str, Any]] = []
    for seq, event in session.story:
        text = tell(event, symbol, ids)
        if text:
            lines.append({"seq": seq, "at": event.at, "text": text})
    evidence["story"] = lines
    before = [line for line in lines if line["at"] <= moment]
    after = [line for line in lines if line["at"] > moment]
    told.append(f"until then: {len(before)} events" if before else "until then nothing had happened to it")
    told += [f"  {session.local(line['at'])}  {line['text']}" for line in before]
    if after:
        told.append("afterwards:")
        told += [f"  {session.local(line['at'])}  {line['text']}" for line in after]
