"""`qm data add`, `list`, `remove`: the shelf of market data from elsewhere, with its provenance (§5 Data Check)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.failures import Cannot, guarded
from qmworkbench.cli.options import AsJson, ConfigFile, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    import polars as pl

    from qmworkbench.service.data_shelf import Added, Provenance, Shelf

_PACKAGE = "package:"
_FORMATS = ("auto", "plain", "histdata")


def shelf_of(config: Path | None) -> "Shelf":
    """The shelf below the configured data directory."""
    from qmworkbench.service.data_shelf import Shelf

    return Shelf(config_of(None, None, config).resolved("paths.data"))


@guarded
def add(
    given: Annotated[
        str,
        typer.Argument(metavar="FILE|package:NAME", help="CSV or Parquet file, or a data package.", show_default=False),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="What to call it; else after the file.", show_default=False)
    ] = None,
    symbol: Annotated[
        str | None,
        typer.Option("--symbol", metavar="NAME", help="The instrument, where no column says.", show_default=False),
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="ZONE", help="The zone of times without one.", show_default=False)
    ] = None,
    kind: Annotated[
        str, typer.Option("--format", metavar="KIND", help="Of a text file: auto, plain or histdata.")
    ] = "auto",
    source: Annotated[str, typer.Option("--source", help="Where it comes from, for the record.")] = "",
    licence: Annotated[str, typer.Option("--licence", help="Under which terms, for the record.")] = "",
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Make bars from elsewhere into a bar file on the shelf: DATA/added/NAME.parquet, with source, licence and hash.

    Data packages: package:bokeh-sampledata (five US shares, daily), and where the package backtesting is installed
    package:backtesting-goog (daily) and package:backtesting-eurusd (hourly).
    """
    from qmworkbench.service.data_shelf import now

    out = begin(json=json)
    shelf = shelf_of(config)
    if given.startswith(_PACKAGE):
        if symbol or zone or source or licence:
            raise Cannot("a data package says its symbols, times, source and licence itself", "leave these options out")
        bars, origin = _from_package(given.removeprefix(_PACKAGE))
        called = name or given.removeprefix(_PACKAGE)
    else:
        bars, origin = _from_file(Path(given), symbol, zone, kind, source, licence)
        called = name or Path(given).name.split(".")[0].lower().replace(" ", "-")
    with out.working(f"adding {called}"):
        added = shelf.add(called, bars, origin, now())
    path = shelf.folder / added.line.file
    content = {"line": added.line, "already": added.already, "path": path, "findings": added.found.findings}

    def human() -> None:
        _told(added, path)

    out.result(content, human)


def _from_package(name: str) -> "tuple[pl.DataFrame, Provenance]":
    from qmworkbench.market.adding.packages import package
    from qmworkbench.service.data_shelf import of_package

    read, origin = of_package(package(name))
    return read(), origin


def _from_file(
    path: Path, symbol: str | None, zone: str | None, kind: str, source: str, licence: str
) -> "tuple[pl.DataFrame, Provenance]":
    from qmworkbench.market.adding.text_files import read_text
    from qmworkbench.market.schema import COLUMNS, open_parquet
    from qmworkbench.service.data_shelf import Provenance, file_hash

    if kind not in _FORMATS:
        raise Cannot(f"--format {kind} is not known", f"give one of {', '.join(_FORMATS)}")
    if path.suffix == ".parquet":
        bars = open_parquet(path).read().select(COLUMNS)
    else:
        bars = read_text(path, kind=kind, symbol=symbol, zone=zone)  # type: ignore[arg-type]
    origin = Provenance(
        source=source or f"file {path.name}",
        licence=licence,
        treatment="as in the file",
        made_from=f"{path.name} sha256 {file_hash(path)[:16]}",
    )
    return bars, origin


def _told(added: "Added", path: Path) -> None:
    from qmworkbench.cli.output import current

    out, line = current(), added.line
    state = "is on the shelf already, unchanged" if added.already else "was added"
    out.line(
        f"{line.name} {state}: {line.rows:,} bars of {line.interval_s} s, {len(line.symbols):,} symbols, "
        f"{line.first_ts:%Y-%m-%d} to {line.last_ts:%Y-%m-%d}, {line.market}"
    )
    out.line(f"  source {line.source}; licence {line.licence or 'not said'}; {line.treatment}")
    out.line(f"  {path} sha256 {line.sha256[:16]}")
    for finding in added.found.findings:
        out.line(f"  {finding.severity.value}: {finding}")
    out.line(f"trade on it: qm day --data {path} --date {line.last_ts:%Y-%m-%d}")


@guarded
def list_(config: ConfigFile = None, json: AsJson = False) -> None:
    """What is on the shelf, with source and licence, and whether each file is as it was added."""
    out = begin(json=json)
    shelf = shelf_of(config)
    lines = shelf.lines()
    wrong = {line.name: shelf.changed(line) for line in lines}

    def human() -> None:
        if not lines:
            out.line(f"nothing is on the shelf ({shelf.folder}): add some with `qm data add`")
            return
        rows = [
            [
                line.name, line.market, str(line.interval_s), f"{line.rows:,}", str(len(line.symbols)),
                f"{line.first_ts:%Y-%m-%d}", f"{line.last_ts:%Y-%m-%d}", line.source, line.licence or "not said",
                wrong[line.name] or "as added",
            ]
            for line in lines
        ]  # fmt: skip
        columns = ["name", "market", ">bar s", ">bars", ">symbols", "from", "to", "source", "licence", "state"]
        out.table(columns, rows)

    out.result([{"line": line, "state": wrong[line.name] or "as added"} for line in lines], human)


@guarded
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name on the shelf.", show_default=False)],
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Take a file off the shelf."""
    out = begin(json=json)
    gone = shelf_of(config).remove(name)
    out.result({"removed": gone.name}, lambda: out.line(f"{gone.name} is off the shelf"))
