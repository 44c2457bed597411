"""Following a book's decisions from another process or machine: from any place on, through outages (§6, §9).

Redis only carries: what it has lost is a gap, and the journal is where a reader goes then.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

import redis

from qmworkbench.bus.in_process import BusHealth, Gap, Receiver, ReceiverFailed, name_of
from qmworkbench.bus.redis_streams import client_of, follow_stream

_WAIT_S: Final = 0.5  # how long one question waits for news: leaving takes no longer
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_FAILURES_KEPT: Final = 32
_JOIN_S: Final = 5.0


class RedisFollower:
    """ports.Bus.follow for what somebody else publishes to a stream (redis_streams.stream_of).

    Each receiver has a thread and a place of its own. While Redis is away it asks again with growing pauses, and goes
    on where it was. A receiver that raises is dropped; one that meets a gap later on is dropped as well, with the gap
    as its error in `failures` (and told to `on_failure`), unless `on_gap` takes it: it is then called with the gap, is
    to bring what is missing from the journal, and the stream goes on after it.
    """

    def __init__(
        self,
        url: str,
        stream: str,
        *,
        on_failure: Callable[[ReceiverFailed], None] = lambda failed: None,
        on_gap: Callable[[Gap], None] | None = None,
    ) -> None:
        self.stream = stream
        self.failures: tuple[ReceiverFailed, ...] = ()
        self._url, self._on_failure, self._on_gap = url, on_failure, on_gap
        self._lock = threading.Lock()
        self._following: list[_Following] = []

    @property
    def receivers(self) -> int:
        """How many follow."""
        with self._lock:
            return sum(one.thread.is_alive() for one in self._following)

    @property
    def health(self) -> BusHealth:
        """How things stand with Redis, as far as those who follow know."""
        with self._lock:
            details = [one.detail for one in self._following if one.detail]
        return BusHealth(connected=not details, detail=details[0] if details else "")

    def follow(self, receiver: Receiver, after_seq: int | None = None) -> Callable[[], None]:
        """Call `receiver` with what is published from now on, or after decision `after_seq`; the returned call ends it.

        Raises Gap where some of that has left the stream already, redis.RedisError where Redis does not answer.
        """
        client = client_of(self._url)
        try:
            place = self._last(client) if after_seq is None else after_seq
            next(follow_stream(client, self.stream, place, wait_s=0.001))  # a gap is told now, not to a thread
        except BaseException:
            client.close()
            raise
        following = _Following(self, client, receiver, place)
        with self._lock:
            self._following.append(following)
        following.thread.start()
        return lambda: self._leave(following)

    def close(self) -> None:
        """End all following; twice is fine."""
        with self._lock:
            following = list(self._following)
        for one in following:
            self._leave(one)

    def _last(self, client: "redis.Redis") -> int:
        """The decision that the stream ends with, 0 where it is empty."""
        newest: Any = client.xrevrange(self.stream, count=1)
        return int(newest[0][0].split(b"-")[0]) if newest else 0

    def _leave(self, following: "_Following") -> None:
        following.stopping.set()
        if following.thread is not threading.current_thread():
            following.thread.join(_JOIN_S)
        with self._lock:
            if following in self._following:
                self._following.remove(following)

    def failed(self, failure: ReceiverFailed) -> None:
        """Keep a receiver's end, and tell of it."""
        with self._lock:
            self.failures = (*self.failures, failure)[-_FAILURES_KEPT:]
        self._on_failure(failure)

    def bridged(self, gap: Gap) -> bool:
        """Whether somebody else brings what is missing."""
        if self._on_gap is not None:
            self._on_gap(gap)
        return self._on_gap is not None


class _Following:
    """One receiver, its thread and its place. `detail` is what Redis' absence says, "" while it answers."""

    def __init__(self, owner: RedisFollower, client: "redis.Redis", receiver: Receiver, place: int) -> None:
        self.stopping = threading.Event()
        self.detail = ""
        self._owner, self._client, self._receiver, self._place = owner, client, receiver, place
        self.thread = threading.Thread(target=self._run, name=f"follows {owner.stream}", daemon=True)

    def _run(self) -> None:
        pause_s = 0.0
        try:
            while not self.stopping.is_set():
                try:
                    self._listen()
                except redis.RedisError as error:
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S) if self.detail else _FIRST_PAUSE_S
                    self.detail = " ".join(str(error).split()) or type(error).__name__
                    self.stopping.wait(pause_s)
                except Gap as gap:
                    if not self._owner.bridged(gap):
                        raise
                    self._place = gap.next_seq - 1
        except Gap as gap:
            self._owner.failed(ReceiverFailed(name_of(self._receiver), self._place, str(gap)))
        finally:
            self._client.close()

    def _listen(self) -> None:
        for seq, events in follow_stream(self._client, self._owner.stream, self._place, wait_s=_WAIT_S):
            self.detail = ""
            if self.stopping.is_set():
                return
            self._place = max(self._place, seq)
            try:
                if events:
                    self._receiver(seq, events)
            except Exception as error:  # whatever it is, it is the receiver's own trouble
                self._owner.failed(ReceiverFailed(name_of(self._receiver), seq, f"{type(error).__name__}: {error}"))
                self.stopping.set()
                return
