"""Options that say which market data and which day (§5)."""

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.given_once import GivenOnce

DataFile = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="BARS",
        help="A file or a store of bars, or its name on the shelf; without it, the demo market.",
        show_default=False,
    ),
]
Day = Annotated[
    str | None,
    typer.Option("--date", metavar="DATE", help="The session's date; else the file's last one.", show_default=False),
]


From = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="DATE", help="Run every session from this date on, one after another.", show_default=False
    ),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="DATE", help="The last date of the period.", show_default=False)
]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="Note a session with a break or a NO-GO and go on where that is safe.")
]


class ReportsOf(StrEnum):
    """Of which sessions reports are made."""

    LAST = "last"
    ALL = "all"
    NONE = "none"


Reports = Annotated[
    str | None,
    typer.Option(
        "--reports",
        metavar="last|all|none",
        help="Of which sessions to make reports; of the last one by default.",
        show_default=False,
    ),
]
NoReports = Annotated[bool, typer.Option("--no-reports", help="Make no reports: the same as --reports none.")]


class WithBareReports(GivenOnce):
    """A command whose `--reports` may stand alone, meaning all of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As ever, once a bare `--reports` has been given the value it stands for."""
        ends = args.index("--") if "--" in args else len(args)
        told = [
            f"--reports={ReportsOf.ALL}"
            if part == "--reports" and at < ends and (at + 1 == len(args) or args[at + 1].startswith("-"))
            else part
            for at, part in enumerate(args)
        ]
        return super().parse_args(ctx, told)


def reports_of(reports: str | None, no_reports: bool) -> ReportsOf:
    """What `--reports` and `--no-reports` ask for. Raises Cannot."""
    if reports is not None and no_reports and reports != ReportsOf.NONE:
        raise Cannot(f"--reports {reports} and --no-reports contradict each other", "give one of them")
    if no_reports:
        return ReportsOf.NONE
    if reports is None:
        return ReportsOf.LAST
    try:
        return ReportsOf(reports)
    except ValueError:
        raise Cannot(f"--reports {reports!r} is no choice", "give last, all or none") from None


def day_of(text: str, flag: str = "--date") -> date:
    """The date that an option names. Raises Cannot naming what was given."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Cannot(f"{flag} {text!r} is not a date", "give one such as 2018-03-02") from error


Kept = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="sqlite|postgres", help="Where a new book's journal is to lie.", show_default=False
    ),
]
Told = Annotated[
    str | None,
    typer.Option("--bus", metavar="in-process|redis", help="Who is told of durable decisions.", show_default=False),
]


def store_flags(store: str | None, bus: str | None) -> dict[str, tuple[Any, str]]:
    """The settings of where a book is kept and told: key -> (value, flag)."""
    given: dict[str, tuple[Any, str]] = {}
    if store is not None:
        given["store.kind"] = (store, "--store")
    if bus is not None:
        given["store.bus"] = (bus, "--bus")
    return given


def data_flags(data: Path | None, day: str | None) -> dict[str, tuple[Any, str]]:
    """The settings these options make: key -> (value, flag)."""
    given: dict[str, tuple[Any, str]] = {}
    if data is not None:
        given["data.file"] = (data, "--data")
    if day is not None:
        given["data.date"] = (day_of(day), "--date")
    return given
