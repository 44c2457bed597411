"""The Momentum Radar: equal to an obvious one-symbol-at-a-time radar, by boundary time, deterministic."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.trading.frames import BarFrame, Reference, Universe
from qmworkbench.trading.radar import Radar
from qmworkbench.trading.radar_score import SCORE_TERMS
from qmworkbench.trading.radar_snapshot import COLUMNS
from tests.trading.radar_cases import MINUTE, OPEN, Session, SlowRadar, flat, frame, sessions


def _radar(symbols: str, reference: Reference | None = None, boundaries: int = 390) -> Radar:
    universe = Universe(symbols.split())
    return Radar(universe, reference or Reference.unknown(universe), boundaries, session_open=OPEN)


@given(sessions())
def test_radar_equals_the_slow_radar_bit_for_bit(session: Session) -> None:
    slow = SlowRadar(session)
    with np.errstate(all="raise"):
        snapshots = session.snapshots()
    for upto, snapshot in enumerate(snapshots):
        expected = slow.table(upto)
        for name in COLUMNS:
            column = np.array([np.nan if v is None else v for v in expected[name]], dtype=np.float64)
            assert getattr(snapshot, name).tobytes() == column.tobytes(), name
        by_rank = sorted((rank, i) for i, rank in enumerate(expected["rank"]) if rank is not None)
        assert snapshot.order.tolist() == [i for _, i in by_rank]


@given(sessions())
def test_the_same_frames_give_the_same_bits(session: Session) -> None:
    first, again = session.snapshots(), session.snapshots()
    assert [s.values.tobytes() for s in first] == [s.values.tobytes() for s in again]
    assert [s.content_hash for s in first] == [s.content_hash for s in again]


@given(sessions(max_boundaries=6), st.data())
def test_the_hash_sees_any_one_number_change(session: Session, data: st.DataObject) -> None:
    for snapshot in session.snapshots()[-1:]:
        row = data.draw(st.integers(0, len(COLUMNS) - 1))
        column = data.draw(st.integers(0, len(snapshot) - 1))
        values = snapshot.values.copy()
        values[row, column] = np.nextafter(np.nan_to_num(values[row, column]), np.inf)
        assert replace(snapshot, values=values).content_hash != snapshot.content_hash


def test_the_hash_sees_numbers_change_places() -> None:
    snapshot = _radar("A B").advance(frame(1, {0: flat(10.0), 1: flat(12.0)}))
    rows = list(range(len(COLUMNS)))
    rows[COLUMNS.index("last")], rows[COLUMNS.index("volume")] = COLUMNS.index("volume"), 0
    assert rows[0] != 0
    assert replace(snapshot, values=snapshot.values[rows].copy()).content_hash != snapshot.content_hash
    assert replace(snapshot, values=snapshot.values[:, ::-1].copy()).content_hash != snapshot.content_hash


def test_the_hash_covers_boundary_and_kind_of_frame() -> None:
    snapshot = _radar("A B").advance(frame(1, {0: flat(10.0)}))
    hashes = {
        snapshot.content_hash,
        replace(snapshot, boundary=2).content_hash,
        replace(snapshot, extended=True).content_hash,
        replace(snapshot, as_of=OPEN).content_hash,
    }
    assert len(hashes) == 4
    assert len(snapshot.content_hash) == 16


def test_rates_of_change_count_boundaries_and_not_rows() -> None:
    radar = _radar("A")
    radar.advance(frame(1, {0: flat(10.0)}))
    radar.advance(frame(2, {0: flat(11.0)}))
    radar.advance(frame(3, {}))  # nobody traded; 4, 5 and 6 never arrived
    snapshot = radar.advance(frame(7, {0: flat(22.0)}))
    assert snapshot.boundary == 7
    assert snapshot.roc_1[0] == 1.0  # against the 11 carried forward
    assert snapshot.roc_5[0] == 1.0  # against boundary 2, four rows fewer back than five
    assert math.isnan(snapshot.roc_15[0])
    assert snapshot.bars[0] == 3


def test_a_gap_longer_than_the_ring_leaves_only_the_carried_price() -> None:
    radar = _radar("A")
    radar.advance(frame(1, {0: flat(10.0)}))
    radar.advance(frame(2, {0: flat(20.0)}))
    snapshot = radar.advance(frame(60, {0: flat(30.0)}))
    assert [float(c[0]) for c in (snapshot.roc_1, snapshot.roc_5, snapshot.roc_15)] == [0.5, 0.5, 0.5]


def test_a_feed_that_starts_late_is_not_taken_for_the_open() -> None:
    universe = Universe(["A"])
    profile = np.array([[100.0], [200.0], [400.0]])
    radar = _radar("A", Reference(np.array([10.0]), profile, 1), boundaries=3)
    snapshot = radar.advance(frame(3, {0: flat(10.0, volume=200.0)}))
    assert snapshot.rel_volume[0] == 0.5
    assert (snapshot.minutes_from_open, snapshot.minutes_to_close) == (3.0, 0.0)
    assert len(universe) == 1


def test_the_opening_cross_moves_price_and_gap_alone() -> None:
    universe = Universe(["A", "B"])
    radar = _radar("A B", Reference(np.array([10.0, 10.0]), None, 0))
    snapshot = radar.advance(frame(0, {0: (11.0, 12.0, 10.5, 11.0, 5000.0)}, extended=True))
    row = snapshot.row("A")
    assert (row.last, row.change_prev_close, row.rank, row.bars) == (11.0, 0.1, 1, 0)
    assert (row.volume, row.dollar_volume, row.vwap, row.change_open, row.high_distance) == (
        0,
        0,
        None,
        None,
        None,
    )
    assert (snapshot.boundary, snapshot.minutes_from_open) == (0, 0.0)
    assert snapshot.row("B").rank is None
    after = radar.advance(frame(1, {0: flat(10.5)})).row("A")
    assert (after.change_open, after.high_distance, after.vwap) == (0.0, 0.0, 10.5)
    assert after.roc_1 is None  # the cross is no regular close
    assert len(universe) == 2


def test_equal_scores_rank_by_symbol_and_the_unpriced_get_no_rank() -> None:
    snapshot = _radar("C A B D").advance(frame(1, {i: flat(10.0) for i in (0, 1, 2)}))
    assert [row.symbol for row in snapshot.top(10)] == ["A", "B", "C"]
    assert snapshot.row("D").rank is None
    assert snapshot.row("D").score is None


def test_the_last_bits_of_a_float_do_not_order_symbols() -> None:
    up = np.nextafter(10.5, 11)
    prev = Reference(np.array([10.0, 10.0, 10.0]), None, 0)
    snapshot = _radar("A B C", prev).advance(frame(1, {0: flat(10.5), 1: flat(up), 2: flat(10.0)}))
    assert snapshot.change[1] > snapshot.change[0]
    assert [row.symbol for row in snapshot.top(3)] == ["A", "B", "C"]


def test_the_wildest_gainer_still_leads() -> None:
    n = 50
    universe = Universe([f"S{i:02d}" for i in range(n)])
    radar = Radar(universe, Reference(np.full(n, 10.0), None, 0), 390, session_open=OPEN)
    bars = {i: flat(10.0 + i / 1000) for i in range(n)} | {7: flat(12.6), 30: flat(12.1), 41: flat(11.6)}
    top = radar.advance(frame(1, bars)).top(3)
    assert [row.symbol for row in top] == ["S07", "S30", "S41"]


def test_rank_change_counts_places_gained() -> None:
    radar = _radar("A B C", Reference(np.full(3, 10.0), None, 0))
    first = radar.advance(frame(1, {0: flat(10.3), 1: flat(10.2)}))
    assert [first.row(s).rank_change for s in "ABC"] == [None, None, None]
    second = radar.advance(frame(2, {0: flat(10.0), 2: flat(11.0)}))
    assert [second.row(s).rank for s in "ABC"] == [3, 2, 1]
    assert [second.row(s).rank_change for s in "ABC"] == [-2, 0, None]


def test_score_weights_add_up_to_one() -> None:
    assert sum(term.weight for term in SCORE_TERMS) == pytest.approx(1.0)
    assert {term.column for term in SCORE_TERMS} <= set(COLUMNS)


def test_snapshots_cannot_be_written_nor_change_later() -> None:
    radar = _radar("A")
    snapshot = radar.advance(frame(1, {0: flat(10.0)}))
    before = snapshot.values.copy()
    for array in (snapshot.values, snapshot.last, snapshot.rank, snapshot.order):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    radar.advance(frame(2, {0: flat(11.0)}))
    np.testing.assert_array_equal(snapshot.values, before)


def test_rows_round_and_say_none_for_unknown() -> None:
    radar = _radar("A", Reference(np.array([3.0]), None, 0))
    row = radar.advance(frame(1, {0: (1.0, 1.0, 1.0, 1.0, 0.0)}), np.array([12.34567])).row("A")
    assert row.change_prev_close == -0.666667
    assert row.spread_bps == 12.3457
    assert (row.vwap, row.range_position, row.rel_volume) == (None, None, None)
    assert (row.rank, row.bars, row.stale_boundaries) == (1, 1, 0)


def test_an_unknown_symbol_is_named() -> None:
    snapshot = _radar("A B").advance(frame(1, {}))
    with pytest.raises(KeyError, match="'ZZZ' is not among the 2 symbols"):
        snapshot.row("ZZZ")
    assert snapshot.top(5) == ()
    assert snapshot.top(-1) == ()


@given(sessions(max_boundaries=5))
def test_the_persisted_frame_holds_every_number(session: Session) -> None:
    for snapshot in session.snapshots()[-1:]:
        table = snapshot.to_polars()
        assert table.columns == ["as_of", "symbol", *COLUMNS]
        assert table["symbol"].to_list() == list(session.universe.symbols)
        assert table["as_of"].to_list() == [snapshot.as_of] * len(snapshot)
        for name in COLUMNS:
            values = [None if math.isnan(v) else v for v in getattr(snapshot, name).tolist()]
            assert table[name].to_list() == values


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: replace(f, as_of=OPEN + 2 * MINUTE), "feed each boundary once, in order"),
        (lambda f: replace(f, as_of=OPEN + 2 * MINUTE, extended=True), "feed each boundary once, in order"),
        (lambda f: replace(f, as_of=f.as_of + timedelta(seconds=20)), "not one of the 390 boundaries"),
        (lambda f: replace(f, as_of=OPEN + 391 * MINUTE), "not one of the 390 boundaries"),
        (lambda f: replace(f, index=np.array([1, 0], dtype=np.int32)), "must ascend without repeats"),
        (lambda f: replace(f, index=np.array([1, 1], dtype=np.int32)), "must ascend without repeats"),
        (lambda f: replace(f, index=np.array([0, 2], dtype=np.int32)), r"within 0 … 1"),
        (lambda f: replace(f, index=np.array([-1, 1], dtype=np.int32)), r"within 0 … 1"),
        (lambda f: replace(f, close=np.array([1.0, np.nan])), "close of B is nan"),
        (lambda f: replace(f, volume=np.array([np.inf, 1.0])), "volume of A is inf"),
        (lambda f: replace(f, high=np.array([1.0])), "1 values of high for 2 symbols"),
    ],
)
def test_a_bad_frame_is_named_and_changes_nothing(spoil: Callable[[BarFrame], BarFrame], message: str) -> None:
    good = frame(3, {0: flat(10.0), 1: flat(20.0)})
    radar, untouched = _radar("A B"), _radar("A B")
    for each in (radar, untouched):
        each.advance(frame(2, {0: flat(9.0)}))
    with pytest.raises(ValueError, match=message):
        radar.advance(spoil(good))
    assert radar.advance(good).content_hash == untouched.advance(good).content_hash


def test_spreads_must_cover_the_universe() -> None:
    with pytest.raises(ValueError, match="universe has 2 symbols"):
        _radar("A B").advance(frame(1, {}), np.array([1.0]))


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"reference": Reference(np.array([1.0]), None, 0)}, "prev_close has shape"),
        ({"reference": Reference(np.ones(2), np.ones((390, 3)), 1)}, "volume_profile has shape"),
        ({"reference": Reference(np.ones(2), np.ones(2), 1)}, "volume_profile has shape"),
        ({"regular_boundaries": 0}, "at least one boundary"),
        ({"session_open": datetime(2018, 3, 2, 14, 30)}, "has no time zone"),  # noqa: DTZ001 - the point
        ({"bar_interval": timedelta(0)}, "positive length"),
    ],
)
def test_a_session_that_does_not_fit_is_named(given_: dict[str, object], message: str) -> None:
    universe = Universe(["A", "B"])
    session = {"reference": Reference.unknown(universe), "regular_boundaries": 390, "session_open": OPEN}
    with pytest.raises(ValueError, match=message):
        Radar(universe, **(session | given_))


def test_hourly_bars_count_in_hours() -> None:
    hour = timedelta(hours=1)
    universe = Universe(["EURUSD"])
    radar = Radar(universe, Reference.unknown(universe), 24, session_open=OPEN, bar_interval=hour)
    radar.advance(frame(1, {0: flat(1.0, volume=0.0)}, interval=hour))
    snapshot = radar.advance(frame(6, {0: flat(1.5, volume=0.0)}, interval=hour))
    assert (snapshot.boundary, snapshot.minutes_from_open, snapshot.minutes_to_close) == (6, 360.0, 1080.0)
    assert snapshot.roc_5[0] == 0.5
    assert snapshot.row("EURUSD").vwap is None  # a feed without volume has no VWAP


def test_a_real_morning_agrees_with_polars(shared_data: Path) -> None:
    day = (
        pl.read_parquet(shared_data / "us_equity_minute_2018.parquet")
        .filter(pl.col("ts").is_between(OPEN, OPEN + 89 * MINUTE))
        .sort("ts", "symbol")
    )
    universe = Universe(day["symbol"].unique().to_list())
    radar = Radar(universe, Reference.unknown(universe), 390, session_open=OPEN)
    for (ts,), bars in day.group_by("ts", maintain_order=True):
        assert isinstance(ts, datetime)
        index = np.array([universe.index[s] for s in bars["symbol"]], dtype=np.int32)
        columns = [bars[c].to_numpy() for c in ("open", "high", "low", "close", "volume")]
        snapshot = radar.advance(BarFrame(ts.astimezone(UTC) + MINUTE, index, *columns))
    typical = (pl.col("high") + pl.col("low") + pl.col("close")) / 3
    told = (
        day.group_by("symbol")
        .agg(
            ((typical * pl.col("volume")).sum() / pl.col("volume").sum()).alias("vwap"),
            (pl.col("close").last() / pl.col("open").first() - 1).alias("change_open"),
            (pl.col("close").last() / pl.col("high").max() - 1).alias("high_distance"),
            (pl.col("close").last() / pl.col("close").filter(pl.col("ts") < OPEN + 75 * MINUTE).last() - 1).alias(
                "roc_15"
            ),
        )
        .sort("symbol")
    )
    for name in told.columns[1:]:
        np.testing.assert_allclose(getattr(snapshot, name), told[name].to_numpy(), rtol=1e-9, atol=1e-12)
    assert {row.symbol for row in snapshot.top(5)} >= {"OPK"}
