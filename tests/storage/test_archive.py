"""An archive of closed sessions: what goes in, that it is whole, and what is refused (§17, §19)."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest

from qmworkbench.domain import chain
from qmworkbench.storage import archive_content, archive_index, table_pieces, tables
from qmworkbench.storage.archive import archive_book, bring_back, check_session, gaps, home_of, waiting
from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.archive_reader import open_archive
from qmworkbench.storage.frame_digest import content_digest, layout_digest
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.reading import BookReader, open_book
from qmworkbench.storage.refused import StorageRefused, StoreInUse, StoreMissing
from qmworkbench.storage.retention_rules import RULES
from qmworkbench.storage.stores import SQLITE, open_journal
from qmworkbench.storage.writer_lock import WriterLock
from tests.storage import archived
from tests.storage.archived import ARCHIVED_AT, BOOK, FIRST, SECOND, THIRD
from tests.storage.days import day
from tests.storage.events import timing

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def reader(root: Path) -> Iterator[BookReader]:
    with open_book(root / "book") as opened:
        yield opened


def test_a_session_is_there_whole_its_records_tables_and_files(archived_template: Path) -> None:
    archive = open_archive(archived_template / "archive", book=BOOK)
    lines = archive.sessions()
    assert lines["session_id"].to_list() == [FIRST, SECOND, THIRD]
    assert lines["date"].to_list() == [date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)]
    assert lines["archived_at"].unique().to_list() == [ARCHIVED_AT]
    with open_book(archived_template / "book") as reader:
        for name in sorted(set(tables.METADATA.tables) - {"watermarks"}):
            theirs = archive.scan(name, exact=True).collect()
            ours = reader.table(name, exact=True)
            keys = [column.name for column in tables.METADATA.tables[name].primary_key.columns]
            assert (
                theirs.select(ours.columns)
                .drop("environment", "date", strict=False)
                .sort(keys)
                .equals(ours.drop("environment", "date", strict=False).sort(keys))
            ), name
        for session_id in (FIRST, SECOND, THIRD):
            bars = archive.scan("bars", session=session_id).collect()
            assert bars.drop("environment", "book", "record", "date").equals(reader.bars(session_id))
            radar = archive.scan("radar", session=session_id).collect()
            assert radar.drop("environment", "book", "record", "date").equals(reader.snapshots(session_id))
        quotes = archive.scan("quotes", session=SECOND).collect()
        assert quotes.filter(symbol="S003")["spread_bps"].equals(
            reader.frame(SECOND, "spreads")["S003"].alias("spread_bps")
        )
        for stream in ("decisions", "telemetry"):
            records = archive.scan(stream).collect()
            assert records["seq"].to_list() == list(range(1, reader.head(stream)[0] + 1)), "every record, once"
            head = chain.GENESIS
            for seq, payload, stored in records.select("seq", "payload", "hash").iter_rows():
                head = chain.link(head, seq, payload.encode())
                assert head == stored
            assert head == reader.head(stream)[1]
        assert records["at"].null_count() == 0
    logs = archive.scan("logs", session=FIRST).collect()
    assert "".join(logs["text"]) == '{"level":"info"}\n{"level":"warning","text":"≤"}\nno line end'
    files = archive.scan("files", session=FIRST).collect()
    assert dict(files.select("path", "content").iter_rows()) == {"day.json": b'{"verdict":"GO"}'}


def test_frames_are_lazy_typed_and_cut_by_day_and_session(archived_template: Path) -> None:
    archive = open_archive(archived_template / "archive")
    trades = archive.scan("trades", since="2026-03-03", until=date(2026, 3, 4))
    assert isinstance(trades, pl.LazyFrame)
    assert trades.collect_schema()["net_pnl"] == pl.Float64
    assert trades.collect_schema()["opened_at"] == pl.Datetime("us", "UTC")
    assert archive.scan("trades", exact=True).collect_schema()["net_pnl"] == pl.String
    assert trades.collect_schema().names()[:4] == ["environment", "book", "record", "date"]
    assert trades.select("date").unique().collect()["date"].to_list() == [date(2026, 3, 3)]
    assert archive.scan("account", until="2026-03-02").collect()["session_id"].unique().to_list() == [FIRST]
    assert archive.scan("sessions").filter(pl.col("date") == date(2026, 3, 4)).collect()["session_id"].to_list() == [
        THIRD
    ]
    with pytest.raises(StoreMissing, match="has no table 'tradess'; there are account, alerts"):
        archive.scan("tradess")
    with pytest.raises(StoreMissing, match=rf"no such session with a table 'trades'; the newest are {FIRST}"):
        archive.scan("trades", since="2027-01-01")
    with pytest.raises(ValueError, match="'yesterday' is no day: give one such as 2018-03-02"):
        archive.scan("trades", since="yesterday")


def test_archiving_again_writes_nothing_and_a_book_of_another_record_lies_beside(
    reader: BookReader, root: Path, tmp_path: Path
) -> None:
    place = Place(root / "archive")
    before = archived.files_of(root / "archive")
    assert waiting(reader, place) == []
    assert archive_book(reader, place) == []
    assert archived.files_of(root / "archive") == before
    fresh = BookPaths(tmp_path / "fresh").create()
    with open_journal(fresh, book=BOOK, store=SQLITE) as journal:  # the same day, decided by another process
        journal.append(day())
        journal.append_telemetry([timing(1)])
    with open_book(fresh.root) as other:
        assert [one.session_id for one in archive_book(other, place)] == [FIRST]
    assert open_archive(place.at(""), book=BOOK).sessions()["record"].n_unique() == 2
    assert {name: before[name] for name in before} == {
        name: data for name, data in archived.files_of(root / "archive").items() if name in before
    }


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("changed", "trades.parquet was changed after it was written"),
        ("missing", "there is no .*trades.parquet"),
        ("cut", "trades.parquet cannot be read"),
        ("record", "record 2 of decisions does not follow from the one before it"),
    ],
)
def test_a_check_reads_everything_and_names_what_is_wrong(
    reader: BookReader, root: Path, harm: str, finding: str
) -> None:
    home = home_of(reader, Place(root / "archive"))
    known = archive_index.read(home)
    assert [check_session(home, one, reader).wrong for one in known] == [(), (), ()]
    assert gaps(known) == []
    trades = Path(home.at(known[0].file("trades")))
    if harm == "changed":
        pl.read_parquet(trades).with_columns(net_pnl=pl.lit("0")).write_parquet(trades)
    elif harm == "missing":
        trades.unlink()
    elif harm == "cut":
        trades.write_bytes(trades.read_bytes()[:-30])
    else:
        known = _with_a_forged_record(home, known[0])
    found = check_session(home, known[0], reader).wrong
    assert len(found) == 1
    assert re.search(finding, found[0]), found
    assert check_session(home, archive_index.read(home)[1], reader).wrong == ()


def _with_a_forged_record(home: Place, one: archive_index.ArchivedSession) -> list[archive_index.ArchivedSession]:
    """An archive whose index agrees with a record that was written over: the chain does not."""
    name = one.file("decisions")
    frame = home.read(name).with_columns(
        payload=pl.when(pl.col("seq") == 2).then(pl.lit('{"at":"2026"}')).otherwise(pl.col("payload"))
    )
    home.write(name, frame)
    held = [
        msgspec.structs.replace(table, content=content_digest(frame)) if table.table == "decisions" else table
        for table in one.tables
    ]
    return [msgspec.structs.replace(one, tables=tuple(held))]


def test_a_book_that_went_back_and_on_is_told_from_the_one_that_was_archived(root: Path, tmp_path: Path) -> None:
    back = BookPaths(tmp_path / "back").create()
    with open_journal(back, book=BOOK, store=SQLITE) as journal:
        events = day(days=2)
        journal.append(events[:500])
        journal.append(events[501:])
        journal.append_telemetry(archived.telemetry_of(events[0]))
    with (
        open_book(back.root) as reader,
        pytest.raises(StorageRefused, match=f"holds session {FIRST} with another record 516 than this book"),
    ):
        archive_book(reader, Place(root / "archive"))


def test_tables_longer_than_a_piece_are_archived_as_they_would_be_at_once(
    reader: BookReader, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of table in several pieces: records, rows, Parquet, frames, quotes, logs, files byte for byte."""
    monkeypatch.setattr(table_pieces, "ROWS", 50)
    monkeypatch.setattr(archive_content, "_BLOB_BYTES", 5)
    whole = archive_index.read(home_of(reader, Place(root / "archive")))
    place = Place(tmp_path / "in-pieces")
    archive_book(reader, place, at=ARCHIVED_AT)
    home = home_of(reader, place)
    cut = archive_index.read(home)
    assert [check_session(home, one, reader).wrong for one in cut] == [(), (), ()]
    groups = {one.table: _row_groups(home, cut[0], one.table) for one in cut[0].tables}
    assert all(groups[name] > 1 for name in ("decisions", "candidates", "bars", "quotes", "files")), groups
    for ours, theirs in zip(cut, whole, strict=True):
        in_pieces = {one.table: (one.rows, one.layout, one.content) for one in ours.tables}
        at_once = {one.table: (one.rows, one.layout, one.content) for one in theirs.tables}
        for blobs in ("files", "bars_files"):  # cut in other places: the bytes are the same
            in_pieces.pop(blobs, None), at_once.pop(blobs, None)
        assert in_pieces == at_once
    session = reader.paths.session(FIRST)
    before = archived.files_of(session.root)
    shutil.rmtree(session.root)
    bring_back(session, home, cut[0])
    after = archived.files_of(session.root)
    plain = [name for name in before if name.endswith((".json", ".jsonl", ".bin"))]
    assert len(plain) == 3
    assert {name: after.get(name) for name in plain} == {name: before[name] for name in plain}
    assert reader.bars(FIRST).height == next(one.rows for one in cut[0].tables if one.table == "bars")


def _row_groups(home: Place, one: archive_index.ArchivedSession, table: str) -> int:
    found: int = pq.ParquetFile(home.at(one.file(table))).num_row_groups
    return found


def test_an_archive_hashed_in_another_way_is_not_called_changed(reader: BookReader, root: Path) -> None:
    home = home_of(reader, Place(root / "archive"))
    one = archive_index.read(home)[0]
    earlier = [
        msgspec.structs.replace(table, content="0" * 64) if table.table == "trades" else table for table in one.tables
    ]
    found = check_session(home, msgspec.structs.replace(one, tables=tuple(earlier)), reader)
    assert len(found.wrong) == 1
    assert "trades.parquet was archived by an earlier version, which hashed in another way" in found.wrong[0]


def test_columns_that_came_later_are_null_in_older_sessions(reader: BookReader, root: Path) -> None:
    home = home_of(reader, Place(root / "archive"))
    known = archive_index.read(home)
    frame = home.read(known[2].file("runs")).with_columns(later=pl.lit("x"))
    home.write(known[2].file("runs"), frame)
    held = [
        msgspec.structs.replace(one, content=content_digest(frame), layout=layout_digest(frame), rows=frame.height)
        if one.table == "runs"
        else one
        for one in known[2].tables
    ]
    archive_index.write(home, [*known[:2], msgspec.structs.replace(known[2], tables=tuple(held))])
    runs = open_archive(root / "archive").scan("runs")
    assert "later" in runs.collect_schema().names()
    assert runs.filter(session_id=FIRST).collect()["later"].to_list() == [None]
    assert runs.collect_schema()["budget_pct"] == pl.Float64


def test_tables_that_lag_are_brought_up_first_and_another_writer_is_named(tmp_path: Path) -> None:
    paths = archived.made(tmp_path / "book")
    for name in ("projections.db", "projections.db-wal", "projections.db-shm"):
        (paths.root / name).unlink(missing_ok=True)
    with open_book(paths.root) as reader:
        lock = WriterLock(paths.root / "archive")
        with pytest.raises(StoreInUse, match="archive is being written by process"):
            archive_book(reader, Place(tmp_path / "archive"))
        lock.release()
        steps: list[tuple[int, int, str]] = []
        archive_book(reader, Place(tmp_path / "archive"), progress=lambda *told: steps.append(told))
    assert steps == [(0, 3, FIRST), (1, 3, SECOND), (2, 3, THIRD), (3, 3, "")]
    assert open_archive(tmp_path / "archive").scan("trades").collect().height == 18


def test_places_that_cannot_be_used_say_why(tmp_path: Path, reader: BookReader) -> None:
    with pytest.raises(StoreMissing, match=r"holds no archive of book \* \(\*\): check the place"):
        open_archive(tmp_path / "nothing")
    with pytest.raises(StoreMissing, match="holds no archive of book other"):
        open_archive(tmp_path / "copy" / "archive", book="other")
    for text, why in {
        "": "an archive needs a place",
        "ftp://host/x": "ftp:// is no address of an archive: give a directory, or s3, ",
        "s3://key:secret-word@bucket/x": "holds a user or password: leave it out, credentials come from the ",
        "https://host/x?X-Amz-Signature=abc": r"leave out what follows \? or #",
        "s3:///x": "names no bucket or host",
    }.items():
        with pytest.raises(StorageRefused, match=why) as refused:
            Place(text)
        assert "secret-word" not in str(refused.value)
        assert "Signature" not in str(refused.value)
    with pytest.raises(StorageRefused, match="https://host/x can be read and not written"):
        archive_book(reader, Place("https://host/x"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageRefused, match=r"cannot be written: .*/file is a file; name another place"):
        archive_book(reader, Place(tmp_path / "file" / "below"))
    with pytest.raises(StorageRefused, match=r"cannot be written .*make room, or see to the right to write"):
        Place("/proc/none").write("x.parquet", pl.DataFrame({"a": [1]}))
    assert str(Place("file:///some/where")) == "/some/where"


def test_names_that_mean_something_in_an_address_are_names_all_the_same(tmp_path: Path) -> None:
    root, book = tmp_path / "k=v" / "odd [x] *", "a=b+c"
    with open_book(archived.made(root / "book", book=book, third="none").root) as reader:
        made = archive_book(reader, Place(root / "archive"))
        assert [check_session(home_of(reader, Place(root / "archive")), one, reader).wrong for one in made] == [()]
        with pytest.raises(StorageRefused, match="has a = in its name"):
            archive_book(reader, Place("s3://bucket/archive"))
        assert reader.snapshots(FIRST).height == 15
    archive = open_archive(root / "archive", book=book)
    trades = archive.scan("trades").collect()
    assert trades["book"].unique().to_list() == [book]
    assert "k" not in trades.columns
    assert archive.scan("sessions").collect().height == 1


def test_what_the_page_says_of_reading_is_so(archived_template: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/archive.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(code) == 1
    shutil.copytree(archived_template / "archive", tmp_path / "data/archive")
    told = code[0].replace('book="main"', f'book="{BOOK}"').replace("2018-03", "2026-03").replace('"SPY"', '"S003"')
    found: dict[str, pl.DataFrame] = {}
    with contextlib.chdir(tmp_path):
        exec(told, found)
    assert found["by_strategy"].height == 1
    assert found["bars"].columns == ["date", "ts", "close"]
    assert found["bars"].height > 10
    for rule in RULES:
        assert re.search(rf"^\| `{rule.kind}` \| .* \| {rule.days} \|$", page, re.MULTILINE), rule.kind
        assert all(f"`{table}`" in page for table in rule.tables)
    plain = pl.scan_parquet(
        archived_template / f"archive/environment=*/book={BOOK}/record=*/date=*/trades.parquet", hive_partitioning=True
    )
    assert plain.collect().height == 18
