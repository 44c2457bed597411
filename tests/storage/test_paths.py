"""A book's layout: everything in one place, nothing outside it."""

import stat
from pathlib import Path

import pytest

from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.refused import StorageRefused


def test_a_book_is_one_directory_and_a_session_one_within(tmp_path: Path) -> None:
    book = BookPaths.under(tmp_path, "local", "default")
    assert book.root == tmp_path / "books" / "local" / "default"
    session = book.session("2018-03-02")
    places = [book.journal, book.projections, book.fallback, book.checkpoints, book.venue, book.lease, book.api_json]
    places += [session.bars, session.radar, session.quarantine, session.logs]
    assert all(book.root in place.parents for place in places)
    assert len(set(places)) == len(places)
    assert not book.root.exists()


def test_creating_is_repeatable_and_private(tmp_path: Path) -> None:
    book = BookPaths(tmp_path / "book").create().create()
    assert stat.S_IMODE(book.root.stat().st_mode) == 0o700
    session = book.session("2018-03-02").create()
    session.create()
    assert session.bars.is_dir()
    assert session.logs.is_dir()


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "a b", "x" * 101, "é", "a\n"])
def test_a_name_that_is_no_directory_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageRefused, match="cannot name a directory"):
        BookPaths(tmp_path).session(name)
    with pytest.raises(StorageRefused, match="cannot name a directory"):
        BookPaths.under(tmp_path, "local", name)
