"""`qm data add`, `list`, `remove`: the shelf of bar files and bar stores, with their provenance (§5 Data Check)."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.data_store import (
    Actions,
    Asked,
    Interval,
    PartsBy,
    PricesAre,
    Replace,
    StoreName,
    add_to_store,
    listed_store,
)
from qmworkbench.cli.failures import Cannot, guarded
from qmworkbench.cli.options import AsJson, ConfigFile, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    import polars as pl

    from qmworkbench.service.data_shelf import Added, Provenance, Shelf

_PACKAGE = "package:"
_MOST_ROWS = 20_000_000  # of one file: about 5 GB while it is added
_FORMATS = ("auto", "plain", "histdata")


def shelf_of(config: Path | None) -> "Shelf":
    """The shelf below the configured data directory."""
    from qmworkbench.service.data_shelf import Shelf

    return Shelf(config_of(None, None, config).resolved("paths.data"))


Given = Annotated[
    str,
    typer.Argument(
        metavar="FILE|DIR|package:NAME",
        help="CSV or Parquet file, a directory of them, or a data package.",
        show_default=False,
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="What to call it; else after the file.", show_default=False)]
Symbol = Annotated[
    str | None,
    typer.Option(
        "--symbol",
        metavar="NAME",
        help="The instrument, where no column says; @file: the file's name.",
        show_default=False,
    ),
]
Zone = Annotated[
    str | None, typer.Option("--zone", metavar="ZONE", help="The zone of times without one.", show_default=False)
]
Format = Annotated[str, typer.Option("--format", metavar="KIND", help="Of a text file: auto, plain or histdata.")]
Source = Annotated[str, typer.Option("--source", help="Where it comes from, for the record.")]
Licence = Annotated[str, typer.Option("--licence", help="Under which terms, for the record.")]


@guarded
def add(
    given: Given,
    name: Name = None,
    symbol: Symbol = None,
    zone: Zone = None,
    kind: Format = "auto",
    source: Source = "",
    licence: Licence = "",
    store: StoreName = None,
    cut: PartsBy = None,
    prices: PricesAre = None,
    interval: Interval = None,
    actions: Actions = None,
    replace: Replace = False,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Make bars from elsewhere into a bar file on the shelf: DATA/added/NAME.parquet, with source, licence and hash.

    With --store, or for a directory, they go into a bar store instead: DATA/added/NAME/, parts by date, which takes
    any number of files larger than memory. The same again changes nothing; a bar that differs refuses the whole
    addition.

    Data packages: package:bokeh-sampledata (five US shares, daily), and where the package backtesting is installed
    package:backtesting-goog (daily) and package:backtesting-eurusd (hourly).
    """
    out = begin(json=json)
    shelf = shelf_of(config)
    if kind not in _FORMATS:
        raise Cannot(f"--format {kind} is not known", f"give one of {', '.join(_FORMATS)}")
    if store is not None or Path(given).is_dir():
        if given.startswith(_PACKAGE) or name is not None:
            raise Cannot("--store takes files and directories, and names itself", "leave --name and packages out")
        asked = Asked(cut, prices, interval, actions, replace, source, licence, kind, symbol, zone)
        add_to_store(out, shelf, store or _called(Path(given)), Path(given), asked)
        return
    if cut or prices or interval or actions or replace:
        raise Cannot("--by, --prices, --interval, --actions and --replace are for a store", "name it with --store NAME")
    if given.startswith(_PACKAGE):
        if symbol or zone or source or licence:
            raise Cannot("a data package says its symbols, times, source and licence itself", "leave these options out")
        bars, origin = _from_package(given.removeprefix(_PACKAGE))
        called = name or given.removeprefix(_PACKAGE)
    else:
        bars, origin = _from_file(Path(given), symbol, zone, kind, source, licence)
        called = name or _called(Path(given))
    _keep(out, shelf, called, bars, origin)


def _keep(out: Output, shelf: "Shelf", called: str, bars: "pl.DataFrame", origin: "Provenance") -> None:
    from qmworkbench.service.data_shelf import now

    with out.working(f"adding {called}"):
        added = shelf.add(called, bars, origin, now())
    path = shelf.folder / added.line.file
    content = {"line": added.line, "already": added.already, "path": path, "findings": added.found.findings}

    def human() -> None:
        _told(added, path)

    out.result(content, human)


def _called(path: Path) -> str:
    """What data is called after its file or directory."""
    return path.resolve().name.split(".")[0].lower().replace(" ", "-")


def _from_package(name: str) -> "tuple[pl.DataFrame, Provenance]":
    from qmworkbench.market.adding.packages import package
    from qmworkbench.service.data_shelf import of_package

    read, origin = of_package(package(name))
    return read(), origin


def _from_file(
    path: Path, symbol: str | None, zone: str | None, kind: str, source: str, licence: str
) -> "tuple[pl.DataFrame, Provenance]":
    import polars as pl

    from qmworkbench.market.adding.text_files import read_text
    from qmworkbench.market.schema import COLUMNS, open_parquet
    from qmworkbench.service.bar_store.incoming import symbol_of
    from qmworkbench.service.data_shelf import Provenance, file_hash

    if path.suffix == ".parquet":
        source_file = open_parquet(path)
        rows = int(source_file.lazy.select(pl.len()).collect(engine="in-memory").item())
        if rows > _MOST_ROWS:
            command = f"qm data add {quote(str(path))} --store {_called(path)}"
            raise Cannot(
                f"{path} has {rows:,} rows, and a file on the shelf is held in memory as a whole while it is added",
                f"add it to a store, which takes files of any size: {command}",
            )
        bars = source_file.read().select(COLUMNS)
    else:
        symbol = symbol_of(path, symbol)
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
    """What is on the shelf, with source and licence, and whether each file and store is as it was added.

    Of a store the parts' sizes are looked at; `qm data check NAME` reads every byte.
    """
    out = begin(json=json)
    shelf = shelf_of(config)
    lines = shelf.lines()
    wrong = {line.name: shelf.changed(line) for line in lines}
    stores = [listed_store(shelf, name) for name in shelf.stores()]

    def human() -> None:
        if not lines and not stores:
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
        rows += [cells for _, cells in stores]
        columns = ["name", "market", ">bar s", ">bars", ">symbols", "from", "to", "source", "licence", "state"]
        out.table(columns, rows)

    files: list[dict[str, object]] = [{"line": line, "state": wrong[line.name] or "as added"} for line in lines]
    out.result([*files, *(data for data, _ in stores)], human)


@guarded
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name on the shelf.", show_default=False)],
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Take a file or a store off the shelf."""
    out = begin(json=json)
    gone = shelf_of(config).remove(name)
    out.result({"removed": gone}, lambda: out.line(f"{gone} is off the shelf"))
