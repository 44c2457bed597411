"""What the steps of a trading day work with, whichever shell runs them: kernel, venue, feed and market time (§4).

The platform (service/platform.py) adds disk, evidence and everything people look at; the replay (service/replay.py)
adds nothing. The steps in service/day.py are written once, for both.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from qmworkbench.brokers.market import Market
from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.events import Event
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.sessions import PHASE_ORDER, Phase
from qmworkbench.market.feed import Delivery, FeedMonitor, ReplayFeed
from qmworkbench.ports import Broker
from qmworkbench.service.analytics_watch import AnalyticsWatch
from qmworkbench.service.frames import Frames
from qmworkbench.service.ground import Ground
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.session_audit import SessionAudit
from qmworkbench.service.shell import Shell
from qmworkbench.trading.state import Session, State


class StopRequested(Exception):
    """Somebody asked the process to stop: the day ends at a safe point and can be resumed."""


class Pace(Protocol):
    """How fast market time passes for the steps of a day."""

    async def wait(self, delivery: Delivery) -> None:
        """Until the frame is due."""
        ...

    async def second(self) -> None:
        """One second of market time."""
        ...


class AtFullSpeed:
    """Market time passes as fast as the steps are taken."""

    async def wait(self, delivery: Delivery) -> None:
        return

    async def second(self) -> None:
        return


class EquityRange:
    """The session's equity at its boundaries, by the marks: highest, lowest, and the deepest fall from a high.

    Money in account currency; None before the account was first stated. The session's start counts as a point.
    """

    def __init__(self) -> None:
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.drawdown = ZERO

    def note(self, state: State) -> None:
        """Take in what the book is worth now; nothing where a mark or a rate is missing."""
        start, moved = state.day.start_equity, state.day_pnl()
        if start is None or moved is None:
            return
        for equity in (start + moved,) if self.high is not None else (start, start + moved):
            self.high = equity if self.high is None else max(self.high, equity)
            self.low = equity if self.low is None else min(self.low, equity)
            self.drawdown = max(self.drawdown, self.high - equity)


class Stage(ABC):
    """One session of one book, as far as its steps need it. One thread or one event loop owns it.

    Whoever makes the shell gives it `hear` to tell of what it decides.

    `session_s` counts the seconds spent between the first boundary and the session's close. `stop` is set from a signal
    handler and looked at between steps; `end_early` is a person's reason to begin the shutdown before the close.
    """

    shell: Shell
    frames: Frames

    def __init__(self, plan: DayPlan, exchange: Market, broker: Broker, ground: Ground) -> None:
        self.plan = plan
        self.exchange = exchange
        self.broker = broker
        self.ground = ground
        self.feed = ReplayFeed(plan.data, speed=plan.speed)
        self.monitor = FeedMonitor(plan.data.boundaries)
        self.pace: Pace = AtFullSpeed()
        self.equity = EquityRange()
        self.analytics = AnalyticsWatch(plan.analytics)
        self.audit = SessionAudit()
        self.verdicts: dict[str, Verdict] = {}
        self.notes: list[str] = []
        self.stopped: list[str] = []
        self.stop = ""
        self.end_early = ""
        self.session_s = 0.0
        self._opened_s = time.perf_counter()
        self._trading_since: float | None = None

    # --- what each shell does in its own way -------------------------------------------------------------------

    @abstractmethod
    def take(self, delivery: Delivery) -> Awaitable[None]:
        """Take in the next frame of the feed and decide on it."""

    @abstractmethod
    def critical_down(self) -> tuple[str, ...]:
        """The critical components that are not healthy now."""

    @abstractmethod
    def found_of(self, component: str) -> str:
        """What was found of a component that is not healthy."""

    def hear(self, events: Sequence[Event]) -> None:
        """What was decided, in order: for the signals of the session and for its audit."""
        self.analytics.take(events)
        self.audit.take(events)

    # --- where the day stands ------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.shell.state

    @property
    def day(self) -> Session:
        return self.shell.state.day

    def reached(self, phase: Phase) -> bool:
        """Whether the session is in `phase` or beyond it."""
        return PHASE_ORDER.index(self.day.phase) >= PHASE_ORDER.index(phase)

    def safe_point(self) -> None:
        """A moment at which nothing is half done. Raises StopRequested where somebody asked for it."""
        if self.stop:
            raise StopRequested(self.stop)

    @staticmethod
    def wall() -> datetime:
        """The machine's own clock: for telemetry, screens and files, never for a decision."""
        return datetime.now(UTC)

    def trading(self, on: bool) -> None:
        """Start or stop the clock of `session_s`."""
        if self._trading_since is not None:
            self.session_s += time.perf_counter() - self._trading_since
        self._trading_since = time.perf_counter() if on else None

    @property
    def wall_s(self) -> float:
        """Seconds since the stage was opened."""
        return time.perf_counter() - self._opened_s

    def deliveries(self, until: datetime) -> Iterator[Delivery]:
        """The frames after the last boundary on record, up to and including the one at `until`."""
        for delivery in self.feed.deliveries(self.wall(), self.day.boundary_at):
            if delivery.frame.as_of > until:
                return
            yield delivery
