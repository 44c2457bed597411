"""`qm up`: the platform as a service that stays; `--standby`: one that waits for another to die (§6, §19)."""

import time
from typing import Annotated, Any

import typer

from qmworkbench.cli.day import run_day
from qmworkbench.cli.day_options import (
    DataFile,
    Day,
    Kept,
    NoReports,
    Reports,
    Told,
    data_flags,
    reports_of,
    store_flags,
)
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin
from qmworkbench.cli.venue_process import VenueProcess, typed_options, venue_beside, venue_flags


def up(
    data: DataFile = None,
    date: Day = None,
    standby: Annotated[
        bool,
        typer.Option("--standby", help="Wait beside the platform that runs the book, and take over when it dies."),
    ] = False,
    headless: Annotated[bool, typer.Option("--headless", help="The Core API without the command center.")] = False,
    speed: Annotated[
        str | None,
        typer.Option(
            "--speed", metavar="max|N", help="Market seconds per second; else a day of 100 s.", show_default=False
        ),
    ] = None,
    symbols: Annotated[
        int | None, typer.Option("--symbols", min=1, help="How many symbols to trade among.", show_default=False)
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
    """Run the platform: the book's session with API and page, which stay after the close until Ctrl-C.

    With --standby nothing is touched while another platform runs the book, which has to lie in PostgreSQL. Once that
    one shows life no more it is fenced, its session is taken over and reconciled with the broker, and entries are held
    until a person releases them (`qm release`). A platform that is stopped on purpose is not taken over from.
    """
    began_s = time.perf_counter()
    out = begin(json=json)
    flags = data_flags(data, date) | venue_flags(venue) | store_flags(store, bus)
    if speed is not None:
        flags["feed.speed"] = (speed, "--speed")
    settings = config_of(book, environment, config, flags)
    if standby:
        from qmworkbench.service.standby import demand_standby_possible
        from qmworkbench.service.stores import store_of

        demand_standby_possible(settings.book, store_of(settings))
    how: dict[str, Any] = {"symbols": symbols, "fresh": False, "verbose": verbose, "headless": headless}
    how |= {"stay": True, "paced": True, "standby": standby}
    beside = venue_beside(settings, venue, out, typed_options(book, environment, config))
    run_day(settings, out, reports_of(reports, no_reports), began_s, beside, **how)
