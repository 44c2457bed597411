"""The journal's writer: one at a time, a thread of its own or whoever waits, commits everything queued at once (§21).

Rules:

1. Whoever holds `_turning` is the writer: it takes all that is queued, makes it durable in one transaction, and tells.
2. The thread takes a turn when somebody wants one, when much has gathered, and when rows have waited long enough.
3. Who waits by sync() takes the next turn, unless the one before has written what it waits for: handing over to the
   thread and back would cost as much as the disk. Not so where the store may hang and the call is not to be interrupted
   (Sink.by_caller): then who waits has to be able to give up.
4. The first failure is final. A turn that was interrupted from outside (Ctrl-C in the main thread) is no failure: what
   became of it is asked from the store, by the thread, before anything else is written.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, TypeVar

from qmworkbench.ports import JournalFailed
from qmworkbench.storage.journal_select import STREAMS, Row

T = TypeVar("T")
C = TypeVar("C")

WAKE_ROWS: Final = 512  # so much in the queue is committed without being asked for
IDLE_S: Final = 0.25  # and whatever is there after so long
QUEUE_LIMIT: Final = 200_000  # beyond it the disk is not keeping up and appending waits


class Sink(Protocol[C]):
    """Where the writer writes: one connection, used by one at a time. Whatever it raises poisons."""

    connection: C
    by_caller: bool  # whether whoever waits may write

    def write(self, taken: dict[str, list[Row]]) -> None:
        """Make the rows of every stream durable, all or none of them."""
        ...

    def reached(self) -> dict[str, tuple[int, str]]:
        """The newest durable record of each stream, with its hash, asked from the store; nothing is left open."""
        ...

    def rest(self) -> None:
        """Nobody has wanted anything for a while: the time for work that a commit should not wait for."""
        ...

    def finish(self) -> None:
        """Leave the store tidy: everything is durable already."""
        ...

    def close(self) -> None: ...


class GroupCommit(Generic[C]):
    """Takes rows, makes them durable in order, in one transaction per wake.

    The first failure is final: nothing is written after it, and every call from then on raises
    JournalFailed. What was committed before stays; what was queued is not on disk, or not provably so.
    `before_commit` runs before each commit, in the writer's thread: it makes durable what records refer to. `name` is
    what errors call the store, `remedy` what they advise.
    """

    def __init__(self, sink: Sink[C], name: str, durable: dict[str, tuple[int, str]], *, remedy: str) -> None:
        self.before_commit: Callable[[], None] | None = None
        self.commits = 0
        self._sink = sink
        self._name = name
        self._remedy = remedy
        self._durable = dict(durable)
        self._queued: dict[str, list[Row]] = {stream: [] for stream in STREAMS}
        self._taken: dict[str, list[Row]] | None = None  # what the present turn writes
        self._telling: list[Callable[[], None]] = []  # who is told of it; may be told twice, never not at all
        self._turning = threading.Lock()
        self._asked: list[tuple[Future[Any], Callable[[C], Any]]] = []
        self._lock = threading.Lock()
        # Plain locks, not conditions: handing over and back costs a quarter, and every acknowledgement pays it.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._sleeping = False
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self._wanted = False
        self._closing = False
        self._ended = False
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
        """Queue rows; wakes the writer only when there is enough to be worth it. Waits where far too much is queued."""
        with self._lock:
            self.raise_if_failed()
            if self._closing:
                raise JournalFailed(f"{self._name} is closed: nothing can be appended any more")
            self._queued[stream].extend(rows)
            full = self._rung_by(stream)
        while full:
            full.acquire()
            with self._lock:
                self.raise_if_failed()
                full = self._rung_by(stream)

    def want(self) -> None:
        """Have what is queued written soon; nothing is waited for."""
        # Seen without the lock: whoever has not yet taken the wish back has not yet taken the queue either.
        if not self._wanted:
            with self._lock:
                self._wanted = True
                self._ring()

    def when_durable(self, target: int, tell: Callable[[], None]) -> bool:
        """Have `tell` called once, when decision `target` is on disk or nothing will be any more; False, and no call,
        where it is so already. It is called in the writer's thread: it must be short, and must not raise.
        """
        with self._lock:
            if self._failure is not None or self._durable["decisions"][0] >= target:
                return False
            self._wanted = True
            self._waiting.append((target, tell))
            self._ring()
            return True

    def sync(self, target: int) -> int:
        """Wait until decision `target` is on disk; returns the durable sequence. Raises JournalFailed."""
        if self._sink.by_caller and self._durable["decisions"][0] < target:
            self._turn_for(target)
        told = threading.Lock()
        told.acquire()
        if self.when_durable(target, told.release):
            told.acquire()
        with self._lock:
            self.raise_if_failed()
            if self._queued["telemetry"]:
                self._wanted = True
                self._ring()
            return self._durable["decisions"][0]

    def ask(self, question: Callable[[C], T]) -> T:
        """Run `question` on the writing connection, between commits."""
        answer: Future[T] = Future()
        with self._lock:
            self.raise_if_failed()
            if self._closing:
                raise JournalFailed(f"{self._name} is closed")
            self._asked.append((answer, question))
            self._ring()
        return answer.result()

    def close(self) -> None:
        """Write what is queued, end the thread and the connection. Raises JournalFailed if that fails."""
        with self._lock:
            if self._closing:
                return
            failed_before = self._failure is not None
            self._closing = True
            self._ring()
        self._thread.join()
        if not failed_before:
            self.raise_if_failed()

    def _run(self) -> None:
        try:
            while self._thread_turn():
                pass
        except BaseException as error:  # whatever it is, nothing may be written after it
            self._poison(error)
        finally:
            self._sink.close()

    def _thread_turn(self) -> bool:
        """One wake of the thread; False once it is over, the store tidied unless it has failed."""
        self._await_work()
        with self._turning:
            if self._failure is not None:
                return False
            self._settle()
            if self._turn():
                return True
            self._ended = True
            self._sink.finish()
            return False

    def _turn_for(self, target: int) -> None:
        """Take the next turn in the caller's thread, where decision `target` is not durable by then."""
        with self._turning:
            begins = self._failure is None and self._taken is None and not self._telling and not self._ended
            if begins and self._durable["decisions"][0] < target:
                try:
                    self._write()
                except Exception as error:
                    self._poison(error)

    def _turn(self) -> bool:
        """Write, then answer those who asked. False once closing and empty."""
        with self._lock:
            asked, self._asked = self._asked, []
            closing = self._closing
        self._write()
        for answer, question in asked:
            try:
                answer.set_result(question(self._sink.connection))
            except Exception as error:  # belongs to the one who asked
                answer.set_exception(error)
        if not closing:
            return True
        with self._lock:
            return bool(self._largest_queue() or self._asked)

    def _write(self) -> None:
        """Take everything, make it durable, tell those who wait."""
        with self._lock:
            self._taken = taken = self._queued
            self._queued = {stream: [] for stream in STREAMS}
            self._wanted = False
        if any(taken.values()):
            self._writing_since_s = time.monotonic()
            if self.before_commit is not None:
                self.before_commit()
            self._sink.write(taken)
            self.commits += 1
            self._writing_since_s = None
        self._tell({stream: (rows[-1][0], rows[-1][6]) for stream, rows in taken.items() if rows})

    def _settle(self) -> None:
        """What was taken by a turn that was interrupted is on disk, or it is queued again, before all else."""
        self._tell_all()
        if self._taken is None:
            return
        reached = self._sink.reached()
        with self._lock:
            taken, self._writing_since_s = self._taken, None
            if taken is not self._queued:  # else it was interrupted as it took
                for stream, rows in taken.items():
                    self._queued[stream][:0] = [row for row in rows if row[0] > reached[stream][0]]
        self._tell(reached)

    def _await_work(self) -> None:
        """Sleep until somebody wants something, enough has gathered, or rows have waited long enough."""
        while True:
            with self._lock:
                if self._wanted or self._closing or self._asked or self._largest_queue() >= WAKE_ROWS:
                    return
                if self._failure is not None or self._taken is not None or self._telling:
                    return  # somebody else's turn failed or was interrupted, or goes on: then ours is after it
                self._sleeping = True
            rung = self._bell.acquire(timeout=IDLE_S)
            with self._lock:
                if not rung and not self._sleeping:
                    self._bell.acquire()  # rung just after we stopped listening
                self._sleeping = False
                if not rung and self._largest_queue():
                    return
            if not rung:
                self._sink.rest()

    def _tell(self, durable: dict[str, tuple[int, str]]) -> None:
        """Note what is durable, and tell those who waited for it. The turn is over then."""
        with self._lock:
            self._durable.update(durable)
            reached = self._durable["decisions"][0]
            told = [tell for target, tell in self._waiting if target <= reached]
            if told:
                self._telling = told[::-1]
                self._waiting = [waiting for waiting in self._waiting if waiting[0] > reached]
            self._taken = None
        self._tell_all()

    def _tell_all(self) -> None:
        while self._telling:
            with suppress(RuntimeError):  # a lock that was let go of already: interrupted just then
                self._telling[-1]()
            self._telling.pop()

    def _ring(self) -> None:
        """Wake the writer; to be called with the lock held."""
        if self._sleeping:
            self._sleeping = False
            self._bell.release()

    def _rung_by(self, stream: str) -> "threading.Lock | None":
        """Wake the writer where much is queued; where too much is, what can be had after its next commit. Lock held."""
        queued = len(self._queued[stream])
        if queued >= WAKE_ROWS:
            self._ring()
        if queued < QUEUE_LIMIT:
            return None
        told = threading.Lock()
        told.acquire()
        self._waiting.append((0, told.release))
        return told

    def _largest_queue(self) -> int:
        return max(map(len, self._queued.values()))

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
            waiting, self._waiting = self._waiting, []
            self._ring()
        for _target, tell in waiting:
            tell()
        for answer, _question in asked:
            answer.set_exception(failure)
