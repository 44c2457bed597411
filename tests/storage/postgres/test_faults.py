"""What happens to a journal's server and to the way there: no acknowledged event is lost, and it is told (§21)."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from qmworkbench.ports import JournalFailed
from qmworkbench.service.servers import process
from qmworkbench.service.servers.postgres import PostgresServer
from qmworkbench.storage.postgres.journal import PostgresJournal
from qmworkbench.storage.refused import StorageRefused
from tests import servers
from tests.stalling_proxy import StallingProxy
from tests.storage.events import decisions

_names = iter(range(1_000_000))


@pytest.fixture
def book() -> str:
    return f"f{next(_names)}-{time.time_ns()}"


@pytest.fixture
def proxy() -> Iterator[StallingProxy]:
    socket = Path(servers.postgres().demand_running().socket)
    with StallingProxy(str(next(socket.glob(".s.PGSQL.*[0-9]")))) as between:
        yield between


def over(proxy: StallingProxy) -> str:
    return f"postgresql://qm@127.0.0.1:{proxy.port}/qm?sslmode=disable&gssencmode=disable"


def held(dsn: str, book: str, acknowledged: int) -> None:
    """The book is whole, with everything that was acknowledged, and goes on."""
    with PostgresJournal(dsn, book=book) as again:
        assert again.verify()["decisions"] == again.head
        assert again.head[0] >= acknowledged
        assert [event for _, event in again.read()][:acknowledged] == decisions(acknowledged)
        again.append(decisions(1, first=again.head[0] + 1))
        again.sync()


def written_until_it_fails(journal: PostgresJournal) -> tuple[int, JournalFailed]:
    """What was acknowledged, and how it ended."""
    acknowledged = journal.durable_seq
    try:
        for _ in range(2_000):
            journal.append(decisions(200, first=journal.head[0] + 1))
            acknowledged = journal.sync()
    except JournalFailed as failed:
        return acknowledged, failed
    raise AssertionError("it never failed")


def test_a_stall_is_seen_while_it_lasts_and_then_it_goes_on(proxy: StallingProxy, book: str) -> None:
    with PostgresJournal(over(proxy), book=book) as journal:
        proxy.delay_s = 0.01
        journal.append(decisions(3))
        assert journal.sync() == 3
        proxy.stall()
        journal.append(decisions(2, first=4))
        deadline = time.monotonic() + 20
        while journal.writing_s < 0.3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert journal.durable_seq == 3, "what hangs is not acknowledged"
        proxy.go_on()
        assert journal.sync() == 5
        assert journal.writing_s < 0.3
    held(servers.postgres().dsn(), book, 5)


@pytest.mark.parametrize("stalled", [False, True], ids=["at once", "in a stall"])
def test_a_connection_that_breaks_poisons_and_loses_nothing(proxy: StallingProxy, book: str, stalled: bool) -> None:
    journal = PostgresJournal(over(proxy), book=book)
    journal.append(decisions(4))
    assert journal.sync() == 4
    if stalled:
        proxy.stall()
        journal.append(decisions(2, first=5))
    proxy.cut()
    proxy.go_on()
    acknowledged, failed = written_until_it_fails(journal)
    assert acknowledged == 4
    assert "see that PostgreSQL runs and has room" in str(failed)
    assert journal.durable_seq == 4
    assert journal.writing_s == 0
    journal.close()
    held(servers.postgres().dsn(), book, 4)


def test_a_full_disk_is_survived_by_book_and_server(tmp_path: Path, book: str) -> None:
    server = PostgresServer(tmp_path / "pg")
    server.up()
    try:
        journal = PostgresJournal(server.dsn(), book=book)
        journal.append(decisions(200))
        journal.sync()
        # A file that may not grow is a full disk to the server: of its log, that is the end of every connection.
        backend = journal._writer.ask(lambda connection: connection.info.backend_pid)
        resource.prlimit(backend, resource.RLIMIT_FSIZE, (400_000, 400_000))
        acknowledged, failed = written_until_it_fails(journal)
        assert "see that PostgreSQL runs and has room" in str(failed)
        assert journal.durable_seq == acknowledged >= 200
        journal.close()

        def held_again() -> bool:
            """The server may answer a little longer before it ends every connection and recovers."""
            try:
                held(server.dsn(), book, acknowledged)
            except (StorageRefused, JournalFailed, psycopg.OperationalError):
                return False
            return True

        process.wait_until(held_again, server.demand_running().pid, server.log, "postgres", timeout_s=120)
    finally:
        server.down()
