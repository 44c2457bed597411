"""What every bus promises (ports.Bus), whatever carries it; a new one joins in BUSES."""

import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from qmworkbench.bus.in_process import InProcessBus
from qmworkbench.bus.redis_streams import RedisBus
from qmworkbench.domain.events import Event
from qmworkbench.ports import Bus
from tests import servers
from tests.storage.events import decisions

BUSES: dict[str, Callable[[], Bus]] = {
    "in process": InProcessBus,
    "redis": lambda: RedisBus(servers.redis().url(), book="contract", origin=str(time.time_ns())),
}


@pytest.fixture(params=sorted(BUSES))
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    made = BUSES[request.param]()
    yield made
    if isinstance(made, RedisBus):
        made.close()


class Heard:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Sequence[Event]]] = []

    def __call__(self, seq: int, events: Sequence[Event]) -> None:
        self.calls.append((seq, events))


def test_everyone_who_follows_hears_everything_in_order(bus: Bus) -> None:
    first, second = Heard(), Heard()
    bus.follow(first)
    bus.follow(second)
    bus.publish(2, decisions(2))
    bus.publish(5, decisions(3, first=3))
    assert first.calls == second.calls == [(2, decisions(2)), (5, decisions(3, first=3))]


def test_publishing_to_nobody_is_fine(bus: Bus) -> None:
    bus.publish(1, decisions(1))


def test_one_hears_from_joining_to_leaving(bus: Bus) -> None:
    heard = Heard()
    bus.publish(1, decisions(1))
    leave = bus.follow(heard)
    bus.publish(2, decisions(1, first=2))
    leave()
    leave()
    bus.publish(3, decisions(1, first=3))
    assert [seq for seq, _events in heard.calls] == [2]


def test_the_same_receiver_may_follow_twice_and_leave_once(bus: Bus) -> None:
    heard = Heard()
    leave = bus.follow(heard)
    bus.follow(heard)
    leave()
    bus.publish(1, decisions(1))
    assert len(heard.calls) == 1


def test_a_receiver_that_raises_is_dropped_and_nobody_else_notices(bus: Bus) -> None:
    heard, tried = Heard(), Heard()

    def broken(seq: int, events: Sequence[Event]) -> None:
        tried(seq, events)
        raise RuntimeError("page gone")

    bus.follow(broken)
    bus.follow(heard)
    bus.publish(1, decisions(1))
    bus.publish(2, decisions(1, first=2))
    assert [seq for seq, _events in heard.calls] == [1, 2]
    assert [seq for seq, _events in tried.calls] == [1]


def test_a_receiver_may_leave_or_join_while_being_told(bus: Bus) -> None:
    late = Heard()
    leaving: list[Callable[[], None]] = []

    def once(seq: int, events: Sequence[Event]) -> None:
        leaving[0]()
        bus.follow(late)

    leaving.append(bus.follow(once))
    bus.publish(1, decisions(1))
    bus.publish(2, decisions(1, first=2))
    assert [seq for seq, _events in late.calls] == [2]
