"""A simulated log device, and the journal on it (§19, §21).

What is appended lies in the page cache; a sync that succeeds makes durable what had been appended when it began. A
crash keeps what is durable and, as real caches do, any beginning of the rest, maybe cut in the middle of a frame. A
frame holds all that one decision led to, as one transaction does: after a crash it is there whole, or not at all.
SQLite's own promises are not simulated here; they are held by killing real processes.
"""

import zlib
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

from qmworkbench.domain import chain
from qmworkbench.domain.chain import GENESIS, Record, link
from qmworkbench.domain.events import Event, decode, encode, wire_name
from qmworkbench.ports import HeadMoved, JournalFailed
from qmworkbench.storage.checkpoints import Checkpoint

_HEAD: Final = Struct(">II")  # bytes that follow, their checksum
_RECORD: Final = Struct(">IQ32s32s")  # a record's payload bytes, sequence, hash before it, its hash
_BEGINS: Final = b'{"type":"'  # how every event's bytes begin


class Device:
    """Bytes that survive, and bytes that may not."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.durable_seq = 0
        self.cached: list[tuple[int, bytes]] = []

    def write(self, last_seq: int, frame: bytes) -> None:
        """A frame whose last record is `last_seq` lies in the cache."""
        self.cached.append((last_seq, frame))

    def sync(self, upto_seq: int) -> None:
        """Frames up to record `upto_seq` are durable from now on."""
        count = 0
        for last_seq, frame in self.cached:
            if last_seq > upto_seq:
                break
            self.durable += frame
            self.durable_seq = last_seq
            count += 1
        del self.cached[:count]

    def crash(self, kept_share: float) -> None:
        """Power is lost: of the cached bytes, the first `kept_share` (0 to 1) had reached the disk."""
        cached = b"".join(frame for _, frame in self.cached)
        self.durable += cached[: int(len(cached) * kept_share)]
        self.cached.clear()


class SimJournal:
    """ports.Journal on a device. `sync` never waits: the session's loop says when a sync begins and ends."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.torn_bytes = 0
        self._records: list[Record] = list(self._recovered())
        last = self._records[-1] if self._records else None
        self._head = (last.seq, last.hash) if last is not None else (0, GENESIS)
        self._durable = self.device.durable_seq = self._head[0]
        self._syncing: int | None = None
        self.failure = ""

    # --- writing ------------------------------------------------------------------------------------------

    @property
    def head(self) -> tuple[int, str]:
        return self._head

    @property
    def durable_seq(self) -> int:
        return self._durable

    def append(self, events: Sequence[Event], *, expected: int | None = None) -> int:
        """Queue decisions in order; returns the last sequence. Raises HeadMoved where the head is not at `expected`,
        JournalFailed once poisoned.
        """
        self._demand_sound()
        seq, digest = self._head
        if expected is not None and expected != seq:
            raise HeadMoved(seq, expected)
        body: list[bytes] = []
        for event in events:
            payload = encode(event)
            seq += 1
            before, digest = digest, link(digest, seq, payload)
            self._records.append(Record(seq, wire_name(event), payload, before, digest))
            body.append(_RECORD.pack(len(payload), seq, bytes.fromhex(before), bytes.fromhex(digest)))
            body.append(payload)
        self.device.write(seq, _frame(b"".join(body)))
        self._head = (seq, digest)
        return seq

    def append_telemetry(self, events: Sequence[Event]) -> None:
        """Facts of the machine have no place in a simulated one."""

    def sync_begins(self) -> None:
        """What is appended by now is what the sync covers."""
        self._demand_sound()
        self._syncing = self._head[0]

    def sync_ends(self, *, really: bool = True) -> int:
        """The sync has returned; returns durable_seq. `really` False: the device said so and it is not true."""
        self._demand_sound()
        if self._syncing is not None:
            if really:
                self.device.sync(self._syncing)
            self._durable, self._syncing = self._syncing, None
        return self._durable

    def sync(self) -> int:
        self.sync_begins()
        return self.sync_ends()

    def fail(self, why: str) -> None:
        """The disk refused: every later call raises (ports.Journal)."""
        self.failure = why

    def _demand_sound(self) -> None:
        if self.failure:
            raise JournalFailed(self.failure)

    # --- reading ------------------------------------------------------------------------------------------

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, Event]]:
        for record in self._records[after_seq:]:
            yield record.seq, decode(record.payload)

    def records(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[Record]:
        return iter(self._records[after_seq:])

    def hash_at(self, seq: int) -> str | None:
        return self._records[seq - 1].hash if 0 < seq <= len(self._records) else None

    def truly_durable(self) -> int:
        """How many records a crash at this moment would surely leave; the device knows, whatever was promised."""
        return self.device.durable_seq

    def _recovered(self) -> Iterator[Record]:
        """What the device holds, up to the first frame that is cut or damaged; the rest is cut off."""
        data, offset = bytes(self.device.durable), 0
        while True:
            body = _body(data, offset)
            if body is None:
                break
            yield from _records_of(body)
            offset += _HEAD.size + len(body)
        self.torn_bytes = len(data) - offset
        del self.device.durable[offset:]

    def verify(self) -> tuple[int, str]:
        """Walk the chain of what is held. Raises chain.ChainBroken."""
        return chain.verify(self._records)


def _frame(body: bytes) -> bytes:
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _body(data: bytes, offset: int) -> bytes | None:
    """What a whole frame at `offset` holds, None where none begins or it is damaged."""
    start = offset + _HEAD.size
    if start > len(data):
        return None
    size, checksum = _HEAD.unpack_from(data, offset)
    body = data[start : start + size]
    return body if len(body) == size and zlib.crc32(body) == checksum else None


def _records_of(body: bytes) -> Iterator[Record]:
    offset = 0
    while offset < len(body):
        size, seq, before, digest = _RECORD.unpack_from(body, offset)
        offset += _RECORD.size
        payload = body[offset : offset + size]
        offset += size
        yield Record(seq, _wire_name_in(payload), payload, before.hex(), digest.hex())


def _wire_name_in(payload: bytes) -> str:
    """The wire name an event's bytes begin with; whether they are an event at all, whoever folds them sees."""
    return payload[len(_BEGINS) : payload.index(b'"', len(_BEGINS))].decode()


class SimCheckpoints:
    """Checkpoints in memory, as service.recovery.restore asks for them: the newest that follows from the journal."""

    def __init__(self) -> None:
        self.kept: list[Checkpoint] = []

    def write(self, seq: int, head_hash: str, state: bytes, state_hash: str) -> None:
        self.kept.append(Checkpoint(seq=seq, head_hash=head_hash, state_hash=state_hash, state=state))
        del self.kept[:-3]

    def load(self, journal: SimJournal) -> tuple[Checkpoint | None, tuple[str, ...]]:
        passed_over: list[str] = []
        for found in reversed(self.kept):
            stored = journal.hash_at(found.seq)
            if stored == found.head_hash:
                return found, tuple(passed_over)
            passed_over.append(f"checkpoint at {found.seq}: the journal has {stored or 'no such record'}")
        return None, tuple(passed_over)
