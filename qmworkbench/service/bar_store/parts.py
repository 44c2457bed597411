"""One part of a bar store written: checked as a session would check it, with its manifest beside it (§5 Data Check)."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from qmworkbench.domain.instruments import instrument_for
from qmworkbench.market.calendars import CalendarUnknown, MarketHours, SessionCalendar
from qmworkbench.market.checks import Sifted, sift
from qmworkbench.market.findings import DataRefused, listed, refusal
from qmworkbench.market.grid import REGULAR, moment
from qmworkbench.market.schema import trading_date
from qmworkbench.market.store.manifest import (
    ROW_GROUP_ROWS,
    Hole,
    Origin,
    Part,
    PartGaps,
    PartManifest,
    Prices,
    encoded,
)
from qmworkbench.storage.atomic import sync_file, write_whole

UNFINISHED = ".unfinished"
_HASH_DIGITS = 12


@dataclass(frozen=True)
class Facts:
    """What all parts of a store share."""

    calendar: SessionCalendar
    interval_s: int
    prices: Prices


def write_part(folder: Path, key: str, rows: pl.DataFrame, facts: Facts, origins: Sequence[Origin]) -> Part:
    """Write the rows of a part (by symbol and time, no bar twice) and its manifest; returns its line in the store's.

    Durable but for the directory's own entry, which the store's manifest brings about. Raises DataRefused where no
    session can be made of the rows.
    """
    file = f"{folder.name} {key}"
    dates = _rows_by_date(rows, facts.calendar)
    windows = _windows(facts.calendar, list(dates), file)
    sifted = sift(rows, windows, file, interval_s=facts.interval_s)
    _demand_market(sifted, facts.calendar, file)
    symbols = {name: count for name, count in rows["symbol"].rle().struct.unnest().select("value", "len").rows()}
    first_ts, last_ts = _span(rows)
    name, sha256, size = _write(folder, key, rows)
    manifest = PartManifest(
        key=key,
        file=name,
        sha256=sha256,
        rows=rows.height,
        first_ts=first_ts,
        last_ts=last_ts,
        timezone="UTC",
        market=facts.calendar.name,
        interval_s=facts.interval_s,
        prices=facts.prices,
        origins=tuple(origins),
        gaps=_gaps(sifted, windows, facts.calendar),
        kept_aside=dict(sorted(sifted.quarantined.group_by("reason").len().iter_rows())),
        symbols=symbols,
    )
    told = encoded(manifest)
    part = Part(
        key=key,
        file=name,
        sha256=sha256,
        manifest_sha256=hashlib.sha256(told).hexdigest(),
        bytes=size,
        rows=rows.height,
        symbols=len(symbols),
        first_symbol=str(rows["symbol"][0]),
        last_symbol=str(rows["symbol"][-1]),
        first_ts=first_ts,
        last_ts=last_ts,
        dates=dates,
        quotes="spread" in rows.columns,
    )
    write_whole(folder / part.manifest_file, told)
    return part


def _write(folder: Path, key: str, rows: pl.DataFrame) -> tuple[str, str, int]:
    """The rows on disk under the name that their hash gives them: name, hash, size."""
    temporary = folder / f"{key}.{os.getpid()}{UNFINISHED}"
    try:
        rows.rechunk().write_parquet(temporary, compression="zstd", row_group_size=ROW_GROUP_ROWS, statistics=True)
        with temporary.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        sync_file(temporary)
        name = f"{key}-{sha256[:_HASH_DIGITS]}.parquet"
        size = temporary.stat().st_size
        temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    return name, sha256, size


def _rows_by_date(rows: pl.DataFrame, calendar: SessionCalendar) -> dict[date, int]:
    counted = rows.group_by("ts").len().group_by(trading_date(calendar).alias("date")).agg(pl.col("len").sum())
    return dict(counted.sort("date").iter_rows())


def _span(rows: pl.DataFrame) -> tuple[datetime, datetime]:
    first, last = rows["ts"].min(), rows["ts"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    return first, last


def _windows(calendar: SessionCalendar, dates: Sequence[date], file: str) -> list[MarketHours]:
    """The sessions the dates touch; a date on which the market is closed belongs to the session before it."""
    try:
        first = dates[0] if calendar.is_session(dates[0]) else calendar.previous_session(dates[0])
        return [calendar.session_window(day) for day in calendar.sessions_between(first, dates[-1])]
    except CalendarUnknown as error:
        raise DataRefused([refusal("calendar_unknown", f"{error}.", file)]) from None


def _demand_market(sifted: Sifted, calendar: SessionCalendar, file: str) -> None:
    elsewhere = {name: i.calendar for name, i in sifted.instruments.items() if i.calendar != calendar.name}
    if elsewhere:
        told = f"{listed(list(elsewhere))} trade on {listed(sorted(set(elsewhere.values())))}, not on {calendar.name}."
        raise DataRefused([refusal("mixed_calendars", told, file)])


def market_of(symbol: str) -> SessionCalendar:
    """The calendar a symbol trades on."""
    return SessionCalendar(instrument_for(symbol).calendar)


def _gaps(sifted: Sifted, windows: Sequence[MarketHours], calendar: SessionCalendar) -> PartGaps:
    """What is not there: bars of symbols that traded, stretches without anybody, sessions without a bar."""
    regular = sifted.good.filter(pl.col("part") == REGULAR)
    slots = regular.group_by("session_no", "slot").len().sort("session_no", "slot")
    symbols = dict(regular.group_by("session_no").agg(pl.col("symbol").n_unique()).iter_rows())
    there = dict(slots.group_by("session_no").agg("slot").iter_rows())
    expected, holes = 0, []
    for number in sorted(symbols):
        hours = windows[number]
        boundaries = sifted.grid.boundaries(hours)
        expected += boundaries * symbols[number]
        held = np.zeros(boundaries + 2, dtype=np.int8)
        held[0] = held[-1] = 1
        held[np.asarray(there[number]) + 1] = 1
        edges = sifted.grid.edges_us(hours)
        begins, ends = np.flatnonzero(np.diff(held) == -1), np.flatnonzero(np.diff(held) == 1)
        holes += [
            Hole(moment(int(edges[begin])), moment(int(edges[end])), int(end - begin))
            for begin, end in zip(begins, ends, strict=True)
        ]
    traded = [windows[number].date for number in symbols]
    missing = set(calendar.sessions_between(min(traded), max(traded))) - set(traded) if traded else set()
    return PartGaps(expected=expected, held=regular.height, holes=tuple(holes), missing_sessions=tuple(sorted(missing)))
