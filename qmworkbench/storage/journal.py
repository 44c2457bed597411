"""The journal on SQLite: append-only, hash-chained, one writer, durable before any effect (§21)."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from qmworkbench.domain.chain import GENESIS, Record, link
from qmworkbench.domain.events import SCHEMA_VERSION, Event, decode, encode, wire_name
from qmworkbench.storage import journal_file
from qmworkbench.storage.atomic import sync_directory
from qmworkbench.storage.group_commit import GroupCommit
from qmworkbench.storage.journal_file import Row
from qmworkbench.storage.refused import StorageRefused, StoreMissing
from qmworkbench.storage.sqlite import connect_readonly, connect_writer, durable_settings
from qmworkbench.storage.sqlite_sink import REMEDY, SqliteSink
from qmworkbench.storage.times import stored_time
from qmworkbench.storage.writer_lock import WriterLock


class SqliteJournal:
    """One book's journal in one SQLite file (ports.Journal), opened for writing.

    The file is made when it is not there (`open` refuses that instead). `book` names the book; an existing
    file must be of that book. Appending encodes and chains in the caller's thread, so the head is known at
    once; a writer thread commits in groups: when asked by `sync()`, when enough has gathered, or after a
    quarter of a second. Raises StoreMissing, StoreInUse, StoreNewer, StoreDamaged.
    """

    def __init__(self, path: Path, *, book: str | None = None) -> None:
        self.path = Path(path)
        self._chaining = threading.Lock()
        self._lock = WriterLock(self.path)
        try:
            self.meta = _look_before(self.path)  # read-only: a file that is not ours is left as it is
            connection = connect_writer(self.path)
            try:
                if not self.meta:
                    self.meta = journal_file.create(connection, _named(book, self.path))
                    sync_directory(self.path.parent)
                if book is not None and self.meta["book"] != book:
                    raise StorageRefused(
                        f"{self.path} belongs to book {self.meta['book']!r}, not {book!r}: "
                        "give each book its own directory"
                    )
                heads = {stream: journal_file.head(connection, stream) for stream in journal_file.STREAMS}
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._heads = dict(heads)
        self._writer = GroupCommit(SqliteSink(connection), str(self.path), heads, remedy=REMEDY)

    @classmethod
    def open(cls, path: Path, *, book: str | None = None) -> Self:
        """An existing journal, for writing. Raises StoreMissing where there is none."""
        if not Path(path).exists():
            raise StoreMissing(f"{path} does not exist: check the path, or make the book with `qm day`")
        return cls(path, book=book)

    @property
    def book(self) -> str:
        return self.meta["book"]

    @property
    def head(self) -> tuple[int, str]:
        """Sequence and hash of the newest decision appended; (0, genesis) when there is none."""
        return self._heads["decisions"]

    @property
    def telemetry_head(self) -> tuple[int, str]:
        return self._heads["telemetry"]

    @property
    def durable_seq(self) -> int:
        """The newest decision that is surely on disk; still answers after a failure."""
        return self._writer.durable()[0]

    @property
    def durable_head(self) -> tuple[int, str]:
        """Sequence and hash of that decision: what a fallback log is rooted at once this has failed."""
        return self._writer.durable()

    @property
    def commits(self) -> int:
        """How many transactions this process has made."""
        return self._writer.commits

    def before_commit(self, action: Callable[[], None]) -> None:
        """Run `action` in the writer thread before every commit: bars reach disk before a record names them.

        An action that raises poisons the journal, as a failed commit does.
        """
        self._writer.before_commit = action

    def append(self, events: Sequence[Event]) -> int:
        """Queue decisions in order; returns the last sequence. Effects await sync(). Raises
        JournalFailed, and ValueError for a time that is not aware UTC or an event of the other stream; then
        nothing was queued.
        """
        return self._append("decisions", events)

    def append_telemetry(self, events: Sequence[Event]) -> None:
        """Queue telemetry; durable with the next commit, never waited for. Raises as append() does."""
        self._append("telemetry", events)

    def sync(self) -> int:
        """Wait until every appended decision is on disk; returns durable_seq. Raises JournalFailed."""
        return self._writer.sync(self._heads["decisions"][0])

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        """Decisions after `after_seq`, in order, up to the head as it is now, which is made durable first."""
        return self.events_by(after_seq=after_seq)

    def events_by(
        self, types: Iterable[str] | None = None, after_seq: int = 0, *, stream: str = "decisions"
    ) -> Iterator[tuple[int, Event]]:
        """Events of a stream after `after_seq`, those whose wire names are in `types` where given."""
        wanted = None if types is None else frozenset(types)
        stored = self._stored(stream, after_seq)
        return ((row[0], decode(row[4])) for row in stored if wanted is None or row[2] in wanted)

    def records(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[Record]:
        """Stored records for verification and export, up to the head as it is now."""
        return map(journal_file.record_of, self._stored(stream, after_seq))

    def durable_events(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[tuple[int, Event]]:
        """Events that are on disk already, after `after_seq`: nothing is waited for, a failed journal answers too."""
        stored = self._rows(stream, after_seq, self._writer.durable(stream)[0])
        return ((row[0], decode(row[4])) for row in stored)

    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is no such durable record."""
        with closing(connect_readonly(self.path)) as connection:
            return journal_file.hash_at(connection, seq)

    def verify(self, proven: Mapping[str, tuple[int, str]] | None = None) -> dict[str, tuple[int, str]]:
        """Walk both chains; returns each stream's head. Raises ChainBroken.

        From their beginning, or on from the heads in `proven`, which a walk of this process gave earlier.
        """
        begun = proven or {}
        heads = {stream: begun.get(stream, (0, GENESIS)) for stream in journal_file.STREAMS}
        return {
            stream: journal_file.verify_rows(self._stored(stream, head[0]), after=head)
            for stream, head in heads.items()
        }

    def durability(self) -> dict[str, str]:
        """What the writing connection runs with, asked from SQLite now: journal_mode and synchronous."""
        return self._writer.ask(durable_settings)

    def close(self) -> None:
        """Make everything queued durable and give the file up; twice is fine. Raises JournalFailed."""
        try:
            self._writer.close()
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, stream: str, events: Sequence[Event]) -> int:
        with self._chaining:
            seq, digest = self._heads[stream]
            rows: list[Row] = []
            for event in events:
                journal_file.belongs(event, stream)
                at = stored_time(event.at)
                payload = encode(event)
                seq += 1
                before, digest = digest, link(digest, seq, payload)
                rows.append((seq, at, wire_name(event), SCHEMA_VERSION, payload, before, digest))
            self._writer.put(stream, rows)
            self._heads[stream] = (seq, digest)
            return seq

    def _stored(self, stream: str, after_seq: int) -> Iterator[Row]:
        """Rows up to the head as it is at this call, not at the first step; the queue is written first."""
        if stream == "decisions":
            self.sync()
        elif stream in self._heads:
            self._writer.ask(lambda connection: None)  # the writer commits what is queued before it answers
        else:
            raise ValueError(f"a journal has no stream {stream!r}: give one of {', '.join(self._heads)}")
        return self._rows(stream, after_seq, self._heads[stream][0])

    def _rows(self, stream: str, after_seq: int, upto_seq: int) -> Iterator[Row]:
        with closing(connect_readonly(self.path, any_thread=True)) as connection:
            yield from journal_file.rows(connection, stream, after_seq, upto_seq)


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
