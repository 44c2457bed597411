"""One session, read whole through the read-only door: what the session reports are made from (§17, §18)."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from qmworkbench.analytics.equity import DayFigures, day_figures, equity_curve
from qmworkbench.analytics.missed import missed
from qmworkbench.analytics.recommendations import Looked, Recommendation, recommend, summary
from qmworkbench.analytics.session_record import SessionRecord, record_of
from qmworkbench.analytics.tables import Schema
from qmworkbench.analytics.trades import trades_of
from qmworkbench.domain.events.reconciliation import AccountObserved, BrokerSnapshotObserved
from qmworkbench.domain.events.telemetry import BoundaryTimed
from qmworkbench.service.recorded_state import state_after
from qmworkbench.storage.reading import BookReader, open_book
from qmworkbench.storage.refused import StoreMissing
from qmworkbench.trading.state import State

# Every market here keeps New York time: the exchanges by law, the forex week by its roll at 17:00.
ZONE: Final = "America/New_York"
_BARS: Final[Schema] = {
    "symbol": pl.String,
    "ts": pl.Datetime("us", "UTC"),
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class SessionSource:
    """A session's record and what is computed from it, each once and only when asked for.

    `span` are the first and last sequence of the session in the journal; `bars_missing` says why there are no bars, ""
    where there are.
    """

    book: BookReader
    record: SessionRecord
    span: tuple[int, int]
    bars: pl.DataFrame
    bars_missing: str

    @property
    def session_id(self) -> str:
        return self.record.session_id

    @property
    def where(self) -> str:
        """Book, session's date and environment, as the head of a page says it."""
        opened = self.record.opened
        return f"book {opened.book} · {opened.window.date} · {opened.environment}"

    @cached_property
    def trades(self) -> pl.DataFrame:
        """Closed trades with everything analytics knows of them (analytics/tables.py, analytics/trades.py)."""
        return trades_of(self.record, self.bars, zone=ZONE, prev_close=self.prev_close)

    @cached_property
    def prev_close(self) -> pl.DataFrame | None:
        """The closes before the session (symbol, prev_close); None where they are not kept."""
        try:
            return self.book.frame(self.session_id, "reference")
        except StoreMissing:
            return None

    @cached_property
    def curve(self) -> pl.DataFrame:
        return equity_curve(self.record)

    @cached_property
    def figures(self) -> DayFigures:
        return day_figures(self.record, self.trades, self.curve)

    @cached_property
    def missed(self) -> pl.DataFrame:
        return missed(self.record, self.bars, interval_s=self.record.opened.window.interval_s, zone=ZONE)

    @cached_property
    def looked(self) -> Looked:
        return Looked(self.record, self.trades, self.missed)

    @cached_property
    def recommendations(self) -> tuple[Recommendation, ...]:
        return recommend(self.looked)

    @property
    def recommendations_summary(self) -> str:
        return summary(self.recommendations, self.looked)

    @cached_property
    def state(self) -> State:
        """The book's state after the session's last record."""
        return state_at(self.book, self.span[1])

    @cached_property
    def timings(self) -> pl.DataFrame:
        """What each boundary's work took: boundary, lateness_ms, radar_ms, signals_ms, decide_ms, journal_ms."""
        names = ("boundary", "lateness_ms", "radar_ms", "signals_ms", "decide_ms", "journal_ms")
        opened, closes = self.record.opened.at, self.record.closes_at
        rows = [
            {name: getattr(event, name) for name in names}
            for _, event in self.book.events(["telemetry.boundary_timed"], stream="telemetry")
            if isinstance(event, BoundaryTimed) and opened <= event.at <= closes and event.boundary
        ]
        schema: Schema = {name: pl.Int64 if name == "boundary" else pl.Float64 for name in names}
        return pl.DataFrame(rows, schema=schema, orient="row").unique("boundary", keep="last").sort("boundary")

    @cached_property
    def statements(self) -> pl.DataFrame:
        """The broker's own equity as it was told during the session: at, equity."""
        told: list[tuple[datetime, float]] = []
        for event in self.record.events:
            if isinstance(event, AccountObserved):
                told.append((event.at, float(event.account.equity)))
            elif isinstance(event, BrokerSnapshotObserved) and event.snapshot.account is not None:
                told.append((event.at, float(event.snapshot.account.equity)))
        within = [(at, value) for at, value in told if at >= self.record.opens_at]
        return pl.DataFrame(within, schema={"at": pl.Datetime("us", "UTC"), "equity": pl.Float64}, orient="row")

    def facts(self) -> dict[str, str]:
        """What the session was decided with, by name: for the page's foot and the manifest."""
        opened = self.record.opened
        return {
            "session": f"{opened.session_id}, decided by code {opened.code_version}",
            "decision head": f"record {self.span[1]:,}, {self.book.journal.hash_at(self.span[1]) or 'none'}",
            "data": f"{opened.data_source}, {opened.data_hash or 'streamed'}; reference {opened.reference_hash}",
            "limits, configuration": f"{opened.limits_hash}, {opened.config_hash}",
            "runs": ", ".join(f"{run.strategy_id} {run.params_hash}" for run in opened.runs) or "none",
        }


def load_session(book_dir: Path | str, session_id: str = "") -> SessionSource:
    """A session of a book; "" takes the newest. Raises StoreMissing, StoreDamaged, StoreNewer, NoSession."""
    book = open_book(found_book(Path(book_dir)))
    chosen = session_id or newest_session(book)
    span = book.span(chosen)
    record = record_of(event for _, event in book.events(session=chosen))
    bars, missing = _bars(book, chosen)
    return SessionSource(book, record, span, bars, missing)


def found_book(book_dir: Path) -> Path:
    """A relative path counts from where the notebook runs, or from the checkout it lies in."""
    if not book_dir.is_absolute() and not book_dir.exists() and (Path("..") / book_dir).exists():
        return Path("..") / book_dir
    return book_dir


def newest_session(book: BookReader) -> str:
    """The id of the book's newest session. Raises StoreMissing where there is none."""
    sessions = book.sessions()
    if sessions.is_empty():
        raise StoreMissing(f"{book.paths.root} holds no session yet: run one with `qm day`")
    return str(sessions["session_id"][-1])


def _bars(book: BookReader, session_id: str) -> tuple[pl.DataFrame, str]:
    """The session's regular bars, empty where retention has removed them."""
    try:
        bars = book.bars(session_id)
    except StoreMissing as error:
        return pl.DataFrame(schema=_BARS), str(error)
    return bars.filter(~pl.col("extended")).select(list(_BARS)), ""


def state_at(book: BookReader, seq: int) -> State:
    """The book's state after record `seq`: folded from a checkpoint that verifies where one lies before it."""
    return state_after(book.journal, book.paths, seq)
