"""The journal on SQLite: append-only, hash-chained, one writer, durable before any effect (§21)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from qmworkbench.storage import journal_file, writer_row
from qmworkbench.storage.atomic import sync_directory
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.group_commit import GroupCommit
from qmworkbench.storage.journal_select import STREAMS, Fetch, fetching
from qmworkbench.storage.refused import StorageRefused, StoreMissing
from qmworkbench.storage.sqlite import connect_readonly, connect_writer, durable_settings, wal_of
from qmworkbench.storage.sqlite_sink import REMEDY, SqliteSink
from qmworkbench.storage.writer_lock import WriterLock


class SqliteJournal(ChainedJournal[sqlite3.Connection]):
    """One book's journal in one SQLite file (ports.Journal), opened for writing.

    The file is made when it is not there (`open` refuses that instead). `book` names the book; an existing
    file must be of that book. Appending encodes and chains in the caller's thread, so the head is known at
    once; commits are made in groups: by whoever waits in `sync()`, else by a writer thread, when enough has
    gathered or after a quarter of a second. Raises StoreMissing, StoreInUse, StoreNewer, StoreDamaged.
    """

    def __init__(self, path: Path, *, book: str | None = None) -> None:
        self.path = Path(path)
        self._lock = WriterLock(self.path)
        try:
            self.meta = _look_before(self.path)  # read-only: a file that is not ours is left as it is
            connection = connect_writer(self.path)
            try:
                if not self.meta:
                    self.meta = journal_file.create(connection, _named(book, self.path))
                    sync_directory(self.path.parent)
                self.upgraded_from = journal_file.bring_up_to_date(connection, self.path)
                if book is not None and self.meta["book"] != book:
                    raise StorageRefused(
                        f"{self.path} belongs to book {self.meta['book']!r}, not {book!r}: "
                        "give each book its own directory"
                    )
                self.book = self.meta["book"]
                self.epoch = writer_row.take(connection, self.path)
                heads = {stream: journal_file.head(connection, stream) for stream in STREAMS}
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        sink = SqliteSink(connection, wal_of(self.path))
        super().__init__(GroupCommit(sink, str(self.path), heads, remedy=REMEDY), heads)

    @classmethod
    def open(cls, path: Path, *, book: str | None = None) -> Self:
        """An existing journal, for writing. Raises StoreMissing where there is none."""
        if not Path(path).exists():
            raise StoreMissing(f"{path} does not exist: check the path, or make the book with `qm day`")
        return cls(path, book=book)

    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is no such durable record."""
        with closing(connect_readonly(self.path)) as connection:
            return journal_file.hash_at(connection, seq)

    def durability(self) -> dict[str, str]:
        """What the writing connection runs with, asked from SQLite now: journal_mode and synchronous."""
        return self._writer.ask(durable_settings)

    def close(self) -> None:
        """Make everything queued durable and give the file up; twice is fine. Raises JournalFailed."""
        try:
            super().close()
        finally:
            self._lock.release()

    @contextmanager
    def _fetching(self, stream: str, types: frozenset[str] | None = None) -> Iterator[Fetch]:
        with closing(connect_readonly(self.path, any_thread=True)) as connection:
            yield fetching(connection, stream, types)


def _look_before(path: Path) -> dict[str, str]:
    """The meta of an existing journal, once it has been checked; empty where there is none yet."""
    if not path.exists():
        return {}
    with closing(connect_readonly(path)) as connection:
        return {} if journal_file.is_new(connection) else journal_file.check(connection, path)


def _named(book: str | None, path: Path) -> str:
    if not book:
        raise StorageRefused(f"{path} holds no journal yet: name the book to begin one there")
    return book
