"""`qm replay`: a period of sessions in memory, decided as `qm day` decides them, and what they came to (§2, §9)."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.day_options import DataFile, From, To, data_flags
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.domain.events import Event
    from qmworkbench.service.day_record import DayLine

Trades = Annotated[
    Path | None,
    typer.Option("--trades", metavar="FILE", help="Write every closed trade to this Parquet or CSV file."),
]


def replay(
    data: DataFile = None,
    first: From = None,
    last: To = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The demo market's seed.", show_default=False)] = None,
    symbols: Annotated[
        int | None, typer.Option("--symbols", min=1, help="How many symbols to trade among.", show_default=False)
    ] = None,
    owned: Annotated[
        int | None, typer.Option("--owned", help="How many symbols may be owned at once.", show_default=False)
    ] = None,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Compute signals boundary by boundary: the same, and slower.")
    ] = False,
    trades: Trades = None,
    book: Book = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Replay a period: the sessions of `qm day --from --to` as a backtest, in memory, with the same decisions.

    Nothing of it is kept: no book, no evidence, no reports. It begins with the configured cash and nothing held.
    """
    began_s = time.perf_counter()
    out = begin(json=json)
    if trades is not None and trades.suffix not in (".parquet", ".csv"):
        raise Cannot(
            f"--trades {trades}: only .parquet and .csv can be written", "give a file that ends in one of them"
        )
    flags = data_flags(data, None) | {
        "environment": ("backtest", "qm replay"),
        "feed.compute": ("incremental", "--incremental") if incremental else ("one-pass", "qm replay"),
    }
    if seed is not None:
        flags["data.seed"] = (seed, "--seed")
    if owned is not None:
        flags["allocator.max_owned"] = (owned, "--owned")
    settings = config_of(book, None, config, flags)

    from qmworkbench.cli.day_run import checked_count
    from qmworkbench.cli.days import period_of, tell_days, to_tell
    from qmworkbench.service.days import stretch
    from qmworkbench.service.replay_days import ReplayDays
    from qmworkbench.service.session_data import open_sessions
    from qmworkbench.service.stage import StopRequested
    from qmworkbench.storage.memory import HeadJournal

    with out.working("reading the market data"):
        sessions = open_sessions(settings, count=checked_count(settings, symbols))
        found = stretch(sessions, *period_of(settings, sessions, first, last, fresh=True))
    out.say(f"{len(found.days)} sessions from {found.days[0]} to {found.days[-1]}, in memory")
    for one in to_tell(found):
        out.say(f"  {one}")
    closed: list[Event] = []
    journal = HeadJournal(lambda events: _take_trades(events, closed)) if trades is not None else HeadJournal()
    days = ReplayDays(settings, sessions, found, journal)
    with _shown(out, len(found.days)) as on_day:
        result = days.run(on_day)
    if trades is not None:
        _write(closed, trades)
        out.say(f"{len(closed):,} trades are in {trades}")
    tell_days(
        out, result, currency=settings.settings.account_currency, wall_s=time.perf_counter() - began_s, brief=True
    )
    if days.interrupted:
        raise StopRequested(result.stopped)
    if result.stopped:
        out.say(f"the replay ended: {result.stopped}")
    if not result.good:
        raise typer.Exit(int(Exit.NO_GO))


def _take_trades(events: Sequence["Event"], closed: list["Event"]) -> None:
    from qmworkbench.domain.events.orders import TradeClosed

    closed.extend(event for event in events if isinstance(event, TradeClosed))


def _write(closed: Sequence["Event"], file: Path) -> None:
    """Closed trades as a table; money exactly, as text. Raises Cannot."""
    import msgspec
    import polars as pl

    table = pl.DataFrame([msgspec.to_builtins(event) for event in closed], infer_schema_length=None)
    try:
        if file.suffix == ".csv":
            table.select(name for name, kind in table.schema.items() if not kind.is_nested()).write_csv(file)
        else:
            table.write_parquet(file)
    except OSError as error:
        raise Cannot(f"--trades {file} cannot be written: {error.strerror or error}", "name another file") from error


@contextlib.contextmanager
def _shown(out: Output, sessions: int) -> Iterator[Any]:
    """A bar where people look; a line for each month where they do not."""
    if not sys.stderr.isatty():
        months: list[str] = []

        def say(line: "DayLine") -> None:
            if not months or months[-1] != line.date[:7]:
                months.append(line.date[:7])
                equity = f", equity {line.equity_start:,.2f}" if line.equity_start is not None else ""
                out.say(f"{line.date[:7]} begins{equity}")

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("replay", total=sessions)
        yield lambda line: progress.update(task, advance=1, description=line.date)
