"""What happens to a running platform's servers is in health within five seconds, and nothing enters meanwhile (§21).

Every fault is done to a real server. Time is counted in looks, of which a platform takes one a second: how slow a
machine is proves nothing. What journal and bus make of the same faults: tests/storage/postgres/test_faults.py and
test_postgres_journal.py, tests/bus/test_redis_streams.py. An older backup brought back: test_anchored.py.
"""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qmworkbench.bus import redis_streams
from qmworkbench.bus.redis_streams import client_of
from qmworkbench.market.session import SessionData
from qmworkbench.ports import JournalFailed
from qmworkbench.service import book_lease, health_watch
from qmworkbench.service.blocking import complete
from qmworkbench.service.book_lease import LeaseLapsed
from qmworkbench.service.headless import run_headless
from qmworkbench.service.health import HealthStatus
from qmworkbench.service.health_watch import (
    ANSWER_LIMIT_S,
    CLOCK_TOLD_S,
    COMMIT_LIMIT_S,
    HEALTH_WITHIN_S,
    LOOK_EVERY_S,
    ClockWatch,
    HealthRounds,
)
from qmworkbench.service.live import HEALTH_EVERY_S
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.platform import Platform, open_platform
from qmworkbench.service.servers.postgres import PostgresServer
from qmworkbench.service.servers.redis import RedisServer
from qmworkbench.service.shell import Shell
from qmworkbench.storage.postgres import lease
from qmworkbench.storage.postgres.connection import connected
from qmworkbench.storage.stores import Store, open_reader, place_of
from tests import servers
from tests.service.day_process import all_good, cut_short, plan_for
from tests.service.fakes import request as an_order
from tests.stalling_proxy import StallingProxy
from tests.storage.events import decisions

LOOKS = int(HEALTH_WITHIN_S / LOOK_EVERY_S)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Desk:
    """A platform of a book in PostgreSQL behind a cable, with some decisions on record, looked at as it runs."""

    def __init__(self, platform: Platform, cable: StallingProxy, server: PostgresServer) -> None:
        self.platform, self.cable, self.server = platform, cable, server
        self.rounds = HealthRounds(platform)
        self.acknowledged = self.record(5)

    def record(self, count: int) -> int:
        journal = self.platform.journal
        journal.append(decisions(count, first=journal.head[0] + 1))
        return journal.sync()

    def look(self) -> None:
        """One look, and a second: whatever was to be written has been, or has failed."""
        self.rounds.once(serving=False, loop_lag_ms=0)
        journal = self.platform.journal
        written = journal._writer.durable("telemetry")[0]
        if journal.failure is None and journal.telemetry_head[0] > written:
            eventually(lambda: journal.failure is not None or journal._writer.durable("telemetry")[0] > written)

    def told(self, component: str) -> tuple[HealthStatus, str]:
        found = self.platform.board.of(component)
        return found.status, found.detail

    def told_in_time(self, component: str, worse: HealthStatus) -> str:
        for _ in range(LOOKS):
            self.look()
            status, detail = self.told(component)
            if status is worse:
                return detail
        raise AssertionError(f"{component} still is {self.told(component)} after {LOOKS} looks")

    def lets_nothing_enter(self) -> None:
        """Health holds entries, and what is decided all the same becomes no record, without which nothing is sent."""
        assert "store" in self.platform.critical_down()
        shell, plan = self.platform.shell, self.platform.plan
        with pytest.raises(JournalFailed):
            complete(self._decided(shell, plan))

    @staticmethod
    async def _decided(shell: Shell, plan: DayPlan) -> None:
        shell.decide(plan.opened(plan.starts_at))
        await shell.durable()


def kill_server(desk: Desk) -> None:
    desk.server.kill()


def kill_server_in_an_append(desk: Desk) -> None:
    desk.platform.journal.append(decisions(2_000, first=desk.platform.journal.head[0] + 1))
    desk.server.kill()


def cut_connections(desk: Desk) -> None:
    desk.cable.cut()


def fill_the_disk(desk: Desk) -> None:
    """A file that may not grow is a full disk to the process that writes it."""
    backend = desk.platform.journal._writer.ask(lambda connection: connection.info.backend_pid)
    resource.prlimit(backend, resource.RLIMIT_FSIZE, (0, 0))


def take_the_book_away(desk: Desk) -> None:
    place = place_of(desk.platform.plan.paths)
    assert place is not None
    with closing(connected(desk.server.dsn())) as other:
        lease.take_over(other, place[1], lease.Terms(host="elsewhere", pid=7, since="today"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One that may be killed."""
    servers.postgres()  # skips where there is none to be had
    own = PostgresServer(tmp_path_factory.mktemp("faults") / "pg")
    yield own
    own.down()


@pytest.fixture
def desk(request: pytest.FixtureRequest, server: PostgresServer, demo: SessionData, tmp_path: Path) -> Iterator[Desk]:
    """Its parameter is for how long the platform may send after a beat."""
    server.up()
    ttl_s = getattr(request, "param", book_lease.BEAT_TTL_S)
    socket = Path(server.demand_running().socket)
    with StallingProxy(str(next(socket.glob(".s.PGSQL.*[0-9]")))) as cable:
        address = f"postgresql://qm@127.0.0.1:{cable.port}/qm?sslmode=disable&gssencmode=disable"
        plan = plan_for(tmp_path, cut_short(demo), store=Store(kind="postgres", address=address), beat_ttl_s=ttl_s)
        with open_platform(plan) as platform:
            yield Desk(platform, cable, server)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (kill_server, "could not be written|does not take the beat"),
        (kill_server_in_an_append, "could not be written|does not take the beat"),
        (cut_connections, "could not be written"),
        (fill_the_disk, "could not be written|does not take the beat"),
        (take_the_book_away, "another process|fenced"),
    ],
    ids=["server killed", "server killed in an append", "connections cut", "disk full", "a second writer"],
)
def test_it_is_told_in_time_and_nothing_enters_and_nothing_is_lost(
    desk: Desk, fault: Callable[[Desk], None], said: str
) -> None:
    desk.look()
    fault(desk)
    detail = desk.told_in_time("store", HealthStatus.FAILED)
    assert any(words in detail for words in said.split("|")), detail
    desk.lets_nothing_enter()
    desk.server.up()
    eventually(lambda: desk.server.answers(Path(desk.server.demand_running().socket)))  # it may be recovering
    with open_reader(desk.platform.plan.paths) as reader:
        assert reader.verify()["decisions"][0] >= desk.acknowledged
        assert [event for _, event in reader.events()][: desk.acknowledged] == decisions(desk.acknowledged)


def test_a_day_whose_database_is_killed_is_finished_once_it_is_back(
    server: PostgresServer, demo: SessionData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With positions open and exits resting: nothing is sent that is not on record, and the books agree at the end."""
    monkeypatch.setattr(lease, "SEND_S", 0.1)  # what the next start waits for, beside the beat's own time
    server.up()
    store = Store(kind="postgres", address=server.dsn())
    plan = plan_for(tmp_path, cut_short(demo), store=store, compute="one-pass", beat_ttl_s=2.0)
    opened: list[Platform] = []

    def kills(delivery: object) -> None:
        if opened[0].state.positions:
            server.kill()

    with pytest.raises(JournalFailed):
        run_headless(plan, all_good, on_open=opened.append, on_boundary=kills)
    server.up()
    result = run_headless(plan, all_good)
    assert (result.recovered, result.breaks) == (True, 0)
    assert result.trades > 0


def test_every_limit_leaves_room_for_the_look_that_tells() -> None:
    assert COMMIT_LIMIT_S + LOOK_EVERY_S <= HEALTH_WITHIN_S
    assert book_lease.BEAT_TTL_S / 4 < ANSWER_LIMIT_S, "a beat that comes when it should is no silence"
    assert ANSWER_LIMIT_S + LOOK_EVERY_S <= HEALTH_WITHIN_S
    assert redis_streams.ASK_EVERY_S + redis_streams.TIMEOUT_S + LOOK_EVERY_S <= HEALTH_WITHIN_S
    assert HEALTH_EVERY_S == LOOK_EVERY_S


@pytest.mark.parametrize("desk", [1.0], indirect=True, ids=["a second to send"])
def test_a_stall_is_told_in_a_quiet_market_and_in_a_commit_and_nothing_is_sent_in_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_watch, "ANSWER_LIMIT_S", 0.6)
    monkeypatch.setattr(health_watch, "COMMIT_LIMIT_S", 0.3)

    def store_says(words: str) -> bool:
        health_watch.look(desk.platform, serving=False, loop_lag_ms=0)
        return words in desk.told("store")[1]

    desk.cable.stall()
    eventually(lambda: store_says("PostgreSQL has not answered for") or store_says("was not renewed"))
    desk.platform.journal.append(decisions(1, first=6))
    eventually(lambda: store_says("a commit has been under way for"))
    assert desk.told("store")[0] is HealthStatus.FAILED
    assert "store" in desk.platform.critical_down(), "which holds entries"
    # The beat hangs with it: what was decided before is not sent either, once the lease is over.
    eventually(lambda: "was not renewed" in desk.platform.book_lease.trouble())
    with pytest.raises(LeaseLapsed, match="nothing is sent"):
        desk.platform.broker.submit(an_order())
    assert desk.platform.journal.durable_seq == desk.acknowledged, "what hangs is not acknowledged"
    desk.cable.go_on()
    assert desk.platform.journal.sync() == 6
    eventually(lambda: store_says("") and desk.told("store") == (HealthStatus.HEALTHY, ""))
    eventually(lambda: not desk.platform.book_lease.trouble())


def test_a_venue_that_owes_an_answer_is_told_while_the_boundary_waits_for_it(desk: Desk) -> None:
    """Nobody asks the broker meanwhile: it read as well, and heard from just now."""
    desk.platform.state.connected = True
    desk.look()
    assert desk.told("execution_broker")[0] is HealthStatus.HEALTHY
    desk.platform.venue_silent_s = lambda: ANSWER_LIMIT_S + 1
    assert "has not answered for 5 s" in desk.told_in_time("execution_broker", HealthStatus.DEGRADED)
    desk.platform.venue_silent_s = lambda: 0.0
    desk.look()
    assert desk.told("execution_broker") == (HealthStatus.HEALTHY, "")


def test_a_clock_set_back_is_told_and_changes_nothing_of_the_record(desk: Desk) -> None:
    desk.look()
    desk.platform.wall = lambda: datetime.now(UTC) - timedelta(hours=1)  # type: ignore[method-assign]
    told = desk.told_in_time("market_data", HealthStatus.DEGRADED)
    assert "the machine's clock was set back by 3600." in told
    assert desk.record(3) == desk.acknowledged + 3
    assert desk.platform.journal.verify()["decisions"][0] == desk.acknowledged + 3
    eventually(lambda: not desk.platform.book_lease.trouble())


def test_a_jump_of_the_clock_is_told_for_a_while_and_then_taken_as_it_is() -> None:
    up_s, off_s = 1000.0, 0.0
    watch = ClockWatch(lambda: up_s)

    def seen() -> str:
        return watch.look(lambda: datetime.fromtimestamp(up_s + off_s, UTC))

    assert seen() == ""
    up_s, off_s = 1001.0, 0.3
    assert seen() == "", "a clock that is nudged goes on"
    up_s, off_s = 1002.0, 90.3
    assert seen() == "the machine's clock was set forward by 90.0 s: compare times with care"
    up_s = 1001.9 + CLOCK_TOLD_S
    assert seen() != ""
    up_s = 1003.0 + CLOCK_TOLD_S
    assert seen() == ""


def test_redis_that_is_killed_or_flushed_is_told_and_the_record_goes_on(demo: SessionData, tmp_path: Path) -> None:
    servers.redis()  # skips where there is none to be had
    redis = RedisServer(tmp_path / "redis")
    redis.up()
    try:
        with open_platform(plan_for(tmp_path, cut_short(demo), bus_url=redis.url())) as platform:
            rounds = HealthRounds(platform)

            def bus_says(status: HealthStatus, words: str) -> bool:
                rounds.once(serving=False, loop_lag_ms=0)
                found = platform.board.of("bus")
                return found.status is status and words in found.detail

            def goes_on(count: int) -> None:
                platform.journal.append(decisions(count, first=platform.journal.head[0] + 1))
                platform.bus.publish(platform.journal.sync(), decisions(count))

            platform.board.succeeded("bus", platform.wall())
            goes_on(2)
            eventually(lambda: platform.bus.health.sent_seq == 2)
            redis.kill()
            eventually(lambda: bus_says(HealthStatus.DEGRADED, "Redis does not answer"))
            goes_on(3)
            assert "bus" not in platform.critical_down(), "entries need no Redis"
            redis.up()
            eventually(lambda: bus_says(HealthStatus.HEALTHY, ""))
            with client_of(redis.url()) as client:
                client.flushall()
            eventually(lambda: bus_says(HealthStatus.DEGRADED, "has lost what it held up to decision 5"))
            goes_on(1)
            eventually(lambda: bus_says(HealthStatus.HEALTHY, ""))
            assert platform.journal.verify()["decisions"][0] == 6
    finally:
        redis.down()
