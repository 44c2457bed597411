"""A standby of a book in PostgreSQL: it waits, takes over from the dead and from what hangs, and lets nobody enter."""

import subprocess
import sys
from pathlib import Path

import pytest

from qmworkbench.domain.events.control import EntriesReleased
from qmworkbench.domain.events.orders import OrderIntended
from qmworkbench.domain.events.reconciliation import RecoveryCompleted, SessionRecovered
from qmworkbench.domain.events.session import SessionClosed
from qmworkbench.domain.orders import Leg
from qmworkbench.ports import JournalFailed
from qmworkbench.service.book_lease import BookLease, EmergencyLease, LeaseLapsed
from qmworkbench.service.lease import Lease, LeaseLost
from qmworkbench.service.plan import AlreadyClosed, DayPlan, DayRefused
from qmworkbench.service.standby import wait_for_lapse
from qmworkbench.storage.postgres import lease as postgres_lease
from qmworkbench.storage.postgres.heartbeat import Heartbeat
from qmworkbench.storage.postgres.journal import PostgresJournal
from qmworkbench.storage.postgres.lease import Terms
from qmworkbench.storage.stores import Store, open_journal, open_reader
from tests import servers
from tests.service.day_process import cut_short, demo_day, plan_for
from tests.storage.events import decisions

ROOT = Path(__file__).resolve().parents[2]


def process(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.service.standby_process", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def until(running: "subprocess.Popen[str]", wanted: str) -> list[str]:
    """What it says, up to the first line that begins with `wanted`."""
    assert running.stdout is not None
    said: list[str] = []
    for line in running.stdout:
        said.append(line.strip())
        if said[-1].startswith(wanted):
            return said
    raise AssertionError(f"it ended without {wanted!r}: {said}")


def test_a_killed_platform_is_followed_by_its_standby_with_entries_held(tmp_path: Path) -> None:
    """What follows is held for a person. How long it takes: `make takeover`."""
    dsn = servers.postgres().dsn()
    primary = process(str(tmp_path), dsn, "primary", "2")
    standby = process(str(tmp_path), dsn, "standby")
    try:
        until(primary, "open")
        until(standby, "standby: process")
        assert primary.stdin is not None
        primary.stdin.write("go\n")
        primary.stdin.flush()
        assert primary.wait(300) == -9
        said = until(standby, "recovered")
        assert any("has died; taking over" in line for line in said)
        until(standby, "closed with 0 breaks")
        assert standby.wait(300) == 0
    finally:
        for running in (primary, standby):
            running.kill()
            running.communicate()
    plan = plan_for(tmp_path, cut_short(demo_day()))
    with open_reader(plan.paths) as reader:
        reader.verify()
        told = [event for _, event in reader.events()]
    recovered = next(n for n, event in enumerate(told) if isinstance(event, SessionRecovered))
    after = told[recovered:]
    assert isinstance(after[0], SessionRecovered)
    assert after[0].hold
    assert any(isinstance(event, RecoveryCompleted) for event in after)
    assert any(isinstance(event, SessionClosed) for event in after)
    assert not [event for event in after if isinstance(event, EntriesReleased)]
    assert not [event for event in after if isinstance(event, OrderIntended) and event.request.leg is Leg.ENTRY]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DayPlan:
    """A book in PostgreSQL, of holders whose time is short."""
    monkeypatch.setattr(postgres_lease, "SEND_S", 0.2)
    made = plan_for(tmp_path, cut_short(demo_day()), store=Store(kind="postgres", address=servers.postgres().dsn()))
    made.paths.create()
    return made


def taken(plan: DayPlan, process_id: str, *, ttl_s: float = 0.4, **changes: object) -> PostgresJournal:
    terms = Terms(host="elsewhere", pid=7, since="today", process_id=process_id, ttl_s=ttl_s, **changes)  # type: ignore[arg-type]
    journal = open_journal(plan.paths, book=plan.book, store=plan.store, terms=terms)
    assert isinstance(journal, PostgresJournal)
    return journal


def test_what_hangs_is_fenced_in_the_directory_and_in_the_database(
    plan: DayPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = Lease.acquire(plan.paths.lease, process_id="hung", command="qm up")
    journal = taken(plan, "hung")
    journal.append(decisions(3))
    journal.sync()
    told: list[str] = []
    taking_over = wait_for_lapse(plan, say=told.append)
    assert taking_over is not None
    assert (taking_over.standby, taking_over.lapsed) == (True, (journal.epoch, 0))
    assert told[-1].endswith("process 7 on elsewhere since today shows no life; taking over")
    with pytest.raises(LeaseLost, match="fenced by standby"):
        hung.assert_held()
    with Lease.acquire(plan.paths.lease, process_id="next", command="qm up --standby"):
        monkeypatch.setattr(postgres_lease, "SEND_S", 3600.0)  # what was watched is not waited for again
        after = taken(plan, "next", standby=True, lapsed=taking_over.lapsed)
        assert after.epoch > journal.epoch
        assert [event for _, event in after.read()] == decisions(3)
        journal.append(decisions(1, first=4))
        with pytest.raises(JournalFailed):
            journal.sync()
        after.append(decisions(1, first=4))
        assert after.sync() == 4
        after.close()
    hung.release()


def test_no_time_of_day_decides_who_writes(plan: DayPlan) -> None:
    """The holder's clock was years ahead, and has been set back since: only that it beats no more counts."""
    ahead = Terms(host="elsewhere", pid=7, since="2199-01-01T00:00:00Z", process_id="ahead", ttl_s=0.4)
    journal = open_journal(plan.paths, book=plan.book, store=plan.store, terms=ahead)
    journal.append(decisions(2))
    journal.close()  # without a word that it lets go: as a kill
    waits: list[str] = []
    after = taken(plan, "next", say=waits.append)
    assert waits == ["waiting for process 7 on elsewhere since 2199-01-01T00:00:00Z, which may still send"]
    assert [event for _, event in after.read()] == decisions(2)
    after.append([decisions(1)[0], *decisions(1, first=9)])  # events of an earlier time follow like any others
    assert after.sync() == 4
    assert after.verify()["decisions"][0] == 4
    after.close()
    taken(plan, "third", ended="next").close()  # and one that is known to be dead is not waited for at all


def test_a_platform_that_lets_go_on_purpose_is_not_taken_over_from(plan: DayPlan) -> None:
    journal = taken(plan, "first")
    beat = Heartbeat(plan.store.address, journal.place, journal.epoch, 0.4)
    beat.stop()
    journal.close()
    told: list[str] = []
    looks = iter([False] * 4 + [True] * 9)
    assert not wait_for_lapse(plan, say=told.append, stop=lambda: next(looks))
    assert told == ["standby: nobody runs the book; waiting for a platform to watch"]
    taken(plan, "second").close()  # nobody's time has to be waited for


def test_a_closed_session_has_nothing_to_take_over(plan: DayPlan) -> None:
    journal = taken(plan, "first")
    journal.append([SessionClosed(at=plan.starts_at, session_id=plan.session_id)])
    journal.close()
    with pytest.raises(AlreadyClosed, match="there is nothing to take over"):
        wait_for_lapse(plan, say=lambda text: None)


def test_a_book_in_sqlite_has_no_standby(short_plan: DayPlan) -> None:
    with pytest.raises(DayRefused, match="lies in sqlite: a standby needs a book that several processes can reach"):
        wait_for_lapse(short_plan, say=lambda text: None)


def test_who_may_not_send_says_why_and_an_emergency_needs_no_database(plan: DayPlan) -> None:
    now = [0.0]
    journal = taken(plan, "first", ttl_s=60.0)
    beat = Heartbeat("postgresql://127.0.0.1:1/nowhere", journal.place, journal.epoch, 0.4, clock=lambda: now[0])
    with Lease.acquire(plan.paths.lease, process_id="first", command="qm up") as held:
        lease = BookLease(held, beat)
        lease.check()
        now[0] = 1.0
        with pytest.raises(
            LeaseLapsed, match=r"nothing is sent: the lease in PostgreSQL was not renewed for more than"
        ):
            lease.check()
        EmergencyLease(lease).check()
        beat.fenced = True
        for asked in (lease.check, EmergencyLease(lease).check):
            with pytest.raises(LeaseLost, match="another process has taken the book over"):
                asked()
    beat.stop()
    journal.close()
