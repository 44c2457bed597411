"""The read-only door: everything of a book, beside a live writer and after a kill, and never a write."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest

from qmworkbench.domain.events.orders import TradeClosed
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.projections import Projector, rebuild_book
from qmworkbench.storage.quarantine import add_quarantined
from qmworkbench.storage.reading import open_book
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreMissing
from qmworkbench.storage.snapshots import SnapshotStore
from qmworkbench.storage.sqlite import wal_of
from tests.storage.bars import INTERVAL_S, SYMBOLS, frames, hashes
from tests.storage.days import day
from tests.storage.events import decisions, timing
from tests.storage.test_snapshots import snapshot

ROOT = Path(__file__).resolve().parents[2]
FIRST, SECOND = "local-2026-03-02", "local-2026-03-03"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> BookPaths:
    """A book of two days with everything beside them."""
    paths = BookPaths(tmp_path_factory.mktemp("book")).create()
    events = day(1, days=2)
    with SqliteJournal(paths.journal, book="test") as journal:
        journal.append_telemetry([timing(n) for n in range(3)])
        journal.append_telemetry([msgspec.structs.replace(timing(9), at=events[0].at)])
        journal.append(events)
        journal.sync()
        projector = Projector(paths.projections)
        projector.catch_up(journal)
        projector.close()
    session = paths.session(FIRST).create()
    with BarStore(session.bars) as store:
        store.begin(SYMBOLS, INTERVAL_S)
        for each in frames(5):
            store.append(each)
        store.write_frame("warmup", pl.DataFrame({"a": [1]}))
    with SnapshotStore(session.radar, top=3) as snapshots:
        snapshots.append(snapshot(0))
    add_quarantined(session.quarantine, pl.DataFrame({"symbol": ["A"], "reason": ["nan"]}))
    return paths


def test_tables_are_frames_with_the_right_types(book: BookPaths) -> None:
    with open_book(book.root) as reader:
        trades = reader.table("trades", session=FIRST)
        assert trades.schema["net_pnl"] == pl.Float64
        assert trades.schema["opened_at"] == pl.Datetime("us", "UTC")
        closed = [event for _seq, event in reader.events(["trade.closed"], session=FIRST)]
        assert len(trades) == len(closed) > 3
        assert trades["net_pnl"].sum() == pytest.approx(
            float(sum(e.net_pnl for e in closed if isinstance(e, TradeClosed)))
        )
        exact = reader.table("trades", session=FIRST, exact=True)
        assert exact["net_pnl"].to_list() == [str(e.net_pnl) for e in sorted(closed, key=lambda e: e.trade_id)]
        assert len(reader.table("trades")) > len(trades)
        assert reader.table("phases", session=SECOND).schema["entered"] == pl.Boolean
        assert reader.table("boundaries", session=FIRST)["boundary"].to_list() == [9]
        assert len(reader.table("boundaries")) == 4
        for name in reader.tables():
            reader.table(name)  # every declared type is known
    with pytest.raises(ValueError, match="no table 'orderz'; there are account, alerts"):
        open_book(book.root).table("orderz")


def test_sessions_events_and_heads_come_from_the_journal(book: BookPaths) -> None:
    with open_book(str(book.journal)) as reader:
        sessions = reader.sessions()
        assert sessions["session_id"].to_list() == [FIRST, SECOND]
        assert sessions["closed_seq"][1] == reader.head()[0] == len(day(1, days=2))
        first = list(reader.events(session=FIRST))
        second = list(reader.events(session=SECOND))
        assert [event for _seq, event in first + second] == list(day(1, days=2))
        assert second[0][0] == first[-1][0] + 1
        assert list(reader.events(["session.opened"], after=1, session=SECOND)) == second[:1]
        assert [e.boundary for _seq, e in reader.events(stream="telemetry")] == [0, 1, 2, 9]
        assert reader.verify()["decisions"] == reader.head()
        mark = reader.watermark()
        assert (mark.lag, mark.head_seq) == (0, reader.head()[0])
        with pytest.raises(StoreMissing, match=rf"no session 'nope'; it has {FIRST}, {SECOND}"):
            reader.table("orders", session="nope")
        with pytest.raises(ValueError, match="telemetry knows no session"):
            reader.events(session=FIRST, stream="telemetry")


def test_bars_snapshots_and_quarantine_are_read_beside(book: BookPaths) -> None:
    with open_book(book.root) as reader:
        assert len(reader.bars(FIRST)) == sum(len(each) for each in frames(5))
        assert reader.frame(FIRST, "warmup").to_dicts() == [{"a": 1}]
        assert len(reader.snapshots(FIRST)) == 3
        assert reader.quarantined(FIRST)["reason"].to_list() == ["nan"]
        assert len(reader.quarantined(SECOND)) == 0
        for read in (reader.bars, reader.snapshots):
            with pytest.raises(StoreMissing):
                read(SECOND)
    assert hashes(list(BarStore(book.session(FIRST).bars).frames())) == hashes(frames(5))


def test_any_select_and_nothing_else(book: BookPaths) -> None:
    with open_book(book.root) as reader:
        counted = reader.sql("SELECT status, count(*) AS n FROM orders WHERE session_id = ? GROUP BY status", FIRST)
        assert counted.columns == ["status", "n"]
        for write in ("DELETE FROM orders", "UPDATE orders SET status = ''", "CREATE TABLE x (a)", "DROP TABLE orders"):
            with pytest.raises(StorageRefused, match="this door reads only"):
                reader.sql(write)
        with pytest.raises(ValueError, match=r"no such table: orderz; there are the tables account"):
            reader.sql("SELECT * FROM orderz")
        for statement in ("INSERT INTO decisions SELECT * FROM decisions", "DELETE FROM meta", "PRAGMA user_version=9"):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.journal._connection.execute(statement)


def test_a_missing_book_and_missing_projections_name_the_remedy(tmp_path: Path, book: BookPaths) -> None:
    with pytest.raises(StoreMissing, match=r"nowhere holds no book .*check the path, or make one with `qm day`"):
        open_book(tmp_path / "nowhere")
    shutil.copy(book.journal, tmp_path / "journal.db")
    with open_book(tmp_path) as reader:
        assert len(reader.sessions()) == 2
        with pytest.raises(StoreMissing, match=r"projections\.db has not been made yet.*rebuild_book"):
            reader.table("orders")
        assert rebuild_book(reader.paths) == len(day(1, days=2)) + 4
        assert len(reader.table("orders")) > 10
    (tmp_path / "journal.db").write_bytes(b"?" * 5000)
    with pytest.raises(StoreDamaged, match=r"journal\.db is damaged"):
        open_book(tmp_path)


def test_a_new_book_is_empty_not_broken(tmp_path: Path) -> None:
    paths = BookPaths(tmp_path / "book").create()
    with SqliteJournal(paths.journal, book="test"):
        pass
    with open_book(paths.root) as reader:
        assert len(reader.sessions()) == 0
        assert reader.head()[0] == 0
        assert list(reader.events()) == []


def test_it_stands_open_while_a_session_writes(tmp_path: Path) -> None:
    paths = BookPaths(tmp_path / "book").create()
    with SqliteJournal(paths.journal, book="test") as journal:
        projector = Projector(paths.projections)
        with open_book(paths.root) as reader:
            for size in (100, 200, 300):
                journal.append(decisions(100, first=size - 99))
                journal.sync()
                assert reader.head() == journal.durable_head
                assert reader.watermark().lag == 100
                projector.catch_up(journal)
                assert reader.watermark().lag == 0
                assert len(reader.table("blocked_symbols")) == pytest.approx(size / 3, abs=1)
        projector.close()


def killed_book(tmp_path: Path) -> tuple[BookPaths, int]:
    """A book whose writer was killed: its log lies beside the file."""
    paths = BookPaths(tmp_path / "book").create()
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.writer_process", str(paths.journal)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    with writer.stdout as said:
        acknowledged = [int(said.readline().split()[-1]) for _ in range(10)][-1]
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert wal_of(paths.journal).stat().st_size > 0
    return paths, acknowledged


def test_a_book_whose_writer_was_killed_is_read_through_its_log(tmp_path: Path) -> None:
    paths, acknowledged = killed_book(tmp_path)
    before = paths.journal.read_bytes(), wal_of(paths.journal).read_bytes()
    with open_book(paths.root) as reader:
        seq = reader.head()[0]
        assert seq >= acknowledged
        assert [event for _seq, event in reader.events()] == decisions(seq)
        projector = Projector(paths.projections)
        projector.catch_up(reader.journal)
        assert reader.watermark().lag == 0
        projector.close()
    assert (paths.journal.read_bytes(), wal_of(paths.journal).read_bytes()) == before


@pytest.mark.parametrize("killed", [False, True])
def test_a_book_on_a_directory_nobody_can_write_is_read(tmp_path: Path, killed: bool) -> None:
    """As an archive or a read-only mount; root, who may write anywhere, becomes nobody to try it."""
    if killed:
        paths, expected = killed_book(tmp_path)
    else:
        paths, expected = BookPaths(tmp_path / "book").create(), 30
        with SqliteJournal(paths.journal, book="test") as journal:
            journal.append(decisions(30))
    script = f"""
import os
from qmworkbench.storage.journal_reader import JournalReader
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
assert not os.access({str(paths.root)!r}, os.W_OK)
with JournalReader({str(paths.journal)!r}) as journal:
    print(journal.verify()["decisions"][0])
"""
    for directory in (tmp_path, *tmp_path.parents):
        if not directory.stat().st_mode & 0o001:  # the test's own directories, however deep the runner nests them
            directory.chmod(0o755)
    for file in paths.root.glob("journal.db*"):
        file.chmod(0o444)
    paths.root.chmod(0o555)
    try:
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        paths.root.chmod(0o700)
    assert done.stderr == ""
    assert int(done.stdout) >= expected


def test_the_reader_is_a_source_for_projections(book: BookPaths, tmp_path: Path) -> None:
    projector = Projector(tmp_path / "projections.db")
    with JournalReader(book.journal) as journal:
        assert journal.book == "test"
        assert projector.catch_up(journal) == len(day(1, days=2)) + 4
        assert journal.hash_at(journal.durable_seq) == journal.head()[1]
        assert len(list(journal.records(after_seq=5))) == journal.durable_seq - 5
    projector.close()
