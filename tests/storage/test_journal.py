"""The journal on SQLite: refuses edits, survives kills and full disks, and says what is wrong with a file."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.chain import ChainBroken
from qmworkbench.domain.events import SCHEMA_VERSION, encode
from qmworkbench.ports import JournalFailed
from qmworkbench.storage import journal_file
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.journal_select import SESSIONS_IN_SQL, STREAMS
from qmworkbench.storage.refused import (
    StorageRefused,
    StoreDamaged,
    StoreInUse,
    StoreMissing,
    StoreNewer,
)
from qmworkbench.storage.sqlite import connect_readonly, wal_of
from tests.storage.events import OPEN, decision, decisions, timing

ROOT = Path(__file__).resolve().parents[2]


def raw(path: Path) -> sqlite3.Connection:
    """A connection as anybody could make one."""
    return sqlite3.connect(path, isolation_level=None)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of twelve decisions and three telemetry records, closed cleanly."""
    path = tmp_path_factory.mktemp("closed") / "journal.db"
    with SqliteJournal(path, book="test") as journal:
        journal.append(decisions(12))
        journal.append_telemetry([timing(n) for n in range(3)])
    return path


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> pytest.TempPathFactory:
    """A directory for each example of a property."""
    return tmp_path_factory


@pytest.fixture
def copied(closed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(closed, tmp_path / "journal.db"))


# ── durable as configured ──────────────────────────────────────────────────────────────────────────────────


def test_durability_is_asked_from_the_writing_connection(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        assert journal.durability() == {"journal_mode": "wal", "synchronous": "full"}
        journal._writer.ask(lambda connection: connection.execute("PRAGMA synchronous=OFF"))
        assert journal.durability()["synchronous"] == "off"


def test_appending_alone_makes_nothing_durable_and_syncing_does(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        commits = journal.commits
        for event in decisions(100):
            journal.append([event])
        assert journal.sync() == 100
        assert journal.commits - commits < 20  # one group, some more where the quarter seconds fell in between


def test_what_is_never_synced_becomes_durable_by_itself(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        journal.append(decisions(3))
        journal.append_telemetry([timing(1)])
        deadline = time.monotonic() + 30
        while journal.durable_seq < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert journal.durable_head == journal.head


def test_what_records_refer_to_is_made_durable_before_them(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        seen: list[int] = []
        journal.before_commit(lambda: seen.append(journal.durable_seq))
        journal.append(decisions(2))
        journal.sync()
        journal.append(decisions(1, first=3))
        journal.sync()
        assert seen == [0, 2]


def test_a_failing_action_before_the_commit_poisons(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db", book="test")

    def fail() -> None:
        raise OSError("bars: no space left")

    journal.before_commit(fail)
    journal.append(decisions(1))
    with pytest.raises(JournalFailed, match="bars: no space left"):
        journal.sync()
    journal.close()
    with SqliteJournal.open(tmp_path / "journal.db") as again:
        assert again.durable_seq == 0


def test_a_clean_close_leaves_one_file_and_an_empty_lock(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db", book="test")
    journal.append(decisions(3))
    journal.close()
    journal.close()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["journal.db", "journal.db.writer"]
    with pytest.raises(JournalFailed, match="is closed"):
        journal.append(decisions(1, first=4))


# ── append-only ────────────────────────────────────────────────────────────────────────────────────────────

EDITS = {
    "update": "UPDATE decisions SET payload = '{}' WHERE seq = 5",
    "delete": "DELETE FROM decisions WHERE seq = 12",
    "replace": "INSERT OR REPLACE INTO decisions SELECT * FROM decisions WHERE seq = 5",
    "replace the last": "INSERT OR REPLACE INTO decisions SELECT * FROM decisions WHERE seq = 12",
    "insert again": "INSERT INTO decisions SELECT * FROM decisions WHERE seq = 12",
    "insert or ignore": "INSERT OR IGNORE INTO decisions SELECT * FROM decisions WHERE seq = 12",
    "leave a gap": "INSERT INTO decisions SELECT seq + 2, at, type, v, payload, hash, hash FROM decisions "
    "WHERE seq = 12",
    "wrong predecessor": "INSERT INTO decisions SELECT 13, at, type, v, payload, prev_hash, hash "
    "FROM decisions WHERE seq = 12",
    "before the first": "INSERT INTO decisions SELECT 0, at, type, v, payload, prev_hash, hash "
    "FROM decisions WHERE seq = 1",
    "upsert": "INSERT INTO decisions SELECT * FROM decisions WHERE seq = 5 "
    "ON CONFLICT (seq) DO UPDATE SET payload = '{}'",
}


@pytest.mark.parametrize("recursive", ["ON", "OFF"])
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("edit", sorted(EDITS))
def test_no_statement_changes_what_is_written(copied: Path, edit: str, stream: str, recursive: str) -> None:
    with closing(raw(copied)) as connection:
        connection.execute(f"PRAGMA recursive_triggers={recursive}")
        statement = EDITS[edit].replace("decisions", stream)
        if stream == "telemetry":  # it has three records
            statement = statement.replace("12", "3").replace("5", "2").replace("13", "4")
        before = connection.execute(f"SELECT * FROM {stream}").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|grows only at its tail"):
            connection.execute(statement)
        assert connection.execute(f"SELECT * FROM {stream}").fetchall() == before


@given(data=st.data())
def test_any_change_of_a_record_is_found(closed: Path, fresh: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = Path(shutil.copy(closed, fresh.mktemp("edited") / "journal.db"))
    stream = data.draw(st.sampled_from(STREAMS))
    seq = data.draw(st.integers(1, 12 if stream == "decisions" else 3))
    column = data.draw(st.sampled_from(["seq", "at", "type", "v", "payload", "prev_hash", "hash"]))
    with closing(raw(path)) as connection:
        connection.execute(f"DROP TRIGGER {stream}_no_update")
        old = connection.execute(f"SELECT {column} FROM {stream} WHERE seq = ?", (seq,)).fetchone()[0]
        new: object
        if isinstance(old, int):
            new = old + data.draw(st.integers(1, 50).map(lambda step: 12 + step))
        else:
            old_bytes = bytearray(old if isinstance(old, bytes) else old.encode())
            at = data.draw(st.integers(0, len(old_bytes) - 1))
            old_bytes[at] ^= 1 << data.draw(st.integers(0, 6))
            new = bytes(old_bytes) if isinstance(old, bytes) else old_bytes.decode(errors="replace")
        connection.execute(f"UPDATE {stream} SET {column} = ? WHERE seq = ?", (new, seq))
        with pytest.raises(ChainBroken, match="record"):
            journal_file.verify_rows(journal_file.rows(connection, stream))
    with pytest.raises((StoreDamaged, StoreNewer), match=r"restore the book from a copy|event schema"):
        SqliteJournal.open(path)


@given(data=st.data())
def test_any_flipped_byte_of_the_file_is_refused_or_harmless(
    closed: Path, fresh: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(closed.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = fresh.mktemp("flipped") / "journal.db"
    path.write_bytes(content)
    try:
        with SqliteJournal.open(path, book="test") as journal:
            journal.verify()
            assert [event for _seq, event in journal.read()] == decisions(12)
            assert [encode(e) for _seq, e in journal.events_by(stream="telemetry")] == [
                encode(timing(n)) for n in range(3)
            ]
    except StorageRefused as refusal:
        assert str(path) in str(refusal)  # noqa: PT017 (either outcome is right, and each has its condition)


def test_missing_and_swapped_records_are_named(copied: Path) -> None:
    with closing(raw(copied)) as connection:
        connection.execute("DROP TRIGGER decisions_no_delete")
        connection.execute("DELETE FROM decisions WHERE seq IN (6, 7)")
        with pytest.raises(ChainBroken, match=r"record 8 follows record 5: 2 record\(s\) are missing"):
            journal_file.verify_rows(journal_file.rows(connection, "decisions"))


def test_a_journal_without_its_guards_is_refused(copied: Path) -> None:
    with closing(raw(copied)) as connection:
        connection.execute("DROP TRIGGER telemetry_chained")
    with pytest.raises(StoreDamaged, match="telemetry_chained missing or not as made"):
        SqliteJournal.open(copied)


# ── failure is final ───────────────────────────────────────────────────────────────────────────────────────


def assert_poisoned(journal: SqliteJournal, match: str) -> None:
    for call in (
        journal.sync,
        lambda: journal.append(decisions(1)),
        lambda: journal.append_telemetry([timing(1)]),
        lambda: list(journal.read()),
        lambda: list(journal.records(stream="telemetry")),
        journal.durability,
        journal.sync,
    ):
        with pytest.raises(JournalFailed, match=match):
            call()


def test_a_full_disk_poisons_and_keeps_what_was_durable(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, book="test")
    journal.append(decisions(5))
    journal.sync()
    durable = journal.durable_head
    journal._writer.ask(lambda connection: connection.execute("PRAGMA max_page_count=1").fetchone())
    journal.append(decisions(500, first=6))
    assert journal.head[0] == 505
    with pytest.raises(JournalFailed, match=r"journal\.db could not be written .*full.*no effect may leave"):
        journal.sync()
    assert_poisoned(journal, "full")
    assert journal.durable_head == durable
    journal.close()
    with SqliteJournal.open(path) as again:
        assert again.head == durable
        assert [event for _seq, event in again.read()] == decisions(5)


def test_a_locked_file_poisons(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, book="test")
    journal._writer.ask(lambda connection: connection.execute("PRAGMA busy_timeout=20").fetchone())
    with closing(raw(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        journal.append(decisions(1))
        with pytest.raises(JournalFailed, match="database is locked"):
            journal.sync()
        other.execute("ROLLBACK")
    assert_poisoned(journal, "locked")
    journal.close()


def test_a_record_written_behind_our_back_poisons(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, book="test")
    journal.append(decisions(1))
    journal.sync()
    with closing(raw(path)) as other:
        other.execute("INSERT INTO decisions SELECT 2, at, type, v, payload, hash, 'f' FROM decisions WHERE seq = 1")
    journal.append(decisions(1, first=2))
    with pytest.raises(JournalFailed, match="grows only at its tail"):
        journal.sync()
    journal.close()


def test_waiting_threads_all_learn_of_the_failure(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    journal = SqliteJournal(tmp_path / "journal.db", book="test")
    journal._writer.ask(lambda connection: connection.execute("PRAGMA max_page_count=1").fetchone())

    def write(n: int) -> str:
        try:
            journal.append([decision(n)] * 200)
            journal.sync()
        except JournalFailed as failure:
            return str(failure)
        return "written"

    with ThreadPoolExecutor(4) as pool:
        told = set(pool.map(write, range(8)))
    assert len(told) == 1
    assert "full" in told.pop()
    journal.close()


# ── opening ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_journal_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=r"journal\.db does not exist: .*`qm day`"):
        SqliteJournal.open(tmp_path / "journal.db")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreMissing, match="create the book first"):
        SqliteJournal(tmp_path / "nowhere" / "journal.db", book="test")


def test_a_book_opens_under_its_own_name_alone(copied: Path) -> None:
    with pytest.raises(StorageRefused, match="belongs to book 'test', not 'other'"):
        SqliteJournal(copied, book="other")
    with pytest.raises(StorageRefused, match="name the book"):
        SqliteJournal(copied.with_name("new.db"))
    with SqliteJournal.open(copied) as journal:
        assert journal.book == "test"


@pytest.mark.parametrize(
    ("newer", "match"),
    [
        ("UPDATE meta SET value = '7' WHERE key = 'layout'", "layout 7, this version .* writes layout 1"),
        (
            f"INSERT INTO decisions SELECT 13, at, type, {SCHEMA_VERSION + 1}, payload, hash, 'f' "
            "FROM decisions WHERE seq = 12",
            f"event schema {SCHEMA_VERSION + 1}, this version .* knows up to {SCHEMA_VERSION}",
        ),
    ],
)
def test_a_newer_journal_is_refused_and_left_as_it_is(copied: Path, newer: str, match: str) -> None:
    with closing(raw(copied)) as connection:
        connection.execute(newer)
    before = copied.read_bytes()
    with pytest.raises(StoreNewer, match=match + ".*: update the workbench"):
        SqliteJournal.open(copied)
    assert copied.read_bytes() == before


@pytest.mark.parametrize("keep", [0.97, 0.5, 0.1])
def test_a_truncated_journal_is_refused(copied: Path, keep: float) -> None:
    os.truncate(copied, int(copied.stat().st_size * keep))
    with pytest.raises(StoreDamaged, match=r"journal\.db .*restore"):
        SqliteJournal.open(copied)


def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "journal.db"
    text.write_text("not a database, but long enough to look like one at first " * 50)
    with pytest.raises(StoreDamaged, match="is damaged or no database of ours"):
        SqliteJournal.open(text)
    foreign = tmp_path / "foreign.db"
    with closing(raw(foreign)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    before = foreign.read_bytes()
    with pytest.raises(StoreDamaged, match="a database but not a journal"):
        SqliteJournal(foreign, book="test")
    assert foreign.read_bytes() == before


def test_a_second_writer_is_refused_in_the_same_process(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with SqliteJournal(path, book="test") as journal:
        told = rf"written by process {os.getpid()} on .+ since 20\S+Z: stop that session"
        with pytest.raises(StoreInUse, match=told):
            SqliteJournal.open(path)
        journal.append(decisions(1))
        assert journal.sync() == 1
    with SqliteJournal.open(path) as journal:
        assert journal.durable_seq == 1


# ── processes that die ─────────────────────────────────────────────────────────────────────────────────────


def start_writer(path: Path, group: int = 3) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.storage.writer_process", str(path), str(group)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def acknowledged(writer: subprocess.Popen[str]) -> int:
    """The last sequence a killed writer has said to be durable; a line cut short does not count."""
    assert writer.stdout is not None
    with writer.stdout as said:
        whole = [line for line in said.read().splitlines(keepends=True) if line.endswith("\n")]
    return int(whole[-1].split()[-1]) if whole else 0


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    running = start_writer(tmp_path / "journal.db")
    assert running.stdout is not None
    assert running.stdout.readline() == "open 0\n"
    assert running.stdout.readline() == "3\n"
    yield running
    running.kill()
    running.wait()
    if not running.stdout.closed:
        running.stdout.close()


def test_a_second_writer_is_refused_across_processes(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    with pytest.raises(StoreInUse, match=f"written by process {writer.pid}"):
        SqliteJournal.open(tmp_path / "journal.db")


def test_reading_while_another_process_writes(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    heads: list[int] = []
    deadline = time.monotonic() + 120
    while len(heads) < 5 or heads[-1] == heads[0]:
        assert time.monotonic() < deadline, "the writer wrote nothing more"
        with closing(connect_readonly(tmp_path / "journal.db")) as connection:
            rows = list(journal_file.rows(connection, "decisions"))
        seq, _digest = journal_file.verify_rows(rows)
        heads.append(seq)
    assert heads == sorted(heads)
    assert heads[0] >= 3


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_however_often_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    instants = random.Random(20180302)
    known = 0
    for _ in range(8):
        writer = start_writer(path, group=instants.choice([1, 3, 40]))
        assert writer.stdout is not None
        assert writer.stdout.readline().startswith("open")
        # So many commits, and a moment: how far it is by then says nothing about how quick the machine is.
        said = [int(writer.stdout.readline()) for _ in range(instants.randint(1, 30))][-1]
        time.sleep(instants.uniform(0, 0.02))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        said = max(said, acknowledged(writer))
        # The dead process's log is still there, and is read through without being folded in.
        assert wal_of(path).exists()
        with closing(connect_readonly(path)) as connection:
            seq, _digest = journal_file.verify_rows(journal_file.rows(connection, "decisions"))
        assert seq >= max(said, known)
        known = seq
    with SqliteJournal.open(path) as journal:
        assert journal.durable_seq == known > 100
        assert [event for _seq, event in journal.read()] == decisions(known)
        journal.verify()


def test_a_log_torn_by_a_power_cut_loses_its_tail_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    writer = start_writer(path)
    assert writer.stdout is not None
    for _ in range(20):
        writer.stdout.readline()
    writer.kill()
    writer.wait()
    acknowledged(writer)
    log = wal_of(path)
    os.truncate(log, log.stat().st_size - 1000)
    with SqliteJournal.open(path) as journal:
        kept = journal.durable_seq
        assert kept >= 3
        assert [event for _seq, event in journal.read()] == decisions(kept)


# ── where it lies ──────────────────────────────────────────────────────────────────────────────────────────


def test_events_are_found_by_type_and_sessions_by_index(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        journal.append(decisions(9))
        held = list(journal.events_by(["entries.held"]))
        assert [seq for seq, _event in held] == [3, 6, 9]
        assert held[0][1].at > OPEN
        assert journal.hash_at(9) == journal.head[1]
        assert journal.hash_at(10) is None
        journal.sync()
        with closing(connect_readonly(journal.path)) as connection:
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN SELECT seq, payload FROM decisions WHERE type IN {SESSIONS_IN_SQL} ORDER BY seq"
            ).fetchall()
        assert "decisions_sessions" in str(plan)


def test_a_walk_goes_on_from_where_an_earlier_one_ended(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        journal.append(decisions(3))
        proven = journal.verify()
        journal.append(decisions(2, first=4))
        assert journal.verify(proven) == journal.verify()
        assert journal.verify(proven)["decisions"] == journal.head
        with pytest.raises(ChainBroken):
            journal.verify(proven | {"decisions": (3, "0" * 64)})
