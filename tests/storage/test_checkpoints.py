"""Checkpoints: the newest that is intact and follows from the journal, never a wrong one."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.chain import GENESIS
from qmworkbench.storage.checkpoints import KEEP, Checkpoints
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.memory import MemoryJournal
from tests.storage.events import decisions


@pytest.fixture
def journal() -> MemoryJournal:
    journal = MemoryJournal()
    journal.append(decisions(10))
    return journal


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def write(checkpoints: Checkpoints, journal: MemoryJournal, seq: int) -> Path:
    digest = journal.hash_at(seq) or GENESIS
    return checkpoints.write(seq, digest, f"state {seq}".encode() * 50, f"hash of {seq}")


def test_without_a_checkpoint_one_folds_from_genesis(checkpoints: Checkpoints, journal: MemoryJournal) -> None:
    assert checkpoints.load(journal) == (None, ())


def test_the_newest_is_loaded_and_three_are_kept(checkpoints: Checkpoints, journal: MemoryJournal) -> None:
    for seq in (2, 9, 4, 7, 10):
        write(checkpoints, journal, seq)
    found, passed_over = checkpoints.load(journal)
    assert passed_over == ()
    assert found is not None
    assert (found.seq, found.head_hash, found.state_hash) == (10, journal.head[1], "hash of 10")
    assert found.state == b"state 10" * 50
    assert len(list(checkpoints.directory.iterdir())) == KEEP


def test_a_damaged_one_is_passed_over_for_an_older(checkpoints: Checkpoints, journal: MemoryJournal) -> None:
    write(checkpoints, journal, 5)
    newest = write(checkpoints, journal, 8)
    os.truncate(newest, newest.stat().st_size - 1)
    found, passed_over = checkpoints.load(journal)
    assert found is not None
    assert found.seq == 5
    assert passed_over == (f"{newest}: truncated or changed after it was written",)


def test_one_ahead_of_the_journal_or_of_another_one_is_passed_over(
    checkpoints: Checkpoints, journal: MemoryJournal
) -> None:
    longer = MemoryJournal()
    longer.append(decisions(20))
    other = MemoryJournal()
    other.append(decisions(20, first=100))
    write(checkpoints, other, 3)
    write(checkpoints, other, 9)
    write(checkpoints, longer, 15)
    found, passed_over = checkpoints.load(journal)
    assert found is None
    assert [reason.split(": ", 1)[1] for reason in passed_over] == [
        "the journal has no record 15: it has lost its tail",
        "record 9 of the journal has another hash",
        "record 3 of the journal has another hash",
    ]


def test_the_state_before_the_first_record_may_be_kept(checkpoints: Checkpoints) -> None:
    checkpoints.write(0, GENESIS, b"", "empty")
    found, _ = checkpoints.load(MemoryJournal())
    assert found is not None
    assert found.seq == 0


def test_it_is_verified_against_what_is_durable(checkpoints: Checkpoints, tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        journal.append(decisions(4))
        journal.sync()
        seq, digest = journal.durable_head
        checkpoints.write(seq, digest, b"four", "h")
        found, _ = checkpoints.load(journal)
        assert found is not None
        assert found.state == b"four"


def test_half_written_leftovers_are_ignored_and_swept(checkpoints: Checkpoints, journal: MemoryJournal) -> None:
    write(checkpoints, journal, 5)
    leftover = checkpoints.directory / "checkpoint-000000000009.1234.unfinished"
    leftover.write_bytes(b"half")
    found, passed_over = checkpoints.load(journal)
    assert found is not None
    assert (found.seq, passed_over) == (5, ())
    write(checkpoints, journal, 6)
    assert not leftover.exists()


@given(data=st.data())
def test_a_changed_byte_never_gives_a_wrong_state(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    journal = MemoryJournal()
    journal.append(decisions(5))
    checkpoints = Checkpoints(tmp_path_factory.mktemp("checkpoints"))
    path = write(checkpoints, journal, 5)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    found, passed_over = checkpoints.load(journal)
    if found is not None:  # only the kernel's own hash of the state is not ours to prove
        assert (found.seq, found.head_hash, found.state) == (5, journal.head[1], b"state 5" * 50)
        assert found.state_hash != "hash of 5"
    else:
        assert len(passed_over) == 1
