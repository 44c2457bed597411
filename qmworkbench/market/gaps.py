"""Where a bar file has holes: sessions without a bar, symbols without a session, silences within one (§5 Data Check).

A missing bar means no trade, so a hole is not a fault by itself. What nobody traded in at all is most likely missing
from the recording, and is told apart from a symbol's own silence.
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl

from qmworkbench.market.calendars import CalendarUnknown, MarketHours
from qmworkbench.market.checks import Sifted, sift
from qmworkbench.market.findings import DataRefused, refusal
from qmworkbench.market.grid import REGULAR, moment
from qmworkbench.market.inspection import Progress, session_batches, unseen
from qmworkbench.market.store.reading import open_bar_path

LEAST_S: Final = 900
# So many silences of single symbols are kept, the longest: ten thousand symbols of a year have millions.
_KEPT: Final = 10_000


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive bars that are not there: from the end of the last bar before to the start of the next one.

    `symbol` is "" where no symbol at all has a bar there: the recording's own hole.
    """

    symbol: str
    date: date
    begins: datetime
    ends: datetime
    bars: int


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """The holes of bars. `silences` are those of at least `least_bars` bars, the longest first: every one of the
    recording's own, and of single symbols the longest; `silences_found` counts all.

    `missing_sessions`: sessions within the span without a single bar. `absent`: by symbol the sessions between its
    first and its last without a bar, though others traded. `expected` and `held` count regular bars of symbols on the
    sessions they traded in.
    """

    file: str
    first: date
    last: date
    interval_s: int
    sessions: int
    least_bars: int
    missing_sessions: tuple[date, ...]
    absent: dict[str, tuple[date, ...]]
    silences: tuple[Silence, ...]
    silences_found: int
    expected: int
    held: int

    @property
    def recording_holes(self) -> tuple[Silence, ...]:
        """The silences in which nobody traded."""
        return tuple(silence for silence in self.silences if not silence.symbol)

    @property
    def whole(self) -> bool:
        """No session is missing, and the recording itself has no hole."""
        return not self.missing_sessions and not self.recording_holes


def find_gaps(
    path: str | Path,
    *,
    symbol: str | None = None,
    least_bars: int | None = None,
    progress: Progress = unseen,
) -> Gaps:
    """Every hole of a bar file or store, or of one symbol in it. `least_bars` None: a quarter of an hour, at least 2.

    Some sessions are held at a time. Raises DataRefused for a file that no session can be made of, and for a symbol
    that is not in it.
    """
    source = open_bar_path(path)
    try:
        calendar = source.market()
        dates = source.trading_dates(calendar)
    except CalendarUnknown as error:
        raise DataRefused([refusal("calendar_unknown", f"{error}.", str(path))]) from None
    seen: list[pl.DataFrame] = []
    longest = _Longest()
    interval_s: int | None = None
    total = int(dates["rows"].sum())
    done = 0
    for days in session_batches(calendar, dates):
        progress(done, total, f"looking at {days[0]}")
        windows = [calendar.session_window(day) for day in days]
        end = calendar.session_window(calendar.next_session(days[-1])).day_starts_at
        rows = source.read(windows[0].day_starts_at, end)
        if rows.is_empty():
            continue
        done += rows.height
        sifted = sift(rows, windows, source.file, interval_s=interval_s)
        interval_s = sifted.grid.interval_s
        regular = sifted.good.filter(pl.col("part") == REGULAR).select("symbol", "session_no", "slot")
        least = _least(least_bars, interval_s)
        longest.take(_silences(regular, windows, sifted, least, symbol))
        seen.append(_held(regular, windows, sifted))
    held = pl.concat(seen) if seen else pl.DataFrame()
    if held.is_empty() or interval_s is None:
        raise DataRefused([refusal("no_usable_rows", "not one row lies in regular hours.", source.file)])
    if symbol is not None and symbol not in held["symbol"]:
        raise DataRefused([refusal("symbol_missing", f"there are no bars of {symbol!r}.", source.file)])
    first, last = held["date"].min(), held["date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    traded = sorted(held["date"].unique().to_list())
    missing = sorted(set(calendar.sessions_between(first, last)) - set(traded))
    mine = held if symbol is None else held.filter(pl.col("symbol") == symbol)
    return Gaps(
        file=source.file,
        first=first,
        last=last,
        interval_s=interval_s,
        sessions=len(traded),
        least_bars=_least(least_bars, interval_s),
        missing_sessions=tuple(missing),
        absent=_absent(mine, traded),
        silences=longest.silences(),
        silences_found=longest.found,
        expected=int(mine["boundaries"].sum()),
        held=int(mine["bars"].sum()),
    )


class _Longest:
    """Silences as they are found: all are counted, and of single symbols the longest are kept."""

    def __init__(self) -> None:
        self.found = 0
        self._holes: list[Silence] = []
        self._kept: list[Silence] = []

    def take(self, silences: Sequence[Silence]) -> None:
        self.found += len(silences)
        self._holes += [silence for silence in silences if not silence.symbol]
        self._kept = sorted([*self._kept, *(s for s in silences if s.symbol)], key=_longest_first)[:_KEPT]

    def silences(self) -> tuple[Silence, ...]:
        return tuple(sorted([*self._holes, *self._kept], key=_longest_first))


def _longest_first(silence: Silence) -> tuple[int, str, datetime]:
    return -silence.bars, silence.symbol, silence.begins


def _least(asked: int | None, interval_s: int) -> int:
    """From how many missing bars on a silence is told."""
    return asked or max(2, -(-LEAST_S // interval_s))


def _held(regular: pl.DataFrame, windows: Sequence[MarketHours], sifted: Sifted) -> pl.DataFrame:
    """How many bars each symbol has on each session, and how many there could be."""
    counted = regular.group_by("symbol", "session_no", maintain_order=True).agg(bars=pl.len())
    numbers = counted["session_no"].to_list()
    return counted.select("symbol", pl.col("bars").cast(pl.Int64)).with_columns(
        date=pl.Series([windows[k].date for k in numbers], dtype=pl.Date),
        boundaries=pl.Series([sifted.grid.boundaries(windows[k]) for k in numbers], dtype=pl.Int64),
    )


def _absent(held: pl.DataFrame, traded: Sequence[date]) -> dict[str, tuple[date, ...]]:
    numbers = {day: n for n, day in enumerate(traded)}
    spans = held.group_by("symbol").agg(
        pl.col("date").min().alias("first"), pl.col("date").max().alias("last"), n=pl.len()
    )
    absent: dict[str, tuple[date, ...]] = {}
    by_symbol = held.partition_by("symbol", as_dict=True)
    for symbol, first, last, count in spans.sort("symbol").rows():
        span = traded[numbers[first] : numbers[last] + 1]
        if len(span) > count:
            there = set(by_symbol[(symbol,)]["date"].to_list())
            absent[symbol] = tuple(day for day in span if day not in there)
    return absent


def _silences(
    regular: pl.DataFrame, windows: Sequence[MarketHours], sifted: Sifted, least: int, symbol: str | None
) -> list[Silence]:
    """Runs of slots without a bar, first and last of a session included; then those in which nobody has one."""
    everybody = regular.select(pl.lit("").alias("symbol"), "session_no", "slot").unique().sort("session_no", "slot")
    mine = regular if symbol is None else regular.filter(pl.col("symbol") == symbol)
    found = [*_runs(everybody, windows, sifted, least), *_runs(mine, windows, sifted, least)]
    nobody = {(s.date, s.begins, s.ends) for s in found if not s.symbol}
    return [s for s in found if not s.symbol or (s.date, s.begins, s.ends) not in nobody]


def _runs(slots: pl.DataFrame, windows: Sequence[MarketHours], sifted: Sifted, least: int) -> list[Silence]:
    if slots.is_empty():
        return []
    boundaries = [sifted.grid.boundaries(hours) for hours in windows]
    key = ["symbol", "session_no"]
    bars_of = pl.Series("boundaries", [boundaries[k] for k in slots["session_no"]], dtype=pl.Int64)
    walked = slots.with_columns(bars_of, slot=pl.col("slot").cast(pl.Int64)).with_columns(
        before=pl.col("slot").shift(1).over(key).fill_null(-1),
        is_last=pl.col("slot").shift(-1).over(key).is_null(),
    )
    inner = walked.select(*key, after="before", until="slot")
    tail = walked.filter("is_last").select(*key, after="slot", until="boundaries")
    runs = (
        pl.concat([inner, tail])
        .with_columns(bars=pl.col("until") - pl.col("after") - 1)
        .filter(pl.col("bars") >= least)
    )
    edges = {k: sifted.grid.edges_us(windows[k]) for k in runs["session_no"].unique().to_list()}
    return [
        Silence(
            symbol=symbol,
            date=windows[number].date,
            begins=moment(int(edges[number][after + 1])),
            ends=moment(int(np.asarray(edges[number])[until])),
            bars=bars,
        )
        for symbol, number, after, until, bars in runs.rows()
    ]
