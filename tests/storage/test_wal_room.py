"""Room ahead in the write-ahead log: commits do not lengthen it, readers and recovery take it for the log's end."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.sqlite import wal_of
from qmworkbench.storage.wal_room import AHEAD_BYTES, LARGEST_BYTES, STEP_BYTES, WalRoom
from tests.storage.events import decisions


def test_commits_go_into_room_that_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with SqliteJournal(path, book="b") as journal:
        journal.append(decisions(1))
        journal.sync()
        journal.durability()  # asked of the writer's thread: what it does after a commit is done
        size = wal_of(path).stat().st_size
        assert size >= AHEAD_BYTES
        for event in decisions(20):
            journal.append([event])
            journal.sync()
        assert wal_of(path).stat().st_size == size


def test_it_grows_with_the_log_and_a_copy_of_a_killed_writer_is_whole(tmp_path: Path) -> None:
    """The files as a kill would leave them: log with room in it, no -shm that says where it ends."""
    path = tmp_path / "journal.db"
    copy = tmp_path / "copy" / "journal.db"
    copy.parent.mkdir()
    with SqliteJournal(path, book="b") as journal:
        events = decisions(6_000)
        for begin in range(0, len(events), 100):
            journal.append(events[begin : begin + 100])
            journal.sync()
        journal.durability()
        assert AHEAD_BYTES + STEP_BYTES < wal_of(path).stat().st_size < 2 * LARGEST_BYTES
        shutil.copy(path, copy)
        shutil.copy(wal_of(path), wal_of(copy))
        head = journal.head
    with JournalReader(copy) as reader:
        assert reader.durable_seq == head[0]
    with SqliteJournal(copy, book="b") as again:
        assert again.head == head
        again.append(decisions(1))
        assert again.verify()["decisions"][0] == head[0] + 1
    assert not wal_of(copy).exists()


def test_a_quiet_moment_takes_a_long_log_into_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's file then has what it had not, and the log begins anew at its front."""
    from qmworkbench.storage import sqlite_sink
    from qmworkbench.storage.sqlite_sink import SqliteSink

    monkeypatch.setattr(sqlite_sink, "RESTED_BYTES", 1)
    path = tmp_path / "journal.db"
    with SqliteJournal(path, book="b") as journal:
        journal.append(decisions(200))
        journal.sync()
        before = path.stat().st_size
        sink = journal._writer._sink
        assert isinstance(sink, SqliteSink)
        journal._writer.ask(lambda connection: sink.rest())
        assert path.stat().st_size > before
        assert journal.verify()["decisions"] == journal.head


def test_what_cannot_be_written_is_left(tmp_path: Path) -> None:
    missing = WalRoom(tmp_path / "none")
    missing.use(1)
    missing.close()
    full = Path("/dev/full")
    if full.exists():
        room = WalRoom(full)
        room.use(1)
        room.close()
        room.close()


def test_it_ends_with_the_journal(tmp_path: Path) -> None:
    """No descriptor is left, and the log is gone with its last connection."""
    path = tmp_path / "journal.db"
    with SqliteJournal(path, book="b") as journal:
        journal.append(decisions(3))
    assert not wal_of(path).exists()
    if Path("/proc/self/fd").exists():
        held = []
        for number in os.listdir("/proc/self/fd"):
            try:
                held.append(os.readlink(f"/proc/self/fd/{number}"))
            except FileNotFoundError:  # the listing's own
                continue
        assert not [name for name in held if str(tmp_path) in name]
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("SELECT count(*) FROM decisions").fetchone() == (3,)
