"""A day with its journal on PostgreSQL and its bus on Redis is the same day, event for event (§6)."""

import dataclasses
import json
import stat
from pathlib import Path

import pytest

from qmworkbench.bus.redis_streams import client_of, follow_stream, stream_of
from qmworkbench.reporting.session_source import load_session
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan
from qmworkbench.storage.backup import back_up, check, restore
from qmworkbench.storage.postgres.connection import connected
from qmworkbench.storage.reading import open_book
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.stores import Store, begun, open_journal, open_reader, shown, store_of
from tests import servers
from tests.service.conftest import PastDay
from tests.service.day_process import all_good


@pytest.fixture(scope="module")
def elsewhere(past_day: PastDay, tmp_path_factory: pytest.TempPathFactory) -> DayPlan:
    """The day of `past_day`, with PostgreSQL and Redis."""
    root = tmp_path_factory.mktemp("elsewhere") / past_day.plan.paths.root.name
    plan = dataclasses.replace(
        past_day.plan,
        paths=type(past_day.plan.paths)(root),
        store=Store(kind="postgres", address=servers.postgres().dsn()),
        bus_url=servers.redis().url(),
    )
    run_headless(plan, all_good)
    return plan


def test_it_is_the_same_day_event_for_event(past_day: PastDay, elsewhere: DayPlan) -> None:
    with open_reader(elsewhere.paths) as reader:
        told = [event for _, event in reader.events()]
        assert reader.verify()["decisions"] == reader.head()
        assert list(reader.session_events())
    assert told == past_day.events
    assert not elsewhere.paths.journal.exists()
    assert store_of(elsewhere.paths).kind == "postgres"


def test_whoever_follows_elsewhere_heard_all_of_it(past_day: PastDay, elsewhere: DayPlan) -> None:
    with open_reader(elsewhere.paths) as reader:
        stream = stream_of(reader.book, reader.meta["created"])
    heard = []
    with client_of(elsewhere.bus_url) as client:
        for _, events in follow_stream(client, stream, wait_s=0.2):
            heard += events
            if not events:
                break
    assert heard == past_day.events


def test_readers_of_a_book_find_it_wherever_it_lies(past_day: PastDay, elsewhere: DayPlan) -> None:
    with open_book(elsewhere.paths.root) as book, open_book(past_day.plan.paths.root) as other:
        assert book.head() == other.head()
        for name in ("orders", "executions", "trades"):
            assert book.table(name).equals(other.table(name)), name
    # What reports are made from.
    here, there = (load_session(plan.paths.root, past_day.result.session) for plan in (past_day.plan, elsewhere))
    assert there.trades.equals(here.trades)
    assert there.recommendations_summary == here.recommendations_summary
    for source in (here, there):
        source.book.close()
    assert begun(elsewhere.paths)
    assert "PostgreSQL at " in shown(elsewhere.paths)


def test_the_note_is_private_and_the_book_stays_where_it_began(elsewhere: DayPlan) -> None:
    note = elsewhere.paths.root / "journal.json"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    with pytest.raises(StorageRefused, match=r"lies in postgres and sqlite is configured: a book stays where it began"):
        open_journal(elsewhere.paths, book=elsewhere.book, store=Store())
    with open_journal(elsewhere.paths, book=elsewhere.book) as journal:
        assert journal.head[0] > 0


def test_a_fresh_book_of_the_same_name_lies_beside_the_old_one(elsewhere: DayPlan, tmp_path: Path) -> None:
    fresh = type(elsewhere.paths)(tmp_path / "fresh").create()
    with open_journal(fresh, book=elsewhere.book, store=elsewhere.store) as journal:
        assert journal.head[0] == 0
    old = json.loads((elsewhere.paths.root / "journal.json").read_text())
    new = json.loads((fresh.root / "journal.json").read_text())
    assert old["place"] != new["place"]
    connected(elsewhere.store.address).close()


def test_its_backup_is_a_book_of_one_file_with_the_same_chain(elsewhere: DayPlan, tmp_path: Path) -> None:
    made, manifest = back_up(elsewhere.paths, tmp_path / "backups", environment="local")
    assert check(made) == (manifest, [])
    back = type(elsewhere.paths)(tmp_path / "back")
    restore(made, back)
    assert store_of(back) == Store()
    with open_reader(back) as here, open_reader(elsewhere.paths) as there:
        assert here.head() == there.head()
        assert here.verify() == there.verify()
