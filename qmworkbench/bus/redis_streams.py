"""The bus across processes and machines: what the journal made durable, on a Redis stream (§6, §9).

Redis only carries: the journal is the record. So publishing never waits for it. A thread of its own sends what is
queued; while Redis is away it tries again with growing pauses, and what no longer fits into the queue is dropped, which
whoever follows sees as a gap and reads from the journal. Entries are named by the decision they end with, so sending
one twice changes nothing, and reading begins wherever a reader left off.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import redis

from qmworkbench.bus.in_process import KEEP as HELD_HERE
from qmworkbench.bus.in_process import BusHealth, Gap, InProcessBus, Receiver, ReceiverFailed, unread
from qmworkbench.domain.events import Event, decode, encode

__all__ = ["Gap", "GroupReader", "LiveState", "RedisBus", "RedisError", "client_of", "follow_stream", "stream_of"]

RedisError = redis.RedisError
KEEP: Final = 100_000  # entries a stream holds, about
QUEUE_LIMIT: Final = 10_000  # publications that wait for Redis to come back
READ_AT_ONCE: Final = 200
TIMEOUT_S: Final = 2.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_BATCH: Final = 256
_CLOSE_S: Final = 3.0
ASK_EVERY_S: Final = 1.0  # whether Redis is there, while nothing is published


def stream_of(book: str, origin: str) -> str:
    """The name of a book's stream. `origin` tells this book from an earlier one of the same name, whose numbers began
    at 1 as well.
    """
    return f"qm:{book}:{origin}:decisions"


def client_of(url: str) -> "redis.Redis":
    """A client that gives up soon and never retries by itself: pauses are ours to choose."""
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=None, health_check_interval=0
    )


class RedisBus:
    """ports.Bus for receivers here, called at once, and a Redis stream for those elsewhere, fed by a thread of its own.

    Owned by one publisher. `keep` bounds the stream, `queue_limit` what waits while Redis is away.
    """

    def __init__(
        self,
        url: str,
        *,
        book: str,
        origin: str,
        keep: int = KEEP,
        queue_limit: int = QUEUE_LIMIT,
        on_failure: Callable[[ReceiverFailed], None] | None = None,
    ) -> None:
        self.stream = stream_of(book, origin)
        self._here = InProcessBus(on_failure, keep=min(keep, HELD_HERE))
        self._client = client_of(url)
        self._keep = keep
        self._limit = queue_limit
        self._queue: deque[tuple[int, bytes]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._connected = True
        self._detail = ""
        self._dropped = 0
        self._sent_seq = 0
        self._thread = threading.Thread(target=self._run, name=f"bus {book}", daemon=True)
        self._thread.start()

    @property
    def failures(self) -> tuple[ReceiverFailed, ...]:
        """Receivers here that raised and were dropped."""
        return self._here.failures

    @property
    def health(self) -> BusHealth:
        """How things stand with Redis."""
        with self._wake:
            return BusHealth(
                connected=self._connected,
                waiting=len(self._queue),
                dropped=self._dropped,
                sent_seq=self._sent_seq,
                detail=self._detail,
            )

    def publish(self, seq: int, events: Sequence[Event]) -> None:
        """Hand on `events`, the last of which is decision `seq`. Never raises and never waits on Redis' account."""
        self._here.publish(seq, events)
        if not events:
            return
        packed = msgspec.msgpack.encode([encode(event) for event in events])
        with self._wake:
            self._queue.append((seq, packed))
            while len(self._queue) > self._limit:
                self._queue.popleft()
                self._dropped += 1
            self._wake.notify()

    def follow(self, receiver: Receiver, after_seq: int | None = None) -> Callable[[], None]:
        """Register a receiver in this process; see InProcessBus. Elsewhere: RedisFollower (redis_follower.py)."""
        return self._here.follow(receiver, after_seq)

    @property
    def receivers(self) -> int:
        """How many follow in this process."""
        return self._here.receivers

    def answers(self) -> str:
        """Ask the server; returns its version. Raises redis.RedisError."""
        told: Any = self._client.info("server")
        return str(told.get("valkey_version") or told.get("redis_version", "?"))

    def flush(self, timeout_s: float = _CLOSE_S) -> bool:
        """Wait until everything published is with Redis; False where that did not come about in time."""
        deadline_s = time.monotonic() + timeout_s
        with self._wake:
            while self._queue and time.monotonic() < deadline_s:
                self._wake.wait(0.05)
            return not self._queue

    def close(self) -> None:
        """Send what can be sent within a moment, then let go; twice is fine."""
        self.flush()
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(_CLOSE_S)
        self._client.close()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._closing, ASK_EVERY_S)
                if self._closing:
                    return
                batch = [self._queue[place] for place in range(min(_BATCH, len(self._queue)))]
            try:
                lost = self._send(batch) if batch else self._ask()
            except redis.RedisError as error:
                self._away(error)
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            self._sent(batch, lost)

    def _ask(self) -> str:
        """Whether Redis is there, and still has what it was sent; what is wrong, "" where nothing is."""
        if self._client.exists(self.stream) or not self._sent_seq:
            return ""
        return f"Redis has lost what it held up to decision {self._sent_seq}: readers go back to the journal"

    def _send(self, batch: list[tuple[int, bytes]]) -> str:
        """Add the entries. One whose number the stream has passed was sent before: its answer had been lost."""
        pipe = self._client.pipeline(transaction=False)
        for seq, packed in batch:
            pipe.xadd(self.stream, {"e": packed}, id=f"{seq}-0", maxlen=self._keep, approximate=True)
        for answer in pipe.execute(raise_on_error=False):
            already = isinstance(answer, redis.ResponseError) and "equal or smaller" in str(answer)
            if isinstance(answer, Exception) and not already:
                raise answer
        return ""

    def _sent(self, batch: list[tuple[int, bytes]], lost: str) -> None:
        with self._wake:
            self._connected, self._detail = True, lost
            if batch:
                self._sent_seq = batch[-1][0]
            for entry in batch:
                # The queue may have been cut at this end meanwhile.
                if self._queue and self._queue[0] is entry:
                    self._queue.popleft()
            self._wake.notify_all()

    def _away(self, error: Exception) -> None:
        with self._wake:
            self._connected, self._detail = False, " ".join(str(error).split()) or type(error).__name__


def follow_stream(
    client: "redis.Redis", stream: str, after_seq: int = 0, *, wait_s: float = 1.0
) -> Iterator[tuple[int, list[Event]]]:
    """What was published after decision `after_seq`, publication by publication, then what comes, without end.

    Yields (sequence of the last event, events), and (the place, []) where `wait_s` passed without news, so that a
    caller can look at other things. Raises Gap where the stream has lost something the reader does not have, and
    redis.RedisError while Redis is away; call again with the last sequence to go on.
    """
    place = after_seq
    while True:
        found: Any = client.xread({stream: f"{place}-0"}, count=READ_AT_ONCE, block=max(1, int(wait_s * 1000)))
        entries = _entries(found)
        if not entries:
            yield place, []
            continue
        for entry_id, fields in entries:
            seq = int(entry_id.split(b"-")[0])
            events = [decode(payload) for payload in msgspec.msgpack.decode(fields[b"e"], type=list[bytes])]
            fresh = list(unread(place, seq, events))
            place = seq
            yield seq, fresh


def _entries(found: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of an answer about one stream, in either form the protocol gives them."""
    if not found:
        return []
    if isinstance(found, dict):
        (batches,) = found.values()
        return [entry for batch in batches for entry in batch]
    return list(found[0][1])


class GroupReader:
    """Several workers share a stream: each publication goes to one of them, and is theirs until they say it is done.

    What a worker took and never finished goes to another after `idle_s`. A group begins where the stream does.
    """

    def __init__(self, client: "redis.Redis", stream: str, group: str, worker: str, *, idle_s: float = 30.0) -> None:
        self._client, self._stream, self._group, self._worker = client, stream, group, worker
        self._idle_ms = int(idle_s * 1000)

    def join(self) -> None:
        """Make the group where there is none."""
        try:
            self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def take(self, *, count: int = READ_AT_ONCE, wait_s: float = 1.0) -> list[tuple[int, list[Event]]]:
        """Publications for this worker: abandoned ones first, then new ones; empty where none came in time."""
        claimed: Any = self._client.xautoclaim(
            self._stream, self._group, self._worker, self._idle_ms, start_id="0-0", count=count
        )
        entries = [entry for entry in claimed[1] if entry[1] is not None]
        if not entries:
            found: Any = self._client.xreadgroup(
                self._group, self._worker, {self._stream: ">"}, count=count, block=max(1, int(wait_s * 1000))
            )
            entries = _entries(found)
        return [
            (int(entry_id.split(b"-")[0]), [decode(p) for p in msgspec.msgpack.decode(fields[b"e"], type=list[bytes])])
            for entry_id, fields in entries
        ]

    def done(self, seqs: Sequence[int]) -> None:
        """These publications are dealt with."""
        if seqs:
            self._client.xack(self._stream, self._group, *(f"{seq}-0" for seq in seqs))


class LiveState:
    """The live view of a book where dashboards of several machines read it; it is gone soon after its writer is."""

    def __init__(self, client: "redis.Redis", book: str, *, expires_s: float = 10.0) -> None:
        self._client = client
        self._key = f"qm:{book}:live"
        self._expires_ms = int(expires_s * 1000)

    def put(self, seq: int, view: bytes) -> None:
        """The view as of decision `seq`. Raises redis.RedisError."""
        self._client.set(self._key, msgspec.msgpack.encode((seq, view)), px=self._expires_ms)

    def get(self) -> tuple[int, bytes] | None:
        """The newest view and its sequence; None where its writer has been silent for too long."""
        held: Any = self._client.get(self._key)
        return None if held is None else msgspec.msgpack.decode(held, type=tuple[int, bytes])
