"""Bar intervals and boundaries: minutes, hours by the open or by the clock, days; mixtures and disorder are refused."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.market import grid as grid_module
from qmworkbench.market.bars import session_from_frame
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.grid import Grid, micros, moment
from qmworkbench.strategies.bars import session_bars
from qmworkbench.trading.radar import Radar
from tests.market.bars_cases import CLOSE, DAY, MINUTE, OPEN, Row, codes, framed, hours_apart, minutes_of, row, table

HOUR = timedelta(hours=1)
NYSE = SessionCalendar("XNYS")


def hourly(day_open: datetime, symbols: str = "AAA BBB") -> list[Row]:
    """An hourly day cut by the clock: 09:30–10:00, then full hours to 16:00."""
    starts = [day_open] + [day_open + MINUTE * 30 + k * HOUR for k in range(6)]
    return [row(symbol, ts, 10.0 + k) for symbol in symbols.split() for k, ts in enumerate(starts)]


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_micros_and_moment_are_inverse_and_exact(naive: datetime) -> None:
    at = naive.replace(tzinfo=UTC)
    assert moment(micros(at)) == at


def test_minutes_have_390_boundaries_and_210_on_a_half_day() -> None:
    grid = Grid(60)
    assert grid.boundaries(NYSE.session_window(DAY)) == 390
    assert grid.boundaries(NYSE.session_window(date(2018, 7, 3))) == 210
    edges = grid.edges_us(NYSE.session_window(DAY))
    assert (moment(int(edges[0])), moment(int(edges[-1]))) == (OPEN, CLOSE)


@given(st.integers(1, 90_000), st.booleans())
def test_edges_ascend_from_open_to_close_whatever_the_interval(interval_s: int, by_clock: bool) -> None:
    hours = NYSE.session_window(DAY)
    edges = Grid(interval_s, by_clock).edges_us(hours)
    assert (edges[0], edges[-1]) == (micros(OPEN), micros(CLOSE))
    assert (np.diff(edges) > 0).all()
    assert (np.diff(edges) <= interval_s * 1_000_000).all()


@pytest.mark.parametrize(("interval_s", "name"), [(60, "minutes"), (300, "five minutes"), (1800, "half-hours")])
def test_the_interval_is_seen_in_the_bars(interval_s: int, name: str) -> None:
    step = timedelta(seconds=interval_s)
    rows = [row(symbol, OPEN + k * step) for symbol in ("AAA", "BBB") for k in range(13)]
    data = session_from_frame(table(rows), DAY)
    assert data.interval_s == interval_s, name
    assert hours_apart(data.boundaries) == {step}
    assert data.boundaries[-1] == CLOSE
    assert data.bars == 26


def test_hours_of_the_clock_end_on_the_hour() -> None:
    rows = hourly(OPEN - timedelta(days=1)) + hourly(OPEN)
    data = session_from_frame(table(rows), DAY)
    assert [f"{at:%H:%M}" for at in data.boundaries] == "15:00 16:00 17:00 18:00 19:00 20:00 21:00".split()
    assert [len(frame) for frame in data.frames] == [2] * 7
    assert data.interval_s == 3600
    assert data.quarantined.is_empty()


def test_a_clock_aligned_session_is_even_from_its_anchor() -> None:
    """What radar and strategies count by: boundary k closes at `opens_at` + (k+1) intervals, warm-up included."""
    data = session_from_frame(table(hourly(OPEN - timedelta(days=1)) + hourly(OPEN)), DAY)
    before, today = data.grids()
    assert today.opens_at == OPEN - MINUTE * 30
    assert today.boundaries == 7
    assert [today.bar_of(at) for at in data.boundaries] == list(range(7))
    assert today.closes_at == CLOSE
    starts = data.warmup.filter(symbol="AAA")["ts"].to_list()
    assert starts == [before.opened_at(bar) for bar in range(7)]


def test_grids_of_minute_bars_start_at_the_open() -> None:
    rows = minutes_of(OPEN - timedelta(days=1), "AAA", 9) + minutes_of(OPEN, "AAA", 9)
    grids = session_from_frame(table(rows), DAY).grids()
    assert [(grid.session, grid.opens_at, grid.interval_s, grid.boundaries) for grid in grids] == [
        (date(2018, 3, 1), OPEN - timedelta(days=1), 60, 390),
        (DAY, OPEN, 60, 390),
    ]


def test_hours_counted_from_the_open_leave_a_short_last_bar_and_are_refused() -> None:
    rows = [row("AAA", OPEN + k * HOUR) for k in range(7)]
    with pytest.raises(DataRefused, match=r"uneven_close.*20:30 to 21:00 UTC"):
        session_from_frame(table(rows), DAY)


def test_daily_bars_have_one_boundary() -> None:
    rows = [row(s, OPEN - timedelta(days=k)) for s in ("AAA", "BBB") for k in (2, 1, 0)]
    data = session_from_frame(table(rows), DAY)
    assert data.boundaries == (CLOSE,)
    assert data.interval_s == 390 * 60
    assert "interval_assumed" in codes(data)
    assert data.reference.prev_close.tolist() == [10.01, 10.01]


def test_a_single_bar_is_taken_for_a_minute_and_said() -> None:
    data = session_from_frame(table([row("AAA", OPEN + MINUTE)]), DAY)
    assert data.interval_s == 60
    assert "interval_assumed" in codes(data)


def test_bars_of_two_intervals_are_refused_and_named() -> None:
    rows = minutes_of(OPEN, "AAA BBB", 200) + [row("SLOW", OPEN + k * 5 * MINUTE) for k in range(60)]
    with pytest.raises(DataRefused, match=r"mixed_intervals.*60 s.*SLOW \(300 s\)"):
        session_from_frame(table(rows), DAY)


def test_hours_among_minutes_are_refused_even_where_there_are_few() -> None:
    with pytest.raises(DataRefused, match=r"mixed_intervals.*HRS \(3600 s\)"):
        session_from_frame(table(hourly(OPEN, "HRS") + minutes_of(OPEN, "ZZZ", 300)), DAY)


def test_an_interval_that_changes_between_days_is_refused() -> None:
    rows = hourly(OPEN - timedelta(days=1), "AAA") + minutes_of(OPEN, "AAA", 300)
    with pytest.raises(DataRefused, match="mixed_intervals"):
        session_from_frame(table(rows), DAY)


def test_sparse_trading_is_no_other_interval() -> None:
    sparse = [row("THIN", OPEN + k * MINUTE) for k in (3, 17, 40, 41, 90, 200, 231)]
    data = session_from_frame(table(minutes_of(OPEN, "AAA", 300) + sparse), DAY)
    assert data.interval_s == 60
    assert data.quarantined.is_empty()


def test_ticks_are_no_bars() -> None:
    chance = np.random.default_rng(5)
    at = np.cumsum(chance.integers(1, 50_000_000, 300))
    rows = [row("AAA", OPEN + timedelta(microseconds=int(us))) for us in at]
    with pytest.raises(DataRefused, match="irregular_interval"):
        session_from_frame(table(rows), DAY)


def test_a_few_off_interval_rows_are_kept_aside_not_refused() -> None:
    off = [row("AAA", OPEN + k * MINUTE + timedelta(seconds=30)) for k in range(5)]
    data = session_from_frame(table(minutes_of(OPEN, "AAA", 300) + off), DAY)
    assert data.quarantined["reason"].to_list() == ["off_interval"] * 5
    assert data.bars == 300


def test_the_interval_can_be_given() -> None:
    rows = [row("AAA", OPEN), row("AAA", OPEN + 2 * MINUTE)]
    assert session_from_frame(table(rows), DAY, interval_s=60).interval_s == 60
    assert session_from_frame(table(rows), DAY).interval_s == 120
    with pytest.raises(ValueError, match="interval_s is 0"):
        session_from_frame(table(rows), DAY, interval_s=0)


def test_a_pre_open_bar_of_the_clock_ends_with_the_open() -> None:
    data = session_from_frame(table([row("AAA", OPEN - 30 * MINUTE), *hourly(OPEN)]), DAY)
    assert [(frame.as_of, frame.extended) for frame in data.frames[:2]] == [(OPEN, True), (OPEN + 30 * MINUTE, False)]
    assert framed(data).height == 15
    assert pl.Series([len(frame) for frame in data.frames]).to_list() == [1] + [2] * 7


@pytest.mark.parametrize("cut", ["minutes", "hours of the clock", "days"])
def test_radar_and_strategies_take_every_frame_by_the_sessions_grid(cut: str) -> None:
    """The grid a session hands out is the one by which both count boundaries, whatever the bars."""
    starts = {"minutes": minutes_of(OPEN, "AAA", 390), "hours of the clock": hourly(OPEN), "days": [row("AAA", OPEN)]}
    data = session_from_frame(table(starts[cut]), DAY)
    grid = data.grids()[-1]
    interval = timedelta(seconds=grid.interval_s)
    radar = Radar(data.universe, data.reference, grid.boundaries, session_open=grid.opens_at, bar_interval=interval)
    for frame in data.frames:
        assert radar.advance(frame).boundary == data.boundary_number(frame)
    ticks = {symbol: float(instrument.tick_size) for symbol, instrument in data.instruments.items()}
    bars = session_bars(framed(data), [grid], ticks)
    assert bars.height == data.bars
    assert bars["bar"].max() == grid.boundaries - 1


@given(rows_at_once=st.integers(1, 40), by_clock=st.booleans())
@settings(max_examples=20)
def test_in_whatever_blocks_rows_are_gone_through_they_lie_alike(rows_at_once: int, by_clock: bool) -> None:
    """Long tables are gone through in blocks, so that nothing on the way is as long as they are."""
    hours = [NYSE.session_window(day) for day in (date(2018, 3, 1), date(2018, 3, 2))]
    rng = np.random.default_rng(rows_at_once)
    opens = [micros(one.opens_at) for one in hours]
    ts = np.sort(np.concatenate([start + rng.choice(400, 30, replace=False) * 60_000_000 for start in opens]))
    ts, runs = np.tile(ts, 3), np.repeat(np.arange(3, dtype=np.uint32), len(ts))
    placed = grid_module.place(ts, hours)

    def found() -> list[object]:
        apart = grid_module.distances(ts, runs, placed, hours)
        slot, exact = grid_module.slots(ts, placed, hours, Grid(3600, by_clock))
        parts = (apart.us, apart.row, apart.group, slot, exact)
        return [*(part.tolist() for part in parts), grid_module.infer_interval_s(apart)]

    at_once = found()
    with pytest.MonkeyPatch.context() as during:
        during.setattr(grid_module, "_BLOCK_ROWS", rows_at_once)
        assert found() == at_once
    assert at_once[0] == [
        int(ts[k] - ts[k - 1])
        for k in range(1, len(ts))
        if runs[k] == runs[k - 1]
        and placed.session[k] == placed.session[k - 1]
        and placed.part[k] == placed.part[k - 1] == grid_module.REGULAR
        and ts[k - 1] not in opens
    ]
