"""Retention: only what the rules name goes, only once it is archived, and the record is out of reach (§5, §22)."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from qmworkbench.storage import archive_index, table_pieces, tables
from qmworkbench.storage.archive import archive_book, bring_back, check_session, home_of
from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.projection_home import home_of as tables_home
from qmworkbench.storage.projection_home import opened
from qmworkbench.storage.projections import dump, rebuild_book
from qmworkbench.storage.reading import BookReader, open_book
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.retention import KINDS, RULES, Expired, Retention, carry_out, open_session, plan
from qmworkbench.storage.retention_notes import Notes
from qmworkbench.storage.retention_rules import TABLES, bulk_files
from qmworkbench.storage.stores import SQLITE, Store, store_of
from tests import servers
from tests.dying import KILLED
from tests.storage import archived
from tests.storage.archived import FIRST, SECOND, THIRD
from tests.storage.retention_process import RULE, WHILE_ARCHIVING, WHILE_LETTING_GO, run

ROOT = Path(__file__).resolve().parents[2]
NEVER = frozenset(
    {
        "sessions", "session_summaries", "phases", "preflights", "services", "runs", "account", "orders", "executions",
        "quarantined_reports", "positions", "restatements", "cash_activities", "trades", "watchlist", "assignments",
        "signals", "risk_decisions", "risk_violations", "blocked_symbols", "reconciliations", "breaks", "repairs",
        "alerts", "incidents", "commands", "operator_notes", "required_decisions", "state_changes", "emergency_steps",
        "connection_changes", "slo_samples", "processes", "watermarks",
    }
)  # fmt: skip
LET_GO = ("radar", "momentum", "health", "quotes", "bars", "quarantine", "logs")


@pytest.fixture
def reader(root: Path) -> Iterator[BookReader]:
    with open_book(root / "book") as opened_book:
        yield opened_book


def rows_of(paths: BookPaths) -> dict[str, list[tuple[object, ...]]]:
    """Every projected row, by table."""
    engine, let_go, _ = opened(tables_home(paths))
    try:
        with engine.connect() as connection:
            return dump(connection)
    finally:
        engine.dispose()
        let_go()


def test_what_may_age_out_is_a_closed_list_and_the_record_is_not_in_it() -> None:
    assert set(tables.METADATA.tables) == NEVER | set(TABLES), "a new table is one or the other, by decision"
    assert set(TABLES) == {"momentum_snapshots", "candidates", "health_samples", "boundaries"}
    assert KINDS == LET_GO
    assert all(rule.days > 0 and rule.what for rule in RULES)


def test_a_plan_names_what_has_expired_and_touches_nothing(reader: BookReader, root: Path) -> None:
    before = archived.files_of(root)
    rule = Retention(days={"radar": 30, "momentum": 31, "health": 32, "bars": 80, "logs": 0, "quarantine": 90})
    place = Place(root / "archive")
    expired = plan(reader, rule, place, today=date(2026, 4, 3))
    found = [(entry.session_id, entry.kind, entry.files, entry.rows) for entry in expired]
    assert found == [(FIRST, "momentum", 0, 125), (FIRST, "radar", 3, 0), (SECOND, "radar", 3, 0)]
    assert (expired[0].age_days, expired[0].keep_days, expired[0].archived) == (32, 31, True)
    assert expired[1].size_bytes == sum(
        path.stat().st_size for path in bulk_files(reader.paths.session(FIRST))["radar"]
    )
    elsewhere = plan(reader, rule, Place(root / "nowhere"), today=date(2026, 4, 4))
    assert {(entry.session_id, entry.kind, entry.archived) for entry in elsewhere} >= {(FIRST, "health", False)}
    assert [entry.rows for entry in elsewhere if entry.kind == "health"] == [12], "known before anything is archived"
    assert plan(reader, rule, place) == (), "by the book's own calendar nothing is old"
    assert archived.files_of(root) == before


@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
@given(
    days=st.dictionaries(st.sampled_from([kind for kind in KINDS if kind != "quotes"]), st.integers(0, 3)),
    quotes=st.integers(0, 2),
    today=st.dates(date(2026, 3, 2), date(2026, 3, 8)),
)
def test_whatever_the_rules_and_the_day_nothing_else_is_touched_and_all_can_be_brought_back(
    archived_template: Path, tmp_path_factory: pytest.TempPathFactory, days: dict[str, int], quotes: int, today: date
) -> None:
    root = tmp_path_factory.mktemp("any")
    shutil.copytree(archived_template, root, dirs_exist_ok=True)
    bars = days.get("bars", 0)
    rule = Retention(days={**days, "quotes": bars + quotes if bars else 0})
    place, paths = Place(root / "archive"), BookPaths(root / "book")
    before, rows_before = archived.files_of(root), rows_of(paths)
    with open_book(paths.root) as reader:
        heads = reader.verify()
        expired = plan(reader, rule, place, today=today)
        done = carry_out(reader, expired, place)
        assert reader.verify() == heads
        assert done.let_go == expired
        assert done.kept == ()
        after, rows_after = archived.files_of(root), rows_of(paths)
        gone = {(entry.session_id, entry.kind) for entry in expired}
        named = {
            f"book/sessions/{session_id}/{path.relative_to(paths.session(session_id).root).as_posix()}"
            for session_id in (FIRST, SECOND, THIRD)
            for kind, found in _bulk(archived_template, session_id).items()
            for path in [paths.session(session_id).root / name for name in found]
            if (session_id, kind) in gone
        }
        passing = {"book/projections.db", "book/retention.jsonl"}
        assert before.keys() - after.keys() - passing == named
        assert all(after[name] == content for name, content in before.items() if name in after and name not in passing)
        for name in NEVER:
            assert rows_after[name] == rows_before[name]
        kinds_gone = {kind for _, kind in gone}
        for name, kind in TABLES.items():
            assert (rows_after[name] == rows_before[name]) == (kind not in kinds_gone)
        assert done.rows == sum(len(rows_before[name]) - len(rows_after[name]) for name in TABLES)
        home = home_of(reader, place)
        for one in archive_index.read(home):
            bring_back(paths.session(one.session_id), home, one)
    again = archived.files_of(root)
    assert {_stem(name) for name in named} <= {_stem(name) for name in again}
    plain = [name for name in named if name.endswith((".jsonl", ".bin"))]
    assert all(again[name] == before[name] for name in plain), "byte for byte"


def _stem(name: str) -> str:
    """A file of a session without what depends on how it was written: a frame's hash, a radar part's number."""
    return re.sub(r"(\.[0-9a-f]{16})?\.arrow$|radar/.*", "", name)


def _bulk(archived_template: Path, session_id: str) -> dict[str, list[str]]:
    session = BookPaths(archived_template / "book").session(session_id)
    return {
        kind: [path.relative_to(session.root).as_posix() for path in files]
        for kind, files in bulk_files(session).items()
    }


def test_what_is_brought_back_is_what_the_session_decided_with(reader: BookReader, root: Path) -> None:
    place, session = Place(root / "archive"), reader.paths.session(FIRST)
    with_corrections = reader.bars(FIRST, corrected=True)
    radar, quotes, refused = reader.snapshots(FIRST), reader.frame(FIRST, "spreads"), reader.quarantined(FIRST)
    frames = [frame.content_hash for frame in BarStore(session.bars).frames()]
    done = carry_out(reader, plan(reader, RULE, place), place)
    assert {entry.kind for entry in done.let_go} == set(KINDS)
    assert not session.bars.exists()
    assert not session.radar.exists()
    assert {path.name for path in session.root.iterdir()} == {"day.json"}
    home = home_of(reader, place)
    one = archive_index.read(home)[0]
    made = bring_back(session, home, one)
    assert bring_back(session, home, one) == [], "what is there stays"
    assert len(made) == 8
    assert [frame.content_hash for frame in BarStore(session.bars).frames()] == frames
    assert reader.bars(FIRST, corrected=True).equals(with_corrections)
    assert reader.snapshots(FIRST).equals(radar)
    assert reader.frame(FIRST, "spreads").equals(quotes)
    assert reader.quarantined(FIRST).equals(refused)
    again = carry_out(reader, plan(reader, RULE, place), place)
    assert {entry.kind for entry in again.let_go} == {"radar", "quotes", "bars", "quarantine", "logs"}


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("harm", "kind", "why"),
    [
        (lambda day, book: (day / "radar.parquet").unlink(), "radar", "there is no .*radar.parquet"),
        (lambda day, book: _cut_short(day / "bars.parquet"), "bars", "bars.parquet"),
        (lambda day, book: shutil.copy(day / "trades.parquet", day / "quotes.parquet"), "quotes", "180 were written"),
        (
            lambda day, book: shutil.copy(day / "boundaries.parquet", day / "health_samples.parquet"),
            "health",
            "changed",
        ),
        (lambda day, book: (book.logs / "qm.jsonl").write_text("other\n"), "logs", "qm.jsonl is not what was archived"),
        (lambda day, book: (book.logs / "late.txt").write_text("late"), "logs", "late.txt came after the session was"),
        (lambda day, book: _cut_short(book.quarantine), "quarantine", "quarantine.parquet"),
    ],
)
def test_what_the_archive_does_not_hold_is_kept_and_the_rest_goes(
    reader: BookReader, root: Path, harm: Callable[[Path, object], object], kind: str, why: str
) -> None:
    place, session = Place(root / "archive"), reader.paths.session(FIRST)
    files, rows = len(bulk_files(session).get(kind, ())), plan(reader, RULE, place)
    harm(next((root / "archive").rglob("date=2026-03-02")), session)
    done = carry_out(reader, plan(reader, RULE, place), place)
    assert [(kept.session_id, kept.kind) for kept in done.kept] == [(FIRST, kind)]
    assert re.search(why, done.kept[0].why), done.kept[0].why
    assert len(bulk_files(session).get(kind, ())) >= files
    assert len(done.let_go) == len(rows) - 1
    assert Notes(reader.paths.root).begun() == {}


def test_a_session_that_is_not_archived_keeps_everything(reader: BookReader, root: Path) -> None:
    expired = plan(reader, RULE, Place(root / "empty"))
    before = archived.files_of(root / "book")
    done = carry_out(reader, expired, Place(root / "empty"))
    assert done.let_go == ()
    assert {kept.why for kept in done.kept} == {f"it is not archived at {home_of(reader, Place(root / 'empty'))}"}
    assert archived.files_of(root / "book") == before


def test_while_a_session_is_open_nothing_goes(tmp_path: Path) -> None:
    paths = archived.made(tmp_path / "book", third="open")
    place = Place(tmp_path / "archive")
    with open_book(paths.root) as reader:
        assert open_session(reader) == THIRD
        made = archive_book(reader, place)
        assert [one.session_id for one in made] == [FIRST, SECOND], "an open session is not archived"
        expired = plan(reader, RULE, place)
        assert {entry.session_id for entry in expired} == {FIRST}
        before = archived.files_of(tmp_path)
        with pytest.raises(StorageRefused, match=f"session {THIRD} is open: nothing is let go of"):
            carry_out(reader, expired, place)
        assert archived.files_of(tmp_path) == before


@pytest.mark.parametrize(
    ("session_id", "kind"), [(FIRST, "journal"), (FIRST, "orders"), ("../book", "bars"), ("local-2026-03-09", "bars")]
)
def test_an_item_that_no_plan_could_hold_is_refused_before_anything_goes(
    reader: BookReader, root: Path, session_id: str, kind: str
) -> None:
    place = Place(root / "archive")
    good = plan(reader, RULE, place)
    forged = Expired(
        session_id=session_id, kind=kind, age_days=9, keep_days=1, files=1, size_bytes=1, rows=1, archived=True
    )
    before = archived.files_of(root)
    with pytest.raises(StorageRefused, match="nothing was removed"):
        carry_out(reader, [*good, forged], place)
    assert archived.files_of(root) == before


def test_killed_at_any_instant_nothing_is_lost_and_the_next_run_comes_to_the_end(
    archived_template: Path, tmp_path: Path
) -> None:
    start = tmp_path / "start"
    shutil.copytree(archived_template, start)
    with open_book(start / "book") as reader:  # its last session is still to be archived
        home, heads = home_of(reader, Place(start / "archive")), reader.verify()
        archive_index.write(home, archive_index.read(home)[:-1])
    shutil.rmtree(next((start / "archive").rglob("date=2026-03-04")))
    told = subprocess.run(
        [sys.executable, "-m", "tests.storage.retention_process", str(start), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=600,
    ).stdout.split("\n")  # fmt: skip
    ended = dict(line.split() for line in told if line)
    assert ended.pop("whole") == "0"
    assert set(ended.values()) == {str(KILLED)}
    assert len(ended) == WHILE_ARCHIVING + WHILE_LETTING_GO
    whole = {name: data for name, data in archived.files_of(tmp_path / "whole" / "book").items() if "sessions/" in name}
    rows = rows_of(BookPaths(tmp_path / "whole" / "book"))
    for instant in ended:
        root = tmp_path / instant
        _nothing_is_lost(root, start)
        assert run(root).kept == (), f"killed at change {instant}"
        now = {name: data for name, data in archived.files_of(root / "book").items() if "sessions/" in name}
        assert now == whole
        assert rows_of(BookPaths(root / "book")) == rows
        with open_book(root / "book") as reader:
            assert reader.verify() == heads
        assert Notes(root / "book").begun() == {}


def _nothing_is_lost(root: Path, start: Path) -> None:
    """What is no longer in the book is in the archive, whole."""
    missing = archived.files_of(start / "book").keys() - archived.files_of(root / "book").keys()
    if not missing:
        return
    with open_book(root / "book") as reader:
        home = home_of(reader, Place(root / "archive"))
        one = archive_index.read(home)[0]
        checked = check_session(home, one, reader)
    assert checked.wrong == ()
    assert {name.split("/")[1] for name in missing} == {one.session_id}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_rows_age_out_of_either_database_and_a_rebuild_brings_them_back(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_pieces, "ROWS", 100)  # so that tables are read in more than one piece
    store = SQLITE if kind == "sqlite" else Store(kind="postgres", address=servers.postgres().dsn())
    paths = archived.made(tmp_path / "book", store)
    assert store_of(paths).kind == kind
    before, place = rows_of(paths), Place(tmp_path / "archive")
    with open_book(paths.root) as reader:
        heads = reader.verify()
        archive_book(reader, place)
        done = carry_out(reader, plan(reader, RULE, place), place)
        assert (len(done.let_go), done.kept) == (7, ())
        left = rows_of(paths)
        assert done.rows == 137
        assert {name for name in before if left[name] != before[name]} == set(TABLES)
        assert reader.verify() == heads
        assert reader.table("momentum_snapshots", FIRST).is_empty()
        assert reader.table("momentum_snapshots", SECOND).height == 25
        assert all(check_session(home_of(reader, place), one, reader).wrong == () for one in
                   archive_index.read(home_of(reader, place)))  # fmt: skip
        rebuild_book(paths)
        assert rows_of(paths) == before, "the journal they come from was never touched"
        again = carry_out(reader, plan(reader, RULE, place), place)
        assert {entry.kind for entry in again.let_go} == {"momentum", "health"}
        assert rows_of(paths) == left


def test_a_file_that_has_much_free_gives_it_back(archived_template: Path, root: Path, reader: BookReader) -> None:
    engine = create_engine(f"sqlite:///{reader.paths.projections}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE padding (x BLOB)")
        connection.exec_driver_sql("INSERT INTO padding VALUES (zeroblob(2000000))")
        connection.exec_driver_sql("DROP TABLE padding")
    engine.dispose()
    place, size = Place(root / "archive"), reader.paths.projections.stat().st_size
    assert carry_out(reader, plan(reader, RULE, place), place).rows == 137
    assert reader.paths.projections.stat().st_size < size - 1_500_000


def test_notes_say_what_went_and_a_line_cut_short_counts_for_nothing(reader: BookReader, root: Path) -> None:
    place, notes = Place(root / "archive"), Notes(reader.paths.root)
    carry_out(reader, plan(reader, RULE, place), place)
    lines = notes.read()
    assert [(note.kind, note.ended) for note in lines] == [(k, e) for k in sorted(KINDS) for e in (False, True)]
    assert all(note.at and note.by for note in lines)
    assert lines[0].archive == str(place)
    with notes.path.open("ab") as file:
        file.write(msgspec.json.encode(lines[0])[:-9])
    assert notes.read() == lines
    notes.end(FIRST, "bars")
    assert len(notes.read()) == len(lines) + 1
    notes.path.write_text("{}\n")
    with pytest.raises(StorageRefused, match=r"retention\.jsonl cannot be read"):
        notes.begun()


def test_the_rule_says_what_it_does_and_refuses_what_makes_no_sense() -> None:
    rule = Retention(days={"radar": 30, "bars": 80, "quotes": 90, "logs": 0})
    assert rule.sentence() == (
        "radar 30 days, momentum for good, health for good, quotes 90 days, bars 80 days, quarantine for good, "
        "logs for good; orders and journal for good"
    )
    with pytest.raises(ValueError, match=r"retention\.journal: no such kind; give days for radar"):
        Retention(days={"journal": 1})
    with pytest.raises(ValueError, match=r"retention\.radar = -1 makes no sense"):
        Retention(days={"radar": -1})
    for bars in (0, 91):
        with pytest.raises(ValueError, match=r"retention\.quotes = 90 is shorter than retention\.bars"):
            Retention(days={"quotes": 90, "bars": bars})
