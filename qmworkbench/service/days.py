"""Sessions one after another on one book, each through its whole lifecycle (§4, §16; DESIGN "Identity")."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.numbers import ZERO
from qmworkbench.market.findings import DataRefused
from qmworkbench.service.config import Config
from qmworkbench.service.day_record import DayLine, closed_days
from qmworkbench.service.offline import BookEmpty, read_state
from qmworkbench.service.plan import AlreadyClosed, DayPlan, DayRefused, plan_of
from qmworkbench.service.session_data import Sessions
from qmworkbench.service.stage import StopRequested
from qmworkbench.service.startup import StartupFailed

# A stretch without end is a slip of the keyboard.
MOST_DAYS: Final = 40 * 366


class NoSuchPeriod(Exception):
    """There is no session in the period that was asked for; the message names the period, what there is, the remedy."""


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A date of the period on which no session ran, and why."""

    date: str
    why: str


@dataclass(frozen=True)
class Stretch:
    """The sessions of a period in order, and its other dates with their reasons."""

    days: tuple[date, ...]
    skipped: tuple[Skipped, ...]


def stretch(sessions: Sessions, first: date, last: date) -> Stretch:
    """The sessions from `first` to `last`, both included, as far as there are bars. Raises NoSuchPeriod."""
    if first > last:
        raise NoSuchPeriod(f"the period from {first} to {last} ends before it begins: exchange the two dates")
    if (last - first).days > MOST_DAYS:
        raise NoSuchPeriod(f"the period from {first} to {last} is longer than 40 years: correct one of the dates")
    span, market, skipped = sessions.span, sessions.market, list[Skipped]()
    if span is not None:
        if last < span[0] or first > span[1]:
            raise NoSuchPeriod(f"nothing from {first} to {last}: the file holds {span[0]} to {span[1]}")
        for begins, ends in ((first, span[0] - timedelta(1)), (span[1] + timedelta(1), last)):
            missing = market.sessions_between(begins, ends) if begins <= ends else []
            if missing:
                why = f"{len(missing)} sessions from here to {missing[-1]} are not in the file: it holds "
                skipped.append(Skipped(date=str(missing[0]), why=f"{why}{span[0]} to {span[1]}"))
        first, last = max(first, span[0]), min(last, span[1])
    days: list[date] = []
    for day in (first + timedelta(n) for n in range((last - first).days + 1)):
        if not market.is_session(day):
            skipped.append(Skipped(date=str(day), why=market.why_closed(day)))
        elif not sessions.trades_on(day):
            skipped.append(Skipped(date=str(day), why=f"not one bar in the file, on a session of {market.name}"))
        else:
            days.append(day)
    if not days:
        why = "; ".join(f"{one.date}: {one.why}" for one in skipped[:3])
        raise NoSuchPeriod(f"no session from {first} to {last} to run ({why}): choose other dates")
    return Stretch(tuple(days), tuple(sorted(skipped, key=lambda one: one.date)))


class DaysResult(msgspec.Struct, frozen=True, kw_only=True):
    """A period on one book. Money in account currency, None where no session ran.

    `days` are its sessions in order, those closed earlier among them. `verdicts` holds the worst of each checklist and
    report, `problems` what was noted and gone on from, `stopped` why the sequence ended before its end.
    `max_drawdown` is the deepest fall of equity at boundaries from its highest so far.
    """

    book: str
    days: tuple[DayLine, ...]
    equity_start: Decimal | None
    equity_end: Decimal | None
    net_pnl: Decimal
    max_drawdown: Decimal
    trades: int
    breaks: int
    verdicts: dict[str, str]
    skipped: tuple[Skipped, ...]
    problems: tuple[Skipped, ...]
    stopped: str
    decision_head: str
    wall_s: float

    @property
    def good(self) -> bool:
        """Whether every session ran, without a break, and nothing that was looked at says anything but GO."""
        wrong = [name for name, verdict in self.verdicts.items() if verdict != Verdict.GO]
        return not (self.stopped or self.problems or self.breaks or wrong)


RunDay = Callable[[DayPlan], DayLine]
"""Runs the day of a plan to its close, with whatever is made of it, and says what it came to."""


@dataclass
class Days:
    """A period to be run, or gone on with.

    A session that is refused, or closes with a break or a verdict other than GO, ends the sequence. With `keep_going`
    it is noted and the next one follows, unless it was left open: then nothing may follow.
    """

    config: Config
    sessions: Sessions
    stretch: Stretch
    keep_going: bool = False
    lines: list[DayLine] = field(default_factory=list)
    problems: list[Skipped] = field(default_factory=list)
    stopped: str = ""
    interrupted: bool = False

    def __post_init__(self) -> None:
        self._began_s = time.perf_counter()
        mine = {f"{self.config.book}-{day}": day for day in self.stretch.days}
        self.closed: dict[date, DayLine] = {mine[line.session]: line for line in closed_days(self.config, set(mine))}

    @property
    def last(self) -> date:
        return self.stretch.days[-1]

    def run(self, run: RunDay, on_day: Callable[[date, DayLine | None], None] = lambda *_: None) -> DaysResult:
        """Run what is left of the period. `on_day` hears of each session before it runs (None) and after it closed.

        A stop by a signal ends the sequence at a safe point: `interrupted` says so, and the same period goes on there.
        """
        for day in self.stretch.days:
            if day in self.closed:
                self.lines.append(self.closed[day])
                continue
            on_day(day, None)
            try:
                found = self._one(day, run)
            except (StopRequested, KeyboardInterrupt) as stop:
                self.stopped, self.interrupted = str(stop) or "stopped by SIGINT", True
                break
            if self.lines and self.lines[-1].date == str(day):
                on_day(day, self.lines[-1])
            if found and self._ends_with(day, found):
                break
        return self.result()

    def _one(self, day: date, run: RunDay) -> str:
        """One session; returns what is wrong with it, "" where nothing is."""
        try:
            line = run(plan_of(self.config, self.sessions.session(day, until=self.last)))
        except AlreadyClosed:
            return ""  # by another process, in the meantime
        except (DayRefused, StartupFailed, DataRefused) as error:
            return str(error)
        self.lines.append(line)
        wrong = [f"{name} says {verdict}" for name, verdict in line.verdicts.items() if verdict != Verdict.GO]
        if line.breaks:
            wrong.append(f"{line.breaks} breaks were found in reconciliation")
        return "; ".join(wrong)

    def _ends_with(self, day: date, found: str) -> bool:
        """Note what is wrong with a session; whether the sequence ends with it."""
        try:
            unfinished = read_state(self.config).unfinished
        except BookEmpty:
            unfinished = ""
        if self.keep_going and not unfinished:
            self.problems.append(Skipped(date=str(day), why=found))
            return False
        self.stopped = f"{day}: {found}"
        return True

    def how_to_go_on(self) -> str:
        """What to do after the sequence was stopped by a session that is not as it should be."""
        closed = self.lines and self.stopped.startswith(f"{self.lines[-1].date}:")
        if not closed:
            return "settle that, then give the same command again: closed sessions are skipped, this one goes on"
        return (
            "look at it (`qm report post_session`, `qm reconcile`), then give the same command again: it goes on with "
            "the next session. --keep-going notes such days and does not stop"
        )

    def result(self) -> DaysResult:
        """What the period has come to so far."""
        took_s = time.perf_counter() - self._began_s
        return summed_up(self.config.book, self.lines, self.stretch.skipped, self.problems, self.stopped, took_s)


def summed_up(
    book: str,
    lines: Sequence[DayLine],
    skipped: Sequence[Skipped],
    problems: Sequence[Skipped],
    stopped: str,
    wall_s: float,
) -> DaysResult:
    """What sessions come to together."""
    known = [line for line in lines if line.equity_start is not None]
    return DaysResult(
        book=book,
        days=tuple(lines),
        equity_start=known[0].equity_start if known else None,
        equity_end=known[-1].equity_end if known else None,
        net_pnl=sum((line.net_pnl for line in lines), ZERO),
        max_drawdown=max_drawdown(lines),
        trades=sum(line.trades for line in lines),
        breaks=sum(line.breaks for line in lines),
        verdicts=_worst(lines),
        skipped=tuple(skipped),
        problems=tuple(problems),
        stopped=stopped,
        decision_head=lines[-1].decision_head if lines else "",
        wall_s=round(wall_s, 3),
    )


def max_drawdown(lines: Sequence[DayLine]) -> Decimal:
    """The deepest fall of equity from its highest so far, over the boundaries of all sessions; never negative."""
    deepest, peak = ZERO, None
    for line in lines:
        deepest = max(deepest, line.drawdown)
        if line.equity_high is None or line.equity_low is None:
            continue
        if peak is not None:
            deepest = max(deepest, peak - line.equity_low)
        peak = line.equity_high if peak is None else max(peak, line.equity_high)
    return deepest


def _worst(lines: Sequence[DayLine]) -> dict[str, str]:
    """Each checklist's or report's verdict on the period: GO where every session's is."""
    names = list(dict.fromkeys(name for line in lines for name in line.verdicts))
    order = [Verdict.GO, Verdict.INCOMPLETE, Verdict.NO_GO]
    return {
        name: max((Verdict(line.verdicts[name]) for line in lines if name in line.verdicts), key=order.index).value
        for name in names
    }
