"""The writer thread: what it takes at once, whom it tells, and how it holds back those who are ahead of the disk."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from qmworkbench.domain.chain import GENESIS
from qmworkbench.ports import JournalFailed
from qmworkbench.storage import group_commit
from qmworkbench.storage.group_commit import GroupCommit
from qmworkbench.storage.journal_select import STREAMS, Row

PATIENCE_S = 60.0  # for what happens at once: never waited out


class GatedSink:
    """Writes into memory, each time only once it is let; may be told to fail."""

    by_caller = True

    def __init__(self) -> None:
        self.connection = "the connection"
        self.written: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.fails = False
        self.rested = threading.Semaphore(0)

    def write(self, taken: dict[str, list[Row]]) -> None:
        self.begun.release()
        assert self.let.acquire(timeout=PATIENCE_S)
        if self.fails:
            raise OSError("no room")
        self.written.append([row[0] for stream in STREAMS for row in taken[stream]])

    def reached(self) -> dict[str, tuple[int, str]]:
        newest = max((seq for seqs in self.written for seq in seqs), default=0)
        return {"decisions": (newest, f"hash {newest}" if newest else GENESIS), "telemetry": (0, GENESIS)}

    def rest(self) -> None:
        self.rested.release()

    def finish(self) -> None: ...

    def close(self) -> None: ...


def row(seq: int) -> Row:
    return (seq, "2018-03-02T14:30:00Z", "clock.ticked", 1, b"{}", GENESIS, f"hash {seq}")


@pytest.fixture
def sink() -> GatedSink:
    return GatedSink()


@pytest.fixture
def writer(sink: GatedSink) -> Iterator[GroupCommit[Any]]:
    made: GroupCommit[Any] = GroupCommit(sink, "the store", dict.fromkeys(STREAMS, (0, GENESIS)), remedy="look")
    yield made
    sink.let.release(1_000)
    made.close()


def begun(act: Any) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_what_gathers_during_a_commit_is_the_next_one(sink: GatedSink, writer: GroupCommit[Any]) -> None:
    told: list[int] = []
    writer.put("decisions", [row(1)])
    assert writer.when_durable(1, lambda: told.append(1))
    assert sink.begun.acquire(timeout=PATIENCE_S)
    for seq in (2, 3, 4):
        writer.put("decisions", [row(seq)])
        assert writer.when_durable(seq, lambda seq=seq: told.append(seq))  # type: ignore[misc]
    assert (told, writer.durable()) == ([], (0, GENESIS))
    sink.let.release(2)
    assert writer.sync(4) == 4
    assert sink.written == [[1], [2, 3, 4]]
    assert told == [1, 2, 3, 4]
    assert not writer.when_durable(4, lambda: told.append(0)), "it is there already: nobody is told"
    assert writer.durable() == (4, "hash 4")


def test_who_is_too_far_ahead_of_the_disk_waits_for_it(
    sink: GatedSink, writer: GroupCommit[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "WAKE_ROWS", 2)
    monkeypatch.setattr(group_commit, "QUEUE_LIMIT", 4)
    writer.put("decisions", [row(1), row(2)])  # enough to be written without being asked for
    assert sink.begun.acquire(timeout=PATIENCE_S)
    ahead = begun(lambda: writer.put("decisions", [row(seq) for seq in range(3, 8)]))
    ahead.join(0.05)
    assert ahead.is_alive(), "five rows wait behind a commit that is not done: too many"
    sink.let.release()  # the first commit; the second takes the five, and who put them may go on
    assert sink.begun.acquire(timeout=PATIENCE_S)
    ahead.join(PATIENCE_S)
    assert not ahead.is_alive()
    sink.let.release()
    assert writer.sync(7) == 7
    assert sink.written == [[1, 2], [3, 4, 5, 6, 7]]


def test_a_failure_frees_everyone_who_waits(
    sink: GatedSink, writer: GroupCommit[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "WAKE_ROWS", 1)
    monkeypatch.setattr(group_commit, "QUEUE_LIMIT", 2)
    found: list[str] = []

    def kept(act: Any) -> Any:
        def run() -> None:
            try:
                act()
            except JournalFailed as error:
                found.append(str(error))

        return run

    writer.put("decisions", [row(1)])
    assert sink.begun.acquire(timeout=PATIENCE_S)
    told = threading.Event()
    assert writer.when_durable(1, told.set)
    waiting = [
        begun(kept(lambda: writer.put("decisions", [row(2), row(3)]))),
        begun(kept(lambda: writer.sync(1))),
        begun(kept(lambda: writer.ask(str))),
    ]
    for thread in waiting:
        thread.join(0.05)
    sink.fails = True
    sink.let.release()
    for thread in waiting:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert told.wait(PATIENCE_S)
    assert len(found) == 3
    assert all("the store could not be written (no room)" in text and text.endswith("look") for text in found)
    assert writer.durable() == (0, GENESIS)
    assert not writer.when_durable(1, told.set)


def test_a_wish_is_written_without_anybody_waiting(sink: GatedSink, writer: GroupCommit[Any]) -> None:
    sink.let.release(2)
    writer.put("decisions", [row(1)])
    writer.want()
    assert sink.begun.acquire(timeout=PATIENCE_S)
    writer.put("telemetry", [row(1)])
    assert writer.ask(lambda connection: connection) == "the connection"
    assert sink.written == [[1], [1]]


def test_the_store_tidies_up_while_nobody_waits(sink: GatedSink, writer: GroupCommit[Any]) -> None:
    assert sink.rested.acquire(timeout=PATIENCE_S), "nothing is wanted"
    writer.put("decisions", [row(1)])
    sink.let.release()
    assert writer.sync(1) == 1
    assert sink.rested.acquire(timeout=PATIENCE_S), "and again, after what was wanted"


class PlainSink(GatedSink):
    """Writes at once, in whoever's thread; is interrupted or fails where a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.by: list[str] = []
        self.strikes: list[tuple[str, BaseException]] = []
        self.closed = threading.Event()
        self.at_home = threading.current_thread()

    def write(self, taken: dict[str, list[Row]]) -> None:
        self.by.append(threading.current_thread().name)
        self._strike("before")
        self.written.append([row[0] for stream in STREAMS for row in taken[stream]])
        self._strike("after")

    def close(self) -> None:
        self.closed.set()

    def _strike(self, when: str) -> None:
        """In the thread of the test alone: Ctrl-C reaches no other."""
        if self.strikes and self.strikes[0][0] == when and threading.current_thread() is self.at_home:
            raise self.strikes.pop(0)[1]


@pytest.fixture
def plain() -> PlainSink:
    return PlainSink()


@pytest.fixture
def quick(plain: PlainSink) -> Iterator[GroupCommit[Any]]:
    made: GroupCommit[Any] = GroupCommit(plain, "the store", dict.fromkeys(STREAMS, (0, GENESIS)), remedy="look")
    yield made
    with suppress(JournalFailed):
        made.close()


def test_who_waits_writes_and_what_is_there_already_is_not_written_again(
    plain: PlainSink, quick: GroupCommit[Any]
) -> None:
    for seq in (1, 2):
        quick.put("decisions", [row(seq)])
        assert quick.sync(seq) == seq
        assert quick.sync(seq) == seq
    assert plain.written == [[1], [2]]
    assert plain.by == [threading.current_thread().name] * 2
    assert quick.commits == 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_turn_that_is_interrupted_loses_nothing_and_writes_nothing_twice(
    plain: PlainSink, quick: GroupCommit[Any], when: str, times: int
) -> None:
    """Ctrl-C reaches the main thread between any two steps: whether the commit arrived is asked from the store."""
    quick.put("decisions", [row(1), row(2)])
    told = threading.Event()
    assert quick.when_durable(2, told.set) or quick.durable()[0] == 2
    for number in range(times):
        plain.strikes.append((when, KeyboardInterrupt()))
        quick.put("decisions", [row(3 + number)])
        with suppress(KeyboardInterrupt):
            quick.sync(3 + number)
        plain.strikes.clear()  # where the thread was sooner there was nothing to interrupt
    quick.put("decisions", [row(9)])
    assert quick.sync(9) == 9
    assert told.wait(PATIENCE_S) or quick.durable()[0] >= 2
    assert [seq for seqs in plain.written for seq in seqs] == [1, 2, *range(3, 3 + times), 9]
    assert quick.failure is None


def test_who_waits_beside_an_interrupted_turn_is_told(plain: PlainSink, quick: GroupCommit[Any]) -> None:
    waits = threading.Event()
    found: list[int] = []

    def wait() -> None:
        waits.set()
        found.append(quick.sync(2))

    with quick._turning:  # as though a commit were under way
        quick.put("decisions", [row(1), row(2)])
        other = begun(wait)
        assert waits.wait(PATIENCE_S)
    plain.strikes.append(("after", KeyboardInterrupt()))
    with suppress(KeyboardInterrupt):
        quick.sync(1)
    plain.strikes.clear()
    other.join(PATIENCE_S)
    assert found == [2]
    assert [seq for seqs in plain.written for seq in seqs] == [1, 2]


def test_a_failure_in_the_turn_of_who_waits_is_final_for_everybody(plain: PlainSink, quick: GroupCommit[Any]) -> None:
    plain.strikes.append(("before", OSError("no room")))
    quick.put("decisions", [row(1)])
    with pytest.raises(JournalFailed, match="no room"):
        quick.sync(1)
    with pytest.raises(JournalFailed, match="no room"):
        quick.put("decisions", [row(2)])
    assert plain.closed.wait(PATIENCE_S), "the store is given up at once: its lock is somebody else's to take"
    assert not plain.written


def test_a_main_thread_interrupted_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """With real signals, wherever they strike: in the driver's call, between two steps, as others are told."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.interrupted_process", str(tmp_path / "journal.db"), "1200", "7"],
        cwd=root, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
