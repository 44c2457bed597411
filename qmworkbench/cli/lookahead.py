"""`qm lookahead STRATEGY`: does it see the future? Four analyses on real bars, the column at fault named (§3)."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmworkbench.cli.day_options import day_of
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from qmworkbench.market.schema import BarSource
    from qmworkbench.research.backtests.period_bars import PeriodBars
    from qmworkbench.research.lookahead.lookahead import Lookahead
    from qmworkbench.strategies.definition import StrategyDefinition
    from qmworkbench.strategies.parameters import Params

DEFAULT_DATA: Final = "demo:7:40"
_MOST_LINES: Final = 8
_BOUNDARIES_GUESSED: Final = 24


def lookahead(
    strategy: Annotated[str, typer.Argument(help="A catalog id, such as opening-range.", show_default=False)],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="Parameters other than approved.", show_default=False),
    ] = None,
    data: Annotated[
        str, typer.Option("--data", metavar="BARS", help="A Parquet file, a name on the shelf, or demo:SEED:SYMBOLS.")
    ] = DEFAULT_DATA,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="The first session; else the last alone.", show_default=False),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="The last session.", show_default=False)
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option(
            "--symbols", metavar="A,B,…|N", help="Which, or how many; else the liveliest 12.", show_default=False
        ),
    ] = None,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Print what a catalog entry keeps of a passed examination.")
    ] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Examine a strategy for looks ahead: later bars cut off, later bars exchanged, more history, the next bar known.

    Each finding names the column at fault and the first bar at which it shows. Exit code 0: passed. 1: a column is at
    fault, or there was too little to look at. 2: could not be looked at.
    """
    from qmworkbench.research.lookahead.lookahead import MOST_SYMBOLS
    from qmworkbench.research.lookahead.lookahead import lookahead as examine
    from qmworkbench.service.approvals import parsed
    from qmworkbench.strategies.catalog import get

    out = begin(json=json)
    definition = get(strategy)
    params = definition.parameters(parsed(definition, values or []))
    names, most = _symbols(symbols, MOST_SYMBOLS)
    with out.working("examining"):
        root = config_of(book, environment, config).resolved("paths.data")
        bars = _bars(definition, params, data, root, _days(first, last), names)
        found = examine(definition, bars, params, most_symbols=most)
    content = _content(found, evidence=evidence)
    out.result(content, lambda: _tell(out, found, evidence=evidence))
    if not found.passed:
        raise typer.Exit(Exit.NO_GO)


def _symbols(given: str | None, most: int) -> tuple[tuple[str, ...], int]:
    """The symbols named, and how many of all there are to look at."""
    if given is None:
        return (), most
    if given.isdecimal():
        if not int(given):
            raise Cannot("--symbols 0 leaves nothing to look at", "give how many, or their names")
        return (), int(given)
    names = tuple(dict.fromkeys(name.strip().upper() for name in given.split(",") if name.strip()))
    if not names:
        raise Cannot(f"--symbols {given!r} names none", "give names with commas between, or how many")
    return names, len(names)


def _days(first: str | None, last: str | None) -> "tuple[date | None, date | None]":
    return (
        day_of(first, "--from") if first is not None else None,
        day_of(last, "--to") if last is not None else None,
    )


def _bars(
    definition: "StrategyDefinition",
    params: "Params",
    data: str,
    root: "Path",
    days: "tuple[date | None, date | None]",
    names: tuple[str, ...],
) -> "PeriodBars":
    """The bars of the period asked for (the last session alone where no first is given) and of what comes before."""
    from qmworkbench.research.backtests.period_bars import read_period
    from qmworkbench.research.lookahead.lookahead import history_sessions
    from qmworkbench.service.bar_sources import DEMO_PERIOD, open_bars
    from qmworkbench.service.session_data import last_session

    first, last = days
    if data.partition(":")[0] == "demo":
        last = last or max(DEMO_PERIOD[1], first or DEMO_PERIOD[1])
        first = first or last
    source = open_bars(data, data=root, period=(first, last), symbols=names)
    usual = _usual_rows(source)
    if first is None and usual > 1:  # daily bars are one long session, examined whole
        held = [day for day in source.trading_dates(source.market())["date"].to_list() if last is None or day <= last]
        first = last_session(source) if last is None else (held[-1] if held else last)
        last = first
    before = history_sessions(definition, params, max(usual, _BOUNDARIES_GUESSED))
    return read_period(source, symbols=names, period=(first, last), history_sessions=before, as_printed=True)


def _usual_rows(source: "BarSource") -> int:
    """How many bars a symbol has in a plain session: what history is counted in."""
    rows = sorted(source.trading_dates(source.market())["rows"].to_list())
    return rows[len(rows) // 2] // max(len(source.symbols()), 1) if rows else 0


def _content(found: "Lookahead", *, evidence: bool) -> dict[str, Any]:
    import msgspec

    told: dict[str, Any] = msgspec.to_builtins(found, builtin_types=())
    told |= {"passed": found.passed, "shortcomings": found.shortcomings()}
    if evidence and found.passed:
        told["evidence"] = found.evidence()
    return told


def _tell(out: Output, found: "Lookahead", *, evidence: bool) -> None:
    out.line(
        f"{found.strategy_id} {found.version}, parameters {found.params_hash}, code {found.code_hash}\n"
        f"on {found.data} ({found.data_hash}), {_span(found)}: {found.bars:,} bars of {', '.join(found.symbols)}; "
        f"{found.entries:,} entries decided"
    )
    rows = [
        [one.name, f"{one.comparisons:,}", f"{one.rows:,}", _outcome(one.passed, len(one.findings))]
        for one in found.analyses
    ]
    out.table(["analysis", ">comparisons", ">rows", ""], rows)
    for one in found.analyses:
        for at, finding in enumerate(one.findings[:_MOST_LINES]):
            lead = f"{one.name}, column at fault" if at == 0 else "  and after it"
            out.line(f"{lead}: {finding.column} ({finding.kind}), first for {finding.symbol} at {finding.ts}")
            out.line(f"    {finding.said}")
        if len(one.findings) > _MOST_LINES:
            out.line(f"  and {len(one.findings) - _MOST_LINES} columns more (--json names them)")
    _settling(out, found)
    for sentence in found.shortcomings():
        out.line(f"not enough to go by: {sentence}; give other bars (--data, --from, --symbols)")
    out.line("passed" if found.passed else "not passed")
    if evidence and found.passed:
        out.line("\nto keep in the entry's validation history:\n")
        out.line(_as_code(found))


def _outcome(passed: bool, count: int) -> str:
    if passed:
        return "nothing found"
    return f"{count} columns" if count > 1 else "1 column" if count else "nothing to compare"


def _span(found: "Lookahead") -> str:
    first, last = found.sessions[0], found.sessions[-1]
    return f"{first}" if first == last else f"{first} to {last}"


def _settling(out: Output, found: "Lookahead") -> None:
    """Which columns take how much history: the largest change for each that is shorter than the anchor."""
    shorter = [one for one in found.settling if one.largest_bps is not None and not one.declared]
    shown: set[str] = set()
    for one in sorted(shorter, key=lambda settling: -(settling.largest_bps or 0.0)):
        if one.history not in shown:
            shown.add(one.history)
            out.line(
                f"with less history than the anchor's, {one.history}, {one.column} would change by up to "
                f"{one.largest_bps:,.4g} bps, in {one.rows:,} of {one.of:,} bars"
            )


def _as_code(found: "Lookahead") -> str:
    kept = found.evidence()
    source = (
        found.data if found.data.startswith(("demo:", "package:")) else found.data.replace("\\", "/").split("/")[-1]
    )
    return (
        f'Validation(\n    data="{source}, {len(found.symbols)} symbols, {_span(found)}",\n'
        f'    method="look-ahead examination: {", ".join(kept.analyses)} (qm lookahead)",\n'
        f'    result="no finding in {found.bars:,} bars with {found.entries:,} entries",\n'
        f"    lookahead=LookaheadPassed(\n"
        f'        data_hash="{kept.data_hash}",\n        params_hash="{kept.params_hash}",\n'
        f'        code_hash="{kept.code_hash}",\n        sessions={kept.sessions},\n        symbols={kept.symbols},\n'
        f"        entries={kept.entries},\n    ),\n)"
    )
