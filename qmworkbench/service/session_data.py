"""The session's market data as the configuration names it: a file's day or the demo market's (§5 Environment Check)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.instruments import Instrument, instrument_for
from qmworkbench.market.bars import session_from_frame
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.corporate_actions import load_actions
from qmworkbench.market.demo import DEMO_SYMBOLS, demo_actions, demo_bars, demo_session, demo_symbols
from qmworkbench.market.findings import DataRefused, Finding, Severity, listed, refusal
from qmworkbench.market.period import BarPeriod
from qmworkbench.market.schema import BarSource
from qmworkbench.market.session import SessionData
from qmworkbench.market.store.reading import open_bar_path
from qmworkbench.service.config import Config

# The demo market's day where none is given: a plain full Friday.
DEMO_DATE: Final = date(2024, 3, 8)
# How far back the venue is told of the demo's corporate actions.
_DEMO_ACTIONS_REACH: Final = timedelta(days=31)


class Sessions(Protocol):
    """Where a book's sessions come from, opened once and asked for one after another."""

    @property
    def market(self) -> SessionCalendar: ...

    @property
    def span(self) -> tuple[date, date] | None:
        """The first and the last trading date there are bars of; None where there is no end to them."""
        ...

    def trades_on(self, day: date) -> bool:
        """Whether there is a bar of that trading date."""
        ...

    def session(self, day: date, *, until: date | None = None) -> SessionData:
        """The session of `day`; `until` is the last that will be asked for, None where this is the only one.

        Raises DataRefused; NotASession for a demo day on which its market is closed.
        """
        ...

    def instruments(self, days: Sequence[date]) -> list[Instrument]:
        """Whatever may trade on one of these days."""
        ...


class FileSessions:
    """The sessions of a bar file or a bar store; `symbols` are those to trade among, empty for all."""

    def __init__(
        self,
        path: Path,
        *,
        history_days: int,
        symbols: Sequence[str] = (),
        actions: Sequence[CorporateAction] = (),
    ) -> None:
        source = open_bar_path(path)  # refuses what is no bar file before anything of it is read
        missing = sorted(set(symbols) - set(source.symbols())) if symbols else []
        if missing:
            raise DataRefused([_no_such(missing, str(path))])
        self._period = BarPeriod(
            source, f"file:{path.name}", history_days=history_days, symbols=symbols, actions=actions
        )
        self.market = self._period.market
        self.source = source

    @property
    def span(self) -> tuple[date, date] | None:
        dates = list(self._period.rows_by_date)
        return (dates[0], dates[-1]) if dates else None

    def trades_on(self, day: date) -> bool:
        return self._period.rows_by_date.get(day, 0) > 0

    def session(self, day: date, *, until: date | None = None) -> SessionData:
        return self._period.session(day, until=until)

    def instruments(self, days: Sequence[date]) -> list[Instrument]:
        return [
            instrument_for(symbol) for symbol in self._period.source.symbols() if symbol and symbol == symbol.strip()
        ]


class DemoSessions:
    """The demo market's sessions of a seed; `symbols` are names to trade among, or how many."""

    span = None

    def __init__(self, seed: int, *, history_days: int, symbols: Sequence[str] | int = ()) -> None:
        self.market = SessionCalendar("XNYS")
        self._seed = seed
        self._history_days = history_days
        self._symbols = symbols

    def trades_on(self, day: date) -> bool:
        return self.market.is_session(day)

    def session(self, day: date, *, until: date | None = None) -> SessionData:
        count = self._symbols if isinstance(self._symbols, int) else DEMO_SYMBOLS
        if isinstance(self._symbols, int):
            data = demo_session(day, self._seed, count, history_days=self._history_days)
        else:
            data = _demo(day, self._seed, self._history_days, tuple(self._symbols))
        # Its history is told in the day's shares already; the venue books what a book may have slept through.
        return replace(data, actions=demo_actions(day - _DEMO_ACTIONS_REACH, day, self._seed, count))

    def instruments(self, days: Sequence[date]) -> list[Instrument]:
        count = self._symbols if isinstance(self._symbols, int) else DEMO_SYMBOLS
        names = dict.fromkeys(name for day in days for name in demo_symbols(count, day))
        return [instrument_for(name) for name in sorted(names)]


def open_sessions(config: Config, *, count: int | None = None) -> Sessions:
    """The sessions of a configuration's market data. `count`: the first so many symbols by name of a file, or a demo
    market of so many. Raises DataRefused.
    """
    chosen, told = config.settings.data, config.actions_file
    if config.data_file is None:
        if told is not None:
            raise DataRefused([_actions_alone(str(told))])
        return DemoSessions(chosen.seed, history_days=chosen.history_days, symbols=count or chosen.symbols)
    symbols = chosen.symbols
    if count is not None:
        symbols = tuple(open_bar_path(config.data_file).symbols()[:count])
    actions = () if told is None else load_actions(told)
    return FileSessions(config.data_file, history_days=chosen.history_days, symbols=symbols, actions=actions)


def load_data(config: Config, *, fresh: bool = False, count: int | None = None) -> SessionData:
    """The session data of a configuration. Where no date is given: a file's last session, the demo's next for the book.

    `fresh`: the book is about to be a new one, so the demo begins at its beginning. `count` as for `open_sessions`.

    Raises DataRefused, its findings naming the fault, the file and the remedy; NotASession for a day on which the
    demo market is closed.
    """
    chosen, sessions = config.settings.data, open_sessions(config, count=count)
    if isinstance(sessions, FileSessions):
        return sessions.session(chosen.date or last_session(sessions.source))
    return sessions.session(chosen.date or demo_date(config, fresh=fresh))


def demo_date(config: Config, *, fresh: bool = False) -> date:
    """The day the demo market plays for this book where none is asked for: the one it was cut off in, or the session
    after its last; DEMO_DATE for a book that has none.
    """
    from qmworkbench.service.offline import BookEmpty, read_state  # reads the journal: only where a date is wanted

    if fresh:
        return DEMO_DATE
    try:
        state = read_state(config).state
    except BookEmpty:
        return DEMO_DATE
    last = date.fromisoformat(state.day.window.date)
    if state.day.session_id not in state.closed_sessions:
        return last
    return SessionCalendar("XNYS").next_session(last)


def last_session(source: BarSource) -> date:
    """The newest date with bars on which the market of the bars trades. Raises DataRefused where there is none."""
    market = source.market()
    for day in reversed(source.trading_dates(market)["date"].to_list()):
        if isinstance(day, date) and market.is_session(day):
            return day
    raise DataRefused([refusal("no_usable_rows", f"not one row lies on a session of {market.name}.", source.file)])


def _demo(day: date, seed: int, history_days: int, symbols: tuple[str, ...]) -> SessionData:
    if not symbols:
        return demo_session(day, seed, DEMO_SYMBOLS, history_days=history_days)
    names = demo_symbols(DEMO_SYMBOLS, day)
    missing = sorted(set(symbols) - set(names))
    if missing:
        raise DataRefused([_no_such(missing, "the demo market")])
    bars = demo_bars(day, seed, names, history_days=history_days).filter(pl.col("symbol").is_in(list(symbols)))
    return session_from_frame(bars, day, history_days=history_days, source=f"demo:{seed}")


def _actions_alone(file: str) -> Finding:
    return Finding(
        code="actions_alone",
        severity=Severity.REFUSE,
        message="data.actions tells of the companies of a bar file, and data.file names none.",
        file=file,
        remedy="Name the bars in data.file, or leave data.actions out: the demo market has actions of its own.",
    )


def _no_such(missing: list[str], where: str) -> Finding:
    return Finding(
        code="symbols_missing",
        severity=Severity.REFUSE,
        message=f"data.symbols names {listed(missing)}, and there are no bars of that.",
        file=where,
        remedy="Correct data.symbols, or leave it empty to take every symbol there is.",
    )
