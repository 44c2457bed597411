"""A store is read like a file of the same bars, and of it no more than holds the answer (§5)."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest

from qmworkbench.market.bars import load_session
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.gaps import find_gaps
from qmworkbench.market.inspection import inspect
from qmworkbench.market.period import BarPeriod
from qmworkbench.market.schema import COLUMNS, open_parquet
from qmworkbench.market.store.manifest import MANIFEST, Cut, encoded
from qmworkbench.market.store.reading import StoreSource, open_bar_path, open_store
from qmworkbench.research.backtests.period_bars import read_period
from qmworkbench.service.bar_store.adding import Terms
from tests.market.store.store_cases import AT, DAYS, MONDAY, NAMES, bars, small_groups, stored

__all__ = ["small_groups"]
DAY = timedelta(days=1)


def _both(tmp_path: Path, frame: pl.DataFrame, terms: Terms | None = None) -> tuple[Path, Path]:
    """The same bars as a file and as a store."""
    store = tmp_path / "store"
    stored(store, frame, terms)
    return tmp_path / "store-0.parquet", store


@pytest.mark.parametrize("cut", list(Cut))
def test_a_store_answers_as_the_file_it_was_made_of(tmp_path: Path, cut: Cut) -> None:
    file, store = _both(tmp_path, bars(), Terms(cut=cut))
    one, other = open_parquet(file), open_bar_path(store)
    assert isinstance(other, StoreSource)
    assert other.symbols() == one.symbols() == NAMES.split()
    assert other.market().name == one.market().name
    assert other.rows_without_time().schema == one.rows_without_time().schema
    for start, end in (
        (None, None),
        (MONDAY, MONDAY + DAY),
        (MONDAY + DAY, None),
        (MONDAY + timedelta(minutes=5), None),
    ):
        assert other.read(start, end).equals(one.read(start, end))
    for few in (["BBB"], ["JJJ", "AAA"], ["nobody"]):
        assert other.only(few).read().equals(one.only(few).read())
        assert other.only(few).symbols() == one.only(few).symbols()
        calendar = one.market()
        assert other.only(few).trading_dates(calendar).equals(one.only(few).trading_dates(calendar))
    assert other.trading_dates(one.market()).equals(one.trading_dates(one.market()))
    assert other.only(["AAA", "BBB"]).only(["BBB", "CCC"]).symbols() == ["BBB"]
    assert pl.concat(list(other.blocks(70))).equals(pl.concat([p for _, p in _by_part(one.read(), cut)]))


def _by_part(rows: pl.DataFrame, cut: Cut) -> list[tuple[object, pl.DataFrame]]:
    keyed = rows.with_columns(part=cut.first_day(pl.col("ts").dt.date())).sort("part", "symbol", "ts")
    return [
        (key, part.drop("part")) for key, part in keyed.partition_by("part", as_dict=True, maintain_order=True).items()
    ]


def test_sessions_periods_and_backtests_of_a_store_are_those_of_the_file(tmp_path: Path) -> None:
    file, store = _both(tmp_path, bars(minutes=390))
    one, other = load_session(file, DAYS[2]), load_session(store, DAYS[2])
    assert other.data_hash == one.data_hash
    assert [f.code for f in other.findings] == [f.code for f in one.findings]
    period = BarPeriod(open_bar_path(store), "store", symbols=["AAA", "CCC"], history_days=1)
    alone = BarPeriod(open_parquet(file), "store", symbols=["AAA", "CCC"], history_days=1)
    for day in DAYS[1:]:
        assert period.session(day, until=DAYS[2]).data_hash == alone.session(day, until=DAYS[2]).data_hash
    read, told = (read_period(open_bar_path(path), symbols=["BBB"], period=(DAYS[1], None)) for path in (store, file))
    assert read.hash == told.hash


def test_checks_and_gaps_of_a_store_are_those_of_the_file(tmp_path: Path) -> None:
    frame = bars().filter(~((pl.col("symbol") == "BBB") & (pl.col("ts").dt.date() == DAYS[1])))
    file, store = _both(tmp_path, frame)
    seen: list[tuple[int, int]] = []
    one, other = inspect(file), inspect(store, lambda done, of, _next: seen.append((done, of)))
    assert other.sessions == one.sessions
    assert [(f.code, f.message) for f in other.findings] == [(f.code, f.message) for f in one.findings]
    assert seen
    assert all(0 <= done <= of for done, of in seen)
    gaps, told = find_gaps(store), find_gaps(file)
    assert (gaps.absent, gaps.silences, gaps.held) == (told.absent, told.silences, told.held)
    assert gaps.absent == {"BBB": (DAYS[1],)}


# ── no more than holds the answer ────────────────────────────────────────────────────────────────────────────────────


def _spoil_row_groups(file: Path, keep: Callable[[str, str], bool]) -> int:
    """Overwrite the pages of every row group but those whose first and last symbol say they are to be kept."""
    metadata = pq.ParquetFile(file).metadata
    spoilt, raw = 0, bytearray(file.read_bytes())
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        told = group.column(0).statistics
        if keep(told.min, told.max):
            continue
        spoilt += 1
        for k in range(group.num_columns):
            column = group.column(k)
            start = column.dictionary_page_offset or column.data_page_offset
            raw[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    file.write_bytes(raw)
    return spoilt


@pytest.mark.usefixtures("small_groups")
def test_one_symbol_is_read_from_one_row_group_of_each_part(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", bars())
    wanted = store.only(["CCC"]).read()
    for part in store.manifest.parts:
        file = tmp_path / "store" / part.file
        assert pq.ParquetFile(file).metadata.num_row_groups == 5
        assert _spoil_row_groups(file, lambda first, last: first <= "CCC" <= last) == 4
    again = open_store(tmp_path / "store")
    assert again.only(["CCC"]).read().equals(wanted)
    assert wanted.height == 3 * 30
    with pytest.raises(DataRefused) as refused:
        again.only(["AAA"]).read()
    assert {finding.code for finding in refused.value.findings} == {"part_damaged"}


@pytest.mark.usefixtures("small_groups")
def test_many_symbols_are_read_from_their_row_groups_alone(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", bars())
    few = ["AAA", "JJJ"]
    wanted = store.only(few).read()
    for part in store.manifest.parts:
        spoilt = _spoil_row_groups(tmp_path / "store" / part.file, lambda a, b: any(a <= name <= b for name in few))
        assert spoilt == 3
    assert open_store(tmp_path / "store").only(few).read().equals(wanted)


def test_a_session_opens_the_parts_of_its_days_alone(tmp_path: Path) -> None:
    stored(tmp_path / "store", bars(minutes=390))
    wanted = load_session(tmp_path / "store", DAYS[1], history_days=0)
    store = open_store(tmp_path / "store")
    for part in store.manifest.parts:
        if DAYS[1] not in part.dates:
            (tmp_path / "store" / part.file).unlink()
            (tmp_path / "store" / part.manifest_file).unlink()
    assert load_session(tmp_path / "store", DAYS[1], history_days=0).data_hash == wanted.data_hash
    assert store.trading_dates(store.market())["date"].to_list() == DAYS
    with pytest.raises(DataRefused, match=r"part_missing.*it cannot be opened.*Restore the file"):
        load_session(tmp_path / "store", DAYS[2], history_days=0)


def test_ten_years_are_opened_by_their_manifest_alone(tmp_path: Path) -> None:
    """2,518 sessions of ten thousand symbols, 9.8 billion bars: not one part is there, and every question of where is
    answered.
    """
    (part,) = stored(tmp_path / "one", bars(days=1)).manifest.parts
    market = open_store(tmp_path / "one").market()
    days = market.sessions_between(date(2010, 1, 1), date(2020, 1, 5))
    parts = []
    for day in days:
        opens = market.session_window(day).opens_at
        told = {"first_ts": opens, "last_ts": opens + timedelta(minutes=389), "dates": {day: 3_900_000}}
        parts.append(msgspec.structs.replace(part, key=str(day), rows=3_900_000, symbols=10_000, **told))
    manifest = msgspec.structs.replace(open_store(tmp_path / "one").manifest, parts=tuple(parts))
    (tmp_path / "ten").mkdir()
    (tmp_path / "ten" / MANIFEST).write_bytes(encoded(manifest))
    store = open_bar_path(tmp_path / "ten")
    assert isinstance(store, StoreSource)
    assert store.manifest.rows == 2_518 * 3_900_000
    assert store.trading_dates(market)["date"].to_list() == days
    hours = market.session_window(days[1000])
    assert [one.key for one in store.parts(hours.opens_at, hours.closes_at)] == [str(days[1000])]
    assert store.only(["ZZZ"]).parts() == []
    assert store.scan(hours.opens_at, hours.closes_at).collect_schema().names() == list(COLUMNS)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_changed_byte_is_named_with_part_hashes_and_remedy(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", bars())
    part = store.manifest.parts[1]
    file = tmp_path / "store" / part.file
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    for look in (lambda: load_session(tmp_path / "store", DAYS[2]), lambda: open_store(tmp_path / "store").read()):
        with pytest.raises(DataRefused, match=rf"{part.file}: part_damaged.*the manifest has {part.sha256[:16]}") as no:
            look()
        assert "Restore the file from a copy" in str(no.value)
    found = inspect(tmp_path / "store")
    assert found.refused
    assert [f.code for f in found.findings] == ["part_damaged"]
    assert open_store(tmp_path / "store").read(MONDAY, MONDAY + DAY).height == 300, "the other days are sound"


def test_a_part_cut_short_is_seen_without_reading_it(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", bars())
    part = store.manifest.parts[0]
    file = tmp_path / "store" / part.file
    file.write_bytes(file.read_bytes()[:-10])
    assert [f.code for f in open_store(tmp_path / "store").missed()] == ["part_damaged"]
    with pytest.raises(DataRefused, match=rf"it has {part.bytes - 10:,} bytes, the manifest {part.bytes:,}"):
        open_store(tmp_path / "store").only(["AAA"]).read()


def test_a_changed_manifest_of_a_part_is_named(tmp_path: Path) -> None:
    store = stored(tmp_path / "store", bars())
    told = tmp_path / "store" / store.manifest.parts[0].manifest_file
    told.write_bytes(told.read_bytes().replace(b"as printed", b"adjusted  "))
    with pytest.raises(DataRefused, match=rf"{told.name}: part_damaged"):
        open_store(tmp_path / "store").symbols()


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        (b"{", "store_damaged"),
        (b"[]", "store_damaged"),
        (b'{"format": 99}', "store_damaged"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path, spoilt: bytes, says: str) -> None:
    stored(tmp_path / "store", bars(days=1))
    (tmp_path / "store" / MANIFEST).write_bytes(spoilt)
    with pytest.raises(DataRefused, match=says):
        open_bar_path(tmp_path / "store")


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    stored(tmp_path / "store", bars(days=1))
    manifest = tmp_path / "store" / MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(DataRefused, match="of format 2, and this version reads 1"):
        open_store(tmp_path / "store")
    with pytest.raises(DataRefused, match="there is no bar store"):
        open_store(tmp_path)


def test_what_a_part_s_manifest_says(tmp_path: Path) -> None:
    frame = bars().filter(pl.col("ts").dt.minute() != 40)
    store = stored(tmp_path / "store", frame, Terms(source="a vendor", licence="mine"))
    part = store.manifest.parts[0]
    told = store.part_manifest(part)
    assert (told.timezone, told.market, told.interval_s, told.prices.value) == ("UTC", "XNYS", 60, "as printed")
    assert (told.rows, told.first_ts, told.sha256) == (290, MONDAY, part.sha256)
    assert told.symbols == dict.fromkeys(NAMES.split(), 29)
    assert [(o.addition, o.source, o.rows) for o in told.origins] == [(1, "a vendor", 290)]
    assert told.gaps.held == 290
    assert told.gaps.expected == 3900
    assert [(h.begins, h.bars) for h in told.gaps.holes] == [
        (MONDAY + timedelta(minutes=10), 1),
        (MONDAY + timedelta(minutes=30), 360),
    ]
    (addition,) = store.manifest.additions
    assert (addition.licence, addition.added_at, addition.new_rows) == ("mine", AT, 870)
    assert part.dates == {date(2018, 2, 26): 290}
