"""Anchors: an older copy of a journal does not pass for it (§21)."""

import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qmworkbench.storage.anchors import Anchors, RolledBack
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.storage.refused import StoreDamaged
from tests.storage.events import decisions

AT = datetime(2018, 3, 2, 21, tzinfo=UTC)


@pytest.fixture
def anchors(tmp_path: Path) -> Anchors:
    return Anchors(tmp_path / "anchors" / "desk.jsonl")


def test_a_journal_that_went_on_holds_its_anchors(anchors: Anchors) -> None:
    journal = MemoryJournal()
    assert anchors.write(journal, AT) is None, "nothing to anchor yet"
    journal.append(decisions(5))
    assert anchors.check(journal) == "not anchored yet"
    signed = anchors.write(journal, AT)
    assert signed is not None
    assert (signed.seq, signed.hash) == journal.head
    journal.append(decisions(5, first=6))
    assert anchors.check(journal) == "holds what was anchored at 5 (2018-03-02 21:00:00Z)"
    anchors.write(journal, AT)
    assert "anchored at 10" in anchors.check(journal)


def test_an_older_copy_is_found_although_its_chain_verifies(anchors: Anchors, tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", book="desk") as journal:
        journal.append(decisions(100))
    shutil.copy(tmp_path / "journal.db", tmp_path / "old.db")
    with SqliteJournal(tmp_path / "journal.db", book="desk") as journal:
        journal.append(decisions(20, first=101))
        journal.sync()
        anchors.write(journal, AT)
    with SqliteJournal(tmp_path / "old.db", book="desk") as restored:
        restored.verify()
        with pytest.raises(RolledBack, match=r"journal ends at 100, and its head was anchored at 120 on 2018-03-02"):
            anchors.check(restored)
        restored.append(decisions(30, first=99))
        restored.sync()
        with pytest.raises(RolledBack, match="has another record at 120"):
            anchors.check(restored)
        anchors.write(restored, AT, accepted="the disk is lost", by="grace")
        assert "anchored at 130" in anchors.check(restored)
        newest = anchors.newest(restored.hash_at(1) or "")
        assert newest is not None
        assert (newest.accepted, newest.by) == ("the disk is lost", "grace")


def test_a_new_book_of_the_same_name_is_not_held_against_the_old_one(anchors: Anchors) -> None:
    old, new = MemoryJournal(), MemoryJournal()
    old.append(decisions(10))
    new.append(decisions(3, first=7))
    anchors.write(old, AT)
    assert anchors.check(new) == "not anchored yet"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace('"seq":5', '"seq":4', 1),
        lambda text: "\n".join(text.splitlines()[1:]) + "\n",
        lambda text: "nonsense\n" + text,
    ],
    ids=["a number", "a line dropped", "a line put in"],
)
def test_anchors_that_were_touched_are_not_believed(anchors: Anchors, spoil: object) -> None:
    journal = MemoryJournal()
    for last in (5, 10):
        journal.append(decisions(5, first=last - 4))
        anchors.write(journal, AT)
    anchors.path.write_text(spoil(anchors.path.read_text()))  # type: ignore[operator]
    with pytest.raises(StoreDamaged, match="line 1 "):
        anchors.check(journal)


def test_a_line_that_a_kill_cut_short_was_never_there(anchors: Anchors) -> None:
    journal = MemoryJournal()
    journal.append(decisions(5))
    anchors.write(journal, AT)
    with anchors.path.open("ab") as file:
        file.write(b'{"origin":"cut')
    assert "anchored at 5" in anchors.check(journal)
    journal.append(decisions(5, first=6))
    anchors.write(journal, AT)
    assert "anchored at 10" in anchors.check(journal)


def test_the_key_is_private_and_is_missed(anchors: Anchors) -> None:
    journal = MemoryJournal()
    journal.append(decisions(5))
    anchors.write(journal, AT)
    key = anchors.path.with_name("key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(anchors.path.stat().st_mode) == 0o600
    key.write_bytes(b"short")
    with pytest.raises(StoreDamaged, match="is no key of 32 bytes"):
        anchors.check(journal)
    key.unlink()
    with pytest.raises(StoreDamaged, match="bring the key back"):
        anchors.check(journal)
