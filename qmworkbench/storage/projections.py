"""The projector: folds the journal into SQL tables beside it, behind a watermark that shows how far (§17, §20).

No safety rule reads a projection. It may lag, and can be thrown away and made again at any time.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import Connection, Engine, StaticPool, create_engine, delete, event, inspect, select
from sqlalchemy.exc import DatabaseError

from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.events import Event, imported
from qmworkbench.domain.events.orders import OrderIntended
from qmworkbench.domain.events.reconciliation import FallbackImported
from qmworkbench.domain.events.session import SessionClosed
from qmworkbench.storage import (
    projected_adopted,
    projected_control,
    projected_market,
    projected_orders,
    projected_overnight,
    projected_session,
    tables,
)
from qmworkbench.storage.journal_file import STREAMS
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.projected_rows import Rows
from qmworkbench.storage.refused import StoreNewer
from qmworkbench.storage.sqlite import BUSY_TIMEOUT_S
from qmworkbench.storage.stores import open_reader
from qmworkbench.storage.times import stored_time
from qmworkbench.storage.writer_lock import WriterLock

BATCH: Final = 5000


def _fallback_imported(rows: Rows, seq: int, event: FallbackImported) -> None:
    """What a direct emergency recorded makes the rows it would have made; its closes are orders like any other."""
    original = imported(event)
    if isinstance(original, OrderIntended):
        if rows.find(tables.ORDERS, original.request.cl_ord_id) is not None:
            return
        owner = event.strategy_id or original.strategy_id
        original = msgspec.structs.replace(original, at=event.at, strategy_id=owner)
    project = PROJECT.get(type(original))
    if project is not None:
        project(rows, seq, original)


PROJECT: Final[Mapping[type[Event], Callable[[Rows, int, Any], None]]] = {
    **projected_orders.PROJECT,
    **projected_adopted.PROJECT,
    **projected_overnight.PROJECT,
    **projected_market.PROJECT,
    **projected_session.PROJECT,
    **projected_control.PROJECT,
    FallbackImported: _fallback_imported,
}


class Source(Protocol):
    """A journal, as far as projections need one; SqliteJournal, MemoryJournal and JournalReader are."""

    @property
    def durable_seq(self) -> int: ...

    def durable_events(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[tuple[int, Event]]: ...

    def hash_at(self, seq: int) -> str | None: ...


class Watermark(msgspec.Struct, frozen=True):
    """How far one stream is projected: the last sequence and, for decisions, its hash; `at` is wall time."""

    seq: int
    hash: str
    session: str
    at: str


class SequenceGap(Exception):
    """Events were offered that do not follow the watermark; catch up from the journal instead."""


class Projector:
    """One book's projections, in one SQLite file of their own (BookPaths.projections); one writer.

    A file that is damaged or of an older layout is emptied; `rebuilt_because` says so, and `catch_up` fills it again.
    Raises StoreNewer for one of a newer layout, StoreInUse while another process projects.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.rebuilt_because = ""
        self._lock = WriterLock(self.path)
        try:
            self._engine = self._opened()
            self._connection = self._engine.connect()
            self._marks = {stream: self._read_mark(stream) for stream in STREAMS}
        except BaseException:
            self._lock.release()
            raise
        self._rows = Rows(self._connection, self._marks["decisions"].session)

    def watermark(self, stream: str = "decisions") -> Watermark:
        return self._marks[stream]

    def lag(self, source: Source) -> int:
        """How many durable decisions are not projected yet."""
        return source.durable_seq - self._marks["decisions"].seq

    def apply(self, seq: int, events: Sequence[Event], *, stream: str = "decisions", head_hash: str = "") -> int:
        """Project `events`, the last of which is record `seq`, with the watermark in one transaction; returns the rows
        written.

        What lies at or before the watermark is skipped, so a repeat changes nothing. Raises SequenceGap when
        records are missing in between.
        """
        mark = self._marks[stream]
        first = seq - len(events) + 1
        if first > mark.seq + 1:
            raise SequenceGap(
                f"{stream} {first} … {seq} do not follow the watermark {mark.seq}: catch up from the journal"
            )
        fresh = events[max(0, mark.seq - first + 1) :]
        if not fresh:
            return 0
        ended = False
        try:
            for number, found in enumerate(fresh, seq - len(fresh) + 1):
                project = PROJECT.get(type(found))
                if project is not None:
                    project(self._rows, number, found)
                ended = ended or isinstance(found, SessionClosed)
            at = stored_time(datetime.now(UTC))
            self._mark(stream, Watermark(seq, head_hash, self._rows.session_id, at))
            written = self._rows.flush()
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            self._rows = Rows(self._connection, mark.session)
            raise
        self._marks[stream] = Watermark(seq, head_hash, self._rows.session_id, at)
        if ended:
            self._rows.forget()
        return written

    def catch_up(self, source: Source) -> int:
        """Project everything durable that is not projected yet, in batches; returns how many records.

        Begins anew when the watermark names a record that this journal does not have.
        """
        mark = self._marks["decisions"]
        if mark.seq and source.hash_at(mark.seq) != mark.hash:
            self.rebuilt_because = f"{self.path} was made from another journal, or from records this one has lost"
            self._empty()
        done = 0
        for stream in STREAMS:
            fresh = source.durable_events(self._marks[stream].seq, stream=stream)
            while batch := list(islice(fresh, BATCH)):
                last = batch[-1][0]
                head_hash = (source.hash_at(last) or GENESIS) if stream == "decisions" else ""
                self.apply(last, [found for _seq, found in batch], stream=stream, head_hash=head_hash)
                done += len(batch)
        return done

    def rebuild(self, source: Source) -> int:
        """Throw every row away and make them again from the journal; returns how many records were read."""
        self._empty()
        return self.catch_up(source)

    def close(self) -> None:
        """Give the file up; twice is fine."""
        self._connection.close()
        self._engine.dispose()
        self._lock.release()

    def _opened(self) -> Engine:
        engine = _engine(self.path)
        try:
            self._prepare(engine)
            return engine
        except (DatabaseError, sqlite3.DatabaseError) as error:
            engine.dispose()
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self.rebuilt_because = f"{self.path} was damaged ({error.__cause__ or error})"
        except StoreNewer:
            engine.dispose()
            raise
        engine = _engine(self.path)
        self._prepare(engine)
        return engine

    def _prepare(self, engine: Engine) -> None:
        tables.METADATA.create_all(engine)
        with engine.connect() as connection:
            layouts = connection.execute(select(tables.WATERMARKS.c.layout)).scalars().all()
        newest = max(layouts, default=tables.LAYOUT)
        if newest > tables.LAYOUT:
            raise StoreNewer(
                f"{self.path} has layout {newest}, this version of the workbench writes layout {tables.LAYOUT}: "
                "update it, or delete the file and let it be made again from the journal"
            )
        if newest < tables.LAYOUT:
            self.rebuilt_because = f"{self.path} had layout {newest}, this version writes {tables.LAYOUT}"
            with engine.begin() as connection:
                for name in inspect(connection).get_table_names():
                    connection.exec_driver_sql(f'DROP TABLE "{name}"')
            tables.METADATA.create_all(engine)

    def _empty(self) -> None:
        self._connection.rollback()
        for table in tables.METADATA.sorted_tables:
            self._connection.execute(delete(table))
        self._connection.commit()
        self._marks = {stream: self._read_mark(stream) for stream in STREAMS}
        self._rows = Rows(self._connection, "")

    def _read_mark(self, stream: str) -> Watermark:
        query = select(tables.WATERMARKS).where(tables.WATERMARKS.c.stream == stream)
        row = self._connection.execute(query).mappings().first()
        self._connection.rollback()
        if row is None:
            return Watermark(0, GENESIS if stream == "decisions" else "", "", "")
        return Watermark(row["seq"], row["hash"], row["session"], row["at"])

    def _mark(self, stream: str, mark: Watermark) -> None:
        self._rows.put(
            tables.WATERMARKS,
            stream,
            seq=mark.seq,
            layout=tables.LAYOUT,
            hash=mark.hash,
            session=mark.session,
            at=mark.at,
        )


def _engine(path: Path) -> Engine:
    """One connection for the one writer. What is lost in a power cut is made again, so NORMAL is enough."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def rebuild_book(book: BookPaths) -> int:
    """Make a book's projections anew from its journal, when no session runs; returns how many records were read."""
    with open_reader(book) as journal:
        projector = Projector(book.projections)
        try:
            return projector.rebuild(journal)
        finally:
            projector.close()


def dump(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows in key order, but for the watermark's wall clock: two projections of one journal are equal."""
    contents = {}
    for table in tables.METADATA.sorted_tables:
        kept = [column for column in table.columns if (table.name, column.name) != ("watermarks", "at")]
        query = select(*kept).order_by(*table.primary_key.columns)
        contents[table.name] = [tuple(row) for row in connection.execute(query)]
    return contents
