"""Options that say which market data and which day (§5)."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from qmworkbench.cli.failures import Cannot

DataFile = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="FILE", help="Parquet file of bars; without it, the demo market.", show_default=False
    ),
]
Day = Annotated[
    str | None,
    typer.Option("--date", metavar="DATE", help="The session's date; else the file's last one.", show_default=False),
]


def day_of(text: str) -> date:
    """The date that `--date` names. Raises Cannot naming what was given."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Cannot(f"--date {text!r} is not a date", "give one such as 2018-03-02") from error


def data_flags(data: Path | None, day: str | None) -> dict[str, tuple[Any, str]]:
    """The settings these options make: key -> (value, flag)."""
    given: dict[str, tuple[Any, str]] = {}
    if data is not None:
        given["data.file"] = (data, "--data")
    if day is not None:
        given["data.date"] = (day_of(day), "--date")
    return given
