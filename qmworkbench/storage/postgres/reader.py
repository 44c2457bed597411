"""A journal in PostgreSQL opened for reading alone: beside a live writer, or after a kill (§19, §21)."""

from collections.abc import Iterable, Iterator
from itertools import starmap
from types import TracebackType
from typing import Final, Self

from psycopg import sql

from qmworkbench.domain.chain import Record
from qmworkbench.domain.events import Event, decode
from qmworkbench.storage import journal_file
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
from qmworkbench.storage.postgres import journal as stored
from qmworkbench.storage.postgres import schema
from qmworkbench.storage.postgres.connection import connected, shown
from qmworkbench.storage.refused import StoreMissing

_KNOWN: Final = ", ".join(STREAMS)


class PostgresReader:
    """What is durable in a journal, as of each call; the counterpart of JournalReader. It can never write.

    Raises StoreMissing, StoreNewer, StoreDamaged when opened, StorageRefused where the server cannot be reached.
    """

    def __init__(self, dsn: str, *, book: str, place: str | None = None) -> None:
        self.book = book
        self.place = place if place is not None else book
        self.where = shown(dsn)
        self._connection = connected(dsn, readonly=True)
        try:
            if not schema.exists(self._connection, self.place):
                raise StoreMissing(f"there is no book {book!r} at {self.where}: check its name")
            self.meta = stored.check(self._connection, self.place, book, self.where)
        except BaseException:
            self._connection.close()
            raise

    @property
    def durable_seq(self) -> int:
        return self.head()[0]

    @property
    def durable_head(self) -> tuple[int, str]:
        """Sequence and hash of the newest durable decision."""
        return self.head()

    def head(self, stream: str = "decisions") -> tuple[int, str]:
        """Sequence and hash of the newest durable record of a stream; (0, genesis) when there is none."""
        if stream not in STREAMS:
            raise ValueError(f"a journal has no stream {stream!r}: give one of {_KNOWN}")
        return stored.head(self._connection, self.place, stream)

    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is none."""
        return stored.hash_at(self._connection, self.place, seq)

    def events(
        self,
        types: Iterable[str] | None = None,
        *,
        after_seq: int = 0,
        upto_seq: int | None = None,
        stream: str = "decisions",
    ) -> Iterator[tuple[int, Event]]:
        """Events after `after_seq` up to `upto_seq` (None: the head as it is now), of the wire names in `types`."""
        end = self.head(stream)[0] if upto_seq is None else upto_seq
        wanted = None if types is None else frozenset(types)
        return decoded(self._fetching(stream, wanted), after_seq, end)

    def durable_payloads(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[tuple[int, bytes]]:
        """Sequence and bytes of every record after `after_seq`: what projections are made from."""
        return selected(self._fetching(stream), PAYLOAD, after_seq, self.head(stream)[0])

    def session_events(self) -> Iterator[tuple[int, Event]]:
        """Opened, recovered, summarized and closed of every session, found without walking the journal."""
        query = sql.SQL("SELECT seq, payload FROM {} WHERE type = ANY(%s) ORDER BY seq").format(
            sql.Identifier(schema.name_of(self.place), "decisions")
        )
        for seq, payload in self._connection.execute(query, (list(SESSION_TYPES),)).fetchall():
            yield int(seq), decode(bytes(payload))

    def records(
        self, after_seq: int = 0, *, stream: str = "decisions", upto_seq: int | None = None
    ) -> Iterator[Record]:
        """Stored records, for export."""
        end = self.head(stream)[0] if upto_seq is None else upto_seq
        return starmap(Record, selected(self._fetching(stream), RECORD, after_seq, end))

    def rows(self, stream: str = "decisions") -> Iterator[Row]:
        """Records with their columns, as stored."""
        return selected(self._fetching(stream), ROW, 0, self.head(stream)[0])

    def verify(self) -> dict[str, tuple[int, str]]:
        """Walk both chains from their beginning; returns each stream's head. Raises ChainBroken."""
        return {stream: journal_file.verify_rows(self.rows(stream)) for stream in STREAMS}

    def _fetching(self, stream: str, types: frozenset[str] | None = None) -> Fetch:
        return stored.fetching(self._connection, self.place, stream, types)

    def close(self) -> None:
        """Let go of the connection; twice is fine."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
