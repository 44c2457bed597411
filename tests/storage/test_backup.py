"""Backups of a book: taken beside its writer, proved, restored, and refused where they are not whole (§19)."""

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qmworkbench.domain import chain
from qmworkbench.storage.backup import MANIFEST, back_up, check, read_manifest, restore
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreMissing
from tests.storage.events import decisions, timing

AT = datetime(2018, 3, 2, 21, tzinfo=UTC)


@pytest.fixture
def paths(tmp_path: Path) -> BookPaths:
    made = BookPaths.under(tmp_path / "data", "local", "desk").create()
    bars = made.session("desk-2018-03-02").create().bars
    (bars / "000001.arrow").write_bytes(b"bars" * 1000)
    (made.root / "approvals.jsonl").write_text("{}\n")
    (made.root / "api.json").write_text('{"token": "a secret of one process"}')
    (made.root / "lease").write_text("")
    (made.root / "projections.db").write_bytes(b"rebuilt")
    return made


@pytest.fixture
def journal(paths: BookPaths) -> Iterator[SqliteJournal]:
    with SqliteJournal(paths.journal, book="desk") as opened:
        opened.append(decisions(300))
        opened.append_telemetry([timing(1)])
        opened.verify()
        yield opened


def test_a_book_comes_back_as_it_was(paths: BookPaths, journal: SqliteJournal, tmp_path: Path) -> None:
    made, manifest = back_up(paths, tmp_path / "backups", environment="local", at=AT)
    assert made.name == "desk-20180302T210000Z"
    assert manifest.heads == {"decisions": journal.head, "telemetry": journal.telemetry_head}
    assert {one.path for one in manifest.files} == {
        "journal.db",
        "approvals.jsonl",
        "sessions/desk-2018-03-02/bars/000001.arrow",
    }, "nothing that belongs to a process, nothing that is rebuilt"
    assert read_manifest(made) == manifest
    assert check(made) == (manifest, [])
    elsewhere = BookPaths.under(tmp_path / "other", "local", "desk")
    assert restore(made, elsewhere) == manifest
    with SqliteJournal(elsewhere.journal, book="desk") as again:
        assert again.head == journal.head
        assert [event for _, event in again.read()] == decisions(300)
        again.append(decisions(1, first=301))
        assert again.sync() == 301
    assert (elsewhere.session("desk-2018-03-02").bars / "000001.arrow").read_bytes() == b"bars" * 1000


def test_a_backup_beside_a_busy_writer_holds_whole_records(
    paths: BookPaths, journal: SqliteJournal, tmp_path: Path
) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            journal.append(decisions(50, first=journal.head[0] + 1))
            journal.sync()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [
            back_up(paths, tmp_path / "backups", environment="local", at=AT.replace(second=second))
            for second in range(3)
        ]
    finally:
        stop.set()
        writer.join()
    for made, manifest in found:
        assert check(made)[1] == []
        assert manifest.heads["decisions"][0] >= 300
        assert manifest.heads["decisions"][0] % 50 == 0, "a commit is there whole or not at all"
    assert chain.verify(journal.records()) == journal.head


@pytest.mark.parametrize("name", ["approvals.jsonl", "journal.db"])
def test_a_changed_file_is_named_and_nothing_is_restored(
    paths: BookPaths, journal: SqliteJournal, tmp_path: Path, name: str
) -> None:
    made, _ = back_up(paths, tmp_path / "backups", environment="local")
    with (made / name).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    elsewhere = BookPaths.under(tmp_path / "other", "local", "desk")
    with pytest.raises(StoreDamaged, match=f"is not whole: {name} is not what was copied"):
        restore(made, elsewhere)
    assert not elsewhere.root.exists()
    (made / name).unlink()
    assert "cannot be read (No such file or directory)" in check(made)[1][0]


def test_a_manifest_that_points_outside_is_refused(paths: BookPaths, journal: SqliteJournal, tmp_path: Path) -> None:
    made, _ = back_up(paths, tmp_path / "backups", environment="local")
    manifest = (made / MANIFEST).read_text().replace("approvals.jsonl", "../approvals.jsonl")
    (made / MANIFEST).write_text(manifest)
    assert check(made)[1] == ["../approvals.jsonl lies outside the backup"]


def test_nothing_is_ever_written_over(paths: BookPaths, journal: SqliteJournal, tmp_path: Path) -> None:
    made, _ = back_up(paths, tmp_path / "backups", environment="local", at=AT)
    with pytest.raises(StorageRefused, match="exists: a backup never overwrites"):
        back_up(paths, tmp_path / "backups", environment="local", at=AT)
    with pytest.raises(StorageRefused, match="holds a book: move it away first"):
        restore(made, paths)


def test_a_journal_that_does_not_verify_is_no_backup(paths: BookPaths, tmp_path: Path) -> None:
    with SqliteJournal(paths.journal, book="desk") as journal:
        journal.append(decisions(600))
    import sqlite3

    with sqlite3.connect(paths.journal) as edited:
        edited.execute("DROP TRIGGER decisions_no_update")
        edited.execute("UPDATE decisions SET at = '2001' WHERE seq = 5")
        trigger = (
            "CREATE TRIGGER decisions_no_update BEFORE UPDATE ON decisions\n"
            "  BEGIN SELECT RAISE(ABORT, 'decisions is append-only: a record is never changed'); END"
        )
        edited.execute(trigger)
    edited.close()
    with pytest.raises(StoreDamaged, match="does not verify: record 5 is filed as"):
        back_up(paths, tmp_path / "backups", environment="local")
    assert list((tmp_path / "backups").iterdir()) == [], "nothing that looks like a backup is left"


def test_what_is_no_backup_and_where_nothing_can_be_written(
    paths: BookPaths, journal: SqliteJournal, tmp_path: Path
) -> None:
    with pytest.raises(StoreMissing, match=r"is no backup: there is no manifest\.json in it"):
        read_manifest(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageRefused, match="cannot be written"):
        back_up(paths, tmp_path / "file", environment="local")
    made, _ = back_up(paths, tmp_path / "backups", environment="local")
    (made / MANIFEST).write_text("{")
    with pytest.raises(StoreDamaged, match="cannot be read"):
        check(made)
    shutil.rmtree(made)
    with pytest.raises(StoreMissing):
        back_up(BookPaths.under(tmp_path / "data", "local", "nobody"), tmp_path / "backups", environment="local")
