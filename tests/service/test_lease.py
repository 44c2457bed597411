"""The lease against real processes: refused while one lives, taken over from the dead, fenced while it is stopped."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.instruments import us_equity
from qmworkbench.service import lease as leases
from qmworkbench.service import leased_broker
from qmworkbench.service.lease import Lease, LeaseLost, LeaseTaken
from qmworkbench.service.leased_broker import LeasedBroker
from qmworkbench.venue.costs import ideal
from qmworkbench.venue.exchange import Exchange

_HOLDER = """
import sys
from pathlib import Path
from qmworkbench.service.lease import Lease, LeaseLost
held = Lease.acquire(Path(sys.argv[1]), process_id="other", command="qm day")
print(held.epoch, flush=True)
for line in sys.stdin:
    try:
        held.renew() if line.strip() == "renew" else held.assert_held()
        print("may send", flush=True)
    except LeaseLost as lost:
        print(f"lost: {lost}", flush=True)
held.release()
"""


class OtherProcess:
    """A process that holds the lease and answers whether it may send."""

    def __init__(self, path: Path) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.epoch = int(self._read())

    def ask(self, what: str = "send") -> str:
        assert self.popen.stdin is not None
        self.popen.stdin.write(what + "\n")
        self.popen.stdin.flush()
        return self._read()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def _read(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def close(self) -> None:
        self.popen.kill()
        self.popen.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lease"


@pytest.fixture
def other(path: Path) -> Iterator[OtherProcess]:
    process = OtherProcess(path)
    yield process
    process.close()


def taken(path: Path, **options: float) -> Lease:
    return Lease.acquire(path, process_id="me", command="a test", **options)  # type: ignore[arg-type]


def test_a_second_platform_is_refused_and_told_who_holds_the_book(path: Path, other: OtherProcess) -> None:
    with pytest.raises(LeaseTaken, match=f"process {other.popen.pid} .*qm day") as refused:
        taken(path, wait_s=0.0)
    assert refused.value.holder is not None
    assert (refused.value.holder.pid, refused.value.holder.process_id) == (other.popen.pid, "other")
    assert leases.is_held(path)
    assert other.ask() == "may send"


def test_a_killed_holder_is_taken_over_and_reported(path: Path, other: OtherProcess) -> None:
    other.kill()
    assert not leases.is_held(path)
    with taken(path) as held:
        assert held.took_over is not None
        assert held.took_over.pid == other.popen.pid
        assert held.epoch == other.epoch + 1
        held.assert_held()


def test_a_clean_end_leaves_nobody_to_take_over_from(path: Path) -> None:
    with taken(path):
        pass
    assert leases.holder_of(path) is None
    with taken(path) as again:
        assert again.took_over is None


def test_a_stopped_holder_is_fenced_and_may_not_send_when_it_wakes(path: Path, other: OtherProcess) -> None:
    os.kill(other.popen.pid, signal.SIGSTOP)
    assert leases.fence(path, by="ann", reason="does not answer") == other.epoch + 1
    os.kill(other.popen.pid, signal.SIGCONT)
    assert other.ask().startswith("lost:")
    assert "fenced by ann" in other.ask("renew")
    found = leases.fence_of(path)
    assert found is not None
    assert (found.by, found.reason) == ("ann", "does not answer")


def test_a_new_holder_is_told_of_the_fence_and_ends_it(path: Path, other: OtherProcess) -> None:
    leases.fence(path, by="ann", reason="hung")
    other.kill()
    with taken(path) as held:
        assert held.fence is not None
        assert held.fence.by == "ann"
        assert held.epoch == other.epoch + 2
        held.assert_held()
        assert leases.fence_of(path) is None


def test_a_holder_that_was_stopped_too_long_looks_again_before_it_sends(path: Path) -> None:
    now = [100.0]
    with taken(path, ttl_s=10.0, clock=lambda: now[0]) as held:  # type: ignore[arg-type]
        now[0] += 10.0
        held.assert_held()
        now[0] += 0.1
        with pytest.raises(LeaseLost, match="not renewed"):
            held.assert_held()
        held.renew()
        held.assert_held()
        now[0] += 20.0
        held.check()
        leases.fence(path, by="ann", reason="hung")
        now[0] += 20.0
        with pytest.raises(LeaseLost, match="fenced by ann"):
            held.check()


def test_the_same_process_cannot_hold_a_book_twice(path: Path) -> None:
    with taken(path), pytest.raises(LeaseTaken, match=str(os.getpid())):
        taken(path, wait_s=0.0)


def test_a_released_lease_lets_nothing_pass(path: Path) -> None:
    held = taken(path)
    held.release()
    held.release()
    for question in (held.assert_held, held.renew, held.check):
        with pytest.raises(LeaseLost, match="released"):
            question()


def test_waiting_for_a_holder_that_leaves(path: Path) -> None:
    held = taken(path)
    leaving = threading.Timer(0.1, held.release)
    leaving.start()
    with taken(path, wait_s=30.0) as next_one:
        assert next_one.took_over is None
    leaving.join()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"epoch": "x"}', b"[1]"])
def test_a_damaged_epoch_stops_sending_until_the_lease_is_taken_anew(path: Path, damage: bytes) -> None:
    with taken(path) as held:
        leases.epoch_path(path).write_bytes(damage)
        with pytest.raises(LeaseLost):
            held.assert_held()
    with taken(path) as held:
        held.assert_held()


def test_a_vanished_epoch_stops_sending(path: Path) -> None:
    with taken(path) as held:
        leases.epoch_path(path).unlink()
        with pytest.raises(LeaseLost):
            held.assert_held()


def test_a_holder_that_cannot_be_named_still_holds(path: Path, other: OtherProcess) -> None:
    path.write_bytes(b"not json")
    with pytest.raises(LeaseTaken, match="has not said who it is"):
        taken(path, wait_s=0.0)


def test_what_is_on_disk_is_for_its_owner_and_dated_in_utc(path: Path) -> None:
    with taken(path) as held:
        assert path.stat().st_mode & 0o777 == 0o600
        assert json.loads(path.read_bytes())["epoch"] == held.epoch
        assert held.holder.since.tzinfo is UTC
        assert leases.holder_of(path) == held.holder


def test_nothing_is_said_of_a_book_nobody_ever_held(path: Path) -> None:
    assert not leases.is_held(path)
    assert leases.holder_of(path) is None
    assert leases.fence_of(path) is None


def test_a_fenced_process_sends_nothing_and_still_reads(path: Path) -> None:
    with taken(path) as held, Exchange(":memory:", [us_equity("SPY")], ideal(), "USD", Decimal(1000)) as exchange:
        broker = LeasedBroker(SimulatedBroker(exchange), held)
        leases.fence(path, by="ann", reason="hung")
        with pytest.raises(LeaseLost):
            broker.cancel("anything")
        assert broker.account().cash == 1000
        assert broker.positions() == []
        assert broker.open_orders() == []
        assert broker.reports(0) == []
        assert broker.order("anything")[0] is None
        assert broker.enforces_unique_ids


def test_how_long_the_broker_has_said_nothing_is_known(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health tells when it last answered: a broker that is asked nothing may be gone."""
    clock = [100.0]
    monkeypatch.setattr(leased_broker, "uptime_s", lambda: clock[0])
    with taken(path) as held, Exchange(":memory:", [us_equity("SPY")], ideal(), "USD", Decimal(1000)) as exchange:
        broker = LeasedBroker(SimulatedBroker(exchange), held)
        clock[0] += 21
        assert broker.silent_s() == 21
        broker.reports(0)
        assert broker.silent_s() == 0
        clock[0] += 4
        broker.account()
        assert broker.silent_s() == 0


class Leases(RuleBasedStateMachine):
    """Any order of taking, dying, releasing, fencing and waiting: never two that may send, epochs only rise."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.alive: Lease | None = None
        self.gone: list[Lease] = []
        self.highest = 0

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "lease"

    @rule()
    def take(self) -> None:
        try:
            fresh = Lease.acquire(
                self.path, process_id="p", command="c", ttl_s=10.0, wait_s=0.0, clock=lambda: self.now
            )
        except LeaseTaken:
            assert self.alive is not None
            return
        assert self.alive is None
        assert fresh.epoch > self.highest
        self.alive, self.highest = fresh, fresh.epoch

    @precondition(lambda self: self.alive is not None)
    @rule(clean=st.booleans())
    def end(self, clean: bool) -> None:
        assert self.alive is not None
        if clean:
            self.alive.release()
        else:
            os.close(self.alive._fd)  # what the system does when a process dies
            self.alive._fd = -1
        self.gone.append(self.alive)
        self.alive = None

    @rule()
    def fence(self) -> None:
        self.highest = leases.fence(self.path, by="x", reason="y")

    @rule()
    def time_passes(self) -> None:
        self.now += 6.0

    @precondition(lambda self: self.alive is not None)
    @rule()
    def renew(self) -> None:
        assert self.alive is not None
        if self.alive.epoch == self.highest:
            self.alive.renew()
            self.alive.assert_held()
        else:
            with pytest.raises(LeaseLost):
                self.alive.renew()

    @invariant()
    def only_the_newest_may_send(self) -> None:
        for lease in self.gone:
            with pytest.raises(LeaseLost):
                lease.assert_held()
        if self.alive is not None and self.alive.epoch != self.highest:
            with pytest.raises(LeaseLost):
                self.alive.assert_held()

    def teardown(self) -> None:
        if self.alive is not None:
            self.alive.release()
        self.directory.cleanup()


TestLeases = Leases.TestCase
