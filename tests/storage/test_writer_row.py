"""Who writes a journal's file, by its own word: counted, named, and held to it (§19)."""

import os
import platform
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from qmworkbench.storage import writer_row
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.sqlite import connect_readonly
from tests.storage.events import decisions


def test_the_file_names_its_last_writer_and_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for epoch in (1, 2):
        with SqliteJournal(path, book="test") as journal:
            assert journal.epoch == epoch
            journal.append(decisions(1, first=epoch))
    with closing(connect_readonly(path)) as connection:
        (found,) = connection.execute("SELECT epoch, host, pid FROM writer").fetchall()
        named = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%fenced%'").fetchall()
    assert found == (2, platform.node(), os.getpid())
    assert named == [], "the fence is the connection's, not the file's"


def test_a_file_that_cannot_be_taken_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    SqliteJournal(path, book="test").close()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as full:
        with pytest.raises(
            StorageRefused, match=r"journal\.db cannot be taken for writing .*free disk space, or repair"
        ):
            writer_row.take(full, path)
        assert not full.in_transaction
