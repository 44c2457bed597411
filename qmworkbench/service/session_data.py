"""The session's market data as the configuration names it: a file's day or the demo market's (§5 Environment Check)."""

from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from qmworkbench.market.bars import load_session, session_from_frame
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.demo import demo_bars, demo_session, demo_symbols
from qmworkbench.market.findings import DataRefused, Finding, Severity, listed, refusal
from qmworkbench.market.schema import BarSource, open_parquet
from qmworkbench.market.session import SessionData
from qmworkbench.service.config import Config

# The demo market's day where none is given: a plain full Friday.
DEMO_DATE: Final = date(2024, 3, 8)
_DEMO_SYMBOLS: Final = 200


def load_data(config: Config, *, fresh: bool = False) -> SessionData:
    """The session data of a configuration. Where no date is given: a file's last session, the demo's next for the book.

    `fresh`: the book is about to be a new one, so the demo begins at its beginning.

    Raises DataRefused, its findings naming the fault, the file and the remedy; NotASession for a day on which the
    demo market is closed.
    """
    chosen = config.settings.data
    if config.data_file is None:
        return _demo(chosen.date or demo_date(config, fresh=fresh), chosen.seed, chosen.history_days, chosen.symbols)
    day = chosen.date or last_session(open_parquet(config.data_file))
    if not chosen.symbols:
        return load_session(config.data_file, day, history_days=chosen.history_days)
    return _restricted(config.data_file, day, chosen.history_days, chosen.symbols)


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


def _restricted(path: Path, day: date, history_days: int, symbols: tuple[str, ...]) -> SessionData:
    """The session with a universe of these symbols alone."""
    bars = pl.scan_parquet(path).filter(pl.col("symbol").is_in(list(symbols))).collect(engine="in-memory")
    missing = sorted(set(symbols) - set(bars["symbol"].unique().to_list()))
    if missing:
        raise DataRefused([_no_such(missing, str(path))])
    return session_from_frame(bars, day, history_days=history_days, source=f"file:{path.name}")


def _demo(day: date, seed: int, history_days: int, symbols: tuple[str, ...]) -> SessionData:
    if not symbols:
        return demo_session(day, seed, _DEMO_SYMBOLS, history_days=history_days)
    names = demo_symbols(_DEMO_SYMBOLS)
    missing = sorted(set(symbols) - set(names))
    if missing:
        raise DataRefused([_no_such(missing, "the demo market")])
    bars = demo_bars(day, seed, names, history_days=history_days).filter(pl.col("symbol").is_in(list(symbols)))
    return session_from_frame(bars, day, history_days=history_days, source=f"demo:{seed}")


def _no_such(missing: list[str], where: str) -> Finding:
    return Finding(
        code="symbols_missing",
        severity=Severity.REFUSE,
        message=f"data.symbols names {listed(missing)}, and there are no bars of that.",
        file=where,
        remedy="Correct data.symbols, or leave it empty to take every symbol there is.",
    )
