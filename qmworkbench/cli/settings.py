"""The options many commands share, and the configuration they make (§5 Environment Check)."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.failures import Stopped

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

Book = Annotated[str | None, typer.Option("--book", metavar="NAME", help="The book to work on.")]
Environment = Annotated[
    str | None, typer.Option("--environment", metavar="NAME", help="local, backtest, paper or live.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Read this file in place of the nearest qm.toml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for a program.")]
DataFile = Annotated[
    Path | None, typer.Option("--data", metavar="FILE", help="Parquet file of bars; without it, the demo market.")
]
Day = Annotated[
    str | None, typer.Option("--date", metavar="DATE", help="The session's date; default: the file's last session.")
]
Session = Annotated[
    str | None, typer.Option("--session", metavar="ID", help="A session or its date; default: the newest of the book.")
]


def flag(name: str, key: str, value: Any) -> dict[str, tuple[Any, str]]:
    """One setting from the command line, none where the option was not given."""
    return {} if value is None else {key: (value, name)}


def day_of(text: str | None) -> date | None:
    """The date of `--date`. Raises Stopped naming what was given."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Stopped(f"--date {text!r} is not a date", "give one such as 2018-03-02") from error


def load_config(
    *,
    book: str | None = None,
    environment: str | None = None,
    file: Path | None = None,
    data: Path | None = None,
    day: str | None = None,
    more: dict[str, tuple[Any, str]] | None = None,
) -> "Config":
    """The configuration in force with these flags on top. Raises ConfigRefused with all that is wrong."""
    from qmworkbench.service.config import load

    if file is not None and not file.is_file():
        raise Stopped(f"--config {file} is no file", "give the path of a TOML file")
    flags = {
        **flag("--book", "book", book),
        **flag("--environment", "environment", environment),
        **flag("--data", "data.file", data),
        **flag("--date", "data.date", day_of(day)),
        **(more or {}),
    }
    return load(flags=flags, file=file)
