"""Every row that is there is read once, in order, whichever are missing or asked for, and by few statements."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.events import encode
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.storage import journal_select
from qmworkbench.storage.journal_select import PAYLOAD, PIECE, decoded, fetching, selected

AT = datetime(2018, 3, 2, tzinfo=UTC)
NUMBERS = st.sets(st.integers(1, 60) | st.integers(2**40, 2**40 + 3))


def stored(numbers: set[int]) -> sqlite3.Connection:
    """A stream with these numbers; every third record is of another type."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE decisions (seq INTEGER PRIMARY KEY, type TEXT, payload BLOB)")
    rows = [(n, type_of(n), encode(tick(n))) for n in numbers]
    connection.executemany("INSERT INTO decisions VALUES (?, ?, ?)", rows)
    return connection


def type_of(number: int) -> str:
    return "third" if number % 3 == 0 else "tick"


def tick(number: int) -> ClockTicked:
    return ClockTicked(at=AT + timedelta(microseconds=number))


@given(numbers=NUMBERS, after=st.integers(0, 62), types=st.sampled_from([None, {"third"}, {"tick"}, set()]))
def test_what_is_there_is_read_once_and_in_order(numbers: set[int], after: int, types: set[str] | None) -> None:
    end, of_types = max(numbers, default=0), {"third", "tick"} if types is None else types
    wanted = [n for n in sorted(numbers) if n > after and type_of(n) in of_types]
    with closing(stored(numbers)) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_select, "PIECE", 5)
        fetch = fetching(connection, "decisions", types)
        assert [seq for seq, _ in selected(fetch, PAYLOAD, after, end)] == wanted
        assert list(decoded(fetch, after, end)) == [(n, tick(n)) for n in wanted]
        before_the_end = [n for n in wanted if n <= end - 2]
        assert [seq for seq, _ in decoded(fetch, after, end - 2)] == before_the_end


@pytest.mark.parametrize("types", [None, {"third"}])
def test_rows_that_are_far_apart_are_found_by_few_statements(types: set[str] | None) -> None:
    """A stream that lacks nearly all of its rows, or is asked for rare ones, is not gone through piece by piece."""
    numbers = {1, 2, 3, 10**6, 3 * 10**15}
    with closing(stored(numbers)) as connection:
        fetch = fetching(connection, "decisions", types)
        asked = []

        def counted(columns: str, after_seq: int, upto_seq: int) -> list[Any]:
            asked.append((after_seq, upto_seq))
            return fetch(columns, after_seq, upto_seq)

        found = [seq for seq, _ in decoded(counted, 0, max(numbers))]
    assert found == [n for n in sorted(numbers) if types is None or n % 3 == 0]
    assert len(asked) < 60


def test_a_whole_stream_is_read_without_its_numbers() -> None:
    with closing(stored(set(range(1, PIECE + 11)))) as connection:
        fetch = fetching(connection, "decisions")
        columns = []

        def noted(asked: str, after_seq: int, upto_seq: int) -> list[Any]:
            columns.append(asked)
            return fetch(asked, after_seq, upto_seq)

        assert list(decoded(noted, 3, PIECE + 8)) == [(n, tick(n)) for n in range(4, PIECE + 9)]
    assert columns == ["payload"] * 2
