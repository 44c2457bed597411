"""One session's market data: universe, frames, reference, warm-up, and what was found wrong (§5)."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.events.market import BarsQuarantined
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.sessions import SessionWindow
from qmworkbench.market.calendars import MarketHours
from qmworkbench.market.findings import Finding, Severity
from qmworkbench.market.grid import Grid, moment
from qmworkbench.market.schema import VALUES
from qmworkbench.strategies.bars import SessionGrid
from qmworkbench.trading.frames import BarFrame, Floats, Reference, Universe

_SYMBOLS_ON_RECORD = 50


@dataclass(frozen=True, eq=False, repr=False)
class SessionData:
    """Everything a session is traded from, as values.

    - `source`: what it was made from ("file:NAME", "demo:SEED", "frame").
    - `window`: the session's hours; `grid`: how they are cut into bars.
    - `universe`: the symbols with a bar today or in the history read; a symbol that did not trade today is in
      it, because at the open nobody knows that it will not.
    - `frames`: before the open those boundaries that have rows (`extended`), then every regular boundary up
      to the close, empty where nobody traded.
    - `reference`, `warmup`: see `Reference`; regular bars of the sessions of `history` as symbol, ts, session
      (date), open … volume, in order of (symbol, ts).
    - `findings`: all that was noticed; `quarantined`: the rows kept out, with session and reason;
      `after_close`: legal bars of after hours, which no boundary of the session holds.
    - `stops`: symbols whose bars end well before the market's, with their last bar's open time. Hindsight:
      for reports and never for decisions.
    - `actions`: the corporate actions known by then, which the venue books; `reference` and `warmup` are told in the
      shares and tickers of the day.
    - `spreads_bps`: beside each frame the quoted spread of its rows, None where the source has no quotes.
    """

    source: str
    calendar: str
    window: MarketHours
    grid: Grid
    universe: Universe
    instruments: dict[str, Instrument]
    frames: tuple[BarFrame, ...]
    reference: Reference
    history: tuple[MarketHours, ...]
    warmup: pl.DataFrame
    findings: tuple[Finding, ...]
    quarantined: pl.DataFrame
    after_close: pl.DataFrame
    stops: dict[str, datetime]
    spreads_bps: tuple[Floats, ...] | None = None
    actions: tuple[CorporateAction, ...] = ()

    def __repr__(self) -> str:
        """Short: the whole would fill pages of a notebook or of a test's report."""
        size = f"{self.bars:,} bars, {len(self.universe):,} symbols, {len(self.boundaries)} boundaries"
        return f"SessionData({self.source}, {self.window.date}, {size})"

    @property
    def interval_s(self) -> int:
        """The bar interval in seconds; the session's length where a bar is a day."""
        return min(self.grid.interval_s, self.window.length_s)

    def grids(self) -> tuple[SessionGrid, ...]:
        """The grids of the history sessions and of this one, as strategies and radar count their bars.

        `grids()[-1].opens_at` is the time from which boundaries are equally far apart. It is the open, but
        for bars that follow the clock and are cut short by the open: there it is the last full interval
        before it.
        """
        return tuple(
            SessionGrid(
                session=hours.date,
                opens_at=moment(self.grid.anchor_us(hours)),
                interval_s=self.interval_s,
                boundaries=self.grid.boundaries(hours),
            )
            for hours in (*self.history, self.window)
        )

    @cached_property
    def regular_frames(self) -> tuple[BarFrame, ...]:
        """The frames of regular hours: the k-th closes boundary k+1."""
        return tuple(frame for frame in self.frames if not frame.extended)

    @cached_property
    def boundaries(self) -> tuple[datetime, ...]:
        """When each regular boundary is due, the last being the close."""
        return tuple(frame.as_of for frame in self.regular_frames)

    @cached_property
    def _numbers(self) -> dict[datetime, int]:
        return {as_of: k for k, as_of in enumerate(self.boundaries, start=1)}

    def boundary_number(self, frame: BarFrame) -> int:
        """Regular boundaries count from 1; frames before the open are 0."""
        return 0 if frame.extended else self._numbers[frame.as_of]

    @property
    def bars(self) -> int:
        """How many bars the frames hold."""
        return sum(len(frame) for frame in self.frames)

    def spread_bps(self, number: int) -> Floats | None:
        """Quoted spreads at `frames[number]` over the universe, NaN where unknown; None without quotes."""
        if self.spreads_bps is None:
            return None
        over_all = np.full(len(self.universe), np.nan)
        over_all[self.frames[number].index] = self.spreads_bps[number]
        return over_all

    def recorded_window(self) -> SessionWindow:
        """The facts of the calendar as the journal keeps them."""
        return SessionWindow(
            date=self.window.date.isoformat(),
            opens_at=self.window.opens_at.isoformat(),
            closes_at=self.window.closes_at.isoformat(),
            interval_s=self.interval_s,
            regular_boundaries=len(self.boundaries),
            half_day=self.window.half_day,
        )

    def quarantine_events(self, at: datetime) -> tuple[BarsQuarantined, ...]:
        """What the journal says of the rows kept out, one event a reason."""
        events = []
        for finding in self.findings:
            if finding.severity is not Severity.QUARANTINE:
                continue
            rows = self.quarantined.filter(pl.col("reason") == finding.code)
            symbols = rows["symbol"].drop_nulls().unique().sort().to_list()
            events.append(
                BarsQuarantined(
                    at=at,
                    reason=finding.code,
                    rows=rows.height,
                    symbols=tuple(symbols[:_SYMBOLS_ON_RECORD]),
                    detail=f"{finding.message} Remedy: {finding.remedy}",
                )
            )
        return tuple(events)

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 over the rows that the session is decided with, 16 hex digits.

        It knows nothing of paths, of the order of rows in the file, or of rows that were kept out.
        """
        digest = hashlib.sha256(f"{self.calendar} {self.window} {self.grid}".encode())
        digest.update("\n".join(self.universe.symbols).encode())
        for frame in self.frames:
            digest.update(frame.content_hash.encode())
        for spreads in self.spreads_bps or ():
            digest.update(np.ascontiguousarray(spreads).data)
        for piece in _contents(self.warmup):
            digest.update(piece)
        return digest.hexdigest()[:16]


def _contents(bars: pl.DataFrame) -> Iterator[bytes | memoryview]:
    """The frame's contents piece by piece, the same whatever its chunks."""
    yield "\n".join(bars["symbol"].unique(maintain_order=True).to_list()).encode()
    yield np.ascontiguousarray(bars["symbol"].rle_id().to_numpy()).data
    for name in ("ts", *VALUES):
        yield np.ascontiguousarray(bars[name].to_physical().to_numpy()).data
