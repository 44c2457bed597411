"""`qm data`: whether bars can be traded on, before a session stands on them (§5 Data Check)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.failures import REFUSED
from qmworkbench.cli.printing import line, print_json, table
from qmworkbench.cli.settings import AsJson, Day, day_of

if TYPE_CHECKING:
    from qmworkbench.market.findings import Finding

app = typer.Typer(help="Look at market data before a session stands on it.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look at market data before a session stands on it."""


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet file of bars.")],
    date: Day = None,
    json: AsJson = False,
) -> None:
    """What a bar file holds and everything that is wrong with it; with --date, one session as it would be loaded.

    Exit code 0: it can be traded on. 1: it is refused, with the reason and the remedy.
    """
    refused = _one_session(file, date, json) if date is not None else _whole_file(file, json)
    if refused:
        raise typer.Exit(REFUSED)


def _whole_file(file: Path, json: bool) -> bool:
    from qmworkbench.market.bars import inspect

    found = inspect(file)
    if json:
        print_json(found)
        return found.refused
    line(
        f"{found.file}: {found.rows:,} rows, {found.symbols:,} symbols, {len(found.sessions):,} sessions of "
        f"{found.calendar or 'an unknown market'}, bars of {found.interval_s or '?'} s"
    )
    columns = ("date", "symbols", "bars", "pre-open", "after close", "kept aside", "half day")
    rows = (
        (s.date, s.symbols, f"{s.bars:,}", s.pre_open, s.after_close, s.quarantined, "half" if s.half_day else "")
        for s in found.sessions[-20:]
    )
    if found.sessions:
        table("the newest sessions", columns, rows, right=columns[1:6])
    _findings(found.findings)
    line("refused" if found.refused else "can be traded on")
    return found.refused


def _one_session(file: Path, date: str | None, json: bool) -> bool:
    from qmworkbench.market.bars import DataRefused, load_session

    day = day_of(date)
    assert day is not None
    try:
        data = load_session(file, day)
    except DataRefused as error:
        if json:
            print_json({"file": str(file), "date": date, "refused": True, "findings": error.findings})
        else:
            _findings(error.findings)
            line("refused")
        return True
    summary = {
        "file": str(file),
        "date": date,
        "refused": False,
        "calendar": data.calendar,
        "symbols": len(data.universe),
        "boundaries": len(data.boundaries),
        "interval_s": data.interval_s,
        "history_sessions": len(data.history),
        "quarantined": data.quarantined.height,
        "stops_early": sorted(data.stops),
        "data_hash": data.data_hash,
        "findings": data.findings,
    }
    if json:
        print_json(summary)
        return False
    line(
        f"{file} {date}: {summary['symbols']:,} symbols, {summary['boundaries']:,} boundaries of {summary['interval_s']} s "
        f"on {summary['calendar']}, {summary['history_sessions']} sessions of history, "
        f"{summary['quarantined']:,} rows kept aside, data hash {summary['data_hash']}"
    )
    _findings(data.findings)
    line("can be traded on")
    return False


def _findings(findings: "tuple[Finding, ...]") -> None:
    for finding in findings:
        line(f"  {finding.severity.value}: {finding}")
        for sample in finding.sample:
            line(f"      {sample}")
