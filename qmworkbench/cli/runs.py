"""`qm runs`: what backtests and sweeps were made, what came out, and how they compare (§2 Backtesting)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmworkbench.cli.backtest import registry_of
from qmworkbench.cli.failures import guarded
from qmworkbench.cli.options import AsJson, ConfigFile, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.research.backtests.run_comparison import Comparison
    from qmworkbench.research.backtests.runs import BrokenRun, Run, RunManifest, RunRegistry

app = typer.Typer(help="List, show and compare kept backtests and sweeps.", no_args_is_help=True, rich_markup_mode=None)

Where = Annotated[
    Path | None, typer.Option("--in", metavar="DIR", help="Look here, not in DATA/runs.", show_default=False)
]
_SHOWN: Final = {
    "total_return": "return", "sharpe": "sharpe", "max_drawdown": "drawdown", "trades": "trades",
    "profit_factor": "factor",
}  # fmt: skip
_SOURCE: Final = 12
_WIDE: Final = 120  # characters that all columns need; below, these are left
_NARROW: Final = ("run", "kind", "strategy", ">return", ">sharpe", ">trades")
_SHARES: Final = frozenset(
    "total_return yearly_return benchmark_return max_drawdown win_rate exposure gross_exposure volatility".split()
)
_DASH: Final = "–"


@app.callback()
def _group() -> None:
    """List, show and compare kept backtests and sweeps."""


@app.command("list")
@guarded
def listed(
    strategy: Annotated[
        str | None, typer.Option("--strategy", metavar="ID", help="Of this strategy alone.", show_default=False)
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="backtest or sweep alone.", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many, the newest first.")] = 30,
    where: Where = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Every run, newest first; a damaged one is listed as such, with what is wrong."""
    from qmworkbench.research.backtests.runs import RunManifest

    out = begin(json=json)
    registry = registry_of(config_of(None, None, config), where)
    found = registry.runs(strategy=strategy, kind=kind)

    def human() -> None:
        if not found:
            out.line(f"no run below {registry.root}: make one with `qm backtest STRATEGY`")
            return
        columns = ["run", "kind", "strategy", "data", ">symbols", "period", *(f">{name}" for name in _SHOWN.values())]
        kept = range(len(columns)) if out.width >= _WIDE else [columns.index(name) for name in _NARROW]
        lines = [_line(run) for run in found[:most]]
        out.table([columns[at] for at in kept], [[line[at] for at in kept] for line in lines])
        for run in found:
            if not isinstance(run, RunManifest):
                out.line(f"✗ {run.run_id} is damaged: {run.why}")
        if len(found) > most:
            out.line(f"{len(found) - most:,} older ones: --most {len(found)}")

    out.result({"root": registry.root, "runs": found[:most], "count": len(found)}, human)


def _line(run: "RunManifest | BrokenRun") -> list[str]:
    from qmworkbench.research.backtests.runs import RunManifest

    if not isinstance(run, RunManifest):
        return [run.run_id, "damaged", *[""] * (4 + len(_SHOWN))]
    data = run.data
    among = data.symbols[0] if len(data.symbols) == 1 else f"{len(data.symbols):,}"
    source = Path(data.source).name.removesuffix(".parquet")
    source = source if len(source) <= _SOURCE else f"{source[: _SOURCE - 1]}…"
    return [
        run.run_id,
        run.kind,
        run.strategy,
        source,
        among,
        f"{data.first:%Y-%m}…{data.last:%Y-%m}",
        *(_written(name, run.metrics.get(name)) for name in _SHOWN),
    ]


@app.command("show")
@guarded
def show(
    run: Annotated[str, typer.Argument(metavar="ID", help="A run's id, part of one, or latest.")] = "latest",
    html: Annotated[bool, typer.Option("--html", help="Make its tear sheet, a page that needs no network.")] = False,
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the page goes.", show_default=False)
    ] = None,
    where: Where = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """What a run was asked, on which bars, and what came out; with --html its tear sheet."""
    out = begin(json=json)
    registry = registry_of(config_of(None, None, config), where)
    found = registry.find(run)
    page = _tear_sheet(found, registry, out_file) if html or out_file is not None else None
    content: dict[str, Any] = {"directory": found.directory, "manifest": found.manifest}
    if page is not None:
        content["page"] = page

    def human() -> None:
        _tell(out, found)
        if page is not None:
            out.line(f"tear sheet: {page}")

    out.result(content, human)


def _tear_sheet(run: "Run", registry: "RunRegistry", out_file: Path | None) -> Path:
    from qmworkbench.reporting.tear_sheet import tear_sheet
    from qmworkbench.storage.atomic import write_whole

    path = out_file if out_file is not None else run.directory.parent / f"{run.run_id}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, tear_sheet(run, tried=registry.tried(run.manifest)).encode())
    return path


def _tell(out: Output, run: "Run") -> None:
    told, data = run.manifest, run.manifest.data
    among = ", ".join(data.symbols) if len(data.symbols) <= 8 else f"{len(data.symbols):,} symbols"
    out.line(f"{told.run_id}: {told.kind} of {told.strategy} {told.strategy_version}, {told.at:%Y-%m-%d %H:%M} UTC")
    out.line(f"bars      {data.source}, {among}, {data.first} to {data.last}, {data.bars:,} of {data.interval_s} s")
    out.line(f"          data hash {data.hash}")
    for name, values in (("params", told.params), ("terms", told.terms), ("engine", told.engine)):
        out.line(f"{name:<10}{', '.join(f'{key}={value}' for key, value in values.items())}")
    out.line(f"code      {told.code_version}, params hash {told.params_hash}, seed {told.seed}")
    rows = [[_name(name), _written(name, value)] for name, value in told.metrics.items()]
    out.table(["figure", ">value"], rows)
    out.line(f"tables    {', '.join(sorted(told.tables))} in {run.directory}")
    for note in told.notes:
        out.line(f"! {note}")


@app.command("compare")
@guarded
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="ID ID…", help="Two runs or more.", show_default=False)],
    where: Where = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Runs side by side: what they were asked differently, every figure, and how alike their equity moved."""
    from qmworkbench.research.backtests.run_comparison import compare as side_by_side

    out = begin(json=json)
    registry = registry_of(config_of(None, None, config), where)
    found = side_by_side([registry.find(run) for run in runs])
    out.result(found, lambda: _compared(out, found))


def _compared(out: Output, found: "Comparison") -> None:
    ids = [run.run_id for run in found.runs]
    if found.asked:
        rows = [[row.name, *("–" if value is None else f"{value}" for value in row.values)] for row in found.asked]
        out.table(["asked differently", *ids], rows)
    else:
        out.line("asked exactly alike")
    out.line(f"{found.alike} other settings are the same")
    out.line()
    rows = [[_name(row.name), *(_written(row.name, value) for value in row.values)] for row in found.metrics]
    out.table(["figure", *(f">{run}" for run in ids)], rows)
    for pair in found.likeness:
        if pair.correlation is None:
            out.line(f"{pair.first} and {pair.second}: too few common times to tell how alike they moved")
        else:
            out.line(
                f"{pair.first} and {pair.second}: equity correlated {pair.correlation:+.2f} at {pair.times:,} times"
            )


def _name(figure: str) -> str:
    return figure.replace("_", " ")


def _written(name: str, value: float | None) -> str:
    if value is None:
        return _DASH
    if name in _SHARES:
        return f"{value:.2%}"
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e12 else f"{value:,.2f}"
