"""Taking over the fallback log: once, wherever the process dies, and with a word where the journal is another (§19)."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.control import ClockTicked, EmergencyCompleted, EmergencyStarted
from qmworkbench.domain.events.orders import CancelRequested
from qmworkbench.domain.events.reconciliation import FallbackImported, ReconciliationStarted, Trigger
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.sessions import TradingState
from qmworkbench.service.blocking import complete
from qmworkbench.service.recovery import import_fallback, restore, rooted_elsewhere
from qmworkbench.service.shell import Shell
from qmworkbench.storage.fallback import FallbackLog
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.state import state_hash
from tests.trading.world import World


def trading() -> tuple[World, MemoryJournal, Shell]:
    """A session under way, its journal, and a shell that goes on from both."""
    world = World(seed=1)
    world.open()
    world.boundary(1)
    journal = MemoryJournal()
    journal.append([decode(line) for line in world.journal])
    return world, journal, Shell(Kernel(world.state), journal, world.broker, snapshot=snapshot)


def recorded(path: Path, world: World, rooted_at: tuple[int, str]) -> None:
    at = world.at() + timedelta(seconds=5)
    with FallbackLog(path, rooted_at) as log:
        log.append(
            [
                EmergencyStarted(at=at, emergency_id="e-1", by="ann", reason="the disk is full", deadline_s=180),
                CancelRequested(at=at, cl_ord_id="qm-1", reason="emergency"),
                CancelRequested(at=at, cl_ord_id="qm-2", reason="emergency"),
            ]
        )


def imports(journal: MemoryJournal) -> list[int]:
    return [event.n for _, event in journal.read() if isinstance(event, FallbackImported)]


def test_a_process_that_dies_before_the_file_is_put_aside_imports_nothing_twice(tmp_path: Path) -> None:
    world, journal, shell = trading()
    path, copy = tmp_path / "fallback.jsonl", tmp_path / "copy"
    recorded(path, world, journal.head)
    shutil.copy(path, copy)
    assert complete(import_fallback(shell, path)) == 3
    assert world.state.halt.state is TradingState.HALTED
    shutil.copy(copy, path)
    head = journal.head
    assert complete(import_fallback(shell, path)) == 0
    assert journal.head == head
    assert imports(journal) == [1, 2, 3]
    assert not path.exists(), "it is put aside all the same"


def test_a_process_that_dies_half_way_takes_over_the_rest(tmp_path: Path) -> None:
    world, whole, shell = trading()
    path, copy = tmp_path / "fallback.jsonl", tmp_path / "copy"
    recorded(path, world, whole.head)
    shutil.copy(path, copy)
    before = whole.head[0]
    complete(import_fallback(shell, path))
    survived = [event for seq, event in whole.read() if seq <= before + 2]
    journal = MemoryJournal()
    journal.append(survived)
    first = imports(journal)
    assert 0 < len(first) < 3
    again = Shell(Kernel(restore(journal, None).state), journal, world.broker, snapshot=snapshot)
    shutil.copy(copy, path)
    assert complete(import_fallback(again, path)) == 3 - len(first)
    assert imports(journal) == [1, 2, 3]
    assert state_hash(restore(journal, None).state) == state_hash(again.state)


@pytest.mark.parametrize("ended", [False, True])
def test_an_emergency_that_did_not_come_to_its_end_goes_on_here(tmp_path: Path, ended: bool) -> None:
    world, journal, shell = trading()
    path, at = tmp_path / "fallback.jsonl", world.at() + timedelta(seconds=5)
    with FallbackLog(path, journal.head) as log:
        log.append([EmergencyStarted(at=at, emergency_id="e-1", by="ann", reason="the disk is full", deadline_s=180)])
        if ended:
            log.append([EmergencyCompleted(at=at, emergency_id="e-1", symbols=0, realized_pnl=ZERO)])
    complete(import_fallback(shell, path))
    emergency = world.state.emergency
    assert emergency is not None
    assert (emergency.emergency_id, emergency.by, emergency.running) == ("e-1", "ann", not ended)
    assert not [e for _, e in journal.read() if isinstance(e, ReconciliationStarted) and e.trigger is Trigger.EMERGENCY]
    shell.decide(ClockTicked(at=shell.now()))
    asked = [e for _, e in journal.read() if isinstance(e, ReconciliationStarted)]
    assert (asked[-1].trigger is Trigger.EMERGENCY) is not ended, "what the broker holds is read, to be closed"


def test_a_log_that_follows_a_record_the_journal_lacks_is_told(tmp_path: Path) -> None:
    world, journal, _ = trading()
    path = tmp_path / "fallback.jsonl"
    assert rooted_elsewhere(journal, path) == ""
    recorded(path, world, journal.head)
    assert rooted_elsewhere(journal, path) == ""
    cut = MemoryJournal()
    cut.append([event for seq, event in journal.read() if seq < journal.head[0]])
    assert "does not have it" in rooted_elsewhere(cut, path)
    path.unlink()
    recorded(path, world, (journal.head[0], "f" * 64))
    assert "has another one there" in rooted_elsewhere(journal, path)
