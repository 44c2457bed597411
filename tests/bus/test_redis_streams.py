"""The bus on a real Redis-compatible server: replay, gaps, groups, and a server that comes and goes (§6)."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from qmworkbench.bus.redis_follower import RedisFollower
from qmworkbench.bus.redis_streams import Gap, GroupReader, LiveState, RedisBus, client_of, follow_stream, stream_of
from qmworkbench.domain.events import Event
from qmworkbench.service.servers.redis import RedisServer
from tests import servers
from tests.storage.events import decisions

_names = iter(range(1_000_000))


@pytest.fixture
def url() -> str:
    return servers.redis().url()


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with client_of(url) as opened:
        yield opened


@pytest.fixture
def book() -> str:
    return f"t{next(_names)}-{time.time_ns()}"


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)


def _read(client: redis.Redis, stream: str, after_seq: int, count: int) -> list[Event]:
    heard: list[Event] = []
    for _, events in follow_stream(client, stream, after_seq, wait_s=0.2):
        heard += events
        if len(heard) >= count or not events:
            return heard
    raise AssertionError


def test_a_reader_elsewhere_hears_everything_from_wherever_it_left_off(
    url: str, client: redis.Redis, book: str
) -> None:
    bus = RedisBus(url, book=book, origin="a")
    bus.publish(2, decisions(2))
    bus.publish(5, decisions(3, first=3))
    assert bus.flush(60.0)
    assert _read(client, bus.stream, 0, 5) == decisions(5)
    assert _read(client, bus.stream, 2, 3) == decisions(3, first=3)
    assert _read(client, bus.stream, 4, 1) == decisions(1, first=5), "a place within a publication"
    assert _read(client, bus.stream, 5, 1) == [], "nothing yet"
    bus.close()


def test_what_is_published_again_is_there_once(url: str, client: redis.Redis, book: str) -> None:
    for _ in range(2):
        bus = RedisBus(url, book=book, origin="a")
        bus.publish(3, decisions(3))
        assert bus.flush(60.0)
        bus.close()
    assert client.xlen(stream_of(book, "a")) == 1
    fresh = RedisBus(url, book=book, origin="b")
    fresh.publish(1, decisions(1))
    assert fresh.flush(60.0)
    assert _read(client, fresh.stream, 0, 1) == decisions(1), "a new book of the same name begins anew"
    fresh.close()


def test_a_trimmed_stream_is_a_gap_and_not_silence(url: str, client: redis.Redis, book: str) -> None:
    bus = RedisBus(url, book=book, origin="a", keep=10)
    for seq in range(1, 500):
        bus.publish(seq, decisions(1, first=seq))
    assert bus.flush(60.0)
    assert client.xlen(bus.stream) < 499
    with pytest.raises(Gap, match=r"decisions 6 to \d+ are not on the bus: read them from the journal"):
        _read(client, bus.stream, 5, 1)
    assert _read(client, bus.stream, 497, 2) == decisions(2, first=498)
    bus.close()


def test_redis_that_is_killed_degrades_and_what_waited_arrives(tmp_path: Path, book: str) -> None:
    server = RedisServer(tmp_path / "redis")
    server.up()
    bus = RedisBus(server.url(), book=book, origin="a", queue_limit=50)
    heard: list[int] = []
    bus.follow(lambda seq, events: heard.append(seq))
    elsewhere, there = list[int](), RedisFollower(server.url(), bus.stream)
    there.follow(lambda seq, events: elsewhere.append(seq))
    try:
        bus.publish(1, decisions(1))
        assert bus.flush(30.0)
        _until(lambda: elsewhere == [1], "it is heard elsewhere")
        server.kill()
        _until(lambda: not bus.health.connected, "the loss is noticed although nobody publishes")
        _until(lambda: not there.health.connected, "and by who listens")
        for seq in range(2, 12):
            bus.publish(seq, decisions(1, first=seq))
        _until(lambda: not bus.health.connected, "the loss is noticed")
        assert bus.health.detail
        assert heard == list(range(1, 12)), "receivers here never notice"
        server.up()
        assert bus.flush(60.0)
        assert bus.health.connected
        assert bus.health.dropped == 0
        with client_of(server.url()) as client:
            tail = _read(client, bus.stream, client_first(client, bus.stream) - 1, 999)
        assert tail[-10:] == decisions(10, first=2)
        _until(lambda: elsewhere == list(range(1, 12)), "who listens elsewhere goes on where it was")
        assert (there.failures, there.health.connected) == ((), True)
    finally:
        there.close()
        bus.close()
        server.down()


def client_first(client: redis.Redis, stream: str) -> int:
    """The first decision that the stream holds: what was written within the second before a crash may be lost."""
    ((entry, _),) = client.xrange(stream, count=1)
    return int(entry.split(b"-")[0])


def test_redis_that_is_flushed_is_a_gap_and_goes_on(tmp_path: Path, book: str) -> None:
    server = RedisServer(tmp_path / "redis")  # its own: a flush takes everybody's
    server.up()
    bus = RedisBus(server.url(), book=book, origin="a")
    heard: list[Event] = []
    try:
        with client_of(server.url()) as client:
            live = LiveState(client, book)
            live.put(3, b"shown")
            bus.publish(3, decisions(3))
            assert bus.flush(60.0)
            bridged: list[Gap] = []
            there = RedisFollower(server.url(), bus.stream, on_gap=bridged.append)
            there.follow(lambda seq, events: heard.extend(events), 3)
            client.flushall()
            _until(lambda: "has lost what it held up to decision 3" in bus.health.detail, "the loss is told")
            assert live.get() is None, "it is shown again a second later"
            bus.publish(5, decisions(2, first=4))
            assert bus.flush(60.0)
            assert (bus.health.connected, bus.health.dropped, bus.health.detail) == (True, 0, "")
            _until(lambda: heard == decisions(2, first=4), "who had heard all goes on by itself")
            client.flushall()
            bus.publish(9, decisions(1, first=9))
            _until(lambda: heard == [*decisions(2, first=4), *decisions(1, first=9)], "and over a gap")
            assert [(gap.after_seq, gap.next_seq) for gap in bridged] == [(5, 9)]
            there.close()
            client.flushall()
            bus.publish(11, decisions(2, first=10))
            assert bus.flush(60.0)
            assert _read(client, bus.stream, 9, 2) == decisions(2, first=10), "who had heard all goes on"
            with pytest.raises(Gap, match="decisions 2 to 9 are not on the bus: read them from the journal"):
                _read(client, bus.stream, 1, 4)
    finally:
        bus.close()
        server.down()


def test_a_queue_that_overflows_drops_the_oldest_and_says_so(book: str) -> None:
    bus = RedisBus("redis://127.0.0.1:1/0", book=book, origin="a", queue_limit=5)
    for seq in range(1, 21):
        bus.publish(seq, decisions(1, first=seq))
    _until(lambda: not bus.health.connected, "the loss is noticed")
    health = bus.health
    assert (health.waiting, health.dropped) == (5, 15)
    assert not bus.flush(0.1)
    bus.close()


def test_a_group_shares_the_work_and_takes_over_what_a_worker_left(url: str, client: redis.Redis, book: str) -> None:
    bus = RedisBus(url, book=book, origin="a")
    for seq in range(1, 7):
        bus.publish(seq, decisions(1, first=seq))
    assert bus.flush(60.0)
    first = GroupReader(client, bus.stream, "reports", "one", idle_s=3600)
    second = GroupReader(client, bus.stream, "reports", "two", idle_s=3600)
    first.join()
    second.join()
    taken = first.take(count=4)
    assert [seq for seq, _ in taken] == [1, 2, 3, 4]
    first.done([1, 2])
    assert [seq for seq, _ in second.take(count=10)] == [5, 6]
    second.done([5, 6])
    assert second.take(wait_s=0.01) == [], "what the first one holds is its own"
    heir = GroupReader(client, bus.stream, "reports", "two", idle_s=0.0)
    abandoned = heir.take(count=10)
    assert [(seq, events) for seq, events in abandoned] == [(n, decisions(1, first=n)) for n in (3, 4)]
    second.done([3, 4])
    assert second.take(wait_s=0.01) == []
    bus.close()


def test_the_live_view_is_gone_soon_after_its_writer_is(client: redis.Redis, book: str) -> None:
    live = LiveState(client, book, expires_s=300)
    assert live.get() is None
    live.put(7, b"view")
    assert live.get() == (7, b"view")
    LiveState(client, book, expires_s=0.05).put(8, b"view")
    _until(lambda: live.get() is None, "it expires")
