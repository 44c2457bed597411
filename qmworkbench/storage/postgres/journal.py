"""The journal on PostgreSQL: append-only, hash-chained, one fenced writer, durable before any effect (§21)."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final, Self

import psycopg
from psycopg import sql

from qmworkbench.domain.chain import GENESIS, ChainBroken
from qmworkbench.domain.events import SCHEMA_VERSION
from qmworkbench.storage import journal_file
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.group_commit import GroupCommit
from qmworkbench.storage.journal_file import LAYOUT, STREAMS, TAIL_CHECKED, Row
from qmworkbench.storage.postgres import schema
from qmworkbench.storage.postgres.connection import Connection, connected, demand_durable, durable_settings, shown
from qmworkbench.storage.postgres.sink import REMEDY, PostgresSink
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreInUse, StoreMissing, StoreNewer
from qmworkbench.storage.times import stored_time

_CHUNK: Final = 2000
_COLUMNS: Final = sql.SQL("seq, at, type, v, payload, prev_hash, hash")


class PostgresJournal(ChainedJournal[Connection]):
    """One book's journal in a PostgreSQL database (ports.Journal), opened for writing.

    The book's tables are made where they are not there (`open` refuses that instead). Opening takes the book: its lock
    is held by the writing connection, and a new epoch fences out whoever wrote before. Appending encodes and chains in
    the caller's thread, a writer thread commits in groups, as with SqliteJournal. A connection that is lost poisons the
    journal: whether the last commit arrived is settled when the book is opened again.

    Raises StoreMissing, StoreInUse (naming the holder), StoreNewer, StoreDamaged, and StorageRefused where the server
    cannot be reached.
    """

    def __init__(self, dsn: str, *, book: str) -> None:
        self._dsn = dsn
        self.book = book
        connection = connected(dsn)
        try:
            if not schema.exists(connection, book):
                schema.create(connection, book, stored_time(datetime.now(UTC)))
            self.meta = check(connection, book, shown(dsn))
            self.epoch = _take(connection, book, shown(dsn))
            demand_durable(connection)
            self.restricted = schema.take_role(connection, book)
            heads = {stream: head(connection, book, stream) for stream in STREAMS}
        except BaseException:
            connection.close()
            raise
        name = f"book {book!r} at {shown(dsn)}"
        super().__init__(GroupCommit(PostgresSink(connection, book), name, heads, remedy=REMEDY), heads)

    @classmethod
    def open(cls, dsn: str, *, book: str) -> Self:
        """An existing journal, for writing. Raises StoreMissing where there is none."""
        with closing(connected(dsn, readonly=True)) as connection:
            if not schema.exists(connection, book):
                raise StoreMissing(
                    f"there is no book {book!r} at {shown(dsn)}: check the name, or make it with `qm day`"
                )
        return cls(dsn, book=book)

    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is no such durable record."""
        query = sql.SQL("SELECT hash FROM {} WHERE seq = %s").format(_table(self.book, "decisions"))
        with closing(connected(self._dsn, readonly=True)) as connection:
            row = connection.execute(query, (seq,)).fetchone()
        return None if row is None else str(row[0])

    def durability(self) -> dict[str, str]:
        """What the writing connection runs with, asked from the server now."""
        return self._writer.ask(durable_settings)

    def _rows(self, stream: str, after_seq: int, upto_seq: int) -> Iterator[Row]:
        with closing(connected(self._dsn, readonly=True)) as connection:
            yield from rows(connection, self.book, stream, after_seq, upto_seq)


def _table(book: str, stream: str) -> sql.Composable:
    return sql.Identifier(schema.name_of(book), stream)


def _take(connection: Connection, book: str, where: str) -> int:
    """Lock the book and begin a new epoch. Raises StoreInUse, naming who has it."""
    if not schema.lock(connection, book):
        _, host, pid, since = schema.holder(connection, book)
        raise StoreInUse(
            f"book {book!r} at {where} is written by process {pid} on {host} since {since}: end that one first"
        )
    return schema.take_over(connection, book, socket.gethostname(), os.getpid(), stored_time(datetime.now(UTC)))


def head(connection: Connection, book: str, stream: str = "decisions") -> tuple[int, str]:
    """Sequence and hash of the newest stored record; (0, genesis) when there is none."""
    query = sql.SQL("SELECT seq, hash FROM {} ORDER BY seq DESC LIMIT 1").format(_table(book, stream))
    row = connection.execute(query).fetchone()
    return (0, GENESIS) if row is None else (int(row[0]), str(row[1]))


def rows(
    connection: Connection, book: str, stream: str, after_seq: int = 0, upto_seq: int | None = None
) -> Iterator[Row]:
    """Stored rows after `after_seq`, in order, up to `upto_seq` or what was the end when asked."""
    end = head(connection, book, stream)[0] if upto_seq is None else upto_seq
    query = sql.SQL("SELECT {} FROM {} WHERE seq > %s AND seq <= %s ORDER BY seq LIMIT {}").format(
        _COLUMNS, _table(book, stream), sql.Literal(_CHUNK)
    )
    while after_seq < end:
        with connection.cursor(binary=True) as cursor:
            chunk: list[Any] = cursor.execute(query, (after_seq, end)).fetchall()
        yield from chunk
        if len(chunk) < _CHUNK:
            return
        after_seq = int(chunk[-1][0])


def check(connection: Connection, book: str, where: str) -> dict[str, str]:
    """Look at an existing journal before trusting it; returns its meta. Raises StoreNewer, StoreDamaged.

    Looked at: its layout and versions, that its guards are in place, and that the last records of both streams are
    chained. The whole chain is walked by `verify()`.
    """
    try:
        meta = schema.meta_of(connection, book)
        layout = meta.get("layout", "")
        if not layout.isdigit() or meta.get("book") != book:
            raise StoreDamaged(f"book {book!r} at {where} does not say its layout and name; restore it from a backup")
        if int(layout) > LAYOUT:
            raise StoreNewer(
                f"book {book!r} at {where} has layout {layout}, this version of the workbench writes layout {LAYOUT}: "
                "update the workbench to open it"
            )
        schema.demand_guards(connection, book)
        for stream in STREAMS:
            last = head(connection, book, stream)[0]
            tail = list(rows(connection, book, stream, max(0, last - TAIL_CHECKED), last))
            if tail and tail[-1][3] > SCHEMA_VERSION:
                raise StoreNewer(
                    f"book {book!r} at {where} holds {stream} of event schema {tail[-1][3]}, this version of the "
                    f"workbench knows up to {SCHEMA_VERSION}: update the workbench to open it"
                )
            journal_file.verify_rows(tail, anchored=last <= TAIL_CHECKED)
    except ChainBroken as error:
        raise StoreDamaged(
            f"book {book!r} at {where} was changed after it was written: {error}. Restore it from a backup"
        ) from error
    except psycopg.Error as error:
        told = " ".join(str(error).split())
        raise StorageRefused(f"book {book!r} at {where} cannot be read ({told}): check server and rights") from error
    return meta
