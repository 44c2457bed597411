"""A journal in memory, for backtests and tests: the same chain and contract, no disk (§2 Backtesting)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC

from qmworkbench.domain import chain
from qmworkbench.domain.chain import GENESIS, Record, link
from qmworkbench.domain.events import Event, encode, wire_name
from qmworkbench.ports import HeadMoved
from qmworkbench.storage.journal_file import KINDS, belongs
from qmworkbench.storage.journal_select import SESSION_TYPES, STREAMS
from qmworkbench.storage.times import demand_utc, stored_time


class MemoryJournal:
    """ports.Journal without a disk: what is appended counts as durable at once, and ends with the process."""

    def __init__(self, *, book: str = "memory") -> None:
        self.book = book
        self.epoch = 1  # nobody else can write it
        self._records: dict[str, list[Record]] = {stream: [] for stream in STREAMS}
        self._events: dict[str, list[Event]] = {stream: [] for stream in STREAMS}

    @property
    def head(self) -> tuple[int, str]:
        """Sequence and hash of the newest decision; (0, genesis) when there is none."""
        return self._head("decisions")

    @property
    def telemetry_head(self) -> tuple[int, str]:
        return self._head("telemetry")

    @property
    def durable_seq(self) -> int:
        return self.head[0]

    @property
    def durable_head(self) -> tuple[int, str]:
        return self.head

    def append(self, events: Sequence[Event], *, expected: int | None = None) -> int:
        """Chain decisions in order; returns the last sequence. Raises HeadMoved where the head is not at `expected`,
        ValueError for a time not in UTC.
        """
        _demand_head(self.head[0], expected)
        return self._append("decisions", events)

    def append_telemetry(self, events: Sequence[Event]) -> None:
        self._append("telemetry", events)

    def sync(self) -> int:
        return self.durable_seq

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        """Decisions after `after_seq`, in order, up to the head as it is now."""
        return self.events_by(after_seq=after_seq)

    def events_by(
        self, types: Iterable[str] | None = None, after_seq: int = 0, *, stream: str = "decisions"
    ) -> Iterator[tuple[int, Event]]:
        """Events of a stream after `after_seq`, those whose wire names are in `types` where given."""
        wanted = None if types is None else frozenset(types)
        asked = self._events[_known(stream)][after_seq:]
        numbered = enumerate(asked, after_seq + 1)
        return ((seq, event) for seq, event in numbered if wanted is None or wire_name(event) in wanted)

    def session_events(self) -> Iterator[tuple[int, Event]]:
        """Opened, recovered, summarized and closed of every session, in order."""
        return self.events_by(SESSION_TYPES)

    def records(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[Record]:
        return iter(self._records[_known(stream)][after_seq:])

    def durable_payloads(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[tuple[int, bytes]]:
        """Sequence and bytes of everything after `after_seq`: all of it counts as durable here."""
        return ((record.seq, record.payload) for record in self._records[_known(stream)][after_seq:])

    def hash_at(self, seq: int) -> str | None:
        """The hash of decision `seq`, None where there is no such record."""
        stored = self._records["decisions"]
        return stored[seq - 1].hash if 1 <= seq <= len(stored) else None

    def verify(self) -> dict[str, tuple[int, str]]:
        """Walk both chains from their beginning; returns each stream's head. Raises ChainBroken."""
        return {stream: chain.verify(stored) for stream, stored in self._records.items()}

    def close(self) -> None:
        """Nothing to give up."""

    def _head(self, stream: str) -> tuple[int, str]:
        stored = self._records[stream]
        return (stored[-1].seq, stored[-1].hash) if stored else (0, GENESIS)

    def _append(self, stream: str, events: Sequence[Event]) -> int:
        seq, digest = self._head(stream)
        fresh: list[Record] = []
        for event in events:
            belongs(event, stream)
            stored_time(event.at)
            payload = encode(event)
            seq += 1
            before, digest = digest, link(digest, seq, payload)
            fresh.append(Record(seq=seq, type=wire_name(event), payload=payload, prev_hash=before, hash=digest))
        self._records[stream].extend(fresh)
        self._events[stream].extend(events)
        return seq


def _demand_head(seq: int, expected: int | None) -> None:
    if expected is not None and expected != seq:
        raise HeadMoved(seq, expected)


def _known(stream: str) -> str:
    if stream not in STREAMS:
        raise ValueError(f"a journal has no stream {stream!r}: give one of {', '.join(STREAMS)}")
    return stream


class HeadJournal:
    """A journal that keeps nothing but its chains' heads: for a replay that is asked only what it came to.

    The heads are those of a journal that keeps everything. `listen` hears of the decisions, in order.
    """

    def __init__(self, listen: Callable[[Sequence[Event]], None] | None = None) -> None:
        self._heads = dict.fromkeys(STREAMS, (0, GENESIS))
        self._listen = listen

    @property
    def head(self) -> tuple[int, str]:
        """Sequence and hash of the newest decision; (0, genesis) when there is none."""
        return self._heads["decisions"]

    @property
    def durable_seq(self) -> int:
        return self.head[0]

    def append(self, events: Sequence[Event], *, expected: int | None = None) -> int:
        """Chain decisions in order; returns the last sequence. Raises HeadMoved where the head is not at `expected`,
        ValueError for a time not in UTC.
        """
        _demand_head(self.head[0], expected)
        seq = self._chain("decisions", events)
        if self._listen is not None:
            self._listen(events)
        return seq

    def append_telemetry(self, events: Sequence[Event]) -> None:
        self._chain("telemetry", events)

    def sync(self) -> int:
        return self.durable_seq

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        """Nothing: it was not kept."""
        return iter(())

    def records(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[Record]:
        """Nothing: it was not kept."""
        return iter(())

    def close(self) -> None:
        """Nothing to give up."""

    def _chain(self, stream: str, events: Sequence[Event]) -> int:
        seq, digest = self._heads[stream]
        kinds = KINDS[stream]
        for event in events:
            if type(event) not in kinds:
                belongs(event, stream)
            if event.at.tzinfo is not UTC:
                demand_utc(event.at)
            seq += 1
            digest = link(digest, seq, encode(event))
        self._heads[stream] = (seq, digest)
        return seq
