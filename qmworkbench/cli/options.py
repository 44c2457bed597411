"""Options that several commands share, and the configuration they lead to (§5)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

Book = Annotated[str | None, typer.Option("--book", metavar="NAME", help="The book to work on.", show_default=False)]
Environment = Annotated[
    str | None,
    typer.Option("--environment", metavar="NAME", help="local, backtest, paper or live.", show_default=False),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Read this file instead of the nearest qm.toml.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Operator = Annotated[
    str | None,
    typer.Option("--operator", metavar="NAME", help="Who gives the order; your login otherwise.", show_default=False),
]
Session = Annotated[
    str | None,
    typer.Option(
        "--session", metavar="ID", help="Another session than the newest; a date will do.", show_default=False
    ),
]


def config_of(
    book: str | None, environment: str | None, file: Path | None, flags: dict[str, tuple[Any, str]] | None = None
) -> "Config":
    """The configuration in force under these options. Raises ConfigRefused."""
    from qmworkbench.service.config import load

    return load(flags=flags_of(book, environment, flags), file=file)


def flags_of(
    book: str | None, environment: str | None, flags: dict[str, tuple[Any, str]] | None = None
) -> dict[str, tuple[Any, str]]:
    """What was given on the command line, in the form that the configuration takes it: key -> (value, flag)."""
    given: dict[str, tuple[Any, str]] = dict(flags or {})
    if book is not None:
        given["book"] = (book, "--book")
    if environment is not None:
        given["environment"] = (environment, "--environment")
    return given


def session_of(given: str | None, sessions: list[str]) -> str:
    """The session `given` names, by id or date, or the newest of `sessions` (oldest first). Raises NoSuchSession."""
    if not sessions:
        raise NoSuchSession("this book has no session yet: run one with `qm day`")
    if given is None:
        return sessions[-1]
    fitting = [session for session in sessions if session == given or session.endswith(given)]
    if not fitting:
        raise NoSuchSession(f"this book has no session {given!r}: it has {', '.join(sessions[-10:])}")
    return fitting[-1]


class NoSuchSession(Exception):
    """A session was asked for that the book does not have."""
