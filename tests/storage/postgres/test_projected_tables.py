"""Projected tables in PostgreSQL: the rows of SQLite, however made; one writer; readers who only read (§17)."""

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import polars as pl
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DataError

from qmworkbench.domain.events.market import SignalRaised
from qmworkbench.storage import row_writing
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.postgres import projected
from qmworkbench.storage.postgres.projected import READER_ROLE, PostgresHome, name_of
from qmworkbench.storage.projection_home import SqliteHome
from qmworkbench.storage.projections import Projector, catch_up_book, dump, rebuild_book
from qmworkbench.storage.reading import BookReader, open_book
from qmworkbench.storage.refused import StorageRefused, StoreInUse, StoreMissing
from qmworkbench.storage.stores import SQLITE, Store, open_journal, place_of
from tests import servers
from tests.storage.days import day
from tests.storage.events import OPEN, decisions, timing

ROOT = Path(__file__).resolve().parents[3]
_names = iter(range(1_000_000))


def home() -> PostgresHome:
    return PostgresHome(servers.postgres().dsn(), f"p{next(_names)}-{time.time_ns()}")


def troubled() -> MemoryJournal:
    journal = MemoryJournal()
    journal.append(day(2, troubled=True))
    journal.append_telemetry([timing(n) for n in range(20)])
    return journal


@settings(max_examples=2)
@given(cuts=st.lists(st.integers(1, 400), max_size=4), reopen=st.lists(st.booleans(), min_size=4, max_size=4))
def test_however_it_was_cut_the_rows_are_those_of_a_rebuild_and_of_sqlite(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], reopen: list[bool]
) -> None:
    journal, events = troubled(), day(2, troubled=True)
    place = home()
    projector, at = Projector(place), 0
    for size, again in zip(cuts, reopen, strict=False):
        start, at = at, min(at + size, len(events))
        projector.apply(at, events[start:at], head_hash=journal.hash_at(at) or "")
        if again:
            projector.close()
            projector = Projector(place)
    projector.catch_up(journal)
    assert projector.rebuilt_because == ""
    made = dump(projector._connection)
    assert projector.rebuild(journal) == len(events) + 20
    assert dump(projector._connection) == made
    projector.close()
    here = Projector(tmp_path_factory.mktemp("here") / "projections.db")
    here.catch_up(journal)
    assert dump(here._connection) == made
    here.close()


def test_one_projector_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projected, "PATIENCE_S", 0.1)
    place = home()
    projector = Projector(place)
    with pytest.raises(StoreInUse, match="are being written by another process"):
        Projector(place)
    projector.close()
    Projector(place).close()


@pytest.fixture(scope="module", params=["postgres", "sqlite"])
def book(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BookReader]:
    """Two days, in either database."""
    paths = BookPaths(tmp_path_factory.mktemp("book") / "main").create()
    store = SQLITE if request.param == "sqlite" else Store(kind="postgres", address=servers.postgres().dsn())
    with open_journal(paths, book="test", store=store) as journal:
        journal.append(day(1, days=2))
        journal.append_telemetry([timing(n) for n in range(3)])
    with open_book(paths.root) as reader:
        if request.param == "postgres":
            with pytest.raises(StoreMissing, match=r"schema read_test-\w+ at PostgreSQL .* has not been made yet"):
                reader.tables()
        catch_up_book(paths)
        yield reader


def test_the_one_door_reads_every_table_of_either(book: BookReader, tmp_path: Path) -> None:
    here = BookPaths(tmp_path).create()
    with open_journal(here, book="test", store=SQLITE) as journal:
        journal.append([event for _, event in book.events()])
        journal.append_telemetry([event for _, event in book.events(stream="telemetry")])
    rebuild_book(here)
    with open_book(here.root) as other:
        assert book.tables() == other.tables()
        for name in book.tables():
            kept = pl.all() if name != "watermarks" else pl.exclude("at")
            assert book.table(name).select(kept).equals(other.table(name).select(kept)), name
    assert book.watermark().lag == 0
    first = book.sessions()["session_id"][0]
    assert 0 < book.table("trades", first).height < book.table("trades").height
    query = "SELECT symbol, count(*) AS n FROM trades WHERE session_id = ? AND exit_reason <> '?%' GROUP BY symbol"
    assert book.sql(query, first)["n"].sum() == book.table("trades", first).height
    for write in ("DELETE FROM orders", "UPDATE orders SET status = ''", "CREATE TABLE x (a int)", "DROP TABLE orders"):
        with pytest.raises(StorageRefused, match="this door reads only"):
            book.sql(write)
    with pytest.raises(ValueError, match=r"orderz.*; there are the tables account"):
        book.sql("SELECT * FROM orderz")
    with pytest.raises(ValueError, match="no table 'orderz'; there are account"):
        book.table("orderz")


def test_the_example_of_the_documents_runs_on_either(book: BookReader) -> None:
    page = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    said: dict[str, pl.DataFrame] = {}
    exec(example.replace('"data/books/local/main"', repr(str(book.paths.root))), said)
    trades = said["trades"]
    expected = trades.group_by("strategy_id").agg(trades=pl.len(), net_pnl=pl.col("net_pnl").sum()).sort("strategy_id")
    found = said["by_strategy"]
    assert found["trades"].to_list() == expected["trades"].to_list()
    assert found["net_pnl"].to_list() == pytest.approx(expected["net_pnl"].to_list())


def test_a_reader_of_the_desk_sees_the_tables_and_nothing_else(book: BookReader) -> None:
    lies = place_of(book.paths)
    if lies is None:
        pytest.skip("a file has no roles")
    address, place = lies
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"SET ROLE {READER_ROLE}")
        connection.execute(f'SET search_path = "{name_of(place)}"'.encode())
        found = connection.execute("SELECT count(*) FROM trades").fetchone()
        assert found is not None
        assert found[0] == book.table("trades").height
        for statement in ("DELETE FROM trades", f'SELECT * FROM "book_{place}".decisions'):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


@pytest.mark.parametrize("worth", [1, 100])
def test_what_is_told_again_replaces_its_row_and_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worth: int
) -> None:
    """Rows that are new by all likelihood go in by COPY, which knows no conflict: then they are put one by one."""
    monkeypatch.setattr(row_writing, "_WORTH_A_COPY", worth)
    signals = [
        SignalRaised(at=OPEN, signal_id=f"g{n}", strategy_id="s", symbol="X", kind="entry_long", decision_px=Decimal(n))
        for n in range(6)
    ]
    again = [msgspec.structs.replace(signal, why="told again") for signal in signals[:2]]
    made = []
    for place in (home(), SqliteHome(tmp_path / "projections.db")):
        projector = Projector(place)
        projector.apply(4, signals[:4])
        projector._rows.forget()  # as after a session
        projector.apply(8, [*signals[4:], *again])
        assert projector.watermark().seq == 8
        made.append(dump(projector._connection))
        projector.close()
    assert made[0] == made[1]
    assert [row[-5] for row in made[0]["signals"]] == ["told again"] * 2 + [""] * 4


@pytest.mark.parametrize("worth", [1, 100])
def test_a_batch_that_fails_while_it_is_written_leaves_the_last_watermark(
    monkeypatch: pytest.MonkeyPatch, worth: int
) -> None:
    monkeypatch.setattr(row_writing, "_WORTH_A_COPY", worth)
    signals = [
        SignalRaised(at=OPEN, signal_id=f"g{n}", strategy_id="s", symbol="X", kind="entry_long", decision_px=Decimal(n))
        for n in range(6)
    ]
    projector = Projector(home())
    projector.apply(3, signals[:3], head_hash="h3")
    before = dump(projector._connection)
    too_much = msgspec.structs.replace(signals[5], max_hold_bars=2**63)
    for _ in range(2):
        with pytest.raises((DataError, psycopg.errors.NumericValueOutOfRange), match="out of range"):
            projector.apply(7, [*decisions(1), *signals[3:5], too_much], head_hash="h7")
        assert dump(projector._connection) == before
        assert (projector.watermark().seq, projector.watermark().hash) == (3, "h3")
    projector.apply(6, signals[3:], head_hash="h6")
    assert len(dump(projector._connection)["signals"]) == 6
    projector.close()
