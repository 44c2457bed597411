"""The journal on a real PostgreSQL: what the database itself refuses, fencing, and crashes (§6, §21)."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from qmworkbench.domain import chain
from qmworkbench.domain.chain import GENESIS, ChainBroken
from qmworkbench.ports import JournalFailed
from qmworkbench.service.servers.postgres import PostgresServer
from qmworkbench.storage.postgres import schema
from qmworkbench.storage.postgres.connection import connected, demand_durable, shown
from qmworkbench.storage.postgres.journal import PostgresJournal
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreInUse, StoreMissing, StoreNewer
from tests import servers
from tests.storage.events import decisions, timing

_names = iter(range(1_000_000))


@pytest.fixture
def dsn() -> str:
    return servers.postgres().dsn()


@pytest.fixture
def book() -> str:
    return f"t{next(_names)}-{time.time_ns()}"


@pytest.fixture
def journal(dsn: str, book: str) -> Iterator[PostgresJournal]:
    opened = PostgresJournal(dsn, book=book)
    yield opened
    opened.close()


def _execute(dsn: str, book: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f'SET search_path = "{schema.name_of(book)}"')  # type: ignore[arg-type]
        connection.execute(statement)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decisions SET payload = 'x' WHERE seq = 2",
        "DELETE FROM decisions WHERE seq = 3",
        "TRUNCATE decisions",
        "UPDATE telemetry SET at = ''",
        "INSERT INTO decisions VALUES (2, '', '', 1, '', '', '') ON CONFLICT (seq) DO UPDATE SET payload = 'x'",
    ],
)
def test_the_database_refuses_to_change_a_record(dsn: str, book: str, journal: PostgresJournal, statement: str) -> None:
    journal.append(decisions(3))
    journal.append_telemetry([timing(1)])
    journal.verify()
    with pytest.raises(psycopg.errors.RaiseException, match=r"is append-only|fenced"):
        _execute(dsn, book, statement)
    assert journal.verify()["decisions"] == journal.head


@pytest.mark.parametrize(
    ("held", "rows"),
    [
        (3, [(5, "head", "h5")]),
        (3, [(4, "other", "h4")]),
        (3, [(3, "head", "h3")]),
        (3, [(4, "head", "h4"), (6, "h4", "h6")]),
        (3, [(4, "head", "h4"), (5, "other", "h5"), (6, "h5", "h6")]),
        (3, [(5, "head", "h5"), (6, "h5", "h6")]),
        (3, [(4, "other", "h4"), (5, "h4", "h5")]),
        (0, [(1, "other", "h1")]),
        (0, [(2, GENESIS, "h2")]),
        (0, [(0, GENESIS, "h0"), (1, "h0", "h1")]),
    ],
    ids=[
        "a gap",
        "another hash",
        "a number again",
        "a gap among several",
        "another hash among several",
        "several after a gap",
        "several after another hash",
        "a first one that hangs on something",
        "a first one that is the second",
        "one before the first",
    ],
)
def test_the_database_takes_only_what_follows(
    dsn: str, book: str, journal: PostgresJournal, held: int, rows: list[tuple[int, str, str]]
) -> None:
    if held:
        journal.append(decisions(held))
        journal.sync()
    found = [(seq, journal.head[1] if before == "head" else before, digest) for seq, before, digest in rows]
    columns = [list(column) for column in zip(*found, strict=True)]
    insert = sql.SQL(
        "INSERT INTO {}.decisions SELECT seq, '', 'x.y', 1, '', before, digest "
        "FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS rows (seq, before, digest)"
    ).format(sql.Identifier(schema.name_of(book)))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT set_config('qm.epoch', %s, false)", (str(journal.epoch),))
        with pytest.raises(psycopg.Error, match=r"grows only at its tail|duplicate key"):
            connection.execute(insert, columns)
    assert journal.verify()["decisions"] == journal.head


def test_the_writer_may_only_insert_and_read(dsn: str, book: str, journal: PostgresJournal) -> None:
    assert journal.restricted
    with closing(connected(dsn)) as connection:
        rights = connection.execute(
            "SELECT privilege_type FROM information_schema.role_table_grants WHERE grantee = %s AND table_schema = %s "
            "AND table_name = 'decisions' ORDER BY 1",
            (schema.WRITER_ROLE, schema.name_of(book)),
        ).fetchall()
    assert rights == [("INSERT",), ("SELECT",)]
    assert journal._writer.ask(lambda c: c.execute("SELECT current_user").fetchone()) == (schema.WRITER_ROLE,)


def test_a_second_writer_is_refused_and_told_who_has_the_book(dsn: str, book: str, journal: PostgresJournal) -> None:
    with pytest.raises(StoreInUse, match=r"is written by process \d+ on .* since 20.*: end that one first"):
        PostgresJournal(dsn, book=book)
    journal.append(decisions(1))
    assert journal.sync() == 1, "the first one goes on"


def test_a_writer_that_lost_its_lock_is_fenced_out_at_its_next_append(
    dsn: str, book: str, journal: PostgresJournal
) -> None:
    journal.append(decisions(2))
    journal.sync()
    # Its lock is gone and its connection still stands: the worst a network can leave behind.
    journal._writer.ask(lambda c: c.execute("RESET ROLE; SELECT pg_advisory_unlock_all()"))
    with PostgresJournal(dsn, book=book) as newer:
        assert newer.epoch == journal.epoch + 1
        newer.append(decisions(1, first=3))
        newer.sync()
        journal.append(decisions(1, first=3))
        with pytest.raises(JournalFailed, match=r"fenced: another process writes this book \(epoch"):
            journal.sync()
        assert newer.verify()["decisions"] == newer.head
    with pytest.raises(JournalFailed):
        journal.append(decisions(1, first=4))


def test_a_connection_that_is_cut_poisons_and_loses_nothing_acknowledged(dsn: str, book: str) -> None:
    journal = PostgresJournal(dsn, book=book)
    journal.append(decisions(5))
    journal.sync()
    pid = journal._writer.ask(lambda c: c.info.backend_pid)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    journal.append(decisions(1, first=6))
    with pytest.raises(JournalFailed, match="see that PostgreSQL runs and has room"):
        journal.sync()
    assert journal.durable_seq == 5, "what was acknowledged is still told"
    journal.close()
    with PostgresJournal(dsn, book=book) as again:
        assert again.head[0] >= 5
        assert [event for _, event in again.read()][:5] == decisions(5)


def test_a_server_that_crashes_again_and_again_loses_nothing_acknowledged(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "pg")
    server.up()
    acknowledged = 0
    try:
        for _ in range(2):  # `make crashes` does it more often
            journal = PostgresJournal(server.dsn(), book="crash")
            assert journal.head[0] >= acknowledged
            crash = threading.Timer(0.15, server.kill)
            crash.start()
            try:
                for _ in range(1_000_000):
                    journal.append(decisions(3, first=journal.head[0] + 1))
                    acknowledged = journal.sync()
            except JournalFailed:
                pass
            crash.join()
            journal.close()
            server.up()
        with PostgresJournal(server.dsn(), book="crash") as journal:
            assert journal.head[0] >= acknowledged > 0
            assert chain.verify(journal.records()) == journal.head
            assert [event for _, event in journal.read()][:acknowledged] == decisions(acknowledged)
    finally:
        server.down()


def test_an_altered_book_is_refused_and_an_altered_record_is_found(dsn: str, book: str) -> None:
    with PostgresJournal(dsn, book=book) as journal:
        journal.append(decisions(400))
    _execute(dsn, book, "ALTER TABLE decisions DISABLE TRIGGER kept")
    with pytest.raises(StoreDamaged, match=r"triggers are missing or off \(decisions.kept\)"):
        PostgresJournal(dsn, book=book)
    _execute(dsn, book, "UPDATE decisions SET at = '2018' WHERE seq = 7")
    _execute(dsn, book, "ALTER TABLE decisions ENABLE TRIGGER kept")
    with PostgresJournal(dsn, book=book) as journal, pytest.raises(ChainBroken, match="record 7 is filed as"):
        journal.verify()


def test_a_newer_layout_and_a_missing_book_are_refused(dsn: str, book: str) -> None:
    with pytest.raises(StoreMissing, match=f"there is no book '{book}'"):
        PostgresJournal.open(dsn, book=book)
    PostgresJournal(dsn, book=book).close()
    _execute(dsn, book, "UPDATE meta SET value = '99' WHERE key = 'layout'")
    with pytest.raises(StoreNewer, match="has layout 99"):
        PostgresJournal.open(dsn, book=book)


def test_a_book_name_that_would_be_cut_is_refused(dsn: str) -> None:
    with pytest.raises(ValueError, match="at most 58 characters"):
        PostgresJournal(dsn, book="b" * 59)


def test_a_server_without_fsync_is_refused(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "pg", durable=False)
    server.up()
    try:
        with pytest.raises(StoreDamaged, match=r"is not durable as configured \(fsync off\)"):
            PostgresJournal(server.dsn(), book="b")
        with closing(connected(server.dsn())) as connection, pytest.raises(StoreDamaged):
            demand_durable(connection)
    finally:
        server.down()


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    address = "postgresql://qm:hunter2hunter2@127.0.0.1:1/desk"
    with pytest.raises(StorageRefused, match=r"PostgreSQL at 127\.0\.0\.1:1, database desk cannot be used") as refused:
        PostgresJournal(address, book="b")
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in shown("host=x password='hunter2 is it'")


def test_durability_is_what_the_server_says(journal: PostgresJournal) -> None:
    assert journal.durability() == {"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"}
