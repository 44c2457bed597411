"""Rows on their way into the tables: what is looked at does not grow with what is kept, and nothing kept goes stale."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from qmworkbench.domain.events import Event, encode
from qmworkbench.domain.events.control import SymbolBlocked, SymbolUnblocked
from qmworkbench.domain.sessions import BlockScope
from qmworkbench.storage import projected_rows, tables
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.storage.projections import Projector, dump
from tests.storage.days import day
from tests.storage.events import OPEN


@pytest.fixture
def projector(tmp_path: Path) -> Iterator[Projector]:
    projector = Projector(tmp_path / "projections.db")
    yield projector
    projector.close()


def _many_blocks(count: int) -> list[Event]:
    """Every symbol is blocked, then every one is blocked for another reason, then every second one is let go."""
    forever = BlockScope.PERMANENT
    symbols = [f"S{n:05d}" for n in range(count)]
    at = OPEN + timedelta(minutes=1)
    return [
        *(SymbolBlocked(at=OPEN, symbol=symbol, reason="odd", scope=forever, by="ann") for symbol in symbols),
        *(SymbolBlocked(at=at, symbol=symbol, reason="odder", scope=forever, by="ann") for symbol in symbols),
        *(SymbolUnblocked(at=at, symbol=symbol, by="ann", reason="fine") for symbol in symbols[::2]),
    ]


@pytest.mark.parametrize("again", [False, True], ids=("rebuilt", "followed"))
def test_the_work_of_a_block_does_not_grow_with_the_blocks_there_are(projector: Projector, again: bool) -> None:
    count = 400
    events = _many_blocks(count)
    statements = 0

    @event.listens_for(projector._engine, "before_cursor_execute")
    def counted(*_: object) -> None:
        nonlocal statements
        statements += 1

    for start in range(0, len(events), 100):
        part = events[start : start + 100]
        projector.apply(start + len(part), part)
        if again:
            projector._rows.forget()  # as after a session: what is asked for is read back
    # Each block is met when the next of its symbol comes, and once more where it was let go of in between.
    assert projector._rows.examined <= 4 * count
    # Rebuilt, nothing is looked up: a few statements a batch. Followed, one for each symbol that an event names.
    assert statements <= (len(events) + 100 if again else 100)
    left = projector._connection.execute(tables.BLOCKED_SYMBOLS.select().where(tables.BLOCKED_SYMBOLS.c.active == 1))
    assert [row.symbol for row in left] == [f"S{n:05d}" for n in range(1, count, 2)]


@settings(max_examples=5)
@given(limit=st.integers(0, 60), cuts=st.lists(st.integers(1, 150), min_size=1, max_size=8))
def test_rows_that_are_given_up_and_read_again_end_the_same(
    tmp_path_factory: pytest.TempPathFactory, limit: int, cuts: list[int]
) -> None:
    home = tmp_path_factory.mktemp("rows")
    journal = MemoryJournal()
    journal.append(day(2, troubled=True))
    whole = Projector(home / "whole.db")
    whole.catch_up(journal)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(projected_rows, "KEPT_ROWS", limit)
        forgetful = Projector(home / "forgetful.db")
        events = [found for _seq, found in journal.read()]
        at = 0
        for size in cuts:
            start, at = at, min(at + size, len(events))
            forgetful.apply(at, events[start:at], head_hash=journal.hash_at(at) or "")
        forgetful.catch_up(journal)
    assert dump(forgetful._connection) == dump(whole._connection)
    whole.close()
    forgetful.close()


def test_what_no_table_asks_for_is_not_decoded_but_what_is_no_event_is_refused(projector: Projector) -> None:
    journal = MemoryJournal()
    journal.append(_many_blocks(1))

    class Odd(MemoryJournal):
        def durable_payloads(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[tuple[int, bytes]]:
            if stream == "decisions":
                yield 1, b'{"type":"clock.ticked","at":"no time at all"}'
                yield 2, encode(_many_blocks(1)[0])
                yield 3, b'{"type":"no.event","at":"2018-03-02T14:30:00Z"}'

    odd = Odd()
    odd.append(_many_blocks(1))
    with pytest.raises(ValueError, match=r"no\.event"):
        projector.catch_up(odd)
    assert projector.watermark().seq == 0
    projector.catch_up(journal)
    assert projector.watermark().seq == 3
