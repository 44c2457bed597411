"""`qm backtest STRATEGY`: a catalog strategy over bars, its result on one page, kept as a run (§2 Backtesting)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmworkbench.cli.day_options import day_of
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, ConfigFile, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from datetime import date

    from qmworkbench.research.backtests.backtest import Backtest, Options, Sizing
    from qmworkbench.research.backtests.runs import RunRegistry
    from qmworkbench.service.config import Config

DEFAULT_DATA: Final = "demo:7:40"

Data = Annotated[
    str,
    typer.Option(
        "--data", metavar="BARS", help="A Parquet file, a name on the shelf, demo:SEED:SYMBOLS, package:NAME."
    ),
]
Symbols = Annotated[
    str | None, typer.Option("--symbols", metavar="A,B,…", help="Only these; else all there are.", show_default=False)
]
From = Annotated[str | None, typer.Option("--from", metavar="DATE", help="The first session.", show_default=False)]
To = Annotated[str | None, typer.Option("--to", metavar="DATE", help="The last session.", show_default=False)]


def backtest(
    strategy: Annotated[str, typer.Argument(help="A catalog id, such as opening-range.", show_default=False)],
    data: Data = DEFAULT_DATA,
    symbols: Symbols = None,
    first: From = None,
    last: To = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter other than approved; may be repeated."),
    ] = None,
    cash: Annotated[float, typer.Option("--cash", help="What the account begins with.")] = 100_000.0,
    fee_bps: Annotated[float, typer.Option("--fee-bps", help="Of each fill's value.")] = 0.0,
    fee_per_share: Annotated[float, typer.Option("--fee-per-share", help="Of each unit filled.")] = 0.0,
    fee_per_order: Annotated[float, typer.Option("--fee-per-order", help="Of each fill.")] = 0.0,
    slippage_bps: Annotated[float, typer.Option("--slippage-bps", help="Against us, on each fill.")] = 0.0,
    participation: Annotated[
        float, typer.Option("--participation", help="An entry's share of its bar's volume at most; 0: no cap.")
    ] = 0.0,
    size: Annotated[
        str, typer.Option("--size", metavar="95%|5000|100u|all", help="Share of equity, currency, units, or all in.")
    ] = "95%",
    positions: Annotated[
        int | None, typer.Option("--positions", help="Held at once at most; else one a symbol.", show_default=False)
    ] = None,
    rank: Annotated[str, typer.Option("--rank", help="Who is served first: symbol or turnover.")] = "symbol",
    fill: Annotated[str, typer.Option("--fill", help="next_open, or by name signal_close.")] = "next_open",
    reverse: Annotated[bool, typer.Option("--reverse", help="Turn a position round on an opposite entry.")] = False,
    no_stops: Annotated[bool, typer.Option("--no-stops", help="Leave stop, target, trail and time limit out.")] = False,
    engine: Annotated[str, typer.Option("--engine", help="kernel, vectorbt-rust or vectorbt-numba.")] = "kernel",
    actions: Annotated[
        Path | None, typer.Option("--actions", metavar="FILE", help="Splits and renames.", show_default=False)
    ] = None,
    as_printed: Annotated[bool, typer.Option("--as-printed", help="Take unadjusted splits as they are.")] = False,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Keep the run here, not in DATA/runs.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Run a strategy over bars: decided at a close, filled at the next open, told on one page, kept as a run.

    Nothing here can reach a broker. `qm runs show ID --html` makes the tear sheet.
    """
    from qmworkbench.research.backtests.backtest import Terms
    from qmworkbench.research.backtests.backtest import backtest as run
    from qmworkbench.service.approvals import parsed
    from qmworkbench.service.bar_sources import open_bars
    from qmworkbench.service.code_version import code_version
    from qmworkbench.strategies.catalog import get

    out = begin(json=json)
    definition = get(strategy)
    params = definition.parameters(parsed(definition, values or []))
    found = config_of(None, None, config)
    period = _day(first, "--from"), _day(last, "--to")
    names = names_of(symbols)
    terms = Terms(
        fee_rate=fee_bps / 1e4,
        fee_per_order=fee_per_order,
        fee_per_unit=fee_per_share,
        slippage_rate=slippage_bps / 1e4,
        participation=participation,
    )
    options = _options(fill, rank, engine, actions, reverse=reverse, stops=not no_stops, as_printed=as_printed)
    with out.working(f"running {strategy} over {data}"):
        bars = open_bars(data, data=found.resolved("paths.data"), period=period, symbols=names)
        done = run(
            definition,
            bars,
            params,
            symbols=names,
            period=period,
            terms=terms,
            sizing=_sizing(size, positions),
            cash=cash,
            options=options,
        )
        kept = registry_of(found, out_dir).register(done.manifest(code_version=code_version()), done.tables)
    out.result(_content(done, kept.run_id, kept.directory), lambda: _page(done, kept.run_id))


def registry_of(config: "Config", given: Path | None) -> "RunRegistry":
    """The runs below the configured data directory, or below another."""
    from qmworkbench.research.backtests.runs import RunRegistry

    return RunRegistry(given if given is not None else config.resolved("paths.data") / "runs")


def names_of(symbols: str | None) -> tuple[str, ...]:
    """The symbols that an option lists."""
    names = tuple(dict.fromkeys(name.strip().upper() for name in (symbols or "").split(",") if name.strip()))
    if symbols is not None and not names:
        raise Cannot(f"--symbols {symbols!r} names none", "list them, such as --symbols AAPL,BAC, or leave it out")
    return names


def _day(given: str | None, flag: str) -> "date | None":
    return None if given is None else day_of(given, flag)


def _sizing(given: str, positions: int | None) -> "Sizing":
    """What --size means: 95% of equity, 5000 of currency, 100u units, or all."""
    from qmworkbench.research.backtests.backtest import Sizing

    text = given.strip().lower()
    kind: Any = "all_in" if text == "all" else {"%": "equity", "u": "units"}.get(text[-1:], "cash")
    try:
        number = 0.0 if kind == "all_in" else float(text.rstrip("%u").replace(",", ""))
        return Sizing(kind, number / 100 if kind == "equity" else number, positions)
    except ValueError as error:
        raise Cannot(
            f"--size {given!r}: {error}", "give a share such as 95%, an amount such as 5000, units such as 100u, or all"
        ) from None


def _options(
    fill: str, rank: str, engine: str, actions: Path | None, *, reverse: bool, stops: bool, as_printed: bool
) -> "Options":
    from qmworkbench.market.corporate_actions import load_actions
    from qmworkbench.research.backtests.backtest import Options

    choices = {
        "--fill": (fill, ("next_open", "signal_close")),
        "--rank": (rank, ("symbol", "turnover")),
        "--engine": (engine, ("kernel", "vectorbt-rust", "vectorbt-numba")),
    }
    for flag, (given, among) in choices.items():
        if given not in among:
            raise Cannot(f"{flag} {given!r} is no choice", f"give {', '.join(among)}")
    told: dict[str, Any] = {"fill": fill, "rank": rank, "engine": engine}
    known = load_actions(actions) if actions is not None else ()
    return Options(**told, reverse=reverse, stops=stops, actions=known, as_printed=as_printed)


def _content(done: "Backtest", run_id: str, directory: Path) -> dict[str, Any]:
    manifest = done.manifest(code_version="")
    return {
        "run_id": run_id,
        "directory": directory,
        "strategy": manifest.strategy,
        "version": manifest.strategy_version,
        "params": manifest.params,
        "params_hash": manifest.params_hash,
        "terms": manifest.terms,
        "data": manifest.data,
        "engine": manifest.engine,
        "metrics": manifest.metrics,
        "by_symbol": done.by_symbol.to_dicts(),
        "by_month": done.by_month.to_dicts(),
        "by_hour": done.by_hour.to_dicts(),
        "by_weekday": done.by_weekday.to_dicts(),
        "by_regime": done.by_regime.to_dicts(),
        "failed": done.failed,
        "notes": manifest.notes,
    }


def _page(done: "Backtest", run_id: str) -> None:
    from qmworkbench.cli.backtest_page import show

    show(done, run_id)
