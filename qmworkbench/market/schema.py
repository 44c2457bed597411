"""The documented bar schema, and how a Parquet file of it is opened (§5 Data Check).

A bar file has one row per symbol and interval in which something traded:

    symbol  String               the instrument, without spaces
    ts      Datetime('us','UTC') the bar's OPEN time
    open, high, low, close       Float64, in the instrument's currency
    volume  Float64              shares, or whatever the provider counts; 0 where it counts nothing

Rows are in order of (symbol, ts) or (ts, symbol). Further columns are allowed. Of those, `spread`, or
`bid_close` with `ask_close`, or `bid` with `ask`, give the quoted spread at the bar's close; the rest is
ignored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Final, Literal

import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.instruments import instrument_for
from qmworkbench.market.calendars import FOREX, SessionCalendar
from qmworkbench.market.findings import DataRefused, Finding, listed, note, refusal

COLUMNS: Final = ("symbol", "ts", "open", "high", "low", "close", "volume")
VALUES: Final = ("open", "high", "low", "close", "volume")
TS_TYPE: Final = pl.Datetime("us", "UTC")
_PARQUET_MAGIC: Final = b"PAR1"
Engine = Literal["in-memory", "streaming"]
# Counts and distinct names are whole and sorted afterwards: they may be taken piece by piece, in a fifth of the memory.
_COUNTING: Final[Engine] = "streaming"


@dataclass(frozen=True)
class BarSource:
    """Bars whose structure is sound, not yet read. `file` is the name that findings use.

    What `read` returns has the columns of COLUMNS in exactly their types, and `spread` (Float64, price units)
    where the source knows quotes. `actions` are corporate actions that come with the bars and are not in their prices.
    """

    file: str
    lazy: pl.LazyFrame
    ts: pl.Expr
    selection: tuple[pl.Expr, ...]
    notes: tuple[Finding, ...]
    actions: tuple[CorporateAction, ...] = ()

    def scan(self, start: datetime | None = None, end: datetime | None = None) -> pl.LazyFrame:
        """The rows that open in [start, end), in the source's order, not yet read."""
        lazy = self.lazy
        if start is not None:
            lazy = lazy.filter(self.ts >= start)
        if end is not None:
            lazy = lazy.filter(self.ts < end)
        return lazy.select(self.selection)

    def read(self, start: datetime | None = None, end: datetime | None = None) -> pl.DataFrame:
        """What `scan` gives, read. Raises DataRefused for damaged pages."""
        return self._collect(self.scan(start, end))

    def blocks(self, rows: int) -> Iterator[pl.DataFrame]:
        """All rows in the source's order, so many at a time: a file larger than memory can be gone through."""
        total = self._collect(self.lazy.select(pl.len())).item()
        for start in range(0, total, rows):
            yield self._collect(self.lazy.slice(start, rows).select(self.selection))

    def only(self, symbols: Sequence[str]) -> "BarSource":
        """The same bars, those of `symbols` alone."""
        return replace(self, lazy=self.lazy.filter(pl.col("symbol").cast(pl.String).is_in(list(symbols))))

    def symbols(self) -> list[str]:
        """Every symbol there is a row of, in alphabetical order."""
        names = self.lazy.select(pl.col("symbol").cast(pl.String).unique().drop_nulls())
        return self._collect(names, _COUNTING)["symbol"].sort().to_list()

    def rows_without_time(self) -> pl.DataFrame:
        """The rows whose time is null; they belong to no session."""
        count = self._collect(self.lazy.select(pl.col("ts").null_count()), _COUNTING).item()
        lazy = self.lazy.filter(pl.col("ts").is_null()) if count else self.lazy.clear()
        return self._collect(lazy.select(self.selection))

    def market(self) -> SessionCalendar:
        """The calendar that its first named symbol trades on; whether all do is checked with the rows."""
        head = self._collect(self.lazy.select(pl.col("symbol").cast(pl.String)).head(1000)).to_series().drop_nulls()
        return SessionCalendar(instrument_for(head[0] if len(head) else "").calendar)

    def trading_dates(self, calendar: SessionCalendar) -> pl.DataFrame:
        """Columns `date` (trading date, ascending) and `rows`; dates of closed markets are included."""
        counted = self.lazy.select(self.ts.alias("ts")).drop_nulls().group_by("ts").len("rows")
        moments = self._collect(counted, _COUNTING)
        return moments.group_by(trading_date(calendar).alias("date")).agg(pl.col("rows").sum()).sort("date")

    def _collect(self, lazy: pl.LazyFrame, engine: Engine = "in-memory") -> pl.DataFrame:
        try:
            return lazy.collect(engine=engine)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise DataRefused(
                [refusal("unreadable", f"its pages cannot be read: {_first_line(error)}.", self.file)]
            ) from None


def trading_date(calendar: SessionCalendar) -> pl.Expr:
    """The trading date of the column `ts` (UTC): the exchange's local date; forex rolls at 17:00 New York."""
    local = pl.col("ts").dt.convert_time_zone(str(calendar.time_zone)).dt.replace_time_zone(None)
    if calendar.name == FOREX:
        local = local + pl.duration(hours=7)  # 17:00 becomes midnight, so the date is that of the session's end
    return local.dt.date()


def open_parquet(path: str | Path) -> BarSource:
    """Opens a bar file without reading rows. Raises DataRefused with a structural finding."""
    path, file = Path(path), str(path)
    if not path.exists():
        raise DataRefused([refusal("file_missing", "there is no such file.", file)])
    if path.is_dir():
        inside = sorted(entry.name for entry in path.glob("*.parquet"))
        held = f" It holds {listed(inside)}." if inside else ""
        raise DataRefused([refusal("is_directory", f"this is a directory, not a file.{held}", file)])
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise DataRefused([refusal("unreadable", f"it cannot be opened: {error.strerror}.", file)]) from None
    if not magic:
        raise DataRefused([refusal("empty_file", "it has no content.", file)])
    if magic != _PARQUET_MAGIC:
        found = f"it starts with {magic!r}, a Parquet file with {_PARQUET_MAGIC!r}"
        raise DataRefused([refusal("not_parquet", f"this is no Parquet file: {found}.", file)])
    try:
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = lazy.collect_schema()
        rows = lazy.select(pl.len()).collect(engine="in-memory").item()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataRefused([refusal("unreadable", f"the file is damaged: {_first_line(error)}.", file)]) from None
    return _source(lazy, schema, rows, file)


def open_frame(frame: pl.DataFrame, file: str) -> BarSource:
    """Bars that are already in memory, under the same rules as a file. `file` is what findings call them."""
    return _source(frame.lazy(), frame.schema, frame.height, file)


def _source(lazy: pl.LazyFrame, schema: Mapping[str, pl.DataType], rows: int, file: str) -> BarSource:
    faults, notes = _structure(schema, file)
    if not faults and rows == 0:
        faults = [refusal("empty_file", "it has no rows.", file)]
    if faults:
        raise DataRefused([*faults, *notes])
    ts = pl.col("ts")
    if schema["ts"] != TS_TYPE:
        ts = ts.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    selection = [pl.col("symbol").cast(pl.String), ts.alias("ts")]
    selection += [pl.col(name).cast(pl.Float64) for name in VALUES]
    return BarSource(file, lazy, ts, (*selection, *_spread(schema)), tuple(notes))


def _structure(schema: Mapping[str, pl.DataType], file: str) -> tuple[list[Finding], list[Finding]]:
    """Refusals and notes about the columns; rows have not been looked at."""
    faults: list[Finding] = []
    notes: list[Finding] = []
    missing = [name for name in COLUMNS if name not in schema]
    if missing:
        similar = [have for have in schema if have not in COLUMNS and have.strip().lower() in missing]
        hint = f" {listed(similar)} looks like it but is spelt otherwise." if similar else ""
        which = f"column {missing[0]} is" if len(missing) == 1 else f"columns {', '.join(missing)} are"
        message = f"the {which} missing; it has {listed(list(schema), 12)}.{hint}"
        faults.append(refusal("missing_columns", message, file))
    wrong, widened = _types(schema)
    if wrong:
        faults.append(refusal("wrong_type", "; ".join(wrong) + ".", file))
    if widened:
        notes.append(note("type_widened", f"read as Float64, nothing is lost: {', '.join(widened)}.", file))
    ts = schema.get("ts")
    if isinstance(ts, pl.Datetime):
        if ts.time_zone is None:
            message = "the times in ts carry no time zone, so no one can tell when they are."
            faults.append(refusal("naive_timestamp", message, file))
        elif ts != TS_TYPE:
            message = f"ts is {ts}; read as UTC to the microsecond."
            notes.append(note("ts_converted", message, file))
    return faults, notes


def _types(schema: Mapping[str, pl.DataType]) -> tuple[list[str], list[str]]:
    """Columns whose type cannot be used, each with the reason; and those that are widened to Float64."""
    wrong: list[str] = []
    widened: list[str] = []
    for name in COLUMNS:
        kind = schema.get(name)
        if kind is None:
            continue
        if name == "symbol":
            if kind not in (pl.String, pl.Categorical, pl.Enum):
                wrong.append(f"symbol is {kind}, not String")
        elif name == "ts":
            if not isinstance(kind, pl.Datetime):
                wrong.append(f"ts is {kind}, not a time with date and zone")
        elif kind == pl.Float32:
            wrong.append(f"{name} is Float32, which cannot hold a cent (74.46 becomes 74.459999)")
        elif kind.is_integer() or kind.is_decimal():
            widened.append(f"{name} ({kind})")
        elif kind != pl.Float64:
            wrong.append(f"{name} is {kind}, not Float64")
    return wrong, widened


def _spread(schema: Mapping[str, pl.DataType]) -> Sequence[pl.Expr]:
    """The quoted spread at the bar's close, in price units, where the source knows it; none otherwise."""

    def numeric(*names: str) -> bool:
        return all(name in schema and schema[name].is_numeric() for name in names)

    if numeric("spread"):
        return [pl.col("spread").cast(pl.Float64)]
    for bid, ask in (("bid_close", "ask_close"), ("bid", "ask")):
        if numeric(bid, ask):
            return [(pl.col(ask).cast(pl.Float64) - pl.col(bid).cast(pl.Float64)).alias("spread")]
    return []


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def nearest_dates(dates: Sequence[date], day: date, each_side: int = 3) -> str:
    """The dates of a file next to `day`, as a phrase."""
    before = [str(d) for d in dates if d < day][-each_side:]
    after = [str(d) for d in dates if d > day][:each_side]
    return ", ".join([*before, *after]) or "none"
