"""A book whose journal lost its end is not opened, whatever its chain says (§19, §21)."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from qmworkbench.domain.commands import AddNote, NoteKind
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.service.blocking import complete
from qmworkbench.service.boundary import checkpoint
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.platform import Platform, open_platform
from qmworkbench.storage.anchors import RolledBack


@pytest.fixture
def anchored(plan: DayPlan, tmp_path: Path) -> DayPlan:
    return dataclasses.replace(plan, anchors=tmp_path / "elsewhere" / "main.jsonl")


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


def test_a_place_that_cannot_be_written_stops_no_session_and_is_told(plan: DayPlan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = dataclasses.replace(plan, anchors=tmp_path / "file" / "main.jsonl")
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
