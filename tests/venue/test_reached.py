"""A venue is reached the way it was begun, and its file says which way that was."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.reached import CALLS, WIRE, begun_by, heard_by, one_way
from qmworkbench.venue.records import VenueError
from tests.venue.worlds import OLDER, OPEN, World


def test_the_first_session_settles_it(tmp_path: Path) -> None:
    path = tmp_path / "venue.db"
    assert begun_by(path) == ""
    world = World(path=path)
    assert begun_by(path) == CALLS
    stood = world.exchange.session
    world.exchange.close()
    with Exchange(path, world.instruments, world.model, "USD", Decimal(1), reached_by=WIRE) as other:
        assert other.positions() == [], "whoever only reads is not asked"
        with pytest.raises(VenueError, match=r"venue\.db: the venue of this book was begun in the platform's own"):
            other.open_session("another", OPEN + timedelta(days=1))
        assert other.session == stood, "what is refused changes nothing"


def test_older_books_are_settled_by_the_session_that_opens_next(tmp_path: Path) -> None:
    world = World(path=tmp_path / "venue.db")
    world.exchange.close()
    with closing(sqlite3.connect(world.path)) as db:
        db.executescript(OLDER[4])
    assert begun_by(tmp_path / "venue.db") == ""
    with Exchange(world.path, world.instruments, world.model, "USD", Decimal(1), reached_by=WIRE) as again:
        again.open_session("another", OPEN + timedelta(days=1))
    assert begun_by(tmp_path / "venue.db") == WIRE


@pytest.mark.parametrize(("cursor", "way"), [(0, ""), (1, CALLS), (10**15 - 1, CALLS), (10**15, WIRE)])
def test_transactions_are_counted_in_process_and_times_on_the_wire(cursor: int, way: str) -> None:
    assert heard_by(cursor) == way


def test_each_refusal_says_how_to_run_it() -> None:
    assert one_way("x", "", WIRE) == WIRE
    assert one_way("x", CALLS, CALLS) == CALLS
    with pytest.raises(VenueError, match=r"x: .*over the wire.*qm day --venue auto.*--fresh"):
        one_way("x", WIRE, CALLS)
    with pytest.raises(VenueError, match=r'x: .*own process.*broker.kind = "simulated", no --venue.*--fresh'):
        one_way("x", CALLS, WIRE)


def test_a_file_that_is_none_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "venue.db").write_text("no database")
    assert begun_by(tmp_path / "venue.db") == ""
