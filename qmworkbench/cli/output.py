"""What a command prints: its one result on standard output, in words or as JSON; all else on standard error (§21)."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

_PIPED_WIDTH: Final = 132
_LINE_EVERY_S: Final = 10.0


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
        encoder = msgspec.json.Encoder(decimal_format="string", enc_hook=str)
        sys.stdout.write(encoder.encode(content).decode() + "\n")
        sys.stdout.flush()

    @property
    def answered(self) -> bool:
        """Whether the one JSON object has been printed."""
        return self._answered

    def line(self, text: str = "") -> None:
        """A line of a result in words."""
        sys.stdout.write(text + "\n")

    def say(self, text: str) -> None:
        """Something on the way to the result."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def table(self, columns: list[str], rows: list[list[str]], *, title: str = "") -> None:
        """A table of a result in words. A column whose name begins with '>' holds numbers; one that begins with '=' is
        never broken over lines: ids are copied into the next command.
        """
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(
                column.lstrip(">="),
                justify="right" if column.startswith(">") else "left",
                overflow="fold",
                no_wrap=column.startswith("="),
            )
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        # A terminal that is narrower wraps such a table's lines itself, and copies them whole.
        whole = any(column.startswith("=") for column in columns)
        width = max(self.width, _PIPED_WIDTH) if whole else self.width
        Console(file=sys.stdout, highlight=False, width=width).print(table)

    @property
    def width(self) -> int:
        """Characters a line has. Where no terminal says, a table is as wide as a page of listing paper was."""
        if sys.stdout.isatty() or "COLUMNS" in os.environ:
            return shutil.get_terminal_size().columns
        return _PIPED_WIDTH

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

    @contextmanager
    def steps(self, what: str) -> Iterator[Callable[[int, int, str], None]]:
        """Show how far something long has come: a bar where people look, a line now and then where they do not.

        Yields what is to be told of steps done, steps in all, and what is done next.
        """
        if not sys.stderr.isatty():
            self.say(f"{what} …")
            due = monotonic() + _LINE_EVERY_S

            def line(done: int, of: int, next_one: str) -> None:
                nonlocal due
                if monotonic() >= due:
                    due = monotonic() + _LINE_EVERY_S
                    self.say(f"{what} {next_one}: {done / max(of, 1):.0%} …")

            yield line
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, of, next_one: bar.update(
                task, completed=done, total=of, description=f"{what} {next_one}".rstrip()
            )


_outputs: list[Output] = [Output()]


def begin(*, json: bool = False) -> Output:
    """The output of the command that starts now."""
    _outputs[0] = Output(json=json)
    return _outputs[0]


def current() -> Output:
    """The running command's output, for whoever has to say that it failed."""
    return _outputs[0]
