"""What a command prints: one result on standard output, in words or as one JSON object; all else on standard error (§21)."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from qmworkbench.cli.exit_codes import Exit


class Output:
    """Where one command says things. With `json` standard output carries one object and nothing else."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self._answered = False

    def result(self, content: Any, human: Callable[[], None]) -> None:
        """The command's result: `content` as JSON, or what `human` prints."""
        if not self.json:
            human()
            return
        if self._answered:
            raise RuntimeError("a command has one result")
        import msgspec

        self._answered = True
        encoded = msgspec.json.encode(content, decimal_format="string", enc_hook=str) if False else _encoded(content)
        sys.stdout.write(encoded + "\n")
        sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """A line of a result in words."""
        sys.stdout.write(text + "\n")

    def say(self, text: str) -> None:
        """Something on the way to the result."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def table(self, columns: list[str], rows: list[list[str]], *, title: str = "") -> None:
        """A table of a result in words; columns that hold numbers are told by their name's leading '>'."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console(file=sys.stdout, highlight=False, soft_wrap=False).print(table)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show that something goes on: a spinner where people look, a line where they do not."""
        if not sys.stderr.isatty():
            self.say(f"{what} …")
            yield
            return
        from rich.console import Console

        with Console(file=sys.stderr).status(what):
            yield


def _encoded(content: Any) -> str:
    import msgspec

    encoder = msgspec.json.Encoder(decimal_format="string", enc_hook=str)
    return encoder.encode(content).decode()


CURRENT: Output = Output()
"""The command's output, for whoever has to say that it failed."""


def begin(*, json: bool = False) -> Output:
    """The output of the command that starts now."""
    global CURRENT  # noqa: PLW0603  (one command a process)
    CURRENT = Output(json=json)
    return CURRENT


__all__ = ["CURRENT", "Exit", "Output", "begin"]
