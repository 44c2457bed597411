"""The journal on PostgreSQL: append-only, hash-chained, one fenced writer, durable before any effect (§21)."""

import os
import socket
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import psycopg
from psycopg import sql

from qmworkbench.domain.chain import GENESIS, ChainBroken
from qmworkbench.domain.events import SCHEMA_VERSION
from qmworkbench.storage import journal_file, migrations
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.group_commit import GroupCommit
from qmworkbench.storage.journal_file import LAYOUT, TAIL_CHECKED
from qmworkbench.storage.journal_select import PIECE, ROW, STREAMS, Fetch, selected
from qmworkbench.storage.postgres import lease, schema
from qmworkbench.storage.postgres.connection import Connection, connected, demand_durable, durable_settings, shown
from qmworkbench.storage.postgres.lease import Terms
from qmworkbench.storage.postgres.sink import REMEDY, PostgresSink
from qmworkbench.storage.postgres.upgrade import bring_up_to_date
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreMissing, StoreNewer
from qmworkbench.storage.times import stored_time


class PostgresJournal(ChainedJournal[Connection]):
    """One book's journal in a PostgreSQL database (ports.Journal), opened for writing.

    `place` names the tables where the book's own name would not tell them from another's. They are made where they are
    not there (`open` refuses that instead). Opening takes the book on `terms` (lease.py): its lock is held by the
    writing connection, and a new epoch fences out whoever wrote before.

    Appending encodes and chains in the caller's thread, a writer thread commits in groups, as with SqliteJournal. A
    connection that is lost poisons the journal: whether the last commit arrived is settled when the book is opened
    again.

    Raises StoreMissing, StoreInUse (naming the holder), StoreNewer, StoreDamaged, and StorageRefused where the server
    cannot be reached.
    """

    def __init__(self, dsn: str, *, book: str, place: str | None = None, terms: Terms | None = None) -> None:
        self._dsn = dsn
        self.book = book
        self.place = place if place is not None else book
        asked = terms if terms is not None else terms_now()
        connection = connected(dsn)
        try:
            if not schema.exists(connection, self.place):
                schema.create(connection, self.place, book, stored_time(datetime.now(UTC)))
            self.meta = check(connection, self.place, book, shown(dsn))
            # Older tables first: what they say of their writer is said in columns they may not have yet.
            self.upgraded_from = bring_up_to_date(dsn, connection, self.place, book, shown(dsn))
            self.epoch = lease.take(connection, self.place, book, shown(dsn), asked)
            demand_durable(connection)
            self.restricted = schema.take_role(connection, self.place)
            heads = {stream: head(connection, self.place, stream) for stream in STREAMS}
        except BaseException:
            connection.close()
            raise
        name = f"book {book!r} at {shown(dsn)}"
        super().__init__(GroupCommit(PostgresSink(connection, self.place), name, heads, remedy=REMEDY), heads)

    @classmethod
    def open(cls, dsn: str, *, book: str, place: str | None = None, terms: Terms | None = None) -> Self:
        """An existing journal, for writing. Raises StoreMissing where there is none."""
        with closing(connected(dsn, readonly=True)) as connection:
            if not schema.exists(connection, place if place is not None else book):
                raise StoreMissing(
                    f"there is no book {book!r} at {shown(dsn)}: check the name, or make it with `qm day`"
                )
        return cls(dsn, book=book, place=place, terms=terms)

    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is no such durable record."""
        with closing(connected(self._dsn, readonly=True)) as connection:
            return hash_at(connection, self.place, seq)

    def durability(self) -> dict[str, str]:
        """What the writing connection runs with, asked from the server now."""
        return self._writer.ask(durable_settings)

    @contextmanager
    def _fetching(self, stream: str, types: frozenset[str] | None = None) -> Iterator[Fetch]:
        with closing(connected(self._dsn, readonly=True)) as connection:
            yield fetching(connection, self.place, stream, types)


def _table(place: str, stream: str) -> sql.Composable:
    return sql.Identifier(schema.name_of(place), stream)


def terms_now() -> Terms:
    """This process as a writer that sends nothing: of tools, and of commands to a book nobody trades."""
    return Terms(host=socket.gethostname(), pid=os.getpid(), since=stored_time(datetime.now(UTC)))


def head(connection: Connection, place: str, stream: str = "decisions") -> tuple[int, str]:
    """Sequence and hash of the newest stored record; (0, genesis) when there is none."""
    query = sql.SQL("SELECT seq, hash FROM {} ORDER BY seq DESC LIMIT 1").format(_table(place, stream))
    row = connection.execute(query).fetchone()
    return (0, GENESIS) if row is None else (int(row[0]), str(row[1]))


def hash_at(connection: Connection, place: str, seq: int) -> str | None:
    """The hash of decision `seq`, None where there is no such record."""
    query = sql.SQL("SELECT hash FROM {} WHERE seq = %s").format(_table(place, "decisions"))
    row = connection.execute(query, (seq,)).fetchone()
    return None if row is None else str(row[0])


def fetching(connection: Connection, place: str, stream: str, types: Collection[str] | None = None) -> Fetch:
    """Rows of a stream, of all types or those named, as journal_select.py reads them."""
    of_types = sql.SQL("AND type = ANY(%s)" if types is not None else "")
    query = sql.SQL("SELECT {} FROM {} WHERE seq > %s AND seq <= %s {} ORDER BY seq LIMIT {}")
    named = [] if types is None else [sorted(types)]

    def fetch(columns: str, after_seq: int, upto_seq: int) -> list[Any]:
        names = sql.SQL(", ").join(map(sql.Identifier, columns.split(", ")))
        asked = query.format(names, _table(place, stream), of_types, sql.Literal(PIECE))
        with connection.cursor(binary=True) as cursor:
            return cursor.execute(asked, (after_seq, upto_seq, *named)).fetchall()

    return fetch


def check(connection: Connection, place: str, book: str, where: str) -> dict[str, str]:
    """Look at an existing journal before trusting it; returns its meta. Raises StoreNewer, StoreDamaged.

    Looked at: its layout and versions, that its guards are in place, and that the last records of both streams are
    chained. The whole chain is walked by `verify()`.
    """
    try:
        meta = schema.meta_of(connection, place)
        layout = meta.get("layout", "")
        if not layout.isdigit() or meta.get("book") != book:
            raise StoreDamaged(f"book {book!r} at {where} does not say its layout and name; restore it from a backup")
        if int(layout) > LAYOUT:
            raise StoreNewer(
                f"book {book!r} at {where} has layout {layout}, this version of the workbench writes layout {LAYOUT}: "
                "update the workbench to open it"
            )
        migrations.demand_known(schema.revision_of(connection, place) or migrations.FIRST, f"book {book!r} at {where}")
        schema.demand_guards(connection, place)
        for stream in STREAMS:
            last = head(connection, place, stream)[0]
            tail = list(selected(fetching(connection, place, stream), ROW, max(0, last - TAIL_CHECKED), last))
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
