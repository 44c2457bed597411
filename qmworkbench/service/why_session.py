"""Which session and which boundary a question is about, as the journal has them (§9, §17)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.market import BoundaryClosed, FrameComputed
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.service.recorded_state import state_after
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.stores import Reader
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State, decode_state, encode_state

_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


class NoSuchSession(ValueError):
    """The book has no session to ask about; the message names those there are."""


@dataclass(frozen=True)
class AskedSession:
    """A session as its journal tells it, up to the boundary asked about and beyond.

    `began` is the state before it was opened, `state` the one its `boundary` was decided on (None: none had closed).
    """

    opened: SessionOpened
    story: Sequence[tuple[int, Event]]
    began: State
    state: State
    boundary: BoundaryClosed | None
    computed: FrameComputed | None
    zone: ZoneInfo

    def local(self, at: datetime) -> str:
        """A time as the exchange's clock shows it."""
        return f"{at.astimezone(self.zone):%H:%M:%S}".removesuffix(":00")

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.story]


@dataclass
class Found:
    """The session and moment meant, and what there is to say of the question itself. `moment` None: the whole day."""

    session: AskedSession
    moment: datetime | None
    notes: list[str] = field(default_factory=list)


def find(paths: BookPaths, journal: Reader, session_id: str | None, at: str | None) -> Found:
    """The session `session_id` (None: the newest) at exchange time `at` (None: the whole day).

    Raises ValueError for a text that is no time, NoSuchSession, StorageRefused.
    """
    begun = [(seq, event) for seq, event in journal.session_events() if isinstance(event, SessionOpened)]
    chosen = [(seq, event) for seq, event in begun if session_id in (None, event.session_id)]
    if not chosen:
        there = ", ".join(dict.fromkeys(event.session_id for _, event in begun)) or "none"
        raise NoSuchSession(f"the book at {paths.root} has no session {session_id or ''}; it has {there}".strip())
    first, opened = chosen[-1]
    zone = SessionCalendar(opened.instruments[0].calendar).time_zone
    notes: list[str] = []
    moment = _moment(at, opened, zone, notes) if at is not None else None
    following = [seq for seq, _ in begun if seq > first]
    upto = following[0] - 1 if following else None
    story = [(first, opened), *journal.events(after_seq=first, upto_seq=upto)]
    boundary, computed, before = _boundary_at(story, moment)
    began = state_after(journal, paths, first - 1)
    state = fold([event for seq, event in story if seq < before], decode_state(encode_state(began)))
    interval_s = opened.window.interval_s
    session = AskedSession(opened, story, began, state, boundary, computed, zone)
    if moment is not None and boundary is None:
        notes.append(f"no bars of session {opened.session_id} had closed at {session.local(moment)}")
    elif moment is not None and boundary is not None and moment - boundary.at >= timedelta(seconds=interval_s):
        notes.append(f"the last bars before {session.local(moment)} closed at {session.local(boundary.at)}")
    return Found(session, moment, notes)


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
    story: Sequence[tuple[int, Event]], moment: datetime | None
) -> tuple[BoundaryClosed | None, FrameComputed | None, int]:
    """The last boundary closed by then (None: of all), its computed frame, and the sequence before which the state is
    to be taken.
    """
    boundary: BoundaryClosed | None = None
    computed: FrameComputed | None = None
    upto = story[0][0] + 1
    for seq, event in story:
        if isinstance(event, BoundaryClosed):
            if moment is not None and event.at > moment:
                break
            boundary, computed, upto = event, None, seq + 1
        elif isinstance(event, FrameComputed) and boundary is not None and event.as_of == boundary.at:
            computed, upto = event, seq
    return boundary, computed, upto
