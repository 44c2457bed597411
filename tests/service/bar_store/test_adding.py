"""Adding to a bar store: in any pieces the same store, the same again nothing, and all of it or nothing (§5)."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qmworkbench.market.bars import load_session
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.store.manifest import MANIFEST, Cut, Prices
from qmworkbench.market.store.reading import open_store
from qmworkbench.service.bar_store import adding, incoming
from qmworkbench.service.bar_store.adding import Outcome, Terms, add, described
from qmworkbench.service.bar_store.incoming import TextReading
from qmworkbench.storage.writer_lock import WriterLock
from tests.market.store.store_cases import AT, DAYS, MONDAY, bars, content, stored

LATER = AT + timedelta(days=1)


def put(folder: Path, name: str, frame: pl.DataFrame, terms: Terms | None = None) -> Outcome:
    """Write the bars as a file and add it to the store in `folder`."""
    file = folder / name
    frame.write_parquet(file)
    return add(folder / "store", file, terms or Terms(), LATER)


def closing(frame: pl.DataFrame, at: datetime, symbol: str, close: float) -> pl.DataFrame:
    """The bars with another close of one of them."""
    one = (pl.col("ts") == at) & (pl.col("symbol") == symbol)
    return frame.with_columns(close=pl.when(one).then(close).otherwise(pl.col("close")))


# ── the same again, and in other pieces ──────────────────────────────────────────────────────────────────────────────


def test_the_same_source_twice_changes_not_a_byte(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars())
    before = content(tmp_path / "store")
    again = put(tmp_path, "a.parquet", bars())
    assert (again.addition, again.known, again.parts) == (None, ("a.parquet",), ())
    again = put(tmp_path, "a.parquet", bars(), Terms(replace=True))
    assert (again.addition, again.known, again.parts) == (None, ("a.parquet",), ())
    assert content(tmp_path / "store") == before


def test_the_same_bars_in_another_file_are_no_new_bars(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars())
    parts = open_store(tmp_path / "store").manifest.parts
    again = put(tmp_path, "b.parquet", bars().reverse())
    assert again.addition is not None
    assert (again.addition.number, again.addition.new_rows, again.parts) == (2, 0, ())
    assert open_store(tmp_path / "store").manifest.parts == parts


def test_a_store_may_lie_where_names_mean_something_to_polars(tmp_path: Path) -> None:
    odd = tmp_path / "year=2018 [*]"
    odd.mkdir()
    put(odd, "a.parquet", bars("AAA"))
    put(odd, "b.parquet", bars("AAA BBB"))
    assert open_store(odd / "store").read().equals(bars("AAA BBB"))
    assert open_store(odd / "store").only(["BBB"]).read().equals(bars("AAA BBB").filter(pl.col("symbol") == "BBB"))


@given(
    pieces=st.lists(st.integers(0, 3), min_size=180, max_size=180),
    held=st.sampled_from([1, 7, 50, 10_000]),
    apart=st.booleans(),
)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_whatever_pieces_and_order_bars_come_the_parts_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], held: int, apart: bool
) -> None:
    """As one file, as a directory, file by file; held in memory, or waiting on disk."""
    folder = tmp_path_factory.mktemp("pieces")
    frame = bars("AAA BBB CCC", minutes=20).with_columns(spread=pl.Series([k % 5 / 100 for k in range(180)]))
    whole = stored(folder / "whole", frame).manifest.parts
    split = frame.with_columns(piece=pl.Series(pieces)).partition_by("piece", include_key=False)
    files = folder / "files"
    files.mkdir()
    for number, piece in enumerate(split):
        piece.reverse().write_parquet(files / f"{number}.parquet")
    terms = Terms(held_rows=held, interval_s=60)
    for given_ in sorted(files.iterdir()) if apart else [files]:
        add(folder / "store", given_, terms, AT)
    found = open_store(folder / "store").manifest.parts
    assert [(part.file, part.sha256, part.dates) for part in found] == [
        (part.file, part.sha256, part.dates) for part in whole
    ]


def test_no_more_than_a_block_and_a_part_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of six blocks in the worst order, by symbol over all dates: counted where rows are held."""
    monkeypatch.setattr(incoming, "BLOCK_ROWS", 150)
    taken: list[int] = []
    held: list[int] = []

    class Watched(adding.Spill):
        def take(self, rows: pl.DataFrame) -> None:
            taken.append(rows.height)
            super().take(rows)
            held.append(self._rows)

        def rows_of(self, part: object) -> pl.DataFrame:
            rows = super().rows_of(part)  # type: ignore[arg-type]
            held.append(rows.height)
            return rows

    monkeypatch.setattr(adding, "Spill", Watched)
    outcome = put(tmp_path, "a.parquet", bars(), Terms(held_rows=200))
    assert outcome.manifest.rows == sum(taken) == 900
    assert max(taken) <= 150
    assert max(held) <= 300, "a part has 300 rows"


# ── conflicts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bar_that_differs_refuses_the_whole_addition_by_name(tmp_path: Path) -> None:
    """The conflict is on the last day; the new day before it is not taken either."""
    old = bars().filter(pl.col("ts").dt.date() != DAYS[1])
    put(tmp_path, "a.parquet", old)
    before = content(tmp_path / "store")
    at = MONDAY + timedelta(days=2, minutes=3)
    other = closing(bars(), at, "CCC", 14.01)
    with pytest.raises(DataRefused) as refused:
        put(tmp_path, "b.parquet", other)
    (finding,) = refused.value.findings
    assert (finding.code, finding.rows) == ("conflicting_bars", 1)
    assert finding.sample == ("CCC 2018-02-28T14:33:00Z: the store store has close 14.04; b.parquet has close 14.01",)
    assert "--replace" in finding.remedy
    assert content(tmp_path / "store") == before
    put(tmp_path, "b.parquet", other, Terms(replace=True))
    store = open_store(tmp_path / "store")
    assert store.read().equals(other)
    assert (store.manifest.additions[1].new_rows, store.manifest.additions[1].replaced) == (300, 1)
    assert {path.name for path in (tmp_path / "store").glob("*.parquet")} == {
        part.file for part in store.manifest.parts
    }


def test_a_bar_told_of_in_two_ways_by_what_is_added_is_refused_whatever_was_asked(tmp_path: Path) -> None:
    twice = pl.concat([bars(), closing(bars(), MONDAY, "AAA", 9.99).filter(pl.col("close") == 9.99)])
    for terms in (Terms(), Terms(replace=True)):
        with pytest.raises(DataRefused, match=r"conflicting_duplicate.*AAA 2018-02-26T14:30:00Z.*9\.99.*10\.01"):
            put(tmp_path, "a.parquet", twice, terms)
    assert not (tmp_path / "store").exists(), "nothing was begun"
    put(tmp_path, "a.parquet", pl.concat([bars(), bars()]))
    assert open_store(tmp_path / "store").read().equals(bars())


def test_a_damaged_part_is_not_written_anew_as_if_it_were_sound(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars("AAA"))
    part = open_store(tmp_path / "store").manifest.parts[0]
    file = tmp_path / "store" / part.file
    raw = bytearray(file.read_bytes())
    raw[100] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DataRefused, match="part_damaged"):
        put(tmp_path, "b.parquet", bars("BBB"))


def test_a_store_that_lost_a_part_is_not_told_to_have_it_all(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars("AAA"))
    part = open_store(tmp_path / "store").manifest.parts[1]
    (tmp_path / "store" / part.file).unlink()
    for terms in (Terms(), Terms(replace=True)):
        with pytest.raises(DataRefused, match=rf"{part.file}: part_missing.*Restore the file from a copy, or add its"):
            put(tmp_path, "a.parquet", bars("AAA"), terms)


# ── killed, full, taken ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_addition_that_ends_before_its_manifest_never_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.parquet", bars("AAA"))
    before = content(tmp_path / "store")

    def full(path: Path, *_pieces: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as during:
        during.setattr(adding, "write_whole", full)
        with pytest.raises(DataRefused, match=r"store_not_written.*No space left.*the store is as it was"):
            put(tmp_path, "b.parquet", bars("BBB"))
    assert content(tmp_path / "store") == before


def test_what_a_killed_addition_left_counts_for_nothing_and_is_swept(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars("AAA"))
    store = tmp_path / "store"
    (store / ".adding").mkdir()
    (store / ".adding" / "000000.arrows").write_bytes(b"half")
    (store / "2018-02-26-0123456789ab.parquet").write_bytes(b"half")
    (store / "2018-02-27.77.unfinished").write_bytes(b"half")
    (store / "notes.txt").write_text("a person's own")
    assert open_store(store).read().equals(bars("AAA"))
    put(tmp_path, "b.parquet", bars("BBB"))
    left = {path.name for path in store.iterdir()} - {f"{MANIFEST}.writer", MANIFEST, "notes.txt"}
    parts = open_store(store).manifest.parts
    assert left == {name for part in parts for name in (part.file, part.manifest_file)}


def test_two_additions_at_once_are_one_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars("AAA"))
    lock = WriterLock(tmp_path / "store" / MANIFEST)
    try:
        with pytest.raises(DataRefused, match=r"store_in_use.*another process adds to it.*Wait"):
            put(tmp_path, "b.parquet", bars("BBB"))
    finally:
        lock.release()


def test_who_opened_a_store_before_a_part_was_replaced_is_told_so(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars("AAA"))
    before = open_store(tmp_path / "store")
    put(tmp_path, "b.parquet", closing(bars("AAA"), MONDAY, "AAA", 10.02), Terms(replace=True))
    with pytest.raises(DataRefused, match=r"store_changed: 2018-02-26 was replaced.*Open it again"):
        before.read()
    assert before.read(MONDAY + timedelta(days=1)).height == 60, "the other dates are as they were"


def test_a_file_that_grows_while_it_is_read_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = incoming.blocks_of

    def growing(path: Path, reading: TextReading) -> Iterator[pl.DataFrame]:
        yield from whole(path, reading)
        with path.open("ab") as stream:
            stream.write(b"more")

    monkeypatch.setattr(adding, "blocks_of", growing)
    with pytest.raises(DataRefused, match=r"source_changed: it was written to while it was read"):
        put(tmp_path, "a.parquet", bars("AAA"))
    assert not (tmp_path / "store").exists()


# ── what is no bar file, and what fits no store ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda b: b.rename({"close": "last"}), "missing_columns.*close"),
        (lambda b: b.with_columns(pl.col("ts").dt.replace_time_zone(None)), "naive_timestamp.*no time zone"),
        (lambda b: b.with_columns(pl.col("close").cast(pl.Float32)), "wrong_type.*Float32"),
        (lambda b: b.clear(), "empty_file"),
        (lambda b: b.with_columns(ts=pl.lit(None, pl.Datetime("us", "UTC"))), "unplaced_rows"),
        (lambda b: b.with_columns(symbol=pl.lit(None, pl.String)), "unplaced_rows"),
        (lambda b: b.with_columns(symbol=pl.when(pl.col("symbol") == "AAA").then(pl.lit("EURUSD")).otherwise("symbol")),
         "mixed_calendars"),
    ],
)  # fmt: skip
def test_bad_bars_are_refused_by_name_and_nothing_is_begun(tmp_path: Path, spoil: object, says: str) -> None:
    with pytest.raises(DataRefused, match=says) as refused:
        put(tmp_path, "a.parquet", spoil(bars("AAA BBB")))  # type: ignore[operator]
    assert all(finding.remedy for finding in refused.value.findings)
    assert not (tmp_path / "store").exists()


def test_a_truncated_file_and_one_that_is_none_are_refused(tmp_path: Path) -> None:
    bars().write_parquet(tmp_path / "whole.parquet")
    raw = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "empty").mkdir()
    for name, says in (
        ("cut.parquet", "the file is damaged"),
        ("nowhere.parquet", "cannot be opened"),
        ("empty", "it holds no file that ends in"),
    ):
        with pytest.raises(DataRefused, match=says):
            add(tmp_path / "store", tmp_path / name, Terms(), AT)
    assert not (tmp_path / "store").exists()
    with pytest.raises(DataRefused, match="it holds other things"):
        add(tmp_path, tmp_path / "whole.parquet", Terms(), AT)
    stored(tmp_path / "store", bars())
    with pytest.raises(DataRefused, match="is a bar store itself"):
        add(tmp_path / "other", tmp_path / "store", Terms(), AT)


def test_a_store_is_of_one_interval_one_cut_and_one_kind_of_prices(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars())
    for terms, says in (
        (Terms(cut=Cut.YEAR), "its cut: day; what is added was said to be year"),
        (Terms(prices=Prices.ADJUSTED), "its prices: as printed"),
        (Terms(interval_s=300), "its interval: 60"),
    ):
        with pytest.raises(DataRefused, match=says):
            put(tmp_path, "b.parquet", bars("LLL"), terms)
    wider = bars("LLL", minutes=300).filter(pl.col("ts").dt.minute() % 5 == 0)
    with pytest.raises(DataRefused, match=r"store 2018-02-26: mixed_intervals"):
        put(tmp_path, "b.parquet", wider)
    with pytest.raises(DataRefused, match="mixed_calendars"):
        put(tmp_path, "b.parquet", bars("EURUSD"))


def test_rows_that_no_session_would_use_are_kept_and_counted(tmp_path: Path) -> None:
    spoilt = closing(bars("AAA"), MONDAY, "AAA", 99.0)
    put(tmp_path, "a.parquet", spoilt)
    store = open_store(tmp_path / "store")
    assert store.part_manifest(store.manifest.parts[0]).kept_aside == {"outside_range": 1}
    assert store.read().equals(spoilt)


# ── quotes, cuts, text, actions ──────────────────────────────────────────────────────────────────────────────────────


def test_bars_with_quotes_and_without_lie_in_one_store(tmp_path: Path) -> None:
    quoted = bars("AAA").with_columns(spread=pl.lit(0.02))
    put(tmp_path, "a.parquet", quoted.filter(pl.col("ts").dt.date() == DAYS[0]))
    put(tmp_path, "b.parquet", bars("AAA"))
    store = open_store(tmp_path / "store")
    told = store.read()
    assert told.filter(pl.col("ts").dt.date() == DAYS[0])["spread"].to_list() == [0.02] * 30
    assert told.filter(pl.col("ts").dt.date() != DAYS[0])["spread"].null_count() == 60
    with pytest.raises(DataRefused, match="spread"):
        put(tmp_path, "c.parquet", quoted.with_columns(spread=pl.lit(0.03)))


def test_daily_bars_are_cut_by_year_and_hourly_by_month(tmp_path: Path) -> None:
    days = [datetime(2017, 12, 27, 14, 30, tzinfo=UTC) + timedelta(days=n) for n in (0, 1, 2, 6, 7)]
    daily = bars("AAA", days=1, minutes=5).with_columns(ts=pl.Series(days, dtype=pl.Datetime("us", "UTC")))
    outcome = put(tmp_path, "a.parquet", daily)
    assert (outcome.manifest.cut, outcome.manifest.interval_s) == (Cut.YEAR, 86_400)
    assert outcome.parts == ("2017", "2018")
    assert open_store(tmp_path / "store").read().equals(daily)
    assert Cut.of(3_600) is Cut.MONTH
    assert Cut.of(1_800) is Cut.DAY
    told = described(outcome)
    assert (told["parts"], told["rows"]) == (2, 5)


def test_a_directory_of_text_files_named_after_their_symbols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone through in pieces of a few lines; a fault is named with its row in the file."""
    text = tmp_path / "text"
    text.mkdir()
    frame = bars("AAA BBB")
    for name in ("AAA", "BBB"):
        one = frame.filter(pl.col("symbol") == name).drop("symbol")
        one.with_columns(pl.col("ts").dt.strftime("%Y-%m-%d %H:%M:%S")).write_csv(text / f"{name}.csv")
    (text / "readme.md").write_text("no bars")
    blocks = incoming.text_blocks
    monkeypatch.setattr(incoming, "text_blocks", lambda path, **how: blocks(path, block_bytes=300, **how))
    terms = Terms(text=TextReading(symbol="@file", zone="UTC"))
    outcome = add(tmp_path / "store", text, terms, AT)
    assert outcome.addition is not None
    assert [(file.name, file.rows) for file in outcome.addition.files] == [("AAA.csv", 90), ("BBB.csv", 90)]
    assert open_store(tmp_path / "store").read().equals(frame)
    lines = (text / "AAA.csv").read_text().splitlines()
    lines[70] = lines[70].replace("100", "1OO", 1) if "100" in lines[70] else lines[70].rsplit(",", 1)[0] + ",many"
    (text / "AAA.csv").write_text("\n".join(lines))
    with pytest.raises(DataRefused, match=r"unreadable_line.*row 70 has"):
        add(tmp_path / "store", text, terms, AT)


def _actions(folder: Path, ratio: str = "2:1") -> Path:
    file = folder / "actions.csv"
    file.write_text(f"symbol,ex_date,kind,ratio\nAAA,2018-02-28,split,{ratio}\n")
    return file


def test_actions_are_kept_beside_the_prices_and_told_at_reading(tmp_path: Path) -> None:
    frame = bars("AAA BBB", minutes=390)
    outcome = put(tmp_path, "a.parquet", frame, Terms(actions=_actions(tmp_path)))
    assert outcome.actions
    store = open_store(tmp_path / "store")
    assert store.read().equals(frame), "no price was changed"
    assert [(a.symbol, a.ratio) for a in store.actions] == [("AAA", 2)]
    raw = load_session(tmp_path / "a.parquet", DAYS[2])
    told = load_session(tmp_path / "store", DAYS[2])
    first = {name: data.warmup.filter(symbol="AAA")["open"][0] for name, data in (("raw", raw), ("told", told))}
    assert first["told"] == first["raw"] / 2
    assert [a.symbol for a in told.actions] == ["AAA"]
    assert put(tmp_path, "a.parquet", frame, Terms(actions=_actions(tmp_path))).actions is False


def test_an_action_told_of_in_two_ways_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars("AAA"), Terms(actions=_actions(tmp_path)))
    with pytest.raises(DataRefused, match=r"conflicting_actions.*AAA"):
        put(tmp_path, "a.parquet", bars("AAA"), Terms(actions=_actions(tmp_path, "3:1")))
    again = put(tmp_path, "a.parquet", bars("AAA"), Terms(actions=_actions(tmp_path, "3:1"), replace=True))
    assert again.manifest.actions is not None
    assert [a.ratio for a in open_store(tmp_path / "store").actions] == [3]
    (tmp_path / "store" / again.manifest.actions.file).write_bytes(b"")
    with pytest.raises(DataRefused, match="actions_damaged"):
        open_store(tmp_path / "store")


def test_adjusted_prices_take_no_actions(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", bars("AAA"), Terms(prices=Prices.ADJUSTED))
    with pytest.raises(DataRefused, match="would adjust them a second time"):
        put(tmp_path, "b.parquet", bars("BBB"), Terms(actions=_actions(tmp_path)))


def test_the_shared_month_is_the_same_session_from_a_store(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "us_equity_minute_2018.parquet"
    few = ["AAPL", "AMD", "JUNO", "OPK", "SWN"]
    pl.scan_parquet(file).filter(pl.col("symbol").is_in(few)).collect().write_parquet(tmp_path / "few.parquet")
    outcome = add(tmp_path / "store", tmp_path / "few.parquet", Terms(), AT)
    assert len(outcome.parts) == 20
    day = date(2018, 3, 2)
    assert load_session(tmp_path / "store", day).data_hash == load_session(tmp_path / "few.parquet", day).data_hash
    assert msgspec.json.encode(outcome.manifest)
