"""What a simulated log device keeps and loses, and the journal on it."""

from datetime import UTC, datetime

import pytest

from qmworkbench.domain.chain import ChainBroken
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.ports import JournalFailed
from qmworkbench.simulation.device import Device, SimCheckpoints, SimJournal

AT = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
TICK = ClockTicked(at=AT)


def restarted(device: Device, kept: float) -> SimJournal:
    device.crash(kept)
    return SimJournal(device)


def test_what_was_synced_survives_a_crash_and_the_rest_does_not() -> None:
    device = Device()
    journal = SimJournal(device)
    journal.append([TICK, TICK])
    assert journal.sync() == 2
    journal.append([TICK])
    after = restarted(device, 0.0)
    assert after.head == (2, next(iter(reversed(list(journal.records())[:2]))).hash)
    assert after.durable_seq == 2
    assert [event for _, event in after.read()] == [TICK, TICK]


def test_a_sync_covers_what_was_appended_when_it_began() -> None:
    device = Device()
    journal = SimJournal(device)
    journal.append([TICK])
    journal.sync_begins()
    journal.append([TICK])
    assert journal.sync_ends() == 1
    assert journal.truly_durable() == 1
    assert restarted(device, 0.0).head[0] == 1


def test_a_cut_frame_is_dropped_whole_with_all_that_one_decision_led_to() -> None:
    device = Device()
    journal = SimJournal(device)
    journal.append([TICK])
    journal.append([TICK, TICK, TICK])
    after = restarted(device, 0.9)
    assert after.head[0] == 1
    assert after.torn_bytes > 0
    assert after.append([TICK]) == 2
    after.sync()
    assert restarted(device, 0.0).head[0] == 2


def test_a_lying_sync_is_believed_by_the_journal_and_not_by_the_device() -> None:
    device = Device()
    journal = SimJournal(device)
    journal.append([TICK])
    journal.sync_begins()
    assert journal.sync_ends(really=False) == 1
    assert journal.durable_seq == 1
    assert journal.truly_durable() == 0
    assert restarted(device, 0.0).head[0] == 0


def test_a_failed_journal_refuses_everything_after() -> None:
    journal = SimJournal(Device())
    journal.fail("no space left on device")
    with pytest.raises(JournalFailed, match="no space left"):
        journal.append([TICK])
    with pytest.raises(JournalFailed, match="no space left"):
        journal.sync()


def test_a_changed_record_breaks_the_chain() -> None:
    device = Device()
    journal = SimJournal(device)
    journal.append([TICK])
    journal.append([TICK])
    journal.sync()
    journal.verify()
    del journal._records[0]
    with pytest.raises(ChainBroken):
        journal.verify()


def test_a_checkpoint_that_is_ahead_of_the_journal_is_passed_over() -> None:
    device, checkpoints = Device(), SimCheckpoints()
    journal = SimJournal(device)
    journal.append([TICK])
    journal.sync()
    checkpoints.write(1, journal.head[1], b"one", "h1")
    journal.append([TICK])
    checkpoints.write(2, journal.head[1], b"two", "h2")
    after = restarted(device, 0.0)
    found, notes = checkpoints.load(after)
    assert found is not None
    assert found.state == b"one"
    assert len(notes) == 1
