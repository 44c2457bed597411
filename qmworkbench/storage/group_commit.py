"""The journal's writer thread: it alone writes, and commits everything queued at once (§21)."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Generic, Protocol, TypeVar

from qmworkbench.ports import JournalFailed
from qmworkbench.storage.journal_file import STREAMS, Row

T = TypeVar("T")
C = TypeVar("C")

WAKE_ROWS: Final = 512  # so much in the queue is committed without being asked for
IDLE_S: Final = 0.25  # and whatever is there after so long
QUEUE_LIMIT: Final = 200_000  # beyond it the disk is not keeping up and appending waits


class Sink(Protocol[C]):
    """Where the writer thread writes: one connection, used by that thread alone. Whatever it raises poisons."""

    connection: C

    def write(self, taken: dict[str, list[Row]]) -> None:
        """Make the rows of every stream durable, all or none of them."""
        ...

    def finish(self) -> None:
        """Leave the store tidy: everything is durable already."""
        ...

    def close(self) -> None: ...


class GroupCommit(Generic[C]):
    """Takes rows, makes them durable in order, in one transaction per wake.

    The first failure is final: nothing is written after it, and every call from then on raises
    JournalFailed. What was committed before stays; what was queued is not on disk, or not provably so.
    `before_commit` runs in the writer thread before each commit: it makes durable what records refer to. `name` is what
    errors call the store, `remedy` what they advise.
    """

    def __init__(self, sink: Sink[C], name: str, durable: dict[str, tuple[int, str]], *, remedy: str) -> None:
        self.before_commit: Callable[[], None] | None = None
        self.commits = 0
        self._sink = sink
        self._name = name
        self._remedy = remedy
        self._durable = dict(durable)
        self._queued: dict[str, list[Row]] = {stream: [] for stream in STREAMS}
        self._asked: list[tuple[Future[Any], Callable[[C], Any]]] = []
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._done = threading.Condition(self._lock)
        self._wanted = False
        self._closing = False
        self._failure: JournalFailed | None = None
        self._writing_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"journal {name}", daemon=True)
        self._thread.start()

    def durable(self, stream: str = "decisions") -> tuple[int, str]:
        """The newest record of a stream that is surely on disk; still answers after a failure."""
        with self._lock:
            return self._durable[stream]

    def writing_s(self) -> float:
        """For how many seconds the present commit has been under way; 0 where none is."""
        since_s = self._writing_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @property
    def failure(self) -> JournalFailed | None:
        """What ended the writing, None while it goes on."""
        return self._failure

    def raise_if_failed(self) -> None:
        if self._failure is not None:
            # A fresh one each time: a raised exception collects the tracebacks of everyone who raises it.
            raise JournalFailed(str(self._failure)) from self._failure.__cause__

    def put(self, stream: str, rows: list[Row]) -> None:
        """Queue rows; wakes the writer only when there is enough to be worth it."""
        with self._lock:
            self.raise_if_failed()
            if self._closing:
                raise JournalFailed(f"{self._name} is closed: nothing can be appended any more")
            queue = self._queued[stream]
            queue.extend(rows)
            if len(queue) >= WAKE_ROWS:
                self._wake.notify()
                while len(queue) >= QUEUE_LIMIT and self._failure is None:
                    self._done.wait()
                    queue = self._queued[stream]
                self.raise_if_failed()

    def sync(self, target: int) -> int:
        """Wait until decision `target` is on disk; returns the durable sequence. Raises JournalFailed."""
        with self._lock:
            self.raise_if_failed()
            if self._durable["decisions"][0] < target or self._queued["telemetry"]:
                self._wanted = True
                self._wake.notify()
            while self._durable["decisions"][0] < target:
                self._done.wait()
                self.raise_if_failed()
            return self._durable["decisions"][0]

    def ask(self, question: Callable[[C], T]) -> T:
        """Run `question` on the writing connection, between commits."""
        answer: Future[T] = Future()
        with self._lock:
            self.raise_if_failed()
            if self._closing:
                raise JournalFailed(f"{self._name} is closed")
            self._asked.append((answer, question))
            self._wake.notify()
        return answer.result()

    def close(self) -> None:
        """Write what is queued, end the thread and the connection. Raises JournalFailed if that fails."""
        with self._lock:
            if self._closing:
                return
            failed_before = self._failure is not None
            self._closing = True
            self._wake.notify()
        self._thread.join()
        if not failed_before:
            self.raise_if_failed()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
            self._sink.finish()
        except BaseException as error:  # whatever it is, nothing may be written after it
            self._poison(error)
        finally:
            self._sink.close()

    def _turn(self) -> bool:
        """One wake: take everything, make it durable, tell those who wait. False once closing and empty."""
        with self._lock:
            while not (self._wanted or self._closing or self._asked or self._largest_queue() >= WAKE_ROWS):
                if not self._wake.wait(IDLE_S) and self._largest_queue():
                    break
            taken, self._queued = self._queued, {stream: [] for stream in STREAMS}
            asked, self._asked = self._asked, []
            self._wanted = False
            closing = self._closing
        if any(taken.values()):
            self._writing_since_s = time.monotonic()
            if self.before_commit is not None:
                self.before_commit()
            self._sink.write(taken)
            self.commits += 1
            self._writing_since_s = None
        with self._lock:
            for stream, rows in taken.items():
                if rows:
                    self._durable[stream] = (rows[-1][0], rows[-1][6])
            self._done.notify_all()
        for answer, question in asked:
            try:
                answer.set_result(question(self._sink.connection))
            except Exception as error:  # belongs to the one who asked
                answer.set_exception(error)
        with self._lock:
            return not (closing and not self._largest_queue() and not self._asked)

    def _largest_queue(self) -> int:
        return max(len(queue) for queue in self._queued.values())

    def _poison(self, error: BaseException) -> None:
        told = " ".join(str(error).split())
        failure = JournalFailed(
            f"{self._name} could not be written ({told}): no effect may leave any more; {self._remedy}"
        )
        failure.__cause__ = error
        self._writing_since_s = None
        with self._lock:
            self._failure = failure
            for queue in self._queued.values():
                queue.clear()
            asked, self._asked = self._asked, []
            self._done.notify_all()
        for answer, _question in asked:
            answer.set_exception(failure)
