"""`qm data`: whether bars can be traded on, before a session stands on them (§5 Data Check)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli import data_shelf
from qmworkbench.cli.day_options import Day, day_of
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import guarded
from qmworkbench.cli.options import AsJson
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.market.findings import Finding

app = typer.Typer(help="Add market data, and look at it before a session stands on it.", no_args_is_help=True)
app.command("add")(data_shelf.add)
app.command("list")(data_shelf.list_)
app.command("remove")(data_shelf.remove)
_NEWEST = 20
BarFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Parquet file or store of bars, or a name on the shelf.", show_default=False),
]


@app.callback()
def _group() -> None:
    """Add market data, and look at it before a session stands on it."""


def bar_file(given: Path) -> Path:
    """The file that is meant: a path, or the name of one on the shelf of added data."""
    return data_shelf.shelf_of(None).meant(given, given) or given


@app.command("check")
@guarded
def check(
    file: BarFile,
    date: Day = None,
    json: AsJson = False,
) -> None:
    """What a bar file or store holds and everything wrong with it; with --date, one session as it would be loaded.

    Of a store every part is held against its hash first.

    Exit code 0: it can be traded on. 1: it is refused, with the reason and the remedy.
    """
    out = begin(json=json)
    file = bar_file(file)
    refused = _whole_file(out, file) if date is None else _one_session(out, file, date)
    if refused:
        raise typer.Exit(Exit.NO_GO)


@app.command("gaps")
@guarded
def gaps(
    file: BarFile,
    symbol: Annotated[
        str | None, typer.Option("--symbol", metavar="NAME", help="This symbol alone.", show_default=False)
    ] = None,
    least: Annotated[
        int | None,
        typer.Option(
            "--least", min=1, help="Silences of this many bars and more; else 15 minutes.", show_default=False
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Where a bar file or store has holes: missing sessions, absent symbols, silences.

    Exit code 0: none but symbols' own silences, which mean no trade. 1: a session is missing, or all symbols are silent
    at once.
    """
    from qmworkbench.market.gaps import find_gaps

    out = begin(json=json)
    with out.steps(str(file)) as told:
        found = find_gaps(bar_file(file), symbol=symbol, least_bars=least, progress=told)

    def human() -> None:
        share = found.held / found.expected
        out.line(
            f"{found.file}: {found.sessions:,} sessions from {found.first} to {found.last}, "
            f"{found.held:,} of {found.expected:,} bars ({share:.2%}) of {found.interval_s} s"
        )
        _missing(out, found.missing_sessions, found.absent)
        shown = found.silences[:_NEWEST]
        if shown:
            columns = ["symbol", "session", "from UTC", "to UTC", ">bars missing"]
            rows = [
                [s.symbol or "(all)", str(s.date), f"{s.begins:%m-%d %H:%M}", f"{s.ends:%m-%d %H:%M}", f"{s.bars:,}"]
                for s in shown
            ]
            title = f"the longest {len(shown)} of {found.silences_found:,} silences of {found.least_bars} bars and more"
            out.table(columns, rows, title=title)
        else:
            out.line(f"no silence of {found.least_bars} bars or more")

    out.result(found, human)
    if not found.whole:
        raise typer.Exit(Exit.NO_GO)


def _missing(out: Output, sessions: "Sequence[object]", absent: "Mapping[str, Sequence[object]]") -> None:
    from qmworkbench.market.findings import listed

    if sessions:
        out.line(f"{len(sessions):,} sessions have no bar at all: {listed([str(day) for day in sessions], 8)}")
    else:
        out.line("no session is missing")
    for name, days in sorted(absent.items(), key=lambda item: (-len(item[1]), item[0]))[:_NEWEST]:
        out.line(f"  {name} is absent from {len(days):,} sessions: {listed([str(day) for day in days], 5)}")


def _whole_file(out: Output, file: Path) -> bool:
    from qmworkbench.market.bars import inspect

    with out.steps(str(file)) as told:
        found = inspect(file, told)

    def human() -> None:
        if found.rows:  # of what cannot be opened the reason alone is worth a line
            out.line(
                f"{found.file}: {found.rows:,} rows, {found.symbols:,} symbols, {len(found.sessions):,} sessions of "
                f"{found.calendar or 'an unknown market'}, bars of {found.interval_s or '?'} s"
            )
        if found.sessions:
            shown = found.sessions[-_NEWEST:]
            columns = ["date", ">symbols", ">bars", ">pre-open", ">after close", ">kept aside", "half day"]
            rows = [
                [str(s.date), f"{s.symbols:,}", f"{s.bars:,}", f"{s.pre_open:,}", f"{s.after_close:,}",
                 f"{s.quarantined:,}", "half" if s.half_day else ""]
                for s in shown
            ]  # fmt: skip
            out.table(columns, rows, title=f"the newest {len(shown)} sessions")
        _findings(out, found.findings)
        out.line("refused" if found.refused else "can be traded on")

    out.result(found, human)
    return found.refused


def _one_session(out: Output, file: Path, date: str) -> bool:
    from qmworkbench.market.bars import DataRefused, load_session

    try:
        data = load_session(file, day_of(date))
    except DataRefused as error:
        findings = error.findings

        def refused() -> None:
            _findings(out, findings)
            out.line("refused")

        out.result({"file": file, "date": date, "refused": True, "findings": findings}, refused)
        return True

    def human() -> None:
        out.line(
            f"{file} {date}: {len(data.universe):,} symbols on {data.calendar}, {len(data.boundaries):,} boundaries of "
            f"{data.interval_s} s, {len(data.history)} sessions of history, {data.quarantined.height:,} rows kept "
            f"aside, data hash {data.data_hash}"
        )
        _findings(out, data.findings)
        out.line("can be traded on")

    summary = {
        "file": file,
        "date": date,
        "refused": False,
        "calendar": data.calendar,
        "symbols": len(data.universe),
        "boundaries": len(data.boundaries),
        "interval_s": data.interval_s,
        "history_sessions": len(data.history),
        "quarantined": data.quarantined.height,
        "data_hash": data.data_hash,
        "findings": data.findings,
    }
    out.result(summary, human)
    return False


def _findings(out: Output, findings: "Sequence[Finding]") -> None:
    for finding in findings:
        out.line(f"  {finding.severity.value}: {finding}")
        for sample in finding.sample:
            out.line(f"      {sample}")
