"""A whole bar file looked at: what it holds and what is wrong with it (§5 Data Check)."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from qmworkbench.market.calendars import CalendarUnknown, MarketHours, SessionCalendar
from qmworkbench.market.checks import Sifted, sift
from qmworkbench.market.findings import (
    SAMPLE_ROWS,
    DataRefused,
    Finding,
    Severity,
    listed,
    note,
    quarantine_findings,
    refusal,
)
from qmworkbench.market.grid import AFTER_CLOSE, PRE_OPEN, REGULAR
from qmworkbench.market.observations import stopped_symbols
from qmworkbench.market.schema import BarSource
from qmworkbench.market.series_checks import Series
from qmworkbench.market.store.reading import StoreSource, open_bar_path

# Sessions are looked at in batches of about this many rows, so that a file larger than memory can be
# inspected.
_BATCH_ROWS: Final = 4_000_000
_SAMPLE: Final = 10
# How far something long has come: how much is done, of how much, and what is done next.
Progress = Callable[[int, int, str], None]


def unseen(_done: int, _of: int, _next: str) -> None:
    """Progress that nobody looks at."""


class SessionCount(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds of one session; `pre_open` and `after_close` count bars of extended hours."""

    date: date
    symbols: int
    bars: int
    pre_open: int
    after_close: int
    quarantined: int
    half_day: bool


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a bar file holds, and every finding about it.

    `calendar` and `interval_s` are None, and `sessions` empty, where the file is refused before they could be
    told.
    """

    file: str
    rows: int
    symbols: int
    first_ts: datetime | None
    last_ts: datetime | None
    calendar: str | None
    interval_s: int | None
    sessions: tuple[SessionCount, ...]
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        """Whether no session can be made of any day of it."""
        return any(finding.severity is Severity.REFUSE for finding in self.findings)


class _Tally:
    """What the batches add up to."""

    def __init__(self) -> None:
        self.counts: list[SessionCount] = []
        self.quarantined: list[pl.DataFrame] = []
        self.notes: dict[str, Finding] = {}
        self.last_seen: dict[str, date] = {}
        self.stops: list[str] = []
        self.stopped = 0
        self.uneven: list[str] = []
        self.rows = 0
        self.first_ts: datetime | None = None
        self.last_ts: datetime | None = None
        self.interval_s: int | None = None
        self.series = Series()
        self.quotes = False


def inspect(path: str | Path, progress: Progress = unseen) -> Inspection:
    """Looks at every row of a bar file or store. Never raises for what it holds: a refusal is a finding too.

    A store's parts are held against their hashes first, and a damaged one refuses it.
    """
    tally, calendar = _Tally(), None
    try:
        source = open_bar_path(path)
        calendar = source.market()
        if isinstance(source, StoreSource):
            _demand_whole(source, progress)
        _take_timeless(source, tally)
        dates = source.trading_dates(calendar)
        total = int(dates["rows"].sum())
        for batch in session_batches(calendar, dates):
            progress(tally.rows, total, f"checking {batch[0]}")
            _take_batch(source, calendar, batch, tally)
        held = dates["date"].to_list()
        findings = [*source.notes, *tally.notes.values(), *_aside(tally, source.file)]
        findings += _notes(calendar, tally, held, source.file)
        findings += tally.series.findings(source.file, quotes=tally.quotes)
    except DataRefused as error:
        findings = list(error.findings)
    except CalendarUnknown as error:
        findings = [refusal("calendar_unknown", f"{error}.", str(path))]
    return Inspection(
        file=str(path),
        rows=tally.rows,
        symbols=len(tally.last_seen),
        first_ts=tally.first_ts,
        last_ts=tally.last_ts,
        calendar=calendar.name if calendar else None,
        interval_s=tally.interval_s,
        sessions=tuple(tally.counts),
        findings=tuple(findings),
    )


def _demand_whole(store: StoreSource, progress: Progress) -> None:
    """Every part and its manifest as they were written, or DataRefused that names each that is not."""
    faults: list[Finding] = []
    for number, part in enumerate(store.manifest.parts):
        progress(number, len(store.manifest.parts), f"hashing {part.key}")
        fault = store.fault(part)
        try:
            store.part_manifest(part)
        except DataRefused as error:
            faults += error.findings
        faults += [fault] if fault is not None else []
    if faults:
        raise DataRefused(faults)


def session_batches(calendar: SessionCalendar, dates: pl.DataFrame) -> Iterable[list[date]]:
    """The sessions that the file's dates touch, in runs without a hole, each of about _BATCH_ROWS rows.

    Rows of a closed day belong to the session before it, so that session is looked at with them.
    """
    rows: dict[date, int] = {}
    for day, count in dates.iter_rows():
        owner = day if calendar.is_session(day) else calendar.previous_session(day)
        rows[owner] = rows.get(owner, 0) + count
    batch: list[date] = []
    held = 0
    for day in calendar.sessions_between(min(rows), max(rows)) if rows else []:
        batch.append(day)
        held += rows.get(day, 0)
        if held >= _BATCH_ROWS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _take_timeless(source: BarSource, tally: _Tally) -> None:
    timeless = source.rows_without_time()
    tally.rows += timeless.height
    if timeless.height:
        tally.quarantined.append(sift(timeless, [], source.file, interval_s=1).quarantined)


def _take_batch(source: BarSource, calendar: SessionCalendar, days: Sequence[date], tally: _Tally) -> None:
    windows = [calendar.session_window(day) for day in days]
    end = calendar.session_window(calendar.next_session(days[-1])).day_starts_at
    rows = source.read(windows[0].day_starts_at, end)
    if rows.is_empty():
        return
    sifted = sift(rows, windows, source.file, interval_s=tally.interval_s)
    tally.rows += rows.height
    first, last = rows["ts"].min(), rows["ts"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    tally.first_ts, tally.last_ts = tally.first_ts or first, last
    tally.interval_s = sifted.grid.interval_s
    tally.quarantined.append(sifted.quarantined)
    for finding in sifted.findings:
        if finding.severity is Severity.NOTE:
            tally.notes.setdefault(finding.code, finding)
    tally.quotes = tally.quotes or "spread" in rows.columns
    boundaries = [sifted.grid.boundaries(hours) for hours in windows]
    tally.series.take(sifted.good, sifted.grid, boundaries, [str(hours.date) for hours in windows])
    _count(sifted, windows, tally)


def _count(sifted: Sifted, windows: Sequence[MarketHours], tally: _Tally) -> None:
    part = pl.col("part")
    counted = sifted.good.group_by("session_no").agg(
        symbols=pl.col("symbol").n_unique(),
        bars=(part == REGULAR).sum(),
        pre_open=(part == PRE_OPEN).sum(),
        after_close=(part == AFTER_CLOSE).sum(),
    )
    by_session = {row["session_no"]: row for row in counted.iter_rows(named=True)}
    aside = dict(sifted.quarantined.group_by("session").len().iter_rows())
    regular = sifted.good.filter(part == REGULAR).partition_by("session_no", as_dict=True)
    for number, hours in enumerate(windows):
        row = by_session.get(number)
        if row is None and hours.date not in aside:
            continue
        here = row or {"symbols": 0, "bars": 0, "pre_open": 0, "after_close": 0}
        tally.counts.append(
            SessionCount(
                date=hours.date,
                symbols=here["symbols"],
                bars=here["bars"],
                pre_open=here["pre_open"],
                after_close=here["after_close"],
                quarantined=aside.get(hours.date, 0),
                half_day=hours.half_day,
            )
        )
        if not sifted.grid.fits(hours):
            tally.uneven.append(str(hours.date))
        if (number,) in regular:
            stops = stopped_symbols(regular[(number,)], sifted.grid, hours)
            tally.stopped += len(stops)
            named = [f"{symbol} on {hours.date} at {at:%H:%M} UTC" for symbol, at in sorted(stops.items())]
            tally.stops += named[: _SAMPLE - len(tally.stops)]
    last_seen = sifted.good.group_by("symbol").agg(pl.col("session_no").max())
    for symbol, number in last_seen.iter_rows():
        tally.last_seen[symbol] = windows[number].date


def _aside(tally: _Tally, file: str) -> list[Finding]:
    return quarantine_findings(pl.concat(tally.quarantined), file) if tally.quarantined else []


def _uneven(tally: _Tally, file: str) -> Finding:
    """Sessions whose close cuts the last bar short: a refusal if that is so of every session."""
    message = f"the close cuts the last bar of {len(tally.uneven)} sessions short: {listed(tally.uneven)}."
    finding = refusal("uneven_close", message, file)
    if len(tally.uneven) < len(tally.counts):
        finding = msgspec.structs.replace(finding, severity=Severity.NOTE)
    return finding


def _notes(calendar: SessionCalendar, tally: _Tally, dates: Sequence[date], file: str) -> list[Finding]:
    """What is worth knowing about the file as a whole."""
    found = [_uneven(tally, file)] if tally.uneven else []
    half_days = [str(count.date) for count in tally.counts if count.half_day]
    if half_days:
        found.append(note("half_day", f"{len(half_days)} sessions are half-days: {listed(half_days)}.", file))
    held = {count.date for count in tally.counts if count.bars}
    if held:
        missing = [str(day) for day in calendar.sessions_between(min(held), max(held)) if day not in held]
        if missing:
            message = f"{len(missing)} sessions within its span have no bar in regular hours: {listed(missing)}."
            found.append(note("empty_day", message, file, remedy="Fetch these days again if you want to trade them."))
    if tally.stops:
        more = tally.stopped - len(tally.stops[:SAMPLE_ROWS])
        named = f"{listed(tally.stops[:SAMPLE_ROWS])}{f' and {more:,} more' if more else ''}"
        message = f"{tally.stopped} times a symbol stopped in mid-session: {named}."
        found.append(note("symbol_stops", message, file, sample=tally.stops))
    if dates and tally.last_seen:
        end = max(tally.last_seen.values())
        ended = [f"{symbol} after {day}" for symbol, day in sorted(tally.last_seen.items()) if day < end]
        if ended:
            message = f"{len(ended)} symbols have no bar on the last session, {end}: {listed(ended)}."
            found.append(note("symbol_ends", message, file, sample=ended[:10]))
    return found
