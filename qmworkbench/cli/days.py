"""`qm day --from --to`: sessions one after another on one book, and what they came to (§4, §16)."""

import contextlib
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import typer

from qmworkbench.cli.day_options import ReportsOf, day_of
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.output import Output

if TYPE_CHECKING:
    from rich.progress import Progress

    from qmworkbench.market.feed import Delivery
    from qmworkbench.service.config import Config
    from qmworkbench.service.day_record import DayLine
    from qmworkbench.service.days import Days, DaysResult, Stretch
    from qmworkbench.service.plan import DayPlan
    from qmworkbench.service.platform import Platform
    from qmworkbench.service.session_data import Sessions

_MONTHLY_FROM: Final = 45
_WEEKEND: Final = ("it is a Saturday", "it is a Sunday")


def period_of(
    config: "Config", sessions: "Sessions", first: str | None, last: str | None, *, fresh: bool
) -> tuple[date, date]:
    """The dates that `--from` and `--to` name. Where one is left out: the file's own end, or the book's next demo day.

    Raises Cannot.
    """
    span = sessions.span
    begins = day_of(first, "--from") if first is not None else None
    ends = day_of(last, "--to") if last is not None else None
    if ends is None:
        if span is None:
            raise Cannot("--from without --to: the demo market has no end", "give --to as well")
        ends = span[1]
    if begins is None and span is not None:
        begins = span[0]
    if begins is None:
        from qmworkbench.service.session_data import demo_date

        begins = demo_date(config, fresh=fresh)
    # An end that was not given never contradicts the one that was: the file's range is told instead.
    return (begins if first is not None else min(begins, ends)), (ends if last is not None else max(begins, ends))


class ManyDays:
    """A period to be run in this process. Everything that can be wrong with it is found before the book is touched.

    Raises DataRefused, NoSuchPeriod, Cannot.
    """

    def __init__(
        self,
        config: "Config",
        out: Output,
        *,
        first: str | None,
        last: str | None,
        symbols: int | None,
        fresh: bool,
        keep_going: bool,
        reports: ReportsOf,
        verbose: bool,
    ) -> None:
        from qmworkbench.cli.day_run import checked_count
        from qmworkbench.service.days import stretch
        from qmworkbench.service.session_data import open_sessions

        self._config, self._out = config, out
        self._fresh, self._keep_going, self._verbose = fresh, keep_going, verbose
        self._reports = reports if config.settings.reports.enabled else ReportsOf.NONE
        with out.working("reading the market data"):
            self._sessions = open_sessions(config, count=checked_count(config, symbols))
            begins, ends = period_of(config, self._sessions, first, last, fresh=fresh)
            self._stretch: Stretch = stretch(self._sessions, begins, ends)
        self._progress: Progress | None = None
        self._proven: dict[str, tuple[int, str]] = {}
        self._days: Days
        self.pages: dict[str, dict[str, str]] = {}

    def run(self) -> None:
        """Run the period, or go on with it, and tell what it came to. Raises typer.Exit; StopRequested after a stop."""
        from qmworkbench.cli.day_run import begin_anew
        from qmworkbench.service.days import Days
        from qmworkbench.service.stage import StopRequested

        began_s = time.perf_counter()
        if self._fresh:
            begin_anew(self._config, self._out)
        self._days = Days(self._config, self._sessions, self._stretch, keep_going=self._keep_going)
        self._announce()
        with self._shown():
            result = self._days.run(self._one, self._on_day)
        self._tell(result, time.perf_counter() - began_s)
        if self._days.interrupted:
            again = [part for part in sys.argv[1:] if part != "--fresh"]
            self._out.say(f"to go on with the period: qm {shlex.join(again)}")
            raise StopRequested(result.stopped)
        if result.stopped:
            self._out.say(f"the sequence ended: {result.stopped}")
            self._out.say(f"  Remedy: {self._days.how_to_go_on()}")
        if not result.good:
            raise typer.Exit(int(Exit.NO_GO))

    # --- one session ----------------------------------------------------------------------------------------

    def _one(self, plan: "DayPlan") -> "DayLine":
        """One session as a single day runs it, with its reports where they are wanted."""
        from qmworkbench.cli.checklists import day_preflight
        from qmworkbench.cli.day_reports import DayReports
        from qmworkbench.cli.day_run import typed
        from qmworkbench.service.day_record import keep_line, line_of
        from qmworkbench.service.headless import run_headless
        from qmworkbench.service.plan import DayRefused

        day = plan.data.window.date
        wanted = self._reports is ReportsOf.ALL or (self._reports is ReportsOf.LAST and day == self._days.last)
        made = DayReports(self._config, plan.session_id, self._out, wanted=wanted)
        try:
            result = run_headless(
                plan,
                day_preflight(self._config),
                on_open=self._on_open,
                on_boundary=self._on_boundary,
                command=typed(),
            )
            made.after_close()
        except DayRefused:
            made.after_refusal()
            raise
        finally:
            made.finish()
        line = line_of(result, str(day))
        if wanted:
            line = line.with_verdicts({name: said for name, said in made.verdicts.items() if said is not None})
            keep_line(plan.paths.session(plan.session_id).root, line)
            self.pages[str(day)] = {name: str(page) for name, page in made.pages.items()}
        return line

    def _on_open(self, platform: "Platform") -> None:
        from qmworkbench.cli.day_run import keep_log

        if platform.restored.unfinished:
            self._out.say(f"session {platform.plan.session_id} was not finished: going on where it stopped")
        platform.proven = self._proven
        keep_log(self._config, platform, verbose=self._verbose)

    # --- showing how far it is -----------------------------------------------------------------------------

    def _announce(self) -> None:
        days, closed = self._stretch.days, len(self._days.closed)
        told = f", {closed} of them closed already" if closed else ""
        count = f"{len(days)} sessions" if len(days) > 1 else "1 session"
        self._out.say(f"{count} from {days[0]} to {days[-1]} on book {self._config.book}{told}")
        for one in to_tell(self._stretch):
            self._out.say(f"  {one}")

    def _on_day(self, day: date, line: "DayLine | None") -> None:
        if self._progress is not None:
            task = self._progress.task_ids[0]
            if line is None:
                self._progress.update(task, description=f"{day}")
            else:
                self._progress.update(task, completed=len(self._days.lines))
        elif line is not None:
            trades = "1 trade" if line.trades == 1 else f"{line.trades} trades"
            equity = f", equity {line.equity_end:,.2f}" if line.equity_end is not None else ""
            self._out.say(f"{day}: {trades}, net {line.net_pnl:,.2f}{equity}, {line.breaks} breaks")

    def _on_boundary(self, delivery: "Delivery") -> None:
        if self._progress is not None and delivery.boundary % 60 == 0:
            task = self._progress.task_ids[0]
            self._progress.update(task, description=f"{delivery.frame.as_of:%Y-%m-%d %H:%M}")

    def _shown(self) -> contextlib.AbstractContextManager[Any]:
        if self._verbose or not sys.stderr.isatty():
            return contextlib.nullcontext()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._progress.add_task(str(self._stretch.days[0]), total=len(self._stretch.days))
        return self._progress

    # --- what it came to -------------------------------------------------------------------------------------

    def _tell(self, result: "DaysResult", wall_s: float) -> None:
        currency = self._config.settings.account_currency
        tell_days(self._out, result, currency=currency, wall_s=wall_s, pages=self.pages)


def tell_days(
    out: Output,
    result: "DaysResult",
    *,
    currency: str,
    wall_s: float,
    pages: dict[str, dict[str, str]] | None = None,
    brief: bool = False,
) -> None:
    """A period in one object, or as a table and a few lines; `brief`: by month where it has more sessions than that."""
    import msgspec

    content = msgspec.structs.asdict(result) | {"wall_s": round(wall_s, 3)}

    def human() -> None:
        columns = ["date", ">trades", ">net", ">equity", ">max drawdown", ">breaks", "verdicts"]
        by_month = brief and len(result.days) > _MONTHLY_FROM
        out.table(columns, _by_month(result.days) if by_month else [_row(line) for line in result.days])
        start, end = result.equity_start, result.equity_end
        trades = "1 trade" if result.trades == 1 else f"{result.trades:,} trades"
        out.line(
            f"{len(result.days)} sessions, {trades}, {result.breaks} breaks, net {result.net_pnl:,.2f} {currency}, "
            f"equity {_money(start)} to {_money(end)}, deepest drawdown {result.max_drawdown:,.2f}"
        )
        for one in result.problems:
            out.line(f"  noted on {one.date}: {one.why}")
        out.line(f"  decision head {result.decision_head}")
        out.line(f"  everything {wall_s:.1f} s")
        for day, made in (pages or {}).items():
            for name, page in made.items():
                out.line(f"  {day} {name:<14}{page}")

    out.result(content, human)


def _by_month(lines: Sequence["DayLine"]) -> list[list[str]]:
    """A row for each calendar month."""
    from qmworkbench.service.days import max_drawdown

    rows = []
    for month, group in groupby(lines, key=lambda line: line.date[:7]):
        held = list(group)
        wrong = sorted({f"{name} {said}" for line in held for name, said in line.verdicts.items() if said != "GO"})
        rows.append(
            [
                f"{month} ({len(held)})",
                f"{sum(line.trades for line in held):,}",
                f"{sum((line.net_pnl for line in held), Decimal(0)):,.2f}",
                _money(held[-1].equity_end),
                f"{max_drawdown(held):,.2f}",
                str(sum(line.breaks for line in held)),
                ", ".join(wrong) or "GO",
            ]
        )
    return rows


def _row(line: "DayLine") -> list[str]:
    wrong = [f"{name} {verdict}" for name, verdict in line.verdicts.items() if verdict != "GO"]
    return [
        line.date + (" (before)" if line.ran_before else ""),
        f"{line.trades:,}",
        f"{line.net_pnl:,.2f}",
        _money(line.equity_end),
        f"{line.drawdown:,.2f}",
        str(line.breaks),
        ", ".join(wrong) or ("GO" if line.verdicts else ""),
    ]


def _money(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:,.2f}"


def to_tell(stretch: "Stretch") -> Iterator[str]:
    """The dates that are passed over, weekends in one line."""
    weekend = [one for one in stretch.skipped if one.why in _WEEKEND]
    for one in stretch.skipped:
        if one not in weekend:
            yield f"{one.date} is passed over: {one.why}"
    if weekend:
        yield f"{len(weekend)} weekend days are passed over"
