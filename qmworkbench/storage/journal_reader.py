"""A journal opened for reading alone: beside a live writer, after a kill, or from an archive (§19, §21)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from qmworkbench.domain.chain import Record
from qmworkbench.domain.events import Event
from qmworkbench.storage import journal_file
from qmworkbench.storage.journal_select import PAYLOAD, STREAMS, Row, fetching, selected
from qmworkbench.storage.sqlite import READ_ERRORS, connect_readonly, refusal


class JournalReader:
    """What is durable in a journal, as of each call. It can never write, whoever asks.

    Raises StoreMissing, StoreNewer, StoreDamaged when opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._connection = connect_readonly(self.path, any_thread=True)
        try:
            self.meta = journal_file.check(self._connection, self.path)
            self.book = self.meta["book"]
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
        try:
            return journal_file.head(self._connection, stream)
        except READ_ERRORS as error:
            raise refusal(self.path, error) from error

    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is none."""
        return journal_file.hash_at(self._connection, seq)

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
        return journal_file.events(self._connection, stream, after_seq, types, upto_seq=end)

    def durable_payloads(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[tuple[int, bytes]]:
        """Sequence and bytes of every record after `after_seq`: what projections are made from."""
        return selected(fetching(self._connection, stream), PAYLOAD, after_seq, self.head(stream)[0])

    def session_events(self) -> Iterator[tuple[int, Event]]:
        """Opened, recovered, summarized and closed of every session, found without walking the journal."""
        return journal_file.session_events(self._connection)

    def records(
        self, after_seq: int = 0, *, upto_seq: int | None = None, stream: str = "decisions"
    ) -> Iterator[Record]:
        """Stored records, up to `upto_seq` or the end: for export, and for folding."""
        return journal_file.records(self._connection, stream, after_seq, upto_seq)

    def rows(self, stream: str = "decisions") -> Iterator[Row]:
        """Records with their columns, as stored."""
        return journal_file.rows(self._connection, stream)

    def verify(self) -> dict[str, tuple[int, str]]:
        """Walk both chains from their beginning; returns each stream's head. Raises ChainBroken."""
        return {stream: journal_file.verify_rows(journal_file.rows(self._connection, stream)) for stream in STREAMS}

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
