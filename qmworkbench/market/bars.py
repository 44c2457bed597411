"""Recorded bars as a session: any Parquet file of the bar schema, or a frame in memory (§5 Data Check)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.instruments import instrument_for
from qmworkbench.market.calendars import CalendarUnknown, MarketHours, NotASession, SessionCalendar
from qmworkbench.market.checks import QUARANTINE_SCHEMA, Sifted, sift
from qmworkbench.market.corporate_actions_applied import in_todays_terms, known_by
from qmworkbench.market.findings import DataRefused, Finding, Severity, refusal
from qmworkbench.market.framing import frames_of, reference_of, regular, taken, warmup_of
from qmworkbench.market.grid import AFTER_CLOSE, REGULAR, moment
from qmworkbench.market.inspection import Inspection, inspect
from qmworkbench.market.observations import observe, stopped_symbols
from qmworkbench.market.schema import COLUMNS, BarSource, nearest_dates, open_frame
from qmworkbench.market.session import SessionData
from qmworkbench.market.store.reading import open_bar_path
from qmworkbench.trading.frames import Universe

__all__ = [
    "COLUMNS",
    "QUARANTINE_SCHEMA",
    "DataRefused",
    "Finding",
    "Inspection",
    "SessionData",
    "Severity",
    "inspect",
    "load_session",
    "session_from_frame",
    "session_from_source",
]

HISTORY_DAYS = 10


def load_session(
    path: str | Path,
    day: date,
    *,
    history_days: int = HISTORY_DAYS,
    interval_s: int | None = None,
    actions: Sequence[CorporateAction] = (),
) -> SessionData:
    """The session of `day` from a Parquet file or a bar store, with up to `history_days` sessions before it.

    Only the rows of these sessions are read. The calendar is that of the file's symbols; `interval_s` None:
    inferred from the bars. With corporate `actions` (none: those that come with the bars) the bars are raw, and the
    history is told in the day's shares.
    Raises DataRefused, its findings naming the fault, the file and the remedy, when no session can be made of
    it.
    """
    path = Path(path)
    return session_from_source(
        open_bar_path(path),
        f"file:{path.name}",
        day,
        history_days=history_days,
        interval_s=interval_s,
        actions=actions,
    )


def session_from_frame(
    bars: pl.DataFrame,
    day: date,
    *,
    history_days: int = HISTORY_DAYS,
    interval_s: int | None = None,
    source: str = "frame",
    actions: Sequence[CorporateAction] = (),
) -> SessionData:
    """The session of `day` from bars in memory, under the same rules and with the same findings as a file.

    `source` is what findings and the journal call the bars.
    """
    opened = open_frame(bars, source)
    return session_from_source(opened, source, day, history_days=history_days, interval_s=interval_s, actions=actions)


def session_from_source(
    source: BarSource,
    name: str,
    day: date,
    *,
    history_days: int = HISTORY_DAYS,
    interval_s: int | None = None,
    actions: Sequence[CorporateAction] = (),
) -> SessionData:
    """The session of `day` from bars that were opened; `name` is what the journal calls them."""
    if history_days < 0:
        raise ValueError(f"history_days is {history_days}; give 0 or more")
    if interval_s is not None and interval_s < 1:
        raise ValueError(f"interval_s is {interval_s}; give the bar interval in whole seconds, or None to infer it")
    actions = actions or source.actions
    market = source.market()
    windows = windows_of(market, day, history_days, source.file)
    sifted = sift(_rows_of(source, market, windows), windows, source.file, interval_s=interval_s)
    return assembled(source, name, market, windows, sifted, actions)


def _rows_of(source: BarSource, market: SessionCalendar, windows: Sequence[MarketHours]) -> pl.DataFrame:
    """What there is of these sessions, and the rows without a time. Whoever sifts them is alone with them: of weeks of
    ten thousand symbols each column weighs, and is let go of as soon as it is done with.
    """
    hours = windows[-1]
    rows = source.read(windows[0].day_starts_at, market.session_window(market.next_session(hours.date)).day_starts_at)
    if not rows.select((pl.col("ts") >= hours.day_starts_at).any()).item():
        raise DataRefused([_no_rows(source, market, hours), *source.notes])
    return pl.concat([rows, source.rows_without_time()])


def windows_of(market: SessionCalendar, day: date, history_days: int, file: str) -> list[MarketHours]:
    """The hours of the history sessions, oldest first, and of the session itself as the last."""
    try:
        last = market.session_window(day)
        before = market.sessions_before(day, history_days)
        return [*(market.session_window(past) for past in before), last]
    except NotASession as error:
        raise DataRefused([refusal("not_a_session", str(error), file)]) from None
    except CalendarUnknown as error:
        raise DataRefused([refusal("calendar_unknown", f"{error}.", file)]) from None


def _no_rows(source: BarSource, market: SessionCalendar, hours: MarketHours) -> Finding:
    """A session without a row: the file does not reach that date, or it does and the day is empty."""
    day = hours.date
    dates: list[date] = source.trading_dates(market)["date"].to_list()
    if not dates:
        return refusal("no_usable_rows", "not one of its rows has a time.", source.file)
    near = f"The file holds {dates[0]} to {dates[-1]}; nearest: {nearest_dates(dates, day)}."
    if dates[0] < day < dates[-1]:
        message = f"{day} was a session of {market.name} and the file has no row for it. {near}"
        return refusal("empty_day", message, source.file)
    return refusal("date_not_in_file", f"it has nothing for {day}. {near}", source.file)


def assembled(
    source: BarSource,
    name: str,
    market: SessionCalendar,
    windows: Sequence[MarketHours],
    sifted: Sifted,
    actions: Sequence[CorporateAction] = (),
) -> SessionData:
    """The session of the last of `windows` from rows that were told good from bad, which are used up by it."""
    hours, grid = windows[-1], sifted.grid
    today = sifted.good.filter(pl.col("session_no") == len(windows) - 1)
    regular_today = regular(today)
    refusals = _unusable(regular_today, sifted, hours, source.file)
    if refusals:
        raise DataRefused([*refusals, *source.notes, *sifted.findings])
    tradable = today.filter(pl.col("part") < AFTER_CLOSE)
    earlier = (pl.col("session_no") < len(windows) - 1) & (pl.col("part") == REGULAR)
    history = taken(sifted.good, earlier, (*COLUMNS, "session_no", "slot"))
    history = in_todays_terms(history, actions, [window.date for window in windows[:-1]], hours.date)
    universe = Universe(pl.concat([tradable["symbol"], history["symbol"]]).unique().to_list())
    framed = frames_of(tradable, universe, grid, hours)
    held = set(history["session_no"].unique().to_list())
    data = SessionData(
        source=name,
        calendar=market.name,
        window=hours,
        grid=grid,
        universe=universe,
        instruments={s: sifted.instruments.get(s) or instrument_for(s) for s in universe.symbols},
        frames=framed.frames,
        reference=reference_of(history, universe, grid, windows[:-1], hours),
        history=tuple(window for number, window in enumerate(windows) if number in held),
        warmup=warmup_of(history, windows[:-1], grid),
        findings=(),
        quarantined=sifted.quarantined,
        after_close=today.filter(pl.col("part") == AFTER_CLOSE).select(COLUMNS),
        stops=stopped_symbols(regular_today, grid, hours),
        spreads_bps=framed.spreads_bps,
        actions=known_by(actions, hours.date),
    )
    found = (*source.notes, *sifted.findings, *observe(data, windows[:-1], source.file))
    return replace(data, findings=found)


def _unusable(regular_today: pl.DataFrame, sifted: Sifted, hours: MarketHours, file: str) -> list[Finding]:
    """Why the good rows of a day still make no session."""
    if regular_today.is_empty():
        aside = sifted.quarantined.filter(pl.col("session") == hours.date).height
        message = f"not one usable bar of {hours.date} lies in regular hours; {aside:,} rows were kept aside."
        return [refusal("no_usable_rows", message, file, rows=aside)]
    if not sifted.grid.fits(hours):
        edges = sifted.grid.edges_us(hours)
        last = f"{moment(int(edges[-2])):%H:%M} to {moment(int(edges[-1])):%H:%M} UTC"
        message = f"bars are {sifted.grid.interval_s} s long and the close cuts the last one short, {last}."
        return [refusal("uneven_close", message, file)]
    return []
