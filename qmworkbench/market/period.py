"""Many sessions of one source: read and checked once, cut by day (§5 Data Check)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.instruments import Instrument
from qmworkbench.market.bars import HISTORY_DAYS, assembled, session_from_source, windows_of
from qmworkbench.market.calendars import MarketHours, SessionCalendar
from qmworkbench.market.checks import QUARANTINE_SCHEMA, Sifted, sift
from qmworkbench.market.findings import DataRefused, Severity
from qmworkbench.market.grid import Distances, Grid, Placed, distances, infer_interval_s
from qmworkbench.market.schema import BarSource
from qmworkbench.market.session import SessionData

# So many rows are read and held at a time; a period of more is cut into blocks, a session of more is read by itself.
BLOCK_ROWS: Final = 4_000_000
_NOTHING_ASIDE: Final = pl.DataFrame(schema=QUARANTINE_SCHEMA)  # type: ignore[arg-type]


class BarPeriod:
    """The sessions of a bar source as far as they are asked for, in order: each as `load_session` would make it.

    Rows are read once for a block of sessions and told good from bad once. A session is cut from its block where that
    gives what it would give alone; where a row was kept aside, or its own bars would show another interval, it is read
    and checked by itself.
    """

    def __init__(
        self,
        source: BarSource,
        name: str,
        *,
        history_days: int = HISTORY_DAYS,
        symbols: Sequence[str] = (),
        actions: Sequence[CorporateAction] = (),
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        self.source = source.only(symbols) if symbols else source
        self.name = name
        self.market: SessionCalendar = source.market()
        self._history_days = history_days
        self._actions = actions or source.actions
        self._block_rows = block_rows
        self._block: _Block | None = None

    @cached_property
    def rows_by_date(self) -> dict[date, int]:
        """How many rows each trading date of the source has, in order of date; dates of closed markets are included."""
        table = self.source.trading_dates(self.market)
        return dict(table.iter_rows())

    def session(self, day: date, *, until: date | None = None) -> SessionData:
        """The session of `day`; `until` is the last that will be asked for, None where this is the only one.

        Raises DataRefused as load_session does.
        """
        block = self._block
        if block is None or not block.holds(day):
            block = self._block = self._read(day, until) if until is not None and until > day else None
        windows = windows_of(self.market, day, self._history_days, self.source.file)
        sifted = None if block is None else block.cut(windows)
        if sifted is None:
            return session_from_source(
                self.source, self.name, day, history_days=self._history_days, actions=self._actions
            )
        return assembled(self.source, self.name, self.market, windows, sifted, self._actions)

    def _read(self, day: date, until: date) -> "_Block | None":
        """A block of sessions that begins with `day`; None where it is too large, or cannot be checked as a whole."""
        last = self._last_of_block(day, until)
        if last is None:
            return None
        first = self.market.sessions_before(day, self._history_days)[0] if self._history_days else day
        windows = [self.market.session_window(one) for one in self.market.sessions_between(first, last)]
        end = self.market.session_window(self.market.next_session(last)).day_starts_at
        rows = self.source.read(windows[0].day_starts_at, end)
        if rows.is_empty() or self.source.rows_without_time().height:
            return None
        try:
            return _Block.of(sift(rows, windows, self.source.file), windows, day)
        except DataRefused:
            return None  # some session of it is refused, not necessarily this one: each is looked at by itself

    def _last_of_block(self, day: date, until: date) -> date | None:
        """The last session that still fits into a block with `day`; None where not even `day` does."""
        dates = [one for one in self.rows_by_date if day <= one <= until]
        if not dates or not self.market.is_session(day):
            return None
        first = self.market.sessions_before(day, self._history_days)[0] if self._history_days else day
        held = sum(rows for one, rows in self.rows_by_date.items() if first <= one < day)
        fitting = [
            one
            for one, rows in zip(dates, accumulate(self.rows_by_date[one] for one in dates), strict=True)
            if held + rows <= self._block_rows
        ]
        sessions = [one for one in fitting if self.market.is_session(one)]
        return max(sessions[-1], day) if sessions else None


@dataclass(frozen=True, eq=False)
class _Block:
    """Good rows of successive sessions in order of (session, symbol, ts).

    `offsets` says where each session's rows begin, `codes` numbers the rows' symbols in alphabetical order. `apart` are
    the distances between bars in order of session, `apart_from` where each session's begin. `spoilt` are the sessions
    with rows kept aside; nothing is cut from a block that is not `sound` as a whole.
    """

    good: pl.DataFrame
    codes: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.int64]
    apart: Distances
    apart_from: npt.NDArray[np.int64]
    numbers: Mapping[date, int]
    first: date
    spoilt: frozenset[int]
    sound: bool
    grid: Grid
    instruments: dict[str, Instrument]

    @classmethod
    def of(cls, sifted: Sifted, windows: Sequence[MarketHours], first: date) -> "_Block":
        """A block whose first session to be asked for is `first`; those before it are history."""
        numbers = {hours.date: number for number, hours in enumerate(windows)}
        spoilt = {numbers.get(day, -1) for day in sifted.quarantined["session"].unique().to_list()}
        edges = np.arange(len(windows) + 1)
        codes = sifted.good["symbol"].rle_id().to_numpy()
        session = sifted.good["session_no"].to_numpy()
        placed = Placed(session, sifted.good["part"].to_numpy())
        apart = distances(sifted.good["ts"].to_physical().to_numpy(), codes, placed, windows)
        later = session[apart.row]
        by_session, apart_by_session = np.argsort(session, kind="stable"), np.argsort(later, kind="stable")
        grids = (Grid(sifted.grid.interval_s), Grid(sifted.grid.interval_s, clock_aligned=True))
        return cls(
            good=sifted.good[by_session],
            codes=codes[by_session],
            offsets=np.searchsorted(session[by_session], edges),
            apart=Distances(apart.us[apart_by_session], apart.row[apart_by_session], apart.group[apart_by_session]),
            apart_from=np.searchsorted(later[apart_by_session], edges),
            numbers=numbers,
            first=first,
            spoilt=frozenset(spoilt),
            # Where bars by the open and bars by the clock lie differently, each session's own bars say which they are.
            sound=not any(finding.severity is Severity.NOTE for finding in sifted.findings)
            and all(grids[0].anchor_us(hours) == grids[1].anchor_us(hours) for hours in windows),
            grid=sifted.grid,
            instruments=sifted.instruments,
        )

    def holds(self, day: date) -> bool:
        """Whether the session can be asked for here, with all its history."""
        return day >= self.first and day in self.numbers

    def cut(self, windows: Sequence[MarketHours]) -> Sifted | None:
        """What `sift` would make of these sessions' rows alone; None where that has to be tried."""
        first, last = self.numbers.get(windows[0].date), self.numbers.get(windows[-1].date)
        if first is None or last is None or not self.sound or not self.spoilt.isdisjoint({-1, *range(first, last + 1)}):
            return None
        if self.offsets[last] == self.offsets[last + 1] or self._interval_s(first, last) != self.grid.interval_s:
            return None
        start, stop = int(self.offsets[first]), int(self.offsets[last + 1])
        order = np.argsort(self.codes[start:stop], kind="stable")
        good = self.good[start:stop][order].with_columns(pl.col("session_no") - first)
        return Sifted(good, _NOTHING_ASIDE, self.grid, self.instruments, ())

    def _interval_s(self, first: int, last: int) -> int | None:
        """The interval that the bars of these sessions show by themselves."""
        here = slice(self.apart_from[first], self.apart_from[last + 1])
        return infer_interval_s(Distances(self.apart.us[here], self.apart.row[here], self.apart.group[here]))
