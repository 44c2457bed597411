"""What every bus promises (ports.Bus), whatever carries it; a new one joins in BUSES."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from qmworkbench.bus.in_process import Gap, InProcessBus, ReceiverFailed
from qmworkbench.bus.redis_follower import RedisFollower
from qmworkbench.bus.redis_streams import RedisBus
from qmworkbench.domain.events import Event
from tests import servers
from tests.storage.events import decisions


class Elsewhere:
    """Published by one process, followed in another: each has its own connections to Redis."""

    def __init__(self, keep: int) -> None:
        book, origin = "elsewhere", str(time.time_ns())
        self._here = RedisBus(servers.redis().url(), book=book, origin=origin, keep=keep)
        self._there = RedisFollower(servers.redis().url(), self._here.stream)
        self.follow = self._there.follow

    def publish(self, seq: int, events: Sequence[Event]) -> None:
        self._here.publish(seq, events)
        assert self._here.flush(60.0), "only what has arrived is there to be followed"

    @property
    def failures(self) -> tuple[ReceiverFailed, ...]:
        return self._there.failures

    def close(self) -> None:
        self._there.close()
        self._here.close()


AnyBus = InProcessBus | RedisBus | Elsewhere
BUSES: dict[str, Callable[[int], AnyBus]] = {
    "in process": lambda keep: InProcessBus(keep=keep),
    "redis": lambda keep: RedisBus(servers.redis().url(), book="contract", origin=str(time.time_ns()), keep=keep),
    "redis, elsewhere": Elsewhere,
}


@pytest.fixture(params=sorted(BUSES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bus(kind: str) -> Iterator[AnyBus]:
    made = BUSES[kind](1000)
    yield made
    made.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Heard:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Sequence[Event]]] = []

    def __call__(self, seq: int, events: Sequence[Event]) -> None:
        self.calls.append((seq, events))

    def hears(self, *seqs: int) -> list[tuple[int, Sequence[Event]]]:
        """What was heard, once the last of these publications was; they, and no others, in this order."""
        until(lambda: bool(self.calls) and self.calls[-1][0] >= seqs[-1])
        assert [seq for seq, _ in self.calls] == list(seqs)
        return self.calls


def test_everyone_who_follows_hears_everything_in_order(bus: AnyBus) -> None:
    first, second = Heard(), Heard()
    bus.follow(first)
    bus.follow(second)
    bus.publish(2, decisions(2))
    bus.publish(5, decisions(3, first=3))
    assert first.hears(2, 5) == second.hears(2, 5) == [(2, decisions(2)), (5, decisions(3, first=3))]


def test_publishing_to_nobody_is_fine(bus: AnyBus) -> None:
    bus.publish(1, decisions(1))


def test_one_hears_from_joining_to_leaving(bus: AnyBus) -> None:
    heard = Heard()
    bus.publish(1, decisions(1))
    leave = bus.follow(heard)
    bus.publish(2, decisions(1, first=2))
    heard.hears(2)
    leave()
    leave()
    bus.publish(3, decisions(1, first=3))
    heard.hears(2)


def test_the_same_receiver_may_follow_twice_and_leave_once(bus: AnyBus) -> None:
    heard = Heard()
    leave = bus.follow(heard)
    bus.follow(heard)
    leave()
    bus.publish(1, decisions(1))
    heard.hears(1)


def test_a_receiver_that_raises_is_dropped_and_nobody_else_notices(bus: AnyBus) -> None:
    heard, tried = Heard(), Heard()

    def broken(seq: int, events: Sequence[Event]) -> None:
        tried(seq, events)
        raise RuntimeError("page gone")

    bus.follow(broken)
    bus.follow(heard)
    bus.publish(1, decisions(1))
    until(lambda: bool(bus.failures))
    bus.publish(2, decisions(1, first=2))
    heard.hears(1, 2)
    tried.hears(1)
    assert [(failure.seq, failure.error) for failure in bus.failures] == [(1, "RuntimeError: page gone")]


def test_a_receiver_may_leave_or_join_while_being_told(bus: AnyBus) -> None:
    late, done = Heard(), threading.Event()
    leaving: list[Callable[[], None]] = []

    def once(seq: int, events: Sequence[Event]) -> None:
        leaving[0]()
        bus.follow(late)
        done.set()

    leaving.append(bus.follow(once))
    bus.publish(1, decisions(1))
    assert done.wait(60)
    bus.publish(2, decisions(1, first=2))
    late.hears(2)


def test_one_who_comes_later_hears_from_any_place_on_and_then_goes_on(bus: AnyBus) -> None:
    bus.publish(2, decisions(2))
    bus.publish(5, decisions(3, first=3))
    from_the_start, within, newest = Heard(), Heard(), Heard()
    bus.follow(from_the_start, 0)
    bus.follow(within, 4)
    bus.follow(newest, 5)
    bus.publish(6, decisions(1, first=6))
    assert from_the_start.hears(2, 5, 6)[0] == (2, decisions(2))
    assert within.hears(5, 6)[0] == (5, decisions(1, first=5)), "what it has of a publication is left out"
    newest.hears(6)


def test_a_place_that_has_left_the_bus_is_a_gap_and_never_silence(kind: str) -> None:
    bus, heard = BUSES[kind](10), Heard()
    try:
        for seq in range(1, 251):
            (bus._here if isinstance(bus, Elsewhere) else bus).publish(seq, decisions(1, first=seq))
        bus.publish(251, decisions(1, first=251))
        with pytest.raises(Gap, match=r"decisions 6 to \d+ are not on the bus: read them from the journal") as gap:
            bus.follow(heard, 5)
        assert gap.value.after_seq == 5
        assert heard.calls == []
        bus.follow(heard, 249)
        heard.hears(250, 251)
    finally:
        bus.close()


def test_a_past_that_raises_ends_it_at_once(bus: AnyBus) -> None:
    bus.publish(1, decisions(1))
    bus.publish(2, decisions(1, first=2))

    def broken(seq: int, events: Sequence[Event]) -> None:
        raise RuntimeError("page gone")

    bus.follow(broken, 0)
    until(lambda: bool(bus.failures))
    assert bus.failures[0].error == "RuntimeError: page gone"
    until(lambda: isinstance(bus, Elsewhere) or bus.receivers == 0)
