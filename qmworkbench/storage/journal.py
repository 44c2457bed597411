"""The journal on SQLite: append-only, hash-chained, one writer, durable before any effect (§21, manifest "Pre-Flight 3")."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from qmworkbench.domain.chain import Record, link
from qmworkbench.domain.events import SCHEMA_VERSION, Event, encode, wire_name
from qmworkbench.ports import JournalFailed
from qmworkbench.storage import journal_file
from qmworkbench.storage.group_commit import GroupCommit
from qmworkbench.storage.journal_file import Row, stored_time
from qmworkbench.storage.refused import StorageRefused, StoreInUse, StoreMissing
from qmworkbench.storage.sqlite import connect_readonly, connect_writer, durable_settings

_NO_OFFSET = timedelta(0)


class SqliteJournal:
    """One book's journal in one SQLite file (ports.Journal), opened for writing.

    The file is made when it is not there (`open` refuses that instead). `book` names the book; an existing file must be
    of that book. Appending encodes and chains in the caller's thread, so the head is known at once; a writer thread
    commits in groups: when asked by `sync()`, when enough has gathered, or after a quarter of a second.
    Raises StoreMissing, StoreInUse, StoreNewer, StoreDamaged.
    """

    def __init__(self, path: Path, *, book: str | None = None) -> None:
        self.path = Path(path)
        self._chaining = threading.Lock()
        self._lock_fd = _lock_writer(self.path)
        try:
            connection = connect_writer(self.path)
            try:
                if journal_file.is_new(connection):
                    if book is None:
                        raise StorageRefused(f"{self.path} is empty: name the book to begin one there")
                    journal_file.create(connection, book)
                self.meta = journal_file.check(connection, self.path)
                if book is not None and self.meta["book"] != book:
                    raise StorageRefused(
                        f"{self.path} belongs to book {self.meta['book']!r}, not {book!r}: give each book its own directory"
                    )
                heads = {stream: journal_file.head(connection, stream) for stream in journal_file.STREAMS}
            except BaseException:
                connection.close()
                raise
        except BaseException:
            os.close(self._lock_fd)
            raise
        self._heads = dict(heads)
        self._writer = GroupCommit(connection, self.path, heads)

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
        """Sequence and hash of that decision: what a fallback log is rooted at when this journal has failed."""
        return self._writer.durable()

    @property
    def commits(self) -> int:
        """How many transactions this process has made."""
        return self._writer.commits

    def before_commit(self, action: Callable[[], None]) -> None:
        """Run `action` in the writer thread before every commit: bars are made durable before a record refers to them.

        An action that raises poisons the journal, as a failed commit does.
        """
        self._writer.before_commit = action

    def append(self, events: Sequence[Event]) -> int:
        """Queue decisions in order; returns the last sequence. Effects must wait for sync(). Raises JournalFailed."""
        return self._append("decisions", events)

    def append_telemetry(self, events: Sequence[Event]) -> None:
        """Queue telemetry; becomes durable with the next commit, never waited for. Raises JournalFailed."""
        self._append("telemetry", events)

    def sync(self) -> int:
        """Wait until every appended decision is on disk; returns durable_seq. Raises JournalFailed."""
        return self._writer.sync(self._heads["decisions"][0])

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        """Decisions after `after_seq`, in order, up to the head as it is now (which becomes durable first)."""
        return self.events_by(after_seq=after_seq)

    def events_by(
        self, types: Iterable[str] | None = None, after_seq: int = 0, *, stream: str = "decisions"
    ) -> Iterator[tuple[int, Event]]:
        """Events of a stream after `after_seq`, those whose wire names are in `types` where given."""
        self._flush(stream)
        with closing(connect_readonly(self.path)) as connection:
            yield from journal_file.events(connection, stream, after_seq, types)

    def records(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[Record]:
        """Stored records for verification and export, up to the head as it is now."""
        self._flush(stream)
        with closing(connect_readonly(self.path)) as connection:
            yield from journal_file.records(connection, stream, after_seq)

    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is no such durable record."""
        self._writer.raise_if_failed()
        with closing(connect_readonly(self.path)) as connection:
            return journal_file.hash_at(connection, seq)

    def verify(self) -> dict[str, tuple[int, str]]:
        """Walk both chains from their beginning; returns each stream's head. Raises ChainBroken."""
        for stream in journal_file.STREAMS:
            self._flush(stream)
        with closing(connect_readonly(self.path)) as connection:
            return {
                stream: journal_file.verify_records(journal_file.rows(connection, stream))
                for stream in journal_file.STREAMS
            }

    def durability(self) -> dict[str, str]:
        """What the writing connection runs with, asked from SQLite now: journal_mode and synchronous (preflight's evidence)."""
        return self._writer.ask(durable_settings)

    def close(self) -> None:
        """Make everything queued durable and give the file up. Raises JournalFailed if that fails; closing twice is fine."""
        try:
            self._writer.close()
        finally:
            if self._lock_fd >= 0:
                os.close(self._lock_fd)
                self._lock_fd = -1

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
                if event.at.tzinfo is not UTC and event.at.utcoffset() != _NO_OFFSET:
                    raise ValueError(
                        f"{wire_name(event)} is dated {event.at.isoformat()}: the journal takes aware UTC times alone"
                    )
                payload = encode(event)
                seq += 1
                before, digest = digest, link(digest, seq, payload)
                rows.append(
                    (seq, stored_time(event.at), wire_name(event), SCHEMA_VERSION, payload, before, digest)
                )
            self._writer.put(stream, rows)
            self._heads[stream] = (seq, digest)
            return seq

    def _flush(self, stream: str) -> None:
        if stream == "decisions":
            self.sync()
        else:
            # The writer commits what is queued before it answers.
            self._writer.ask(lambda connection: None)


def _lock_writer(path: Path) -> int:
    """Hold `PATH.writer` for as long as the journal is open; the kernel lets go of it when we die, however we die."""
    if not path.parent.is_dir():
        raise StoreMissing(
            f"{path.parent} is not a directory: create the book first (BookPaths.create, `qm day`)"
        )
    lock = path.with_name(path.name + ".writer")
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise StoreInUse(
            f"{path} is being written by process {holder}: stop that session, or use it through its API"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


__all__ = ["JournalFailed", "SqliteJournal"]
