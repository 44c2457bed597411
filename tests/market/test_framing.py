"""Frames, reference and warm-up: every boundary has its frame, and the vectorised passes equal the obvious loops."""

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.market.bars import session_from_frame
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.framing import taken
from qmworkbench.market.session import SessionData
from qmworkbench.trading.frames import Reference
from tests.market.bars_cases import BEFORE, CLOSE, DAY, MINUTE, OPEN, Row, codes, minutes_of, row, same_frames, table

NYSE = SessionCalendar("XNYS")
DAYS = [*NYSE.sessions_before(DAY, 4), DAY]


def test_there_is_a_frame_for_every_boundary_traded_or_not() -> None:
    rows = [row("BBB", OPEN), row("AAA", OPEN), row("AAA", OPEN + 389 * MINUTE)]
    data = session_from_frame(table(rows), DAY, interval_s=60)
    assert [frame.as_of for frame in data.frames] == [OPEN + (k + 1) * MINUTE for k in range(390)]
    assert data.boundaries[-1] == CLOSE
    assert [len(frame) for frame in data.frames] == [2] + [0] * 388 + [1]
    assert not any(frame.extended for frame in data.frames)
    assert [data.boundary_number(frame) for frame in data.frames] == list(range(1, 391))


def test_rows_that_are_taken_are_not_held_twice() -> None:
    rows = pl.DataFrame({"a": range(6), "b": list("xyzxyz"), "c": [0.5] * 6})
    wanted = (pl.col("a") > 1) & (pl.col("b") != "y")
    expected = rows.filter(wanted).select("b", "a")
    assert taken(rows, wanted, ("b", "a")).equals(expected)
    assert rows.width == 0, "each column was let go of"


def test_a_frame_that_a_session_was_made_of_is_still_whole() -> None:
    """What is let go of column by column is the session's own copy of the table, never the caller's."""
    bars = table(minutes_of(OPEN, "AAA BBB", 30))
    before = bars.clone()
    session_from_frame(bars, DAY, interval_s=60)
    assert bars.equals(before)


def test_frames_before_the_open_come_first_and_only_where_something_traded() -> None:
    rows = [row("AAA", OPEN - MINUTE), row("AAA", OPEN - 200 * MINUTE), row("AAA", OPEN)]
    data = session_from_frame(table(rows), DAY, interval_s=60)
    assert [(frame.as_of, frame.extended) for frame in data.frames[:3]] == [
        (OPEN - 199 * MINUTE, True),
        (OPEN, True),
        (OPEN + MINUTE, False),
    ]
    assert len(data.frames) == 392
    assert [data.boundary_number(frame) for frame in data.frames[:3]] == [0, 0, 1]
    assert data.regular_frames == data.frames[2:]


def test_a_frame_lists_symbols_in_the_universe_order() -> None:
    rows = [row(symbol, OPEN, px) for symbol, px in (("CCC", 3.0), ("AAA", 1.0), ("BBB", 2.0))]
    frame = session_from_frame(table(rows), DAY, interval_s=60).frames[0]
    assert frame.index.tolist() == [0, 1, 2]
    assert frame.open.tolist() == [1.0, 2.0, 3.0]


def test_frames_cannot_be_changed() -> None:
    frame = session_from_frame(table([row("AAA", OPEN)]), DAY).frames[0]
    with pytest.raises(ValueError, match="read-only"):
        frame.close[0] = 1.0


def test_a_symbol_of_the_history_is_in_the_universe_though_it_does_not_trade() -> None:
    rows = minutes_of(OPEN - timedelta(days=1), "GONE AAA", 5) + minutes_of(OPEN, "AAA NEW", 5)
    data = session_from_frame(table(rows), DAY)
    assert data.universe.symbols == ("AAA", "GONE", "NEW")
    assert list(data.instruments) == ["AAA", "GONE", "NEW"]
    assert "symbol_absent" in codes(data)
    assert np.isnan(data.reference.prev_close[2])


def test_a_half_day_has_210_boundaries() -> None:
    day = date(2018, 7, 3)
    opens = datetime(2018, 7, 3, 13, 30, tzinfo=UTC)
    data = session_from_frame(table(minutes_of(opens, "AAA", 230)), day)
    assert len(data.boundaries) == 210
    assert data.after_close.height == 20
    assert {"half_day", "after_close"} <= set(codes(data))
    assert data.recorded_window().half_day
    assert data.recorded_window().regular_boundaries == 210
    assert data.recorded_window().closes_at == "2018-07-03T17:00:00+00:00"


def test_warmup_holds_the_regular_bars_of_the_sessions_before() -> None:
    rows = minutes_of(OPEN - timedelta(days=1), "BBB AAA", 5)
    rows += [row("AAA", OPEN - timedelta(days=1) - MINUTE), row("AAA", CLOSE - timedelta(days=1))]
    data = session_from_frame(table([*rows, row("AAA", OPEN)]), DAY)
    assert data.warmup.columns == ["symbol", "ts", "session", "open", "high", "low", "close", "volume"]
    assert data.warmup["session"].unique().to_list() == [BEFORE]
    assert data.warmup["symbol"].to_list() == ["AAA"] * 5 + ["BBB"] * 5
    assert data.warmup.equals(data.warmup.sort("symbol", "ts"))
    assert [hours.date for hours in data.history] == [BEFORE]


def test_history_reaches_back_no_further_than_asked() -> None:
    rows = [r for k in range(5) for r in minutes_of(OPEN - timedelta(days=k), "AAA", 200)]
    data = session_from_frame(table(rows), DAY, history_days=2)
    assert [hours.date for hours in data.history] == [date(2018, 2, 28), BEFORE]
    assert data.reference.history_days == 2


def test_without_the_calendars_previous_session_the_last_close_is_unknown() -> None:
    rows = minutes_of(OPEN - timedelta(days=2), "AAA", 300) + minutes_of(OPEN, "AAA", 5)
    data = session_from_frame(table(rows), DAY)
    assert np.isnan(data.reference.prev_close).all()
    assert "no_previous_session" in codes(data)
    assert data.reference.history_days == 1  # its volume still counts


def test_half_days_and_torn_sessions_do_not_count_as_usual_volume() -> None:
    """23 November 2018 was a half-day; the 26th is measured by the 20th and 21st, and the torn 19th is left out."""
    day = date(2018, 11, 26)
    rows = []
    for past, minutes in ((19, 100), (20, 390), (21, 390), (23, 210), (26, 390)):
        rows += minutes_of(datetime(2018, 11, past, 14, 30, tzinfo=UTC), "AAA", minutes)
    data = session_from_frame(table(rows), day)
    assert data.reference.history_days == 2
    assert data.reference.volume_profile is not None
    assert data.reference.volume_profile[-1, 0] == sum(100.0 + k for k in range(390))
    assert data.reference.prev_close[0] == 10.0 + 209 * 0.01 + 0.01


def test_a_half_day_is_measured_by_the_first_hours_of_full_days() -> None:
    rows = []
    for past, minutes in ((20, 390), (21, 390), (23, 210)):
        rows += minutes_of(datetime(2018, 11, past, 14, 30, tzinfo=UTC), "AAA", minutes)
    reference = session_from_frame(table(rows), date(2018, 11, 23)).reference
    assert reference.volume_profile is not None
    assert reference.volume_profile.shape == (210, 1)
    assert reference.history_days == 2


def test_a_symbol_that_is_new_is_measured_by_the_days_it_has() -> None:
    rows = [r for k in (2, 1, 0) for r in minutes_of(OPEN - timedelta(days=k), "AAA", 390)]
    rows += minutes_of(OPEN - timedelta(days=1), "NEW", 1) + minutes_of(OPEN, "NEWER", 1)
    reference = session_from_frame(table(rows), DAY).reference
    assert reference.history_days == 2
    assert reference.volume_profile is not None
    assert reference.volume_profile[[0, -1], 1].tolist() == [100.0, 100.0]
    assert np.isnan(reference.volume_profile[:, 2]).all()


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Bars of up to four past sessions and of DAY on a grid of 65 minutes (six boundaries), with holes everywhere."""
    rows = [row("AAA", OPEN, 10.0)]
    for day in DAYS:
        opens = NYSE.session_window(day).opens_at
        for symbol in ("AAA", "BBB", "CCC"):
            for slot in range(6):
                if draw(st.booleans()) and (symbol, day, slot) != ("AAA", DAY, 0):
                    px = draw(st.integers(900, 1100)) / 100
                    rows.append(row(symbol, opens + slot * 65 * MINUTE, px, volume=float(draw(st.integers(0, 50)))))
    return rows


def slow_reference(data: SessionData) -> Reference:
    """The same numbers symbol by symbol, from the warm-up bars."""
    bars = data.warmup.rows(named=True)
    days = []
    for day in DAYS[:-1]:
        times = [r["ts"] for r in bars if r["session"] == day]
        if times and max(times) - min(times) >= 2 * 65 * MINUTE:
            days.append(day)
    count = len(data.universe)
    prev_close, profile = np.full(count, np.nan), np.full((6, count), np.nan)
    for number, symbol in enumerate(data.universe.symbols):
        own = [r for r in bars if r["symbol"] == symbol]
        last = [r["close"] for r in own if r["session"] == BEFORE]
        prev_close[number] = last[-1] if last else math.nan
        traded = [day for day in days if any(r["session"] == day for r in own)]
        for boundary in range(6):
            limit = timedelta(minutes=65 * (boundary + 1))
            opens = {day: NYSE.session_window(day).opens_at for day in traded}
            done = [
                sum(r["volume"] for r in own if r["session"] == day and r["ts"] < opens[day] + limit) for day in traded
            ]
            if done:
                profile[boundary, number] = sum(done) / len(done)
    return Reference(prev_close, profile if days else None, len(days))


@given(histories())
def test_reference_equals_the_slow_one(rows: list[Row]) -> None:
    data = session_from_frame(table(rows), DAY, interval_s=65 * 60)
    expected = slow_reference(data)
    np.testing.assert_array_equal(data.reference.prev_close, expected.prev_close)
    assert data.reference.history_days == expected.history_days
    if expected.volume_profile is None:
        assert data.reference.volume_profile is None
    else:
        np.testing.assert_array_equal(data.reference.volume_profile, expected.volume_profile)


def test_the_data_hash_knows_contents_and_nothing_else() -> None:
    rows = minutes_of(OPEN - timedelta(days=1), "AAA BBB", 9) + minutes_of(OPEN, "AAA BBB", 9)
    data = session_from_frame(table(rows), DAY)
    bars = table(rows)
    chunked = pl.concat([bars[:7], bars[7:20], bars[20:]], rechunk=False)
    assert session_from_frame(chunked, DAY, source="other").data_hash == data.data_hash
    bad_row = table([*rows, row("AAA", OPEN + 50 * MINUTE, low=-1.0)])
    assert session_from_frame(bad_row, DAY).data_hash == data.data_hash
    today, history = [dict(r) for r in rows], [dict(r) for r in rows]
    today[-1]["volume"] = history[0]["volume"] = 7.0
    assert session_from_frame(table(today), DAY).data_hash != data.data_hash
    assert session_from_frame(table(history), DAY).data_hash != data.data_hash
    renamed = bars.with_columns(pl.col("symbol").replace("BBB", "BBC"))
    assert session_from_frame(renamed, DAY).data_hash != data.data_hash


def test_sparse_and_dense_orders_agree() -> None:
    """Few bars among very many symbols are put in order by sorting, many by counting; the frames are the same."""
    dense = minutes_of(OPEN, " ".join(f"S{k:04d}" for k in range(40)), 390)
    wide_history = [row(f"A{k:05d}", OPEN - timedelta(days=1)) for k in range(3000)]
    alone = session_from_frame(table(dense[: 390 * 2]), DAY, history_days=0)
    among = session_from_frame(table([*wide_history, *dense[: 390 * 2]]), DAY, interval_s=60)
    assert [frame.close.tolist() for frame in alone.frames] == [frame.close.tolist() for frame in among.frames]
    assert not same_frames(alone, among)  # other universe, other indices
