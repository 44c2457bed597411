"""The bar store: what was synced survives a kill, a torn tail is cut, an edit is found, Parquet gives all back."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.ports import JournalFailed
from qmworkbench.storage.bar_segments import Kind, Shape, batch, header
from qmworkbench.storage.barstore import BarStore, Resumed
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreMissing
from qmworkbench.trading.frames import BarFrame
from tests.storage.bars import INTERVAL_S, SYMBOLS, boundary, frame, frames, hashes
from tests.storage.events import decisions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    store = BarStore(tmp_path / "bars")
    store.begin(SYMBOLS, INTERVAL_S)
    return store


def filled(directory: Path, count: int = 10) -> BarStore:
    store = BarStore(directory)
    store.begin(SYMBOLS, INTERVAL_S)
    for each in frames(count):
        store.append(each)
    store.close()
    return store


def test_frames_come_back_bit_for_bit(store: BarStore) -> None:
    written = frames(10)
    for each in written:
        assert store.append(each) == each.content_hash
    store.sync()
    again = list(store.frames())
    assert hashes(again) == hashes(written)
    for old, new in zip(written, again, strict=True):
        assert (new.extended, len(new)) == (old.extended, len(old))
        for name in ("index", "open", "high", "low", "close", "volume"):
            assert getattr(new, name).dtype == getattr(old, name).dtype
            assert getattr(new, name).tobytes() == getattr(old, name).tobytes()
    assert hashes(list(store.frames(after=boundary(6)))) == hashes(written[7:])
    assert store.verify(hashes(written)) == ()


def test_any_arrow_reader_opens_the_segments(store: BarStore) -> None:
    for each in frames(5):
        store.append(each)
    store.sync()
    read = pa.ipc.open_stream(store.segments.read_bytes()).read_all()
    assert read.num_rows == sum(len(each) for each in frames(5))


def test_a_store_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    filled(tmp_path, 4)
    store = BarStore(tmp_path)
    assert store.begin(SYMBOLS, INTERVAL_S) == Resumed(frames=4, last=boundary(3), torn_bytes=0)
    for each in frames(8):  # a resumed feed repeats itself
        store.append(each)
    assert hashes(list(store.frames())) == hashes(frames(8))
    store.close()
    store.close()


def test_another_universe_or_interval_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(StorageRefused, match="begun with 20 symbols at 60 s, not with these 19 at 60 s"):
        BarStore(tmp_path).begin(SYMBOLS[1:], INTERVAL_S)
    with pytest.raises(StorageRefused, match="not with these 20 at 300 s"):
        BarStore(tmp_path).begin(SYMBOLS, 300)


def test_another_content_or_an_earlier_boundary_is_refused(store: BarStore) -> None:
    store.append(frame(3))
    with pytest.raises(StorageRefused, match=r"2018-03-02T14:34:00Z are stored as .*append a correction, or rewind"):
        store.append(frame(3, seed=2))
    with pytest.raises(StorageRefused, match="14:33:00Z come after those of 2018-03-02T14:34:00Z"):
        store.append(frame(2))
    assert hashes(list(store.frames())) == hashes([frame(3)])


def test_a_malformed_frame_is_refused(store: BarStore) -> None:
    good = frame(1)
    columns = {name: getattr(good, name) for name in ("index", "open", "high", "low", "close", "volume")}
    for change, match in (
        ({"close": good.close[:-1]}, r"column close is float64\(\d+,\), need float64\(\d+,\)"),
        ({"volume": good.volume.astype(np.float32)}, "column volume is float32"),
        ({"index": good.index.astype(np.int64)}, "column index is int64"),
        ({"index": good.index[::-1].copy()}, "index must ascend within 0 … 19"),
        ({"index": good.index + 5}, "index must ascend within 0 … 19"),
    ):
        with pytest.raises(ValueError, match=match):
            store.append(BarFrame(as_of=good.as_of, **{**columns, **change}))
    assert list(store.frames()) == []


def test_a_missing_session_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="holds no bars"):
        list(BarStore(tmp_path / "nothing").frames())
    with pytest.raises(StorageRefused, match="begin\\(\\) the session first"):
        BarStore(tmp_path).append(frame(0))


# ── corrections, and what the journal names ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("compacted", [False, True])
def test_a_correction_is_kept_beside_what_was_decided_with(store: BarStore, compacted: bool) -> None:
    for each in frames(5):
        store.append(each)
    better = frame(2, seed=9)
    store.append_correction(better)
    with pytest.raises(StorageRefused, match="no bars of 2018-03-02T14:37:00Z to correct"):
        store.append_correction(frame(6))
    if compacted:
        store.compact()
    assert hashes(list(store.frames())) == hashes(frames(5))
    assert hashes(list(store.corrections())) == hashes([better])
    plain, corrected = store.bars(), store.bars(corrected=True)
    at = pl.col("ts") == boundary(1)  # ts is the open time
    assert corrected.filter(~at).equals(plain.filter(~at))
    by_symbol = dict(corrected.filter(at).select("symbol", "close").iter_rows())
    for place, close in zip(better.index, better.close, strict=True):
        assert by_symbol[SYMBOLS[place]] == close


def test_bars_are_held_against_the_journal(store: BarStore) -> None:
    for each in frames(3):
        store.append(each)
    other = frame(1, seed=4)
    wrong = store.verify([*hashes([frame(0, extended=True), other]), *hashes([frame(9)])])
    assert wrong == (
        f"bars of 2018-03-02T14:32:00Z are {frame(1, extended=True).content_hash}, "
        f"the journal names {other.content_hash}",
        "the journal names bars of 2018-03-02T14:40:00Z, none are stored",
    )


def test_boundaries_the_journal_never_named_are_taken_back(tmp_path: Path) -> None:
    filled(tmp_path, 6)
    store = BarStore(tmp_path)
    store.begin(SYMBOLS, INTERVAL_S)
    assert store.rewind(boundary(3)) == 2
    store.append(frame(4, seed=8))
    store.sync()
    assert hashes(list(store.frames())) == hashes([*frames(4), frame(4, seed=8)])
    assert len(list(tmp_path.glob("rewound-at-*.bin"))) == 1
    assert store.rewind(None) == 5
    assert list(store.frames()) == []
    store.close()


def test_bars_reach_the_disk_before_the_record_that_names_them(tmp_path: Path, store: BarStore) -> None:
    with SqliteJournal(tmp_path / "journal.db", book="test") as journal:
        journal.before_commit(store.sync)
        store.append(frame(0))
        assert store._synced < store._size
        journal.append(decisions(1))
        journal.sync()
        assert store._synced == store._size


def test_a_disk_that_fails_poisons_store_and_journal(tmp_path: Path, store: BarStore) -> None:
    journal = SqliteJournal(tmp_path / "journal.db", book="test")
    journal.before_commit(store.sync)
    store.append(frame(0))
    real, store._fd = store._fd, os.open(store.segments, os.O_RDONLY)  # a disk that takes nothing more
    for call in (lambda: store.append(frame(1)), store.sync, lambda: store.append(frame(2))):
        with pytest.raises(StorageRefused, match="nothing may be decided on bars that are not on disk"):
            call()
    journal.append(decisions(1))
    with pytest.raises(JournalFailed, match=r"segments\.arrows could not be written"):
        journal.sync()
    journal.close()
    os.close(real)
    os.close(store._fd)
    store._fd = -1


# ── torn and changed files ─────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=50)
@given(keep=st.floats(0, 1), junk=st.sampled_from([b"", b"\0" * 700, b"\xff\xff\xff\xff junk", bytes(range(64))]))
def test_a_file_cut_anywhere_keeps_every_whole_boundary(
    tmp_path_factory: pytest.TempPathFactory, keep: float, junk: bytes
) -> None:
    directory = tmp_path_factory.mktemp("cut")
    store = filled(directory)
    ends = np.cumsum([len(header(Shape(SYMBOLS, INTERVAL_S))), *(len(batch(f, Kind.BARS)) for f in frames(10))])
    cut = int(ends[-1] * keep)
    store.segments.write_bytes(store.segments.read_bytes()[:cut] + junk)
    whole = max(int((ends <= cut).sum()) - 1, 0)
    resumed = store.begin(SYMBOLS, INTERVAL_S)
    # Zeros behind the cut may stand for the padding that was cut off; the hash has proved the rest.
    assert whole <= resumed.frames <= whole + junk.startswith(b"\0")
    assert hashes(list(store.frames())) == hashes(frames(10)[: resumed.frames])
    for each in frames(10):
        store.append(each)
    store.close()
    assert hashes(list(store.frames())) == hashes(frames(10))


def test_a_tail_of_zeros_left_by_a_power_cut_is_cut_off(tmp_path: Path) -> None:
    store = filled(tmp_path, 3)
    content = bytearray(store.segments.read_bytes())
    content[-200:] = bytes(200)  # the last batch is whole in length, its content never arrived
    store.segments.write_bytes(content)
    again = BarStore(tmp_path)
    assert again.begin(SYMBOLS, INTERVAL_S).frames == 2
    assert len(next(tmp_path.glob("torn-at-*.bin")).read_bytes()) > 200
    again.close()


@given(data=st.data())
def test_a_flipped_byte_never_gives_wrong_bars(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = filled(tmp_path_factory.mktemp("flipped"), 4)
    content = bytearray(store.segments.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    store.segments.write_bytes(content)
    try:
        found = list(store.frames())
        shape = store.shape()
    except StorageRefused:
        return
    # What is not refused is right, as far as it goes; what is missing shows against the journal.
    assert shape == Shape(SYMBOLS, INTERVAL_S)
    assert hashes(found) == hashes(frames(4))[: len(found)]
    assert all(each.content_hash == hashes([each])[0][1] for each in found)


def test_a_change_before_whole_boundaries_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path, 5)
    content = bytearray(store.segments.read_bytes())
    place = content.index(frame(2).close.tobytes())
    content[place] ^= 1
    store.segments.write_bytes(content)
    with pytest.raises(StoreDamaged, match="bars of 2018-03-02T14:33:00Z were changed after they were written"):
        list(store.frames())
    with pytest.raises(StoreDamaged, match="later ones are whole"):
        BarStore(tmp_path).begin(SYMBOLS, INTERVAL_S)


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_it_had_synced(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        from pathlib import Path
        from qmworkbench.storage.barstore import BarStore
        from tests.storage.bars import SYMBOLS, frame
        store = BarStore(Path({str(tmp_path)!r}))
        store.begin(SYMBOLS, 60)
        n = -1 if store._last is None else sum(1 for _ in store.frames()) - 1
        print("begun", flush=True)
        while True:
            n += 1
            store.append(frame(n))
            if n % 3 == 0:
                store.sync()
                print(n, flush=True)
    """)
    instants = random.Random(7)
    known = 0
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        heard = [writer.stdout.readline() for _ in range(instants.randint(1, 4))]
        time.sleep(instants.uniform(0, 0.01))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        with writer.stdout as said:
            heard += said.read().splitlines(keepends=True)
        told = [int(line) for line in heard if line.endswith("\n")]
        found = list(BarStore(tmp_path).frames())
        assert len(found) >= max([known, *(n + 1 for n in told)])
        known = len(found)
    assert known > 6
    assert hashes(found) == hashes([frame(n) for n in range(known)])


# ── Parquet at close ───────────────────────────────────────────────────────────────────────────────────────


def test_compacting_gives_the_documented_table_and_every_frame(tmp_path: Path) -> None:
    store = filled(tmp_path, 15)
    before = store.bars()
    path = store.compact()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bars.parquet"]
    table = pl.read_parquet(path)
    assert table.schema == {
        "symbol": pl.String,
        "ts": pl.Datetime("us", "UTC"),
        **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
        "extended": pl.Boolean,
    }
    assert table.equals(before)
    assert table.equals(store.bars())
    assert table["ts"].min() == boundary(-1)
    assert table.filter(pl.col("extended"))["ts"].unique().sort().to_list() == [boundary(-1), boundary(0)]
    assert hashes(list(store.frames())) == hashes(frames(15))  # boundaries without bars among them
    assert store.shape() == Shape(SYMBOLS, INTERVAL_S)
    assert store.compact() == path
    with pytest.raises(StorageRefused, match="closed and compacted"):
        BarStore(tmp_path).begin(SYMBOLS, INTERVAL_S)


def test_compacting_can_be_killed_and_done_again(tmp_path: Path) -> None:
    store = filled(tmp_path, 5)
    segments = store.segments.read_bytes()
    store.compact()
    store.segments.write_bytes(segments)  # killed before they were removed
    (tmp_path / "bars.parquet.99.unfinished").write_bytes(b"half")
    store.compact()
    assert hashes(list(store.frames())) == hashes(frames(5))
    assert not store.segments.exists()


def test_a_session_without_a_bar_compacts(tmp_path: Path) -> None:
    store = filled(tmp_path, 0)
    store.compact()
    assert list(store.frames()) == []
    assert len(store.bars()) == 0


def test_an_edited_archive_is_found(tmp_path: Path) -> None:
    store = filled(tmp_path, 5)
    path = store.compact()
    metadata = pl.read_parquet_metadata(path)
    edited = pl.read_parquet(path).with_columns(close=pl.col("close") + (pl.col("ts") == boundary(2)).cast(pl.Float64))
    edited.write_parquet(path, metadata={"qmworkbench.bars": metadata["qmworkbench.bars"]})
    with pytest.raises(StoreDamaged, match="bars of 2018-03-02T14:34:00Z were changed"):
        list(store.frames())
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(StoreDamaged, match="no bar archive of ours"):
        list(store.frames())


def test_real_bars_survive_the_round_trip(shared_data: Path, tmp_path: Path) -> None:
    bars = pl.scan_parquet(shared_data / "us_equity_minute_2018.parquet")
    day = bars.filter(pl.col("ts").dt.date() == pl.date(2018, 3, 2)).sort("ts", "symbol").collect(engine="in-memory")
    symbols = tuple(day["symbol"].unique().sort())
    place = {symbol: n for n, symbol in enumerate(symbols)}
    store = BarStore(tmp_path)
    store.begin(symbols, INTERVAL_S)
    for (ts,), rows in day.group_by("ts", maintain_order=True):
        columns = {name: rows[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
        index = np.array([place[symbol] for symbol in rows["symbol"]], dtype=np.int32)
        store.append(BarFrame(as_of=ts + (boundary(1) - boundary(0)), index=index, **columns))
    store.compact()
    assert store.bars().drop("extended").equals(day.select("symbol", "ts", "open", "high", "low", "close", "volume"))


# ── frames the session stands on ───────────────────────────────────────────────────────────────────────────


def test_a_named_frame_is_kept_once_and_verified(tmp_path: Path) -> None:
    store = BarStore(tmp_path / "bars")
    warmup = pl.DataFrame({"symbol": ["A", "B"], "close": [1.5, None]})
    path = store.write_frame("warmup", warmup)
    assert store.write_frame("warmup", warmup.clone()) == path
    assert store.read_frame("warmup").equals(warmup)
    with pytest.raises(StorageRefused, match="already stands on another 'warmup'"):
        store.write_frame("warmup", warmup.reverse())
    with pytest.raises(StoreMissing, match="keeps no frame 'reference'; it keeps warmup"):
        store.read_frame("reference")
    with pytest.raises(StorageRefused, match=r"'\.\./up': use up to 50"):
        store.write_frame("../up", warmup)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match="was changed after it was written"):
        store.read_frame("warmup")
