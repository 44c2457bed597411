"""`qm strategy check`: does a strategy see the future, its neighbours, or break its contract? (§3)"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.data import bar_file
from qmworkbench.cli.day_options import Day, day_of
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from qmworkbench.strategies.definition import StrategyDefinition, StrategyInstance


def check(
    strategy: Annotated[str | None, typer.Argument(help="A catalog id; all without.", show_default=False)] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="File or store of bars to try on.", show_default=False)
    ] = None,
    date: Day = None,
    json: AsJson = False,
) -> None:
    """Read a strategy's expressions for looks ahead; with --data, run it on bars of which some are taken away.

    Each strategy is checked with its approved parameters and with those of its published instances. Exit code 0:
    nothing found. 1: findings, each with its column. 2: could not be looked at.
    """
    from qmworkbench.service.strategy_checks import bars_of, check_sets, shared_names

    out = begin(json=json)
    if date is not None and data is None:
        raise Cannot("--date says which session of a file, and no file is given", "give one with --data FILE")
    definitions, published = _chosen(strategy)
    with out.working("looking"):
        day = day_of(date) if date is not None else None
        bars = bars_of(bar_file(data), day) if data is not None else None
        found = check_sets(definitions, published, bars)
        shared = shared_names(definitions, published)
    clean = not shared and not any(one.findings for one in found)

    def human() -> None:
        rows = [
            [
                one.strategy_id,
                one.version,
                one.params_hash,
                _used(one.used_by),
                ", ".join(one.tried),
                "clean" if not one.findings else f"{len(one.findings)} found",
            ]
            for one in found
        ]
        out.table(["strategy", "version", "parameters", "of", "tried", ""], rows)
        for sentence in (*(text for one in found for text in one.findings), *shared):
            out.line(f"  {sentence}")
        if bars is None:
            out.line("contract and truncation were not tried: no bars (--data FILE)")
        else:
            out.line(f"on {bars.source}, session {bars.session}: {', '.join(bars.symbols)}")
        out.line("nothing found" if clean else "not shown to be safe")

    content = {
        "clean": clean,
        "sets": found,
        "shared_names": shared,
        "bars": None
        if bars is None
        else {"source": bars.source, "session": bars.session, "symbols": bars.symbols, "rows": bars.table.height},
    }
    out.result(content, human)
    if not clean:
        raise typer.Exit(Exit.NO_GO)


def _chosen(strategy: str | None) -> "tuple[list[StrategyDefinition], list[StrategyInstance]]":
    from qmworkbench.domain.instruments import AssetClass
    from qmworkbench.strategies.catalog import catalog, default_instances, get

    definitions = list(catalog().values()) if strategy is None else [get(strategy)]
    return definitions, [one for market in AssetClass for one in default_instances(market)]


def _used(names: tuple[str, ...]) -> str:
    if not names:
        return "the entry"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
