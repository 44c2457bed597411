"""What every journal with a writer thread has in common: chaining, group commit, reading up to the head (§21).

Appending encodes and chains in the caller's thread, so the head is known at once; the writer (group_commit.py) makes it
durable. A store adds how it is opened, and how rows are read back.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import starmap
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from qmworkbench.domain import chain
from qmworkbench.domain.chain import GENESIS, Record, link
from qmworkbench.domain.events import SCHEMA_VERSION, Event, encode
from qmworkbench.ports import HeadMoved, JournalFailed
from qmworkbench.storage import journal_file
from qmworkbench.storage.group_commit import GroupCommit
from qmworkbench.storage.journal_select import (
    PAYLOAD,
    RECORD,
    ROW,
    SESSION_TYPES,
    STREAMS,
    Fetch,
    Row,
    decoded,
    selected,
)
from qmworkbench.storage.loop_waits import LoopWaits
from qmworkbench.storage.times import demand_utc

C = TypeVar("C")


class ChainedJournal(ABC, Generic[C]):
    """One book's journal (ports.Journal), opened for writing; `heads` are those it holds already."""

    book: str
    meta: dict[str, str]
    # Counts those who have opened this book for writing: a record of an earlier one is not taken any more.
    epoch: int
    # The schema revision the tables had when they were opened, "" where it was the newest.
    upgraded_from: str = ""

    def __init__(self, writer: GroupCommit[C], heads: Mapping[str, tuple[int, str]]) -> None:
        self._chaining = threading.Lock()
        self._heads = dict(heads)
        self._writer = writer
        self._loops = LoopWaits(writer)

    @abstractmethod
    def _fetching(self, stream: str, types: frozenset[str] | None = None) -> AbstractContextManager[Fetch]:
        """Durable rows of a stream, of all types or those named, for as long as somebody reads them."""

    @abstractmethod
    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is no such durable record."""

    @abstractmethod
    def durability(self) -> dict[str, str]:
        """What the writing connection runs with, asked from the store now."""

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
    def writing_s(self) -> float:
        """For how many seconds the present commit has been under way, 0 where none is: a store that hangs."""
        return self._writer.writing_s()

    @property
    def failure(self) -> JournalFailed | None:
        """Why nothing can be written any more, as soon as the writer knows; None while all is well."""
        return self._writer.failure

    @property
    def commits(self) -> int:
        """How many transactions this process has made."""
        return self._writer.commits

    def before_commit(self, action: Callable[[], None]) -> None:
        """Run `action` before every commit, in the thread that makes it: bars reach disk before a record names them.

        An action that raises poisons the journal, as a failed commit does.
        """
        self._writer.before_commit = action

    def append(self, events: Sequence[Event], *, expected: int | None = None) -> int:
        """Queue decisions in order; returns the last sequence. Effects await sync(). Raises HeadMoved where the head is
        not at `expected`, JournalFailed, and ValueError for a time that is not aware UTC or an event of the other
        stream; then nothing was queued.
        """
        return self._append("decisions", events, expected)

    def append_telemetry(self, events: Sequence[Event]) -> None:
        """Queue telemetry; durable with the next commit, never waited for. Raises as append() does."""
        self._append("telemetry", events)

    def adopt(self, stream: str, rows: Sequence[Row]) -> None:
        """Queue records of another store as they are stored there, at the tail: for a book that is made anew. Raises
        ChainBroken where they do not follow, JournalFailed.
        """
        with self._chaining:
            self._heads[stream] = chain.verify(
                map(journal_file.record_of, rows), prev_seq=self._heads[stream][0], prev_hash=self._heads[stream][1]
            )
            self._writer.put(stream, list(rows))

    def sync(self) -> int:
        """Wait until every appended decision is on disk; returns durable_seq. Raises JournalFailed."""
        return self._writer.sync(self._heads["decisions"][0])

    async def synced(self) -> int:
        """As sync(), for a coroutine: no thread waits, and a commit wakes the loop once, however many wait for it."""
        return await self._loops.reached(self._heads["decisions"][0])

    def sync_telemetry(self) -> None:
        """Wait until everything queued, telemetry as well, is on disk: for who ends. Raises JournalFailed."""
        self._writer.ask(lambda connection: None)  # the writer commits what is queued before it answers

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        """Decisions after `after_seq`, in order, up to the head as it is now, which is made durable first."""
        return self.events_by(after_seq=after_seq)

    def events_by(
        self, types: Iterable[str] | None = None, after_seq: int = 0, *, stream: str = "decisions"
    ) -> Iterator[tuple[int, Event]]:
        """Events of a stream after `after_seq`, those whose wire names are in `types` where given."""
        wanted = None if types is None else frozenset(types)
        return self._decoded(stream, after_seq, self._written(stream), wanted)

    def session_events(self) -> Iterator[tuple[int, Event]]:
        """Opened, recovered, summarized and closed of every session, in order."""
        return self.events_by(SESSION_TYPES)

    def records(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[Record]:
        """Stored records for verification and export, up to the head as it is now."""
        return starmap(Record, self._stored(RECORD, stream, after_seq))

    def durable_payloads(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[tuple[int, bytes]]:
        """Sequence and bytes of what is on disk already, after `after_seq`: nothing is waited for, a failed journal
        answers too.
        """
        return self._selected(PAYLOAD, stream, after_seq, self._writer.durable(stream)[0])

    def verify(self, proven: Mapping[str, tuple[int, str]] | None = None) -> dict[str, tuple[int, str]]:
        """Walk both chains; returns each stream's head. Raises ChainBroken.

        From their beginning, or on from the heads in `proven`, which a walk of this process gave earlier.
        """
        begun = proven or {}
        heads = {stream: begun.get(stream, (0, GENESIS)) for stream in STREAMS}
        return {
            stream: journal_file.verify_rows(self._stored(ROW, stream, head[0]), after=head)
            for stream, head in heads.items()
        }

    def close(self) -> None:
        """Make everything queued durable and give the book up; twice is fine. Raises JournalFailed."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, stream: str, events: Sequence[Event], expected: int | None = None) -> int:
        with self._chaining:
            seq, digest = self._heads[stream]
            if expected is not None and expected != seq:
                raise HeadMoved(seq, expected)
            rows: list[Row] = []
            kinds = journal_file.KINDS[stream]
            for event in events:
                kind = type(event)
                if kind not in kinds:
                    journal_file.belongs(event, stream)
                payload = encode(event)
                name, at_begins = journal_file.OPENINGS[kind]
                at = payload[at_begins : payload.index(b'"', at_begins)].decode()
                if at[-1] != "Z":
                    demand_utc(event.at)
                seq += 1
                before, digest = digest, link(digest, seq, payload)
                rows.append((seq, at, name, SCHEMA_VERSION, payload, before, digest))
            self._writer.put(stream, rows)
            self._heads[stream] = (seq, digest)
            return seq

    def _stored(self, columns: str, stream: str, after_seq: int) -> Iterator[Any]:
        """Rows up to the head as it is at this call, not at the first step."""
        return self._selected(columns, stream, after_seq, self._written(stream))

    def _written(self, stream: str) -> int:
        """The newest sequence of a stream; what is queued up to it is written first."""
        if stream == "decisions":
            self.sync()
        elif stream in self._heads:
            self.sync_telemetry()
        else:
            raise ValueError(f"a journal has no stream {stream!r}: give one of {', '.join(self._heads)}")
        return self._heads[stream][0]

    def _selected(self, columns: str, stream: str, after_seq: int, upto_seq: int) -> Iterator[Any]:
        with self._fetching(stream) as fetch:
            yield from selected(fetch, columns, after_seq, upto_seq)

    def _decoded(
        self, stream: str, after_seq: int, upto_seq: int, types: frozenset[str] | None
    ) -> Iterator[tuple[int, Event]]:
        with self._fetching(stream, types) as fetch:
            yield from decoded(fetch, after_seq, upto_seq)
