"""`qm data`: whether bars can be traded on, before a session stands on them (§5 Data Check)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.day_options import Day, day_of
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import guarded
from qmworkbench.cli.options import AsJson
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.market.findings import Finding

app = typer.Typer(help="Look at market data before a session stands on it.", no_args_is_help=True)
_NEWEST = 20


@app.callback()
def _group() -> None:
    """Look at market data before a session stands on it."""


@app.command("check")
@guarded
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet file of bars.", show_default=False)],
    date: Day = None,
    json: AsJson = False,
) -> None:
    """What a bar file holds and everything that is wrong with it; with --date, one session as it would be loaded.

    Exit code 0: it can be traded on. 1: it is refused, with the reason and the remedy.
    """
    out = begin(json=json)
    refused = _whole_file(out, file) if date is None else _one_session(out, file, date)
    if refused:
        raise typer.Exit(Exit.NO_GO)


def _whole_file(out: Output, file: Path) -> bool:
    from qmworkbench.market.bars import inspect

    found = inspect(file)

    def human() -> None:
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
