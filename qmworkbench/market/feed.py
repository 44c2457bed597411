"""A recorded session replayed as a feed at any speed, and what is noticed about a feed (§12, §20)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from qmworkbench.domain.events.market import FeedChanged, FeedState
from qmworkbench.market.price_sense import PriceSense, crossed
from qmworkbench.market.session import SessionData
from qmworkbench.ports import Clock
from qmworkbench.trading.frames import BarFrame, Floats

MAX_SPEED: Final = "max"
LATE_AFTER_S: Final = 2.0
STALE_AFTER_EMPTY: Final = 5


def parse_speed(text: str) -> float | None:
    """Market seconds per wall second from what a person typed; None for "max", as fast as it goes.

    Raises ValueError, naming the value, for anything but "max" or a number above zero.
    """
    if text.strip().lower() == MAX_SPEED:
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = float("nan")
    if not 0 < speed < float("inf"):
        raise ValueError(f"speed is {text!r}: give {MAX_SPEED!r}, or market seconds per wall second such as 240")
    return speed


@dataclass(frozen=True, eq=False)
class Delivery:
    """One frame on its way: its place in the session's frames, and when it was due.

    `boundary` counts regular boundaries from 1, 0 before the open. `due_at` is wall time, None at full speed,
    where nothing is ever late.
    """

    frame: BarFrame
    number: int
    boundary: int
    due_at: datetime | None

    def lateness_ms(self, now: datetime) -> float:
        """How long after its due time it is; 0 where it has none, or is early."""
        if self.due_at is None:
            return 0.0
        return max(0.0, (now - self.due_at) / timedelta(milliseconds=1))


class ReplayFeed:
    """Hands out a session's frames in order, once each, as a live feed would; `ports.MarketData`.

    `speed` is market seconds per wall second, None for as fast as the receiver takes them. A receiver that
    falls behind gets the frames that are due at once and in order; a replay never drops one.
    Time and sleep come from outside, so that a test or a simulation can own them.
    """

    def __init__(self, data: SessionData, *, speed: float | None = None) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise ValueError(f"speed is {speed}: give market seconds per wall second above 0, or None for full speed")
        self.data = data
        self.speed = speed

    def frames(self, after: datetime | None = None) -> Iterator[BarFrame]:
        """Frames with `as_of` later than `after` (None: all), without pacing: the plain loop's feed."""
        return (frame for _, frame in self._from(after))

    def deliveries(self, started_at: datetime, after: datetime | None = None) -> Iterator[Delivery]:
        """The frames after `after` with the due times of a replay that starts at `started_at`; no waiting.

        The replay's time starts at `after`, or one bar interval before the first frame.
        """
        origin = after
        for number, frame in self._from(after):
            if origin is None:
                origin = frame.as_of - timedelta(seconds=self.data.interval_s)
            due_at = None if self.speed is None else started_at + (frame.as_of - origin) / self.speed
            yield Delivery(frame, number, self.data.boundary_number(frame), due_at)

    def paced(self, clock: Clock, sleep: Callable[[float], None], after: datetime | None = None) -> Iterator[Delivery]:
        """Each frame when it is due, for a blocking loop. `sleep` takes seconds."""
        for delivery in self.deliveries(clock.now(), after):
            wait_s = _wait_s(delivery, clock)
            if wait_s > 0:
                sleep(wait_s)
            yield delivery

    async def stream(
        self, clock: Clock, sleep: Callable[[float], Awaitable[None]], after: datetime | None = None
    ) -> AsyncIterator[Delivery]:
        """Each frame when it is due, for an asyncio service; the loop gets a turn before every frame."""
        for delivery in self.deliveries(clock.now(), after):
            await sleep(max(0.0, _wait_s(delivery, clock)))
            yield delivery

    def _from(self, after: datetime | None) -> Iterator[tuple[int, BarFrame]]:
        for number, frame in enumerate(self.data.frames):
            if after is None or frame.as_of > after:
                yield number, frame


def _wait_s(delivery: Delivery, clock: Clock) -> float:
    return 0.0 if delivery.due_at is None else (delivery.due_at - clock.now()).total_seconds()


@dataclass(frozen=True)
class LateBoundary:
    """A boundary's bars came later than tolerated: a fact of the machine, hence telemetry and no state."""

    as_of: datetime
    late_s: float


@dataclass(frozen=True)
class MissingBoundary:
    """A boundary never came: the feed went on to a later one."""

    as_of: datetime


@dataclass(frozen=True)
class EmptyBoundaries:
    """Nobody traded for so many boundaries, the last `as_of`: more likely the feed than the market."""

    as_of: datetime
    in_a_row: int


@dataclass(frozen=True)
class Overdue:
    """Nothing has come although a boundary was due this long ago."""

    as_of: datetime
    overdue_s: float


@dataclass(frozen=True)
class PricesDoubted:
    """What came cannot be believed, and why."""

    as_of: datetime
    why: str


FeedFact = LateBoundary | MissingBoundary | EmptyBoundaries | Overdue | PricesDoubted


@dataclass(frozen=True)
class Observation:
    """What one look at the feed showed; `changed` is the kernel's input where the feed's state changed."""

    facts: tuple[FeedFact, ...] = ()
    changed: FeedChanged | None = None


class FeedMonitor:
    """Judges a feed from what arrives and when. No clock inside: times are given.

    `expected` are the regular boundaries in order. The state is CROSSED while prices or quotes cannot be believed,
    GAPPED from a missing boundary, STALE from `stale_after_empty` empty boundaries in a row or from an overdue one,
    MUTE where a boundary is overdue although heartbeats come, DISCONNECTED without a connection: until a boundary comes
    in turn, with bars, and believable. Lateness alone changes nothing, so that a replay decides the same on a slow
    machine. A heartbeat, or a connection that is back, is no market data: neither makes a feed good again.
    """

    def __init__(
        self,
        expected: Sequence[datetime],
        *,
        late_after_s: float = LATE_AFTER_S,
        stale_after_empty: int = STALE_AFTER_EMPTY,
        after: datetime | None = None,
    ) -> None:
        unordered = [later for earlier, later in pairwise(expected) if later <= earlier]
        if unordered:
            raise ValueError(f"the expected boundaries must ascend; {unordered[0]} does not follow the one before it")
        self._expected = tuple(as_of for as_of in expected if after is None or as_of > after)
        self._known = frozenset(self._expected)
        self._late_after_s = late_after_s
        self._stale_after_empty = stale_after_empty
        self._next = 0
        self._empty_in_a_row = 0
        self._sense = PriceSense()
        self._quotes_doubted = ""
        self._heartbeat_at: datetime | None = None
        self.state = FeedState.GOOD

    @property
    def awaited(self) -> datetime | None:
        """The next boundary that should come; None after the last."""
        return self._expected[self._next] if self._next < len(self._expected) else None

    def observe(self, delivery: Delivery, arrived_at: datetime) -> Observation:
        """A frame arrived; those before the open are not judged. Raises ValueError for one not awaited."""
        frame = delivery.frame
        facts: list[FeedFact] = []
        late_s = delivery.lateness_ms(arrived_at) / 1000
        if late_s > self._late_after_s:
            facts.append(LateBoundary(frame.as_of, late_s))
        doubt = self._sense.doubt(frame)
        if frame.extended:
            return Observation(tuple(facts))
        missing = self._skip_to(frame.as_of)
        facts += (MissingBoundary(as_of) for as_of in missing)
        self._empty_in_a_row = 0 if len(frame) else self._empty_in_a_row + 1
        if self._empty_in_a_row and self._empty_in_a_row % self._stale_after_empty == 0:
            facts.append(EmptyBoundaries(frame.as_of, self._empty_in_a_row))
        if doubt:
            facts.append(PricesDoubted(frame.as_of, doubt))
        return Observation(tuple(facts), self._judge(frame, missing, doubt or self._quotes_doubted))

    def quotes(self, at: datetime, bid: Floats, ask: Floats) -> Observation:
        """The latest table of quotes: crossed ones are believed again once a whole table and a boundary are good."""
        self._quotes_doubted = crossed(bid, ask)
        if not self._quotes_doubted:
            return Observation()
        changed = self._become(FeedState.CROSSED, at, self._quotes_doubted)
        return Observation((PricesDoubted(at, self._quotes_doubted),), changed)

    def heartbeat(self, at: datetime) -> None:
        """The connection lives. That says nothing of the data: a mute socket beats like any other."""
        self._heartbeat_at = at

    def disconnected(self, at: datetime, detail: str) -> Observation:
        """The connection is lost."""
        return Observation((), self._become(FeedState.DISCONNECTED, at, detail or "the connection is lost"))

    def check(self, now: datetime, due_at: datetime) -> Observation:
        """Nothing arrived; `due_at` is when the awaited boundary was due.

        For feeds that can fall silent, not for replays.
        """
        overdue_s = (now - due_at).total_seconds()
        if self.awaited is None or overdue_s <= self._late_after_s:
            return Observation()
        fact = Overdue(self.awaited, overdue_s)
        if self.state is FeedState.DISCONNECTED:
            return Observation((fact,))  # it is known why nothing comes
        detail = f"boundary {self.awaited:%H:%M} UTC is {overdue_s:.0f} s overdue"
        beats = self._heartbeat_at is not None and self._heartbeat_at > due_at
        if not beats:
            return Observation((fact,), self._become(FeedState.STALE, now, detail))
        detail += ", though heartbeats come: the price stream is dead, subscribe anew"
        return Observation((fact,), self._become(FeedState.MUTE, now, detail))

    def _skip_to(self, as_of: datetime) -> list[datetime]:
        """Moves past `as_of`; the boundaries jumped over."""
        if as_of not in self._known or (self.awaited is None or as_of < self.awaited):
            raise ValueError(f"boundary {as_of} was not awaited: it came before, or is none of this session's")
        start = self._next
        while self._expected[self._next] != as_of:
            self._next += 1
        missing = list(self._expected[start : self._next])
        self._next += 1
        return missing

    def _judge(self, frame: BarFrame, missing: Sequence[datetime], doubt: str) -> FeedChanged | None:
        if doubt:
            return self._become(FeedState.CROSSED, frame.as_of, doubt)
        if missing:
            detail = f"{len(missing)} boundaries from {missing[0]:%H:%M} to {missing[-1]:%H:%M} UTC never came"
            return self._become(FeedState.GAPPED, frame.as_of, detail)
        if self._empty_in_a_row >= self._stale_after_empty:
            detail = f"no bar of any symbol for {self._empty_in_a_row} boundaries"
            return self._become(FeedState.STALE, frame.as_of, detail)
        if len(frame):
            return self._become(FeedState.GOOD, frame.as_of, "boundaries come in turn, with bars to be believed")
        return None

    def _become(self, state: FeedState, at: datetime, detail: str) -> FeedChanged | None:
        if state is self.state:
            return None
        self.state = state
        return FeedChanged(at=at, state=state, detail=detail)
