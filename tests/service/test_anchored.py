"""A book whose journal lost its end is not opened, whatever its chain says (§19, §21)."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from qmworkbench.domain.commands import AddNote, NoteKind
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.service.blocking import complete
from qmworkbench.service.boundary import checkpoint
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.platform import Platform, open_platform
from qmworkbench.storage.anchors import Anchors, RolledBack
from qmworkbench.storage.stores import Store, open_reader
from tests import servers


@pytest.fixture
def anchored(short_plan: DayPlan, tmp_path: Path) -> DayPlan:
    return dataclasses.replace(short_plan, anchors=tmp_path / "elsewhere" / "main.jsonl")


def _goes_on(platform: Platform, number: int) -> None:
    note = AddNote(kind=NoteKind.OPERATOR, reason=f"note {number}")
    given = CommandReceived(
        at=platform.plan.starts_at, command_id=f"c{number}", command=note, operator="grace", origin="test"
    )
    platform.shell.decide(given)
    complete(checkpoint(platform))


def test_a_book_restored_from_an_older_copy_is_refused_by_name(anchored: DayPlan, tmp_path: Path) -> None:
    with open_platform(anchored) as platform:
        assert platform.anchored == "not anchored yet"
        platform.shell.decide(anchored.opened(anchored.starts_at))
        _goes_on(platform, 1)
    shutil.copytree(anchored.paths.root, tmp_path / "copy")
    with open_platform(anchored) as platform:
        assert platform.anchored.startswith("holds what was anchored at ")
        _goes_on(platform, 2)
    shutil.rmtree(anchored.paths.root)
    shutil.copytree(tmp_path / "copy", anchored.paths.root)
    with pytest.raises(RolledBack, match=r"restored from an older copy, or rewritten.*qm journal anchor --accept"):
        open_platform(anchored)
    assert not (anchored.paths.root / "venue" / "venue.db-wal").exists(), "everything was let go of"


@pytest.fixture
def database() -> Iterator[tuple[str, Callable[[str], None]]]:
    """The address of a database of our own, and how the server's keeper works on it."""
    server, name = servers.postgres().dsn(), f"anchored_{time.time_ns()}"

    def keeper(statement: str) -> None:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(statement.replace("DB", name).encode())

    keeper("CREATE DATABASE DB")
    yield psycopg.conninfo.make_conninfo(server, dbname=name), keeper
    keeper("DROP DATABASE IF EXISTS DB WITH (FORCE)")
    keeper("DROP DATABASE IF EXISTS DB_backup WITH (FORCE)")


def test_a_database_brought_back_from_an_older_backup_is_refused_until_somebody_answers_for_it(
    anchored: DayPlan, database: tuple[str, Callable[[str], None]]
) -> None:
    address, keeper = database
    desk = dataclasses.replace(anchored, store=Store(kind="postgres", address=address), beat_ttl_s=0.5)
    with open_platform(desk) as platform:
        platform.shell.decide(desk.opened(desk.starts_at))
        _goes_on(platform, 1)
        kept = platform.journal.durable_head
    keeper("CREATE DATABASE DB_backup TEMPLATE DB")
    with open_platform(desk) as platform:
        assert platform.anchored.startswith("holds what was anchored at ")
        _goes_on(platform, 2)
        lost = platform.journal.durable_head
    keeper("DROP DATABASE DB WITH (FORCE)")
    keeper("CREATE DATABASE DB TEMPLATE DB_backup")
    with open_reader(desk.paths) as reader:
        assert reader.verify()["decisions"] == kept, "its chain has nothing against it"
    with pytest.raises(RolledBack, match=rf"the journal ends at {kept[0]}, and its head was anchored at {lost[0]} on "):
        open_platform(desk)
    assert desk.anchors is not None
    with open_reader(desk.paths) as reader:
        Anchors(desk.anchors).write(reader, desk.starts_at, accepted="the disk is lost", by="grace")
    with open_platform(desk) as platform:
        assert f"anchored at {kept[0]} " in platform.anchored
        _goes_on(platform, 3)


def test_a_place_that_cannot_be_written_stops_no_session_and_is_told(short_plan: DayPlan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = dataclasses.replace(short_plan, anchors=tmp_path / "file" / "main.jsonl")
    with open_platform(nowhere) as platform:
        platform.shell.decide(nowhere.opened(nowhere.starts_at))
        _goes_on(platform, 1)
        _goes_on(platform, 2)
        assert [note for note in platform.notes if "could not be anchored" in note] == [
            note for note in platform.notes if "anchored" in note
        ]
        assert sum("could not be anchored" in note for note in platform.notes) == 1
    with open_platform(nowhere) as platform:
        assert platform.anchored.startswith("could not be held against ")
