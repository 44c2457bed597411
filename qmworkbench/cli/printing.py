"""How commands print: data for programs on standard output, words and progress for people (§2)."""

import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH: Final = 140


def print_json(value: Any) -> None:
    """One JSON value on one line of standard output. Decimals are written as text, times as ISO 8601."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(value, enc_hook=str).decode() + "\n")
    sys.stdout.flush()


def line(text: str = "") -> None:
    """A line for people on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line for people on standard error, where it disturbs no program that reads the output."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def console(*, stderr: bool = False) -> "Console":
    """A rich console; as wide as needed where nobody looks at a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _PLAIN_WIDTH)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[str] = ()) -> None:
    """A table for people; `right` names the columns of numbers."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    on_the_right = set(right)
    shown = Table(title=title or None, box=SIMPLE, title_justify="left", pad_edge=False)
    for name in columns:
        shown.add_column(name, justify="right" if name in on_the_right else "left", overflow="fold")
    for row in rows:
        # Text, not markup: a symbol in square brackets is a symbol.
        shown.add_row(*(Text(_shown(cell)) for cell in row))
    console().print(shown)


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return str(value)
