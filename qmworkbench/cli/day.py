"""`qm day`: one whole trading day, from preflight to reports, and its result (§4, §16, §17)."""

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.day_options import (
    DataFile,
    Day,
    From,
    KeepGoing,
    Kept,
    NoReports,
    Reports,
    ReportsOf,
    To,
    Told,
    data_flags,
    reports_of,
    store_flags,
)
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import Output, begin
from qmworkbench.cli.venue_process import VenueProcess, typed_options, venue_beside, venue_flags

if TYPE_CHECKING:
    from qmworkbench.cli.day_reports import DayReports
    from qmworkbench.service.config import Config
    from qmworkbench.service.result import DayResult


def day(
    data: DataFile = None,
    date: Day = None,
    first: From = None,
    last: To = None,
    keep_going: KeepGoing = False,
    headless: Annotated[bool, typer.Option("--headless", help="As fast as it goes, without page and API.")] = False,
    stay: Annotated[bool, typer.Option("--stay", help="Keep page and API after the close, until Ctrl-C.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin a new book; the old one is moved aside, never deleted.")
    ] = False,
    speed: Annotated[
        str | None,
        typer.Option(
            "--speed", metavar="max|N", help="Market seconds per second; else a day of 100 s.", show_default=False
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The demo market's seed.", show_default=False)] = None,
    symbols: Annotated[
        int | None, typer.Option("--symbols", min=1, help="How many symbols to trade among.", show_default=False)
    ] = None,
    owned: Annotated[
        int | None, typer.Option("--owned", help="How many symbols may be owned at once.", show_default=False)
    ] = None,
    one_pass: Annotated[
        bool | None,
        typer.Option(
            "--one-pass/--incremental", help="Signals for the day at once, or boundary by boundary.", show_default=False
        ),
    ] = None,
    venue: VenueProcess = None,
    store: Kept = None,
    bus: Told = None,
    reports: Reports = None,
    no_reports: NoReports = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print the log's lines as they come.")] = False,
    environment: Environment = None,
    book: Book = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Run one trading day: preflight, startup, session, shutdown, reconciliation, reports.

    With --from and --to every session of a period, one after another on one book, without page and API.
    What was interrupted goes on where it was when the same command is given again.
    """
    began_s = time.perf_counter()
    out = begin(json=json)
    if stay and headless:
        raise Cannot("--stay keeps a page, and --headless has none", "give one of them")
    many = first is not None or last is not None
    _demand_one_way(many, keep_going=keep_going, date=date, stay=stay, speed=speed)
    wanted = reports_of(reports, no_reports)
    flags = data_flags(data, date) | _flags(speed, seed, owned, one_pass) | venue_flags(venue) | store_flags(store, bus)
    settings = config_of(book, environment, config, flags)
    common: dict[str, Any] = {"symbols": symbols, "fresh": fresh, "verbose": verbose}
    if many:
        if venue is not None:
            raise Cannot(f"--venue {venue} is for one day", "leave it out of a period, or run the days one by one")
        from qmworkbench.cli.days import ManyDays

        ManyDays(settings, out, first=first, last=last, keep_going=keep_going, reports=wanted, **common).run()
        return
    paced = speed not in (None, "max")
    beside = venue_beside(settings, venue, out, typed_options(book, environment, config))
    run_day(settings, out, wanted, began_s, beside, headless=headless, stay=stay, paced=paced, **common)


def run_day(
    settings: "Config",
    out: Output,
    reports: ReportsOf,
    began_s: float,
    beside: AbstractContextManager[None],
    **how: Any,
) -> None:
    """One day to its close, with its reports; `beside` is its venue where that is a process, `how` as DayRun takes."""
    from qmworkbench.cli.day_reports import DayReports
    from qmworkbench.cli.day_run import DayRun

    run = DayRun(settings, out, **how)
    wanted = reports is not ReportsOf.NONE and settings.settings.reports.enabled
    made = DayReports(settings, run.session_id, out, wanted=wanted)
    run.begin()
    try:
        with beside:
            result = run.to_the_close(on_closed=made.after_close, on_first_boundary=made.beside_the_session)
    except Exception as error:
        if type(error).__name__ == "DayRefused":
            made.after_refusal()
        raise
    finally:
        made.finish()
    _tell(out, result, made, run, began_s)
    if made.exit_code:
        raise typer.Exit(made.exit_code)


def _demand_one_way(many: bool, *, keep_going: bool, date: str | None, stay: bool, speed: str | None) -> None:
    """Options that make sense together. Raises Cannot naming those that do not."""
    if keep_going and not many:
        raise Cannot("--keep-going is for a period", "give --from and --to as well, or leave it out")
    if not many:
        return
    if date is not None:
        raise Cannot(f"--date {date} names one day, --from and --to a period", "give one or the other")
    if stay:
        raise Cannot("--stay keeps a page, and a period runs without one", "leave it out")
    if speed not in (None, "max"):
        raise Cannot(f"--speed {speed} sets a pace, and a period runs as fast as it goes", "leave it out")


def _flags(speed: str | None, seed: int | None, owned: int | None, one_pass: bool | None) -> dict[str, tuple[Any, str]]:
    given: dict[str, tuple[Any, str]] = {}
    if speed is not None:
        given["feed.speed"] = (speed, "--speed")
    if seed is not None:
        given["data.seed"] = (seed, "--seed")
    if owned is not None:
        given["allocator.max_owned"] = (owned, "--owned")
    if one_pass is not None:
        given["feed.compute"] = ("one-pass", "--one-pass") if one_pass else ("incremental", "--incremental")
    return given


def _tell(out: Output, result: "DayResult", made: "DayReports", run: Any, began_s: float) -> None:
    """The day in one object, or in a few lines."""
    content = {
        "session": result.session,
        "decision_head": result.decision_head,
        "bars": result.bars,
        "orders": result.orders,
        "fills": result.fills,
        "trades": result.trades,
        "breaks": result.breaks,
        "net_pnl": result.net_pnl,
        "verdicts": made.verdicts,
        "recovered": result.recovered,
        "session_s": result.session_s,
        "wall_s": round(time.perf_counter() - began_s, 3),
    }

    def human() -> None:
        currency = run.plan.account_currency
        out.line(f"session {result.session} is closed{' (recovered)' if result.recovered else ''}")
        out.line(
            f"  {result.bars:,} bars, {result.orders:,} orders, {result.fills:,} fills, {result.trades:,} trades, "
            f"{result.breaks} breaks, net {result.net_pnl:,.2f} {currency}"
        )
        out.line(f"  decision head {result.decision_head}")
        out.line(f"  session {result.session_s:.1f} s, everything {content['wall_s']:.1f} s")
        for name, verdict in made.verdicts.items():
            where = made.pages.get(name, Path())
            out.line(f"  {name:<14}{verdict or 'not made':<12}{where if name in made.pages else ''}")

    out.result(content, human)
