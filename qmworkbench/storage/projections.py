"""The projector: folds the journal into SQL tables beside it, behind a watermark that shows how far (§17, §20).

No safety rule reads a projection. It may lag, and can be thrown away and made again at any time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol, Union

import msgspec
from sqlalchemy import Connection, delete, select

from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.events import DECISION_TYPES, TELEMETRY_TYPES, Event, encode
from qmworkbench.domain.events.reconciliation import FallbackImported
from qmworkbench.domain.events.session import SessionClosed
from qmworkbench.storage import (
    projected_adopted,
    projected_control,
    projected_market,
    projected_orders,
    projected_overnight,
    projected_positions,
    projected_session,
    table_rows,
    tables,
)
from qmworkbench.storage.collector import collector_paused
from qmworkbench.storage.journal_select import STREAMS
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.projected_rows import Projections, Rows
from qmworkbench.storage.projection_home import Home, SqliteHome, home_of, made_anew, opened
from qmworkbench.storage.record_forms import OrderIntended
from qmworkbench.storage.stores import open_reader
from qmworkbench.storage.times import stored_time

BATCH: Final = 20_000


def _fallback_imported(rows: Rows, seq: int, event: FallbackImported) -> None:
    """What a direct emergency recorded makes the rows it would have made; its closes are orders like any other."""
    original = _decode(event.record.encode())
    if isinstance(original, OrderIntended):
        if rows.find(table_rows.Order, original.request.cl_ord_id) is not None:
            return
        original.at = stored_time(event.at)
        original.strategy_id = event.strategy_id or original.strategy_id
    project = PROJECT.get(type(original))
    if project is not None:
        project(rows, seq, original)


PROJECT: Final[Projections] = {
    **projected_orders.PROJECT,
    **projected_positions.PROJECT,
    **projected_adopted.PROJECT,
    **projected_overnight.PROJECT,
    **projected_market.PROJECT,
    **projected_session.PROJECT,
    **projected_control.PROJECT,
    FallbackImported: _fallback_imported,
}


def _decoder() -> Callable[[bytes], Any]:
    """Decodes a record of any name; one that no table asks for gives something empty, of no kind in PROJECT."""
    asked_for = {kind.__struct_config__.tag for kind in PROJECT}
    passed_over = [
        msgspec.defstruct("_PassedOver", [], tag=kind.__struct_config__.tag, tag_field="type")
        for kind in (*DECISION_TYPES, *TELEMETRY_TYPES)
        if kind.__struct_config__.tag not in asked_for
    ]
    return msgspec.json.Decoder(Union[*PROJECT, *passed_over]).decode


_decode: Final = _decoder()


class Source(Protocol):
    """A journal, as far as projections need one; SqliteJournal, MemoryJournal and JournalReader are."""

    @property
    def durable_seq(self) -> int: ...

    def durable_payloads(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[tuple[int, bytes]]: ...

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
    """One book's projections, in a SQLite file of their own or in PostgreSQL (projection_home.py); one writer.

    Tables of an older revision are brought up to date. Where that, or damage, takes rows from them, `rebuilt_because`
    says so, and `catch_up` fills them again. Raises StoreNewer for a newer revision, StoreInUse while another process
    projects, StorageRefused where the database cannot be had.
    """

    def __init__(self, at: Path | Home) -> None:
        self.home: Home = SqliteHome(at) if isinstance(at, Path) else at
        self._engine, self._let_go, self.rebuilt_because = opened(self.home)
        try:
            self._connection = self._engine.connect()
            self._marks = {stream: self._read_mark(stream) for stream in STREAMS}
        except BaseException:
            self._engine.dispose()
            self._let_go()
            raise
        self._rows = self._fresh_rows()

    def watermark(self, stream: str = "decisions") -> Watermark:
        return self._marks[stream]

    def lag(self, source: Source) -> int:
        """How many durable decisions are not projected yet."""
        return source.durable_seq - self._marks["decisions"].seq

    def apply(self, seq: int, events: Sequence[Event], *, stream: str = "decisions", head_hash: str = "") -> int:
        """Project `events`, the last of which is record `seq`, with the watermark in one transaction; returns how
        many were new.

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
        return self._put(stream, enumerate(map(encode, fresh), start=seq - len(fresh) + 1), lambda _: head_hash)

    def catch_up(self, source: Source) -> int:
        """Project everything durable that is not projected yet, in batches; returns how many records.

        Begins anew when the watermark names a record that this journal does not have.
        """
        mark = self._marks["decisions"]
        if mark.seq and source.hash_at(mark.seq) != mark.hash:
            self.rebuilt_because = f"{self.home.where} was made from another journal, or from records this one has lost"
            self._empty()
        hash_of = {"decisions": lambda seq: source.hash_at(seq) or GENESIS, "telemetry": lambda _: ""}
        done = 0
        for stream in STREAMS:
            fresh = source.durable_payloads(self._marks[stream].seq, stream=stream)
            while put := self._put(stream, islice(fresh, BATCH), hash_of[stream]):
                done += put
        return done

    def rebuild(self, source: Source) -> int:
        """Throw every row away and make them again from the journal; returns how many records were read."""
        self._empty()
        return self.catch_up(source)

    def close(self) -> None:
        """Give the file up; twice is fine."""
        self._connection.close()
        self._engine.dispose()
        self._let_go()

    def _put(self, stream: str, records: Iterable[tuple[int, bytes]], hash_of: Callable[[int], str]) -> int:
        """Project numbered records, and move the watermark to the last of them, in one transaction; returns how many
        there were.
        """
        rows, projects, ended, done, seq = self._rows, PROJECT.get, False, 0, 0
        try:
            for seq, payload in records:
                done += 1
                found = _decode(payload)
                kind = type(found)
                if (project := projects(kind)) is not None:
                    project(rows, seq, found)
                    if kind is SessionClosed:
                        ended = True
            if not done:
                return 0
            mark = Watermark(seq, hash_of(seq), rows.session_id, stored_time(datetime.now(UTC)))
            rows.put(table_rows.Watermark, stream, **msgspec.structs.asdict(mark))
            rows.flush()
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            self._rows = self._fresh_rows()
            raise
        self._marks[stream] = mark
        if ended:
            rows.forget()
        return done

    def _empty(self) -> None:
        self._connection.rollback()
        for table in tables.METADATA.sorted_tables:
            self._connection.execute(delete(table))
        self._connection.commit()
        self._marks = {stream: self._read_mark(stream) for stream in STREAMS}
        self._rows = self._fresh_rows()

    def _fresh_rows(self) -> Rows:
        """Rows of which none is known yet; where nothing was ever projected there are none to be known."""
        empty = not any(mark.seq for mark in self._marks.values())
        return Rows(self._connection, self._marks["decisions"].session, empty=empty)

    def _read_mark(self, stream: str) -> Watermark:
        query = select(tables.WATERMARKS).where(tables.WATERMARKS.c.stream == stream)
        row = self._connection.execute(query).mappings().first()
        self._connection.rollback()
        if row is None:
            return Watermark(0, GENESIS if stream == "decisions" else "", "", "")
        return Watermark(row["seq"], row["hash"], row["session"], row["at"])


def rebuild_book(book: BookPaths) -> int:
    """Make a book's projections anew from its journal, when no session runs; returns how many records were read.

    Whatever was there is dropped, tables of a newer version too. Raises StoreMissing, StoreInUse, StorageRefused.
    """
    with open_reader(book) as journal:
        home = home_of(book)
        made_anew(home)
        projector = Projector(home)
        try:
            with collector_paused():
                return projector.catch_up(journal)
        finally:
            projector.close()


def catch_up_book(book: BookPaths) -> tuple[int, str]:
    """Bring a book's projections up to its journal, when no session runs.

    Returns how many records were read, and why the tables had to be filled anew, "" where they had not.
    """
    with open_reader(book) as journal:
        projector = Projector(home_of(book))
        try:
            with collector_paused():
                return projector.catch_up(journal), projector.rebuilt_because
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
