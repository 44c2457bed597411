"""The one read-only door to a book, for notebooks, reports and the CLI (§17, §18).

    from qmworkbench.storage.reading import open_book
    book = open_book("data/books/local/default")
    book.table("trades", session="2018-03-02")

It may stand open while a session runs, and opens what a killed process left behind. It cannot write.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import polars as pl

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.reconciliation import SessionRecovered
from qmworkbench.domain.events.session import SessionClosed, SessionOpened, SessionSummarized
from qmworkbench.storage import migrations
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.quarantine import read_quarantined
from qmworkbench.storage.refused import StoreMissing
from qmworkbench.storage.stores import begun, open_reader
from qmworkbench.storage.table_reader import NotASelect, tables_of_book

# How a column's declared type is read into a frame; storage/column_types.py names them.
_MOMENT: Final = pl.Datetime("us", "UTC")
_DTYPES: Final[dict[str, Any]] = {
    "TEXT": pl.String,
    "INTEGER": pl.Int64,
    "FLOAT": pl.Float64,
    "DECIMAL_TEXT": pl.String,
    "TIMESTAMP_TEXT": pl.String,
    "BOOLEAN_INTEGER": pl.Int64,
    "JSON_TEXT": pl.String,
}
_TELEMETRY: Final = {"boundaries": "at", "health_samples": "at", "processes": "started_at"}


class SessionLine(msgspec.Struct, kw_only=True):
    """One session as the journal has it. `closed_seq` None: still open, or cut off and not resumed."""

    session_id: str
    date: str
    environment: str
    opened_seq: int
    opened_at: datetime
    closed_seq: int | None = None
    closed_at: datetime | None = None
    recovered: int = 0
    trades: int | None = None
    orders: int | None = None
    fills: int | None = None
    breaks: int | None = None
    net_pnl: float | None = None


class Lag(msgspec.Struct, frozen=True):
    """How far the tables are behind the journal, in decisions; `at` is when they were last written."""

    projected_seq: int
    head_seq: int
    at: str

    @property
    def lag(self) -> int:
        return self.head_seq - self.projected_seq


class BookReader:
    """One book, read-only. Frames are polars; every call sees what is durable at that moment."""

    def __init__(self, paths: BookPaths) -> None:
        self.paths = paths
        self.journal = open_reader(paths)
        self._tables = tables_of_book(paths)
        self._lines: tuple[tuple[int, str], list[SessionLine]] | None = None

    # ── the record ───────────────────────────────────────────────────────────────────────────────────────────

    def head(self, stream: str = "decisions") -> tuple[int, str]:
        """Sequence and hash of the newest durable record: the decision head names a session's whole history."""
        return self.journal.head(stream)

    def events(
        self,
        types: Iterable[str] | None = None,
        *,
        after: int = 0,
        session: str | None = None,
        stream: str = "decisions",
    ) -> Iterator[tuple[int, Event]]:
        """Events after sequence `after`: of the wire names in `types`, of one session, where given."""
        upto = None
        if session is not None:
            if stream != "decisions":
                raise ValueError(
                    "telemetry knows no session: read it by time, or as the tables boundaries, health_samples"
                )
            first, upto = self.span(session)
            after = max(after, first - 1)
        return self.journal.events(types, after_seq=after, upto_seq=upto, stream=stream)

    def span(self, session: str) -> tuple[int, int]:
        """First and last sequence of a session; the last is the head while it is open. Raises StoreMissing."""
        lines = self._session_lines()
        for line, following in zip(lines, [*lines[1:], None], strict=True):
            if line.session_id == session:
                ends = following.opened_seq - 1 if following is not None else self.head()[0]
                return line.opened_seq, ends if line.closed_seq is None else line.closed_seq
        there = ", ".join(line.session_id for line in lines) or "none"
        raise StoreMissing(f"{self.paths.root} has no session {session!r}; it has {there}")

    def sessions(self) -> pl.DataFrame:
        """Every session of the book, oldest first, from the journal itself."""
        lines = [msgspec.structs.asdict(line) for line in self._session_lines()]
        schema: dict[str, Any] = {
            "session_id": pl.String,
            "date": pl.String,
            "environment": pl.String,
            "opened_seq": pl.Int64,
            "opened_at": _MOMENT,
            "closed_seq": pl.Int64,
            "closed_at": _MOMENT,
            "recovered": pl.Int64,
            "trades": pl.Int64,
            "orders": pl.Int64,
            "fills": pl.Int64,
            "breaks": pl.Int64,
            "net_pnl": pl.Float64,
        }
        return pl.DataFrame(lines, schema=schema)

    def verify(self) -> dict[str, tuple[int, str]]:
        """Walk both chains from their beginning; returns each stream's head. Raises ChainBroken."""
        return self.journal.verify()

    # ── the tables ───────────────────────────────────────────────────────────────────────────────────────────

    def tables(self) -> list[str]:
        """The names of the projected tables (docs/schema.md says what they hold)."""
        return self._tables.names()

    def table(
        self, name: str, session: str | None = None, *, records: tuple[int, int] | None = None, exact: bool = False
    ) -> pl.DataFrame:
        """A projected table in key order: of one session, or made by the records from one number to another, where
        given.

        Decimals become Float64, or stay text with every digit when `exact`. Times are UTC datetimes. Telemetry
        (boundaries, health_samples, processes) is cut to a session by time. The tables follow the journal with a
        lag: see `watermark`. Raises ValueError for a table there is not, StoreMissing before anything was projected,
        StoreNewer for tables of a newer version.
        """
        query, values, columns = self._query(name, session, records)
        return _frame(self._tables.select(query, values)[1], columns, exact=exact)

    def table_pieces(
        self,
        name: str,
        session: str | None = None,
        *,
        records: tuple[int, int] | None = None,
        exact: bool = False,
        rows: int,
    ) -> Iterator[pl.DataFrame]:
        """What `table` gives, at most so many rows at a time, for a table longer than memory; an empty frame where it
        has none. Raises as `table` does, StorageRefused where it cannot be read to its end.
        """
        query, values, columns = self._query(name, session, records)
        empty = True
        for found in self._tables.batches(query, values, rows):
            empty = False
            yield _frame(found, columns, exact=exact)
        if empty:
            yield _frame([], columns, exact=exact)

    def together(self) -> AbstractContextManager[None]:
        """What is read of the tables within is read over one connection: for whoever reads many of them.

        Raises StoreMissing before anything was projected.
        """
        return self._tables.together()

    def sql(self, query: str, *values: Any) -> pl.DataFrame:
        """Any SELECT over the projected tables, as stored: Decimals and times are text. Writing is refused.

        `values` stand for the `?` of the query, whichever database the tables lie in.
        """
        try:
            names, rows = self._tables.select(query, values)
        except NotASelect as error:
            raise ValueError(f"{query!r}: {error}; there are the tables {', '.join(self.tables())}") from error
        return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)

    def connection(self) -> Any:
        """A read-only connection to the tables, for `pl.read_database("SELECT …", connection)`; close it afterwards.

        Values come as stored (docs/schema.md): Decimals and times as text. Raises StoreMissing, StorageRefused.
        """
        return self._tables.connection()

    def watermark(self) -> Lag:
        """How far the tables have followed the journal."""
        found = self._tables.select("SELECT seq, at FROM watermarks WHERE stream = 'decisions'")[1]
        seq, at = found[0] if found else (0, "")
        return Lag(projected_seq=int(seq), head_seq=self.head()[0], at=str(at))

    # ── what lies beside ─────────────────────────────────────────────────────────────────────────────────────

    def bars(self, session: str, *, corrected: bool = False) -> pl.DataFrame:
        """A session's bars: symbol, ts (open time), open … volume, extended. Raises StoreMissing."""
        from qmworkbench.storage.barstore import BarStore  # Arrow is loaded for those who want bars

        return BarStore(self.paths.session(session).bars).bars(corrected=corrected)

    def frame(self, session: str, name: str) -> pl.DataFrame:
        """A frame the session stood on, such as its warm-up history. Raises StoreMissing naming those there are."""
        from qmworkbench.storage import named_frames

        return named_frames.read(self.paths.session(session).bars, name)

    def snapshots(self, session: str) -> pl.DataFrame:
        """A session's radar snapshots, by boundary and rank. Raises StoreMissing."""
        from qmworkbench.storage.snapshots import read_snapshots

        return read_snapshots(self.paths.session(session).radar)

    def quarantined(self, session: str) -> pl.DataFrame:
        """Rows refused entry to the session, with the reason; empty where there are none."""
        return read_quarantined(self.paths.session(session).quarantine)

    def close(self) -> None:
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────

    def _query(
        self, name: str, session: str | None, records: tuple[int, int] | None
    ) -> tuple[str, tuple[Any, ...], list[tuple[str, str]]]:
        """How a table is asked for, in key order, and its columns with their types."""
        columns = self._tables.columns(name) if name != migrations.VERSION_TABLE else []
        if not columns:
            raise ValueError(f"no table {name!r}; there are {', '.join(self.tables())}")
        migrations.demand_known(self._tables.revision(), f"the tables of {self.paths.root}")
        where, values = self._of_session(name, session)
        if records is not None:
            where, values = " WHERE seq BETWEEN ? AND ?", records
        keys = sorted((place, column) for column, _type, place in columns if place)
        order = ", ".join(f'"{column}"' for _place, column in keys)
        types = [(column, kind) for column, kind, _place in columns]
        return f'SELECT * FROM "{name}"{where} ORDER BY {order}', values, types

    def _session_lines(self) -> list[SessionLine]:
        """Looked up once for as long as nothing is added: they are asked for with every table of a session."""
        head = self.head()
        if self._lines is None or self._lines[0] != head:
            self._lines = head, self._found_lines()
        return self._lines[1]

    def _found_lines(self) -> list[SessionLine]:
        lines: list[SessionLine] = []
        for seq, event in self.journal.session_events():
            match event:
                case SessionOpened():
                    lines.append(
                        SessionLine(
                            session_id=event.session_id,
                            date=event.window.date,
                            environment=event.environment.value,
                            opened_seq=seq,
                            opened_at=event.at,
                        )
                    )
                case SessionRecovered() if lines:
                    lines[-1].recovered += 1
                case SessionSummarized() if lines:
                    for name in ("trades", "orders", "fills", "breaks"):
                        setattr(lines[-1], name, getattr(event, name))
                    lines[-1].net_pnl = float(event.net_pnl)
                case SessionClosed() if lines:
                    lines[-1].closed_seq, lines[-1].closed_at = seq, event.at
        return lines

    def _of_session(self, table: str, session: str | None) -> tuple[str, tuple[Any, ...]]:
        if session is None:
            return "", ()
        self.span(session)  # names the sessions there are when there is none of this id
        column = _TELEMETRY.get(table)
        if column is None:
            return " WHERE session_id = ?", (session,)
        within = "(SELECT opened_at FROM sessions WHERE session_id = ?)"
        until = "(SELECT coalesce(closed_at, '9') FROM sessions WHERE session_id = ?)"
        return f" WHERE {column} >= {within} AND {column} <= {until}", (session, session)


def open_book(path: Path | str) -> BookReader:
    """The book in directory `path` (its journal.db will do), read-only. Raises StoreMissing naming path and remedy."""
    root = Path(path)
    if root.name == "journal.db":
        root = root.parent
    paths = BookPaths(root)
    if not begun(paths):
        raise StoreMissing(
            f"{root} holds no book (there is no {paths.journal.name} in it): check the path, or make one with `qm day`"
        )
    return BookReader(paths)


def _frame(rows: list[tuple[Any, ...]], columns: list[tuple[str, str]], *, exact: bool) -> pl.DataFrame:
    plain = pl.DataFrame(rows, schema={name: _DTYPES[kind] for name, kind in columns}, orient="row")
    casts = []
    for name, kind in columns:
        if kind == "TIMESTAMP_TEXT":
            casts.append(pl.col(name).str.to_datetime("%+", time_unit="us", time_zone="UTC"))
        elif kind == "BOOLEAN_INTEGER":
            casts.append(pl.col(name).cast(pl.Boolean))
        elif kind == "DECIMAL_TEXT" and not exact:
            casts.append(pl.col(name).cast(pl.Float64))
    return plain.with_columns(casts)
