"""Many coroutines, one commit, one wake: acknowledgements that wait in an event loop."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import DECISION_TYPES, TELEMETRY_TYPES, Event
from qmworkbench.ports import JournalFailed
from qmworkbench.storage import journal_file
from qmworkbench.storage.journal import SqliteJournal
from tests.storage.events import decision

PRODUCERS, EACH = 64, 6


def test_everyone_is_told_once_their_own_is_durable(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    async def producer(journal: SqliteJournal, number: int) -> None:
        for turn in range(EACH):
            seq = journal.append([decision(number * EACH + turn + 1)])
            told.append((seq, await journal.synced()))
            assert journal.durable_seq >= seq

    async def all_of_them(journal: SqliteJournal) -> None:
        await asyncio.gather(*(producer(journal, number) for number in range(PRODUCERS)))

    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        asyncio.run(all_of_them(journal))
        assert journal.verify()["decisions"] == journal.head
    assert sorted(seq for seq, _reached in told) == list(range(1, PRODUCERS * EACH + 1))
    assert all(reached >= seq for seq, reached in told)


def test_a_commit_wakes_the_loop_once_however_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wakes = 0

    async def counted(journal: SqliteJournal) -> None:
        loop = asyncio.get_running_loop()
        really = loop.call_soon_threadsafe

        def counting(*args: Any, **kwargs: Any) -> asyncio.Handle:
            nonlocal wakes
            wakes += 1
            return really(*args, **kwargs)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counting)

        async def producer() -> None:
            for turn in range(EACH):
                journal.append([decision(turn + 1)])
                await journal.synced()

        await asyncio.gather(*(producer() for _ in range(PRODUCERS)))

    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        asyncio.run(counted(journal))
        assert 0 < wakes <= journal.commits
        assert journal.commits < PRODUCERS * EACH / 2


def test_a_failure_reaches_everyone_who_waits(tmp_path: Path) -> None:
    async def waiting(journal: SqliteJournal) -> list[int | BaseException]:
        journal.append([decision(1)])
        return await asyncio.gather(*(journal.synced() for _ in range(5)), return_exceptions=True)

    def broken() -> None:
        raise OSError("the bars could not be written")

    journal = SqliteJournal(tmp_path / "journal.db", book="test")
    journal.before_commit(broken)
    found = asyncio.run(waiting(journal))
    assert len(found) == 5
    assert all(isinstance(error, JournalFailed) and "the bars could not be" in str(error) for error in found)
    with pytest.raises(JournalFailed, match="the bars could not be"):
        asyncio.run(journal.synced())
    with suppress(JournalFailed):
        journal.close()


def test_whoever_gave_up_waiting_is_passed_over(tmp_path: Path) -> None:
    async def impatient(journal: SqliteJournal) -> int:
        journal.append([decision(1)])
        first = asyncio.ensure_future(journal.synced())
        second = asyncio.ensure_future(journal.synced())
        await asyncio.sleep(0)  # both have begun to wait
        first.cancel()
        return await second

    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        assert asyncio.run(impatient(journal)) == 1
        # That loop is gone; another one's waits are its own.
        assert asyncio.run(impatient(journal)) == 2


@pytest.mark.parametrize("kind", [*DECISION_TYPES, *TELEMETRY_TYPES], ids=lambda kind: kind.__struct_config__.tag)
def test_every_payload_opens_with_its_name_and_time(kind: type[Event]) -> None:
    assert msgspec.structs.fields(kind)[0].name == "at"
    name, at_begins = journal_file.OPENINGS[kind]
    assert name == kind.__struct_config__.tag
    assert at_begins == len(f'{{"type":"{name}","at":"')
