"""Bars in text files, told apart by their header: whatever is found becomes the documented schema (§5 Data Check).

Three kinds are read. `plain`: a header that names the columns, in any order and any case, as nearly every export has;
`date` alone makes daily bars, which count from their session's open. `histdata`: the minute files of that site, without
a header, separated by semicolons, in New York standard time all year. Times without a zone need one.
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from qmworkbench.domain.instruments import instrument_for
from qmworkbench.market.calendars import CalendarUnknown, SessionCalendar
from qmworkbench.market.findings import DataRefused, listed, refusal
from qmworkbench.market.schema import COLUMNS, TS_TYPE, VALUES

Kind = Literal["auto", "plain", "histdata"]

_NAMES: Final = {
    "symbol": ("symbol", "ticker", "instrument", "pair"),
    "ts": ("ts", "timestamp", "datetime", "date", "time", "gmt time"),
    "open": ("open", "o", "openmid", "open mid"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "vol", "v", "tick_volume", "tickvol"),
}
_HISTDATA_LINE: Final = re.compile(rb"^\d{8} \d{6};")
# Eastern standard time without daylight saving, as that site documents it.
_HISTDATA_ZONE: Final = "Etc/GMT+5"
_DATE_ONLY: Final = re.compile(r"^\d{4}[-/.]?\d{2}[-/.]?\d{2}$")
_FORMATS: Final = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d %H%M%S",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d %H:%M:%S",
    "%d.%m.%Y %H:%M:%S%.f",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
)


def read_text(path: Path, *, kind: Kind = "auto", symbol: str | None = None, zone: str | None = None) -> pl.DataFrame:
    """The bars of a text file in the documented schema, in order of (symbol, ts).

    `symbol` names the instrument of a file that does not; `zone` the zone of times that carry none. Raises DataRefused
    with a finding that names the file, the line or column, and the remedy.
    """
    return pl.concat(text_blocks(path, kind=kind, symbol=symbol, zone=zone, block_bytes=-1)).sort("symbol", "ts")


def text_blocks(
    path: Path, *, kind: Kind = "auto", symbol: str | None = None, zone: str | None = None, block_bytes: int = 1 << 26
) -> Iterator[pl.DataFrame]:
    """The bars of a text file as `read_text` gives them, in the file's order, about `block_bytes` of text at a time
    (-1: all at once), so that a file larger than memory can be gone through.
    """
    file = str(path)
    header, row = b"", 0
    for content in _contents(path, block_bytes):
        histdata = kind == "histdata" or (kind == "auto" and _HISTDATA_LINE.match(header or content) is not None)
        raw = _histdata(content, file) if histdata else _plain(header + content, file)
        if "symbol" not in raw.columns:
            if not symbol:
                raise DataRefused([refusal("symbol_wanted", "no column names the instrument.", file)])
            raw = raw.with_columns(pl.lit(symbol).alias("symbol"))
        values = [_number(raw, name, file, row) for name in VALUES]
        ts = _times(raw, _HISTDATA_ZONE if histdata else zone, file, row)
        bars = raw.select(pl.col("symbol").cast(pl.String).str.strip_chars()).with_columns(ts, *values)
        yield bars.select(COLUMNS)
        row += raw.height
        header = header or content[: content.find(b"\n") + 1]


def _contents(path: Path, block_bytes: int) -> Iterator[bytes]:
    """The file's text, unpacked, in pieces that end with a line."""
    file = str(path)
    if not path.exists():
        raise DataRefused([refusal("file_missing", "there is no such file.", file)])
    if path.is_dir():
        raise DataRefused([refusal("is_directory", "this is a directory, not a file.", file)])
    first = True
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            while content := stream.read(block_bytes):
                content += stream.readline() if block_bytes > 0 else b""
                if first:
                    _demand_text(content, file)
                first = False
                if content.strip():
                    yield content
    except (OSError, EOFError, zlib.error) as error:
        raise DataRefused([refusal("unreadable", f"it cannot be read: {error}.", file)]) from None
    if first:
        raise DataRefused([refusal("empty_file", "it has no content.", file)])


def _demand_text(content: bytes, file: str) -> None:
    if not content.strip():
        raise DataRefused([refusal("empty_file", "it has no content.", file)])
    if b"\x00" in content[:4096]:
        raise DataRefused([refusal("not_text", f"it starts with {content[:4]!r}, which is no text.", file)])


def _histdata(content: bytes, file: str) -> pl.DataFrame:
    names = ["ts", *VALUES]
    return _csv(content, file, separator=";", has_header=False, new_columns=names)


def _plain(content: bytes, file: str) -> pl.DataFrame:
    first = content.splitlines()[0].decode("utf-8", "replace")
    separator = max(",;\t|", key=first.count)
    raw = _csv(content, file, separator=separator, has_header=True)
    wanted: dict[str, str] = {}
    for name, known in _NAMES.items():
        there = [column for column in raw.columns if column.strip().lower().strip("<>") in known]
        if there:
            wanted[there[0]] = name
    # Some exports split the moment over a date and a time column.
    lower = {column.strip().lower().strip("<>"): column for column in raw.columns}
    if "date" in lower and "time" in lower:
        joined = pl.concat_str([pl.col(lower["date"]), pl.col(lower["time"])], separator=" ")
        raw = raw.with_columns(joined.alias(lower["date"]))
        wanted = {**wanted, lower["date"]: "ts"}
        wanted.pop(lower["time"], None)
    missing = [name for name in ("ts", "open", "high", "low", "close") if name not in wanted.values()]
    if missing:
        message = f"no column gives {', '.join(missing)}; its header has {listed(raw.columns, 12)}."
        raise DataRefused([refusal("unknown_columns", message, file)])
    raw = raw.select(list(wanted)).rename(wanted)
    return raw if "volume" in raw.columns else raw.with_columns(pl.lit("0").alias("volume"))


def _csv(content: bytes, file: str, **how: object) -> pl.DataFrame:
    try:
        return pl.read_csv(io.BytesIO(content), infer_schema=False, **how)  # type: ignore[arg-type]
    except pl.exceptions.PolarsError as error:
        said = str(error).strip().splitlines()[0]
        raise DataRefused([refusal("not_text", f"it cannot be read as a table of text: {said}.", file)]) from None


def _number(raw: pl.DataFrame, name: str, file: str, before: int) -> pl.Series:
    text = raw[name].str.strip_chars()
    values = text.cast(pl.Float64, strict=False)
    wrong = values.is_null() & text.is_not_null() & (text != "")
    if wrong.any():
        row = int(wrong.arg_true()[0])
        message = f"row {before + row + 1} has {name} {text[row]!r}, which is no number."
        raise DataRefused([refusal("unreadable_line", message, file, rows=int(wrong.sum()))])
    return values.alias(name)


def _times(raw: pl.DataFrame, zone: str | None, file: str, before: int) -> pl.Series:
    text = raw["ts"].str.strip_chars()
    sample = next((value for value in text if value), "")
    if _DATE_ONLY.match(sample):
        return _session_opens(raw, text, file, before)
    zoned = text.str.to_datetime(time_unit="us", time_zone="UTC", strict=False, format="%Y-%m-%dT%H:%M:%S%.f%#z")
    if zoned.null_count() == text.null_count():
        return zoned.alias("ts")
    zoned = text.str.to_datetime(time_unit="us", time_zone="UTC", strict=False, format="%Y-%m-%d %H:%M:%S%.f%#z")
    if zoned.null_count() == text.null_count():
        return zoned.alias("ts")
    naive = _first_fitting(text)
    if naive is None:
        message = f"the time {sample!r} is in no form that is known."
        raise DataRefused([refusal("unreadable_line", message, file)])
    wrong = naive.is_null() & text.is_not_null()
    if wrong.any():
        row = int(wrong.arg_true()[0])
        message = f"row {before + row + 1} has the time {text[row]!r}, unlike the rows before."
        raise DataRefused([refusal("unreadable_line", message, file, rows=int(wrong.sum()))])
    if zone is None:
        raise DataRefused([refusal("zone_wanted", f"its times, such as {sample!r}, carry no zone.", file)])
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise DataRefused([refusal("zone_wanted", f"there is no time zone {zone!r}.", file)]) from None
    # An hour that the clocks skip does not exist; one that comes twice is taken as its first coming.
    local = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC").alias("ts")


def _first_fitting(text: pl.Series) -> pl.Series | None:
    for form in _FORMATS:
        tried = text.str.to_datetime(format=form, time_unit="us", strict=False)
        if tried.len() and tried[0] is not None:
            return tried
    return None


def _session_opens(raw: pl.DataFrame, text: pl.Series, file: str, before: int) -> pl.Series:
    """A date's bar counts from its session's open; a date without a session keeps 09:30 New York, for the checks to
    find.
    """
    days = text.str.replace_all(r"[/.]", "-").str.to_date("%Y-%m-%d", strict=False)
    days = days if days.null_count() < days.len() else text.str.to_date("%Y%m%d", strict=False)
    wrong = days.is_null() & text.is_not_null()
    if wrong.any():
        row = int(wrong.arg_true()[0])
        message = f"row {before + row + 1} has the date {text[row]!r}, which is none."
        raise DataRefused([refusal("unreadable_line", message, file, rows=int(wrong.sum()))])
    calendar = SessionCalendar(instrument_for(str(raw["symbol"][0]).strip()).calendar)
    first, last = days.min(), days.max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    try:
        opens = {day: calendar.session_window(day).opens_at for day in calendar.sessions_between(first, last)}
    except CalendarUnknown as error:
        raise DataRefused([refusal("calendar_unknown", f"{error}.", file)]) from None
    known = pl.DataFrame({"day": list(opens), "opens": pl.Series(list(opens.values()), dtype=TS_TYPE)})
    at = pl.DataFrame({"day": days}).join(known, on="day", how="left", maintain_order="left")
    elsewhere = at["day"].cast(pl.Datetime("us")).dt.offset_by("9h30m").dt.replace_time_zone("America/New_York")
    return at["opens"].fill_null(elsewhere.dt.convert_time_zone("UTC")).alias("ts")
