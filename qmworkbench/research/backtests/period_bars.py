"""The bars a backtest stands on: a period of one source and the history before it, checked and framed (§2).

Bars of minutes and hours are framed session by session, as live. A day's bar is a session of one boundary, at whose
close no entry may be decided; so daily bars are framed as one long session, which only a strategy that carries its
positions can be run on.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.instruments import Instrument
from qmworkbench.market.calendars import CalendarUnknown, MarketHours, SessionCalendar
from qmworkbench.market.checks import Sifted, sift
from qmworkbench.market.corporate_actions_applied import in_todays_terms
from qmworkbench.market.findings import DataRefused, Finding, Severity, listed, refusal
from qmworkbench.market.framing import regular, warmup_of
from qmworkbench.market.grid import micros, moment
from qmworkbench.market.schema import VALUES, BarSource, nearest_dates
from qmworkbench.market.series_checks import Series
from qmworkbench.strategies.bars import BARS_SCHEMA, RAW_SCHEMA, SessionGrid, session_bars

Period = tuple[date | None, date | None]
EVERYTHING: Final[Period] = (None, None)
# What a jump of the prices must be called to be no market move.
_UNADJUSTED: Final = "split_suspect"


@dataclass(frozen=True, eq=False)
class PeriodBars:
    """Bars as strategies read them, and what they are.

    `bars` has BARS_SCHEMA, history in front; the period itself begins with the session of `first` and ends with that of
    `last`. `dates` are the sessions of the whole, history among them; `history` says how many it is, `grids` are
    those the bars were framed with.
    `one_session`: daily bars, framed as one long session (`session` is the first date throughout). `hash` is over the
    values of the period and its history.
    """

    source: str
    bars: pl.DataFrame
    first: date
    last: date
    dates: tuple[date, ...]
    grids: tuple[SessionGrid, ...]
    history: int
    calendar: str
    interval_s: int
    boundaries: int
    one_session: bool
    ticks: dict[str, float]
    instruments: dict[str, Instrument]
    findings: tuple[Finding, ...]
    hash: str

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, in alphabetical order."""
        return tuple(self.ticks)

    @property
    def sessions(self) -> tuple[date, ...]:
        """The sessions of the period, its history left out."""
        return self.dates[self.history :]

    @property
    def first_us(self) -> int:
        """From this open time on a bar belongs to the period, in microseconds of UTC."""
        return int(self.starts_us[self.history])

    @property
    def market(self) -> SessionCalendar:
        return SessionCalendar(self.calendar)

    @cached_property
    def starts_us(self) -> npt.NDArray[np.int64]:
        """When the trading day of each of `dates` begins, in microseconds of UTC."""
        market = self.market
        return np.array([micros(market.session_window(day).day_starts_at) for day in self.dates], dtype=np.int64)

    def number_of(self, ts_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which of `dates` each time belongs to, as an index."""
        return np.asarray(np.searchsorted(self.starts_us, ts_us, side="right") - 1, dtype=np.int64)

    @cached_property
    def complete(self) -> bool:
        """Whether the bars reach the close of the last session."""
        return bool(self.bars["bars_left"][-1] == 0 or (self._of_last_session()["bars_left"] == 0).any())

    def _of_last_session(self) -> pl.DataFrame:
        return self.bars.filter(pl.col("ts").to_physical() >= int(self.starts_us[-1]))

    @property
    def currency(self) -> str:
        """What prices, cash and results are counted in. Raises DataRefused where the symbols have several."""
        quoted = sorted({instrument.currency for instrument in self.instruments.values()})
        if len(quoted) > 1:
            message = f"the symbols are quoted in {', '.join(quoted)}, and one account counts in one currency."
            remedy = "Choose symbols of one currency (--symbols)."
            raise DataRefused([_refused("several_currencies", message, self.source, remedy)])
        return quoted[0] if quoted else ""


def read_period(
    source: BarSource,
    *,
    symbols: Sequence[str] = (),
    period: Period = EVERYTHING,
    history_sessions: int = 0,
    actions: Sequence[CorporateAction] = (),
    as_printed: bool = False,
) -> PeriodBars:
    """Read the regular bars of `symbols` (empty: all) between two dates, both included, and of as many sessions before.

    With corporate `actions` the bars are raw and all of them are told in the shares and tickers of the last session.
    Raises DataRefused, its findings naming the fault and the remedy: a symbol or a period the source does not have, or
    opens that fit a split no action tells of (`as_printed` takes them as they are, and notes it).
    """
    source = _chosen(source, symbols)
    actions = actions or source.actions
    market = source.market()
    windows, history = _windows(source, market, period, history_sessions)
    end = market.session_window(market.next_session(windows[-1].date)).day_starts_at
    rows = source.read(windows[0].day_starts_at, end)
    sifted = sift(rows, windows, source.file)
    dates = [hours.date for hours in windows]
    good = regular(sifted.good)
    if actions:
        good = in_todays_terms(good, actions, dates, dates[-1])
    first = windows[history].date
    if good.filter(pl.col("session_no") >= history).is_empty():
        raise DataRefused([refusal("no_usable_rows", f"not one usable bar from {first} to {dates[-1]}.", source.file)])
    if not all(sifted.grid.fits(hours) for hours in windows):
        message = f"bars are {sifted.grid.interval_s} s long and some session's close cuts the last one short."
        raise DataRefused([refusal("uneven_close", message, source.file)])
    findings = [*source.notes, *sifted.findings, *_series(good, sifted, windows, source.file, as_printed=as_printed)]
    return _framed(source.file, market, windows, history, good, sifted, findings)


def boundaries_of(source: BarSource, period: Period = EVERYTHING) -> int:
    """How many bars the first session of a period has; 1 for daily bars. Raises DataRefused as `read_period` does."""
    market = source.market()
    windows, at = _windows(source, market, period, 0)
    hours = windows[at]
    rows = source.read(hours.day_starts_at, market.session_window(market.next_session(hours.date)).day_starts_at)
    return sift(rows, [hours], source.file).grid.boundaries(hours)


def _chosen(source: BarSource, symbols: Sequence[str]) -> BarSource:
    if not symbols:
        return source
    there = source.symbols()
    missing = [name for name in symbols if name not in set(there)]
    if missing:
        message = f"there are no bars of {listed(missing)}; it has {listed(there, 12)}."
        raise DataRefused(
            [_refused("symbols_missing", message, source.file, "Correct the symbols, or leave them out.")]
        )
    return source.only(sorted(set(symbols)))


def _windows(
    source: BarSource, market: SessionCalendar, period: Period, history_sessions: int
) -> tuple[list[MarketHours], int]:
    """The hours of history and period, and how many of them are history."""
    held = [day for day in source.trading_dates(market)["date"].to_list() if market.is_session(day)]
    first, last = period
    if first is not None and last is not None and first > last:
        message = f"the period begins on {first} and ends on {last}, before it."
        raise DataRefused([_refused("period_reversed", message, source.file, "Give the earlier date first.")])
    asked = [day for day in held if (first is None or day >= first) and (last is None or day <= last)]
    if not asked:
        named = f"from {first or 'the beginning'} to {last or 'the end'}"
        holds = f"{held[0]} to {held[-1]}" if held else "no session"
        near = f"; nearest: {nearest_dates(held, first or last or held[0])}" if held else ""
        message = f"it has nothing {named}. It holds {holds}{near}."
        raise DataRefused(
            [_refused("period_not_in_source", message, source.file, "Choose a period within these dates.")]
        )
    before = [day for day in held if day < asked[0]][-history_sessions:] if history_sessions else []
    try:
        days = market.sessions_between((before or asked)[0], asked[-1])
        windows = [market.session_window(day) for day in days]
    except CalendarUnknown as error:
        raise DataRefused([refusal("calendar_unknown", f"{error}.", source.file)]) from None
    return windows, days.index(asked[0])


def _series(
    good: pl.DataFrame, sifted: Sifted, windows: Sequence[MarketHours], file: str, *, as_printed: bool
) -> list[Finding]:
    """What the prices give away over the sessions; an unadjusted split refuses them."""
    series = Series()
    boundaries = [sifted.grid.boundaries(hours) for hours in windows]
    series.take(good, sifted.grid, boundaries, [str(hours.date) for hours in windows])
    findings = series.findings(file, quotes="spread" in good.columns)
    splits = [finding for finding in findings if finding.code == _UNADJUSTED]
    if splits and not as_printed:
        remedy = (
            "Give the splits as corporate actions (--actions FILE), leave these symbols or days out, or take the "
            "prices as printed (--as-printed), jumps and all."
        )
        told = [_refused(_UNADJUSTED, finding.message, file, remedy) for finding in splits]
        raise DataRefused([*told, *(finding for finding in findings if finding not in splits)])
    return findings


def _framed(
    file: str,
    market: SessionCalendar,
    windows: Sequence[MarketHours],
    history: int,
    good: pl.DataFrame,
    sifted: Sifted,
    findings: Sequence[Finding],
) -> PeriodBars:
    names = good["symbol"].unique().sort().to_list()
    instruments = {name: sifted.instruments[name] for name in names if name in sifted.instruments}
    ticks = {name: float(instruments[name].tick_size) for name in names}
    most = max(sifted.grid.boundaries(hours) for hours in windows)
    one_session = most == 1
    grids = [
        SessionGrid(
            session=hours.date,
            opens_at=moment(sifted.grid.anchor_us(hours)),
            interval_s=min(sifted.grid.interval_s, hours.length_s),
            boundaries=sifted.grid.boundaries(hours),
        )
        for hours in windows
    ]
    raw = warmup_of(good, windows, sifted.grid).select(list(RAW_SCHEMA))
    bars = session_bars(raw, grids, ticks)
    if one_session:
        bars = _as_one_session(bars, [hours.date for hours in windows])
    return PeriodBars(
        source=file,
        bars=bars,
        first=windows[history].date,
        last=windows[-1].date,
        dates=tuple(hours.date for hours in windows),
        grids=(_long_session(grids),) if one_session else tuple(grids),
        history=history,
        calendar=market.name,
        interval_s=86_400 if one_session else sifted.grid.interval_s,
        boundaries=most,
        one_session=one_session,
        ticks=ticks,
        instruments=instruments,
        findings=tuple(finding for finding in findings if finding.severity is not Severity.REFUSE),
        hash=bars_hash(bars),
    )


def _as_one_session(bars: pl.DataFrame, dates: Sequence[date]) -> pl.DataFrame:
    """Daily bars as boundaries of one session that begins with the first of `dates`."""
    at = pl.col("session").replace_strict(list(dates), list(range(len(dates))), return_dtype=pl.Int32)
    counted = bars.with_columns(bar=at, bars_left=(len(dates) - 1 - at).cast(pl.Int32))
    return counted.with_columns(session=pl.lit(dates[0])).select(list(BARS_SCHEMA))


def _long_session(grids: Sequence[SessionGrid]) -> SessionGrid:
    """The one session that daily bars are boundaries of."""
    return SessionGrid(grids[0].session, grids[0].opens_at, 86_400, len(grids))


def bars_hash(bars: pl.DataFrame) -> str:
    """SHA-256 over symbols, times and values of bars in their order, 16 hex digits, whatever their chunks."""
    digest = hashlib.sha256("\n".join(bars["symbol"].unique(maintain_order=True).to_list()).encode())
    digest.update(np.ascontiguousarray(bars["symbol"].rle_id().to_numpy()).data)
    for name in ("ts", *VALUES):
        digest.update(np.ascontiguousarray(bars[name].to_physical().to_numpy()).data)
    return digest.hexdigest()[:16]


def _refused(code: str, message: str, file: str, remedy: str) -> Finding:
    return Finding(code=code, severity=Severity.REFUSE, message=message, file=file, remedy=remedy)
