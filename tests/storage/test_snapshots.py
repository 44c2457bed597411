"""Radar snapshots and quarantined rows: what is kept, and what a kill costs."""

from pathlib import Path

import polars as pl
import pytest

from qmworkbench.storage.quarantine import add_quarantined, read_quarantined
from qmworkbench.storage.refused import StoreDamaged, StoreMissing
from qmworkbench.storage.snapshots import SnapshotStore, read_snapshots
from tests.storage.bars import boundary


def snapshot(n: int) -> pl.DataFrame:
    """Ten symbols ranked 1 to 9, the last not ranked."""
    return pl.DataFrame(
        {
            "as_of": [boundary(n)] * 10,
            "symbol": [f"S{k}" for k in range(10)],
            "score": [float(n + k) for k in range(10)],
            "rank": [9, 8, 7, 6, 5, 4, 3, 2, 1, None],
        },
        schema_overrides={"rank": pl.Int32, "as_of": pl.Datetime("us", "UTC")},
    )


def test_the_top_and_the_symbols_that_matter_are_kept(tmp_path: Path) -> None:
    with SnapshotStore(tmp_path, top=2) as store:
        store.append(snapshot(0), also={"S0", "S9", "NOT-HERE"})
        store.append(snapshot(1))
    kept = read_snapshots(tmp_path)
    assert kept.filter(pl.col("as_of") == boundary(0))["symbol"].to_list() == ["S8", "S7", "S0", "S9"]
    assert kept.filter(pl.col("as_of") == boundary(1))["symbol"].to_list() == ["S8", "S7"]
    assert kept.columns == snapshot(0).columns


def test_parts_are_written_whole_and_continued(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, top=1, buffered=3)
    for n in range(7):
        store.append(snapshot(n))
    assert len(read_snapshots(tmp_path)) == 6  # a kill now costs the seventh alone
    again = SnapshotStore(tmp_path, top=1, buffered=3)
    for n in range(5, 9):  # computed again after the kill
        again.append(snapshot(n).with_columns(score=pl.lit(-1.0)))
    again.close()
    kept = read_snapshots(tmp_path)
    assert kept["as_of"].to_list() == [boundary(n) for n in range(9)]
    assert kept["score"].to_list()[4:] == [12.0, -1.0, -1.0, -1.0, -1.0]


def test_a_column_may_be_added_between_boundaries(tmp_path: Path) -> None:
    with SnapshotStore(tmp_path, top=1) as store:
        store.append(snapshot(0))
        store.append(snapshot(1).with_columns(spread=pl.lit(0.5)))
    assert read_snapshots(tmp_path)["spread"].to_list() == [None, 0.5]


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs the column\(s\) rank; it has"):
        SnapshotStore(tmp_path).append(snapshot(0).drop("rank"))
    with pytest.raises(StoreMissing, match="holds no radar snapshots"):
        read_snapshots(tmp_path)
    SnapshotStore(tmp_path).close()
    (tmp_path / "part-000001.parquet").write_bytes(b"not parquet")
    with pytest.raises(StoreDamaged, match=r"part-000001\.parquet cannot be read"):
        read_snapshots(tmp_path)


def test_quarantined_rows_gather_with_their_reasons(tmp_path: Path) -> None:
    path = tmp_path / "session" / "quarantine.parquet"
    assert len(read_quarantined(path)) == 0
    assert add_quarantined(path, pl.DataFrame({"symbol": ["A", "B"], "close": [-1.0, 0.0], "reason": "price"})) == 2
    assert add_quarantined(path, pl.DataFrame({"symbol": ["C"], "line": [7], "reason": ["nan"]})) == 3
    rows = read_quarantined(path)
    assert rows["reason"].to_list() == ["price", "price", "nan"]
    assert rows["line"].to_list() == [None, None, 7]
    with pytest.raises(ValueError, match="need a column reason"):
        add_quarantined(path, pl.DataFrame({"symbol": ["A"]}))
    path.write_bytes(b"?")
    with pytest.raises(StoreDamaged, match="does not depend on it"):
        read_quarantined(path)
