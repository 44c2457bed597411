"""What every journal promises (ports.Journal), whatever it is stored in; a new store joins in STORES."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain import chain
from qmworkbench.domain.chain import GENESIS, Record
from qmworkbench.domain.events import Event, encode, wire_name
from qmworkbench.domain.events.control import EntriesHeld
from qmworkbench.domain.events.orders import ReplaceRequested
from qmworkbench.domain.events.reconciliation import FallbackImported
from qmworkbench.domain.events.session import SessionClosed, SessionOpened
from qmworkbench.domain.execution import ReplaceRequest
from qmworkbench.ports import HeadMoved, Journal, JournalFailed
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.memory import HeadJournal, MemoryJournal
from qmworkbench.storage.postgres.journal import PostgresJournal
from qmworkbench.storage.refused import StoreMissing
from qmworkbench.storage.selection import Selection, chosen, followed
from tests import servers
from tests.storage.days import day
from tests.storage.events import decision, decisions, intended, reported, timing

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


def test_an_append_may_say_what_it_follows(journal: Journal) -> None:
    assert journal.append(decisions(2), expected=0) == 2
    before = journal.head
    with pytest.raises(
        HeadMoved, match="the journal ends at 2 and the append was to follow 1: read what is new"
    ) as moved:
        journal.append(decisions(1, first=2), expected=1)
    assert (moved.value.head, journal.head) == (2, before), "nothing of it was queued"
    assert journal.append(decisions(1, first=3), expected=2) == 3
    assert [event for _seq, event in journal.read()] == decisions(3)


@pytest.mark.parametrize("name", REOPENED)
def test_every_writer_has_an_epoch_of_its_own_and_an_earlier_one_is_fenced(name: str, tmp_path: Path) -> None:
    stale = STORES[name](tmp_path)
    stale.append(decisions(2))
    stale.sync()
    take_the_lock_from(stale)
    newer = STORES[name](tmp_path)
    assert newer.epoch == stale.epoch + 1
    stale.append(decisions(1, first=3))
    with pytest.raises(JournalFailed, match=r"fenced: another process writes this book .*epoch"):
        stale.sync()
    newer.append(decisions(1, first=3), expected=2)
    assert newer.sync() == 3
    with pytest.raises(JournalFailed):
        stale.append(decisions(1, first=4))
    stale.close()
    assert newer.verify()["decisions"] == newer.head
    newer.close()


def take_the_lock_from(journal: Any) -> None:
    """The worst a network can leave behind: a writer that believes to be the one, and has no lock any more."""
    if isinstance(journal, SqliteJournal):
        journal.path.with_name("journal.db.writer").unlink()
    else:
        journal._writer.ask(lambda connection: connection.execute("RESET ROLE; SELECT pg_advisory_unlock_all()"))


def seqs(records: Iterator[Record]) -> list[int]:
    return [record.seq for record in records]


@pytest.fixture
def two_days(journal: Any) -> Any:
    """Two sessions, one closed; an order that is replaced twice, and others."""
    journal.append([*(opened("one"), *decisions(2)), closed("one"), decision(9), opened("two")])
    journal.append([intended("qm-a"), intended("qm-b"), replaced("qm-a", "qm-a2"), reported("qm-a2")])
    journal.append([replaced("qm-a", "qm-a3"), reported("qm-a3", 2), *decisions(1), imported("qm-b")])
    return journal


def test_it_is_read_from_any_sequence_by_session_kind_and_order(two_days: Any) -> None:
    everything = list(two_days.records())
    assert list(chosen(two_days)) == everything
    assert seqs(chosen(two_days, Selection(after_seq=9))) == list(range(10, len(everything) + 1))
    assert seqs(chosen(two_days, Selection(session="one"))) == [1, 2, 3, 4]
    assert seqs(chosen(two_days, Selection(session="two"))) == list(range(6, len(everything) + 1))
    assert seqs(chosen(two_days, Selection(session="two", after_seq=11))) == [12, 13, 14]
    kinds = frozenset(("order.intended", "session.closed"))
    assert seqs(chosen(two_days, Selection(types=kinds))) == [4, 7, 8]
    assert seqs(chosen(two_days, Selection(types=kinds, session="two"))) == [7, 8]
    for name in ("qm-a", "qm-a2", "qm-a3"):
        assert seqs(chosen(two_days, Selection(order=name))) == [7, 9, 10, 11, 12], "any of its ids leads to all of it"
    assert seqs(chosen(two_days, Selection(order="qm-b"))) == [8, 14], "within an imported record as well"
    assert seqs(chosen(two_days, Selection(order="qm-"))) == []
    with pytest.raises(StoreMissing, match="there is no session 'three' on record; there are one, two"):
        list(chosen(two_days, Selection(session="three")))
    two_days.append_telemetry([timing(1), timing(2)])
    assert seqs(chosen(two_days, Selection(after_seq=1), stream="telemetry")) == [2]
    with pytest.raises(ValueError, match="'telemetry' knows no session"):
        list(chosen(two_days, Selection(session="one"), stream="telemetry"))


def test_it_is_followed_live_until_the_session_is_closed(two_days: Any) -> None:
    heard: list[int] = []
    asked = Selection(session="three", order="qm-c")

    def listen() -> None:
        for record in followed(two_days, asked, poll_s=0.001):
            heard.append(record.seq)

    listener = threading.Thread(target=listen)
    listener.start()
    two_days.append([opened("three"), intended("qm-c"), decision(1)])
    until(lambda: heard == [16])
    two_days.append([replaced("qm-c", "qm-c2")])
    until(lambda: heard == [16, 18])
    two_days.append([reported("qm-c2", 3), closed("three"), reported("qm-c2", 4)])
    listener.join(60)
    assert heard == [16, 18, 19], "a replaced order goes on, and what follows the close is no part of the session"
    after = followed(two_days, Selection(after_seq=20), stop=lambda: True)
    assert seqs(after) == [21], "what was there when it was stopped is told"


def test_a_session_that_is_closed_while_it_is_looked_for_ends_there_all_the_same(
    two_days: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found in a loaded run: what followed the close was told when both came between the look and the reading."""
    two_days.append([opened("three"), intended("qm-c")])
    two_days.sync()
    records = two_days.records

    def closed_meanwhile(*given: Any, **how: Any) -> Any:
        if two_days.head[0] == 16:
            two_days.append([closed("three"), reported("qm-c", 4)])
            two_days.sync()
        return records(*given, **how)

    monkeypatch.setattr(two_days, "records", closed_meanwhile)
    assert seqs(followed(two_days, Selection(session="three"), poll_s=0.001)) == [15, 16, 17]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def opened(session: str) -> SessionOpened:
    told = next(event for event in day() if isinstance(event, SessionOpened))
    return msgspec.structs.replace(told, session_id=session, at=decision(0).at)


def closed(session: str) -> SessionClosed:
    return SessionClosed(at=decision(0).at, session_id=session)


def replaced(order: str, goes_on_as: str) -> ReplaceRequested:
    request = ReplaceRequest(cl_ord_id=goes_on_as, orig_cl_ord_id=order, order_qty=Decimal(90))
    return ReplaceRequested(at=decision(0).at, order=order, request=request, reason="a smaller one")


def imported(order: str) -> FallbackImported:
    text = encode(intended(order)).decode()
    return FallbackImported(at=decision(0).at, file_hash="f", n=1, original_at=decision(0).at, record=text)


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
