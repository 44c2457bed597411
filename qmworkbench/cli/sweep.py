"""`qm sweep STRATEGY`: many parameter sets over the same bars, ranked, checked and judged (§2 Backtesting)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmworkbench.cli.backtest import DEFAULT_DATA, Data, From, Symbols, To, names_of, registry_of
from qmworkbench.cli.day_options import day_of
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, ConfigFile, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.research.backtests.period_bars import PeriodBars
    from qmworkbench.research.backtests.runs import RunRegistry
    from qmworkbench.research.sweeps.sweep import SweepResult
    from qmworkbench.strategies.definition import StrategyDefinition
    from qmworkbench.strategies.parameters import Params

Fixed = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter that does not vary; may be repeated."),
]
Random = Annotated[
    int | None, typer.Option("--random", min=1, metavar="N", help="Draw N combinations.", show_default=False)
]
Search = Annotated[
    int | None, typer.Option("--search", min=1, metavar="N", help="Look for the best in N trials.", show_default=False)
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ADDRESS", help="A dask scheduler, tcp://HOST:PORT.", show_default=False),
]
Axes = Annotated[
    list[str],
    typer.Option(
        "--grid",
        metavar="GRID",
        help="fast=5:50:5,slow=20:200:10: ranges with both ends, or lists; may be repeated.",
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads; one for each core.", show_default=False)
]

_SHOWN: Final = ("total_return", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")


def sweep(
    strategy: Annotated[str, typer.Argument(help="A catalog id, or sma-plain, which has no stop.", show_default=False)],
    grid: Axes,
    data: Data = DEFAULT_DATA,
    symbols: Symbols = None,
    first: From = None,
    last: To = None,
    values: Fixed = None,
    random: Random = None,
    search: Search = None,
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn, searched and checked.")] = 0,
    by: Annotated[
        str, typer.Option("--by", metavar="FIGURE", help="What ranks, and what a search looks for.")
    ] = "sharpe",
    cash: Annotated[float, typer.Option("--cash", help="What each symbol's account begins with.")] = 100_000.0,
    position: Annotated[float, typer.Option("--position", help="What an entry may cost.")] = 25_000.0,
    fee_bps: Annotated[float, typer.Option("--fee-bps", help="Of each fill's value.")] = 0.0,
    fee_per_share: Annotated[float, typer.Option("--fee-per-share", help="Of each unit filled.")] = 0.0,
    fee_per_order: Annotated[float, typer.Option("--fee-per-order", help="Of each fill.")] = 0.0,
    slippage_bps: Annotated[float, typer.Option("--slippage-bps", help="Against us, on each fill.")] = 0.0,
    participation: Annotated[
        float, typer.Option("--participation", help="An entry's share of its bar's volume at most; 0: no cap.")
    ] = 0.0,
    reverse: Annotated[bool, typer.Option("--reverse", help="Turn a position round on an opposite entry.")] = False,
    as_printed: Annotated[bool, typer.Option("--as-printed", help="Take unadjusted splits as they are.")] = False,
    cluster: Cluster = None,
    threads: Threads = None,
    check: Annotated[int, typer.Option("--check", min=1, help="Combinations vectorbt simulates again.")] = 8,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the best are shown.")] = 10,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Keep the results here, not below DATA/sweeps.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Try every combination of a grid over the same bars, and say what the best is worth after so many trials.

    The same command goes on where it was killed. A sample of the combinations is simulated again by vectorbt; if they
    differ the sweep fails. Exit code 0: done, whatever the verdict.
    """
    from qmworkbench.research.fills.tape import Terms
    from qmworkbench.research.sweeps.plain_rules import definition_of
    from qmworkbench.research.sweeps.sweep import Asked, How, grid_given, known_combinations
    from qmworkbench.research.sweeps.sweep import sweep as run
    from qmworkbench.research.sweeps.sweep_bars import sweep_bars
    from qmworkbench.research.sweeps.sweep_engine import Setting
    from qmworkbench.research.sweeps.sweep_sample import Sample
    from qmworkbench.service.approvals import parsed

    out = begin(json=json)
    definition = definition_of(strategy)
    fixed = parsed(definition, values or [])
    made = grid_given(",".join(grid), definition)
    # Refused before any bar is read: a grid that is too large, or of which nothing can be run.
    asked = Asked(made, fixed, random, search, seed, by)
    known_combinations(asked, definition)
    terms = Terms(fee_bps / 1e4, fee_per_order, fee_per_share, slippage_bps / 1e4, participation)
    setting = _setting(lambda: Setting(terms, cash, position, reverse))
    found = config_of(None, None, config)
    with out.working(f"reading {data}"):
        widest = {**definition.parameters({}), **fixed, **{axis.name: axis.largest for axis in made.axes}}
        source = (data, found.resolved("paths.data"), symbols)
        bars = _bars(definition, widest, source, (first, last), as_printed=as_printed)
        over = sweep_bars(bars, as_printed=as_printed)
    home = (
        out_dir
        if out_dir is not None
        else found.resolved("paths.data") / "sweeps" / _name(definition, over, asked, setting)
    )
    with _progress(out) as told:
        how = How(threads=threads, cluster=cluster, progress=told, sample=Sample(check, seed))
        done = run(definition, over, made, setting=setting, out=home, how=how, **asked.which())
    run_id = _registered(done, definition, bars, registry_of(found, None))
    out.result(_content(done, run_id, top), lambda: _page(out, done, made.names, run_id, top))


def _setting(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:
        raise Cannot(str(error), "correct --cash, --position or what a fill costs") from None


def _name(definition: "StrategyDefinition", over: Any, asked: Any, setting: Any) -> str:
    """The same for the same sweep, so that the same command goes on with it."""
    import hashlib

    import msgspec

    from qmworkbench.research.sweeps.sweep import CHUNK
    from qmworkbench.research.sweeps.sweep_identity import identity_of

    identity = identity_of(definition, over, setting, asked, CHUNK)
    return f"{definition.strategy_id}-{hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:12]}"


def _bars(
    definition: "StrategyDefinition",
    widest: "Params",
    given: tuple[str, Path, str | None],
    days: tuple[str | None, str | None],
    *,
    as_printed: bool,
) -> "PeriodBars":
    """The period, and before it as many sessions as the grid's largest windows look back to."""
    from qmworkbench.research.backtests.period_bars import boundaries_of, read_period
    from qmworkbench.service.bar_sources import open_bars

    first, last = (
        None if day is None else day_of(day, flag) for day, flag in zip(days, ("--from", "--to"), strict=True)
    )
    data, shelf, symbols = given
    names = names_of(symbols)
    source = open_bars(data, data=shelf, period=(first, last), symbols=names)
    before = definition.history_sessions(widest, boundaries_of(source, (first, last)))
    return read_period(
        source, symbols=names, period=(first, last), history_sessions=before if first else 0, as_printed=as_printed
    )


@contextmanager
def _progress(out: Output) -> Iterator[Callable[[int, int], None] | None]:
    """A bar with rate and time left where people look; nothing where they do not."""
    import sys

    if not sys.stderr.isatty():
        out.say("sweeping …")
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("sweeping"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(file=sys.stderr), transient=True) as shown:
        task = shown.add_task("sweeping", total=None, rate="")

        def told(done: int, of: int) -> None:
            shown.update(task, completed=done, total=of)
            speed = shown.tasks[0].finished_speed or shown.tasks[0].speed
            shown.update(task, rate=f"{speed:,.0f}/s" if speed else "")

        yield told


def _registered(
    done: "SweepResult", definition: "StrategyDefinition", bars: "PeriodBars", registry: "RunRegistry"
) -> str | None:
    """The sweep in the run registry; None where it had been done before."""
    from qmworkbench.research.backtests.runs import DataNote, RunManifest
    from qmworkbench.service.code_version import code_version

    if done.kept:
        return None
    identity, best = done.manifest["identity"], done.best or {}
    metrics: dict[str, float | None] = {name: best.get(name) for name in _SHOWN}
    metrics |= {"trials": float(done.trials), "deflated_sharpe": done.worth.deflated}
    manifest = RunManifest(
        kind="sweep",
        strategy=definition.strategy_id,
        strategy_version=definition.version,
        params={name: identity[name] for name in ("grid", "fixed", "random", "search", "by")},
        params_hash=identity["params_hash"],
        terms=identity["setting"],
        data=DataNote(
            source=bars.source,
            hash=bars.hash,
            symbols=bars.symbols,
            first=bars.first,
            last=bars.last,
            bars=bars.bars.height,
            interval_s=bars.interval_s,
        ),
        code_version=code_version(),
        engine={"sweep": done.manifest["engine"], "check": done.checked.engine, **identity["libraries"]},
        seed=identity["seed"],
        metrics=metrics,
        notes=(done.worth.sentence,),
    )
    return registry.register(manifest, {"results": done.rows}).run_id


def _content(done: "SweepResult", run_id: str | None, top: int) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "directory": done.directory,
        "strategy": done.strategy_id,
        "grid": done.manifest["identity"]["grid"],
        "trials": done.trials,
        "failed": done.worth.failed,
        "invalid": done.worth.invalid,
        "invalid_because": done.manifest["reasons"],
        "failed_symbols": done.manifest["failed_symbols"],
        "by": done.by,
        "best": done.ranking(top=top).to_dicts(),
        "worth": done.worth.as_dict(),
        "checked": done.manifest["checked"],
        "engine": done.manifest["engine"],
        "data": done.manifest["identity"]["data"],
    }


def _page(out: Output, done: "SweepResult", names: tuple[str, ...], run_id: str | None, top: int) -> None:
    rows = [
        [*(str(row[name]) for name in names), *(_figure(name, row[name]) for name in _SHOWN), row["reason"] or ""]
        for row in done.ranking(top=top).iter_rows(named=True)
    ]
    title = f"{done.strategy_id}: {done.trials:,} combinations, best by {done.by} first"
    out.table([*(f">{name}" for name in (*names, *_SHOWN)), ""], rows, title=title)
    worth = done.worth
    if worth.failed:
        out.line(f"{worth.failed:,} combinations failed; their rows say why")
    if worth.invalid:
        out.line(f"{worth.invalid:,} combinations were left out, such as: {done.manifest['reasons'][0]}")
    for symbol, reason in done.manifest["failed_symbols"].items():
        out.line(f"{symbol} was left out: {reason}")
    out.line(worth.sentence)
    checked = done.checked
    out.line(
        f"{checked.cases} combinations simulated again by {checked.engine}: at most {checked.max_abs_diff:.1e} apart"
    )
    out.line(f"results: {done.directory}{f'; run {run_id}' if run_id else '; done before'}")


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name in ("total_return", "max_drawdown", "win_rate"):
        return f"{value:.2%}"
    return f"{value:,.0f}" if name == "trades" else f"{value:.2f}"
