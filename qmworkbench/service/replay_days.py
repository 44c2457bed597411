"""A period replayed: its sessions in memory one after another, signals computed for many of them at once (§2, §9)."""

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Final

from qmworkbench.market.session import SessionData
from qmworkbench.ports import Journal
from qmworkbench.service.ahead import made_ahead
from qmworkbench.service.config import Config
from qmworkbench.service.day_record import DayLine, line_of
from qmworkbench.service.days import DaysResult, Skipped, Stretch, summed_up
from qmworkbench.service.frames import period_signals
from qmworkbench.service.plan import DayPlan, DayRefused, plan_of
from qmworkbench.service.replay import Replay
from qmworkbench.service.session_data import Sessions
from qmworkbench.storage.memory import HeadJournal
from qmworkbench.strategies.period import PeriodSignals

# Sessions are read ahead, and their signals computed together, so many at a time: of small ones enough that what they
# look back to is little beside them, of large ones what there is room for.
SESSIONS_AHEAD: Final = 100
BARS_AHEAD: Final = 1_500_000
# Nothing in a replay waits for the collector; it looks at what was made since the last time, so often.
_COLLECT_EVERY: Final = 500


@dataclass
class ReplayDays:
    """A period to be replayed, on a book that begins and ends with it.

    A session that closes with a break is noted in `problems`; one that is refused ends the replay, for it stays open.
    `journal` takes the decisions; without one their chain alone is kept.
    """

    config: Config
    sessions: Sessions
    stretch: Stretch
    journal: Journal = field(default_factory=HeadJournal)
    bars_ahead: int = BARS_AHEAD
    sessions_ahead: int = SESSIONS_AHEAD
    lines: list[DayLine] = field(default_factory=list)
    problems: list[Skipped] = field(default_factory=list)
    stopped: str = ""
    interrupted: bool = False

    def run(self, on_day: Callable[[DayLine], None] = lambda _: None) -> DaysResult:
        """Replay the period. `on_day` hears of each session once it is closed; Ctrl-C ends it after a session.

        Raises DataRefused for bars that make no session, DayRefused for strategies that cannot run, VenueError.
        """
        began_s = time.perf_counter()
        planner = Planner(self.config)
        instruments = self.sessions.instruments(self.stretch.days)
        replay: Replay | None = None
        with _undisturbed(self._interrupt), closing(made_ahead(self._blocks())) as blocks:
            try:
                for block in blocks:
                    plans = [planner.of(data) for data in block]
                    replay = replay or Replay(plans[0], instruments, journal=self.journal)
                    alike = plans[0].compute == "one-pass" and all(plan.runs == plans[0].runs for plan in plans)
                    signals = period_signals(plans[0].runs, block) if alike else None
                    for plan in plans:
                        self._one(replay, plan, signals, on_day)
                        if self.stopped:
                            return self._result(began_s)
            finally:
                if replay is not None:
                    replay.close()
        return self._result(began_s)

    def _one(
        self, replay: Replay, plan: DayPlan, signals: PeriodSignals | None, on_day: Callable[[DayLine], None]
    ) -> None:
        day = str(plan.data.window.date)
        try:
            line = line_of(replay.session(plan, signals), day)
        except DayRefused as refused:
            self.stopped = f"{day}: {refused}"
            return
        self.lines.append(line)
        if line.breaks:
            self.problems.append(Skipped(date=day, why=f"{line.breaks} breaks were found in reconciliation"))
        if len(self.lines) % _COLLECT_EVERY == 0:
            gc.collect()
            gc.freeze()
        on_day(line)
        if self.interrupted:
            self.stopped = "stopped by SIGINT"

    def _blocks(self) -> Iterator[list[SessionData]]:
        """The sessions of the period, some at a time."""
        block: list[SessionData] = []
        for day in self.stretch.days:
            block.append(self.sessions.session(day, until=self.stretch.days[-1]))
            if len(block) >= self.sessions_ahead or sum(data.bars for data in block) >= self.bars_ahead:
                yield block
                block = []
        if block:
            yield block

    def _interrupt(self) -> bool:
        """Somebody wants it to end; whether that is new."""
        before, self.interrupted = self.interrupted, True
        return not before

    def _result(self, began_s: float) -> DaysResult:
        return summed_up(
            self.config.book,
            self.lines,
            self.stretch.skipped,
            self.problems,
            self.stopped,
            time.perf_counter() - began_s,
        )


class Planner:
    """Plans of one day after another. Where no change of a parameter is on record, days of one universe run alike."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._varies = config.paths.approvals.exists()
        self._last: DayPlan | None = None

    def of(self, data: SessionData) -> DayPlan:
        """The day's plan, as plan_of makes it."""
        last = self._last
        if last is not None and not self._varies and last.data.instruments == data.instruments:
            plan = replace(last, data=data)
        else:
            plan = plan_of(self._config, data)
        self._last = plan
        return plan


@contextmanager
def _undisturbed(interrupt: Callable[[], bool]) -> Iterator[None]:
    """Without the collector, and with Ctrl-C and SIGTERM as a wish that is heard between sessions; a second one is not
    waited for.
    """
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}

    def stop(number: int, frame: FrameType | None) -> None:
        if not interrupt():
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for number in numbers:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        gc.unfreeze()
        if collecting:
            gc.enable()
