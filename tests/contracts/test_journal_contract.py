"""What every journal promises (ports.Journal), whatever it is stored in; a new store joins in STORES."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain import chain
from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.events import Event, encode, wire_name
from qmworkbench.domain.events.control import EntriesHeld
from qmworkbench.ports import Journal
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.memory import HeadJournal, MemoryJournal
from qmworkbench.storage.postgres.journal import PostgresJournal
from tests import servers
from tests.storage.events import decision, decisions, timing

NEW_YORK = ZoneInfo("America/New_York")
Opener = Callable[[Path], Journal]
STORES: dict[str, Opener] = {
    "memory": lambda home: MemoryJournal(book="test"),
    "postgres": lambda home: PostgresJournal(servers.postgres().dsn(), book=hashlib.md5(bytes(home)).hexdigest()),
    "sqlite": lambda home: SqliteJournal(home / "journal.db", book="test"),
}
REOPENED = [name for name in STORES if name != "memory"]


@pytest.fixture(params=sorted(STORES))
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    opened = STORES[request.param](tmp_path)
    yield opened
    opened.close()


def test_a_new_journal_begins_at_genesis(journal: Journal) -> None:
    assert journal.head == (0, GENESIS)
    assert journal.durable_seq == 0
    assert journal.sync() == 0
    assert list(journal.read()) == []
    assert list(journal.records(stream="telemetry")) == []


def test_the_head_is_known_at_once_and_durable_after_sync(journal: Journal) -> None:
    assert journal.append(decisions(3)) == 3
    seq, digest = journal.head
    assert seq == 3
    assert journal.durable_seq <= 3
    assert journal.sync() == 3
    assert journal.durable_seq == 3
    assert journal.head == (seq, digest)


def test_events_come_back_equal_and_in_order(journal: Journal) -> None:
    written = decisions(7)
    journal.append(written[:2])
    journal.append(written[2:])
    assert list(journal.read()) == list(enumerate(written, 1))
    assert list(journal.read(after_seq=5)) == [(6, written[5]), (7, written[6])]
    assert list(journal.read(after_seq=7)) == []


def test_appending_nothing_changes_nothing(journal: Journal) -> None:
    journal.append(decisions(2))
    before = journal.head
    assert journal.append([]) == 2
    assert journal.head == before


def test_records_are_a_chain_over_the_encoded_events(journal: Journal) -> None:
    written = decisions(5)
    journal.append(written)
    stored = list(journal.records())
    assert chain.verify(stored) == journal.head
    assert [record.payload for record in stored] == [encode(event) for event in written]
    assert [record.type for record in stored] == [wire_name(event) for event in written]
    assert list(journal.records(after_seq=3)) == stored[3:]


def test_the_streams_have_their_own_sequence_and_chain(journal: Journal) -> None:
    alone = journal.append(decisions(2))
    head = journal.head
    journal.append_telemetry([timing(1), timing(2), timing(3)])
    assert (alone, journal.head) == (2, head)
    telemetry = list(journal.records(stream="telemetry"))
    assert [record.seq for record in telemetry] == [1, 2, 3]
    assert chain.verify(telemetry)[0] == 3
    assert [event for _seq, event in journal.read()] == decisions(2)


def test_an_unknown_stream_is_named(journal: Journal) -> None:
    with pytest.raises(ValueError, match="no stream 'orders': give one of decisions, telemetry"):
        list(journal.records(stream="orders"))


def test_reading_stops_at_the_head_of_the_moment_it_was_asked(journal: Journal) -> None:
    journal.append(decisions(3))
    reading = journal.read()
    journal.append(decisions(2, first=4))
    assert [seq for seq, _event in reading] == [1, 2, 3]


def test_the_hash_depends_on_nothing_but_the_events(tmp_path: Path) -> None:
    heads = set()
    for name, opener in sorted(STORES.items()):
        (tmp_path / name).mkdir()
        journal = opener(tmp_path / name)
        journal.append_telemetry([timing(9)])
        for event in decisions(10):
            journal.append([event])
        heads.add(journal.head)
        journal.close()
    assert len(heads) == 1


@pytest.mark.parametrize("name", REOPENED)
def test_what_was_synced_is_there_after_reopening(name: str, tmp_path: Path) -> None:
    journal = STORES[name](tmp_path)
    journal.append(decisions(50))
    journal.append_telemetry([timing(1)])
    head = journal.head
    journal.close()
    again = STORES[name](tmp_path)
    assert again.head == head
    assert again.durable_seq == 50
    again.append(decisions(1, first=51))
    assert chain.verify(again.records()) == again.head
    assert [event for _seq, event in again.read(after_seq=49)] == decisions(2, first=50)
    assert len(list(again.records(stream="telemetry"))) == 1
    again.close()


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.integers(0, 3)), max_size=12))
def test_however_appends_and_syncs_are_cut_the_record_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, bool, int]]
) -> None:
    memory = MemoryJournal()
    with SqliteJournal(tmp_path_factory.mktemp("cut") / "journal.db", book="test") as journal:
        total = 0
        for count, sync, telemetry in cuts:
            batch = decisions(count, first=total + 1)
            total += count
            for store in (memory, journal):
                store.append(batch)
                store.append_telemetry([timing(n) for n in range(telemetry)])
            if sync:
                assert journal.sync() == total
        assert list(journal.records()) == list(memory.records())
        assert list(journal.records(stream="telemetry")) == list(memory.records(stream="telemetry"))
        assert journal.verify() == memory.verify()


@pytest.mark.parametrize("at", [decision(0).at.replace(tzinfo=None), decision(0).at.astimezone(NEW_YORK)])
def test_a_time_that_is_not_utc_is_refused_whole(journal: Journal, at: datetime) -> None:
    journal.append(decisions(1))
    before = journal.head
    with pytest.raises(ValueError, match="is not aware UTC"):
        journal.append([*decisions(1, first=2), EntriesHeld(at=at, reason="?")])
    assert journal.head == before
    journal.append(decisions(1, first=2))
    assert [seq for seq, _event in journal.read()] == [1, 2]


def test_facts_of_the_machine_and_decisions_do_not_mix(journal: Journal) -> None:
    with pytest.raises(ValueError, match=r"telemetry\.boundary_timed does not belong into the stream 'decisions'"):
        journal.append([decision(1), timing(1)])
    with pytest.raises(ValueError, match=r"symbol\.blocked does not belong into the stream 'telemetry'"):
        journal.append_telemetry([decision(1)])
    assert journal.head == (0, GENESIS)


def test_a_journal_that_keeps_its_heads_alone_has_those_of_one_that_keeps_everything() -> None:
    whole, heard = MemoryJournal(), list[Event]()
    heads = HeadJournal(heard.extend)
    told = [decision(number) for number in range(5)]
    for journal in (whole, heads):
        journal.append(told[:2])
        journal.append(told[2:])
    assert heads.head == whole.head
    assert (heads.sync(), heard) == (5, told)
    assert not list(heads.read())
    with pytest.raises(ValueError, match="UTC"):
        heads.append([EntriesHeld(at=told[0].at.replace(tzinfo=None), reason="?")])
    assert (heads.head, heard) == (whole.head, told)
