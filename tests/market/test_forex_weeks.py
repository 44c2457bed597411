"""Real currency weeks cut at 17:00 New York: both changes of clocks, weekends, Christmas and New Year (§4, §5)."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmworkbench.market.bars import load_session
from qmworkbench.market.calendars import NEW_YORK, SessionCalendar
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.period import BarPeriod
from qmworkbench.market.schema import open_parquet

FX = SessionCalendar("FX")
HOURLY = "forex_hourly_9pairs_2015_2018.parquet"
# New York changes on 2018-03-11 and 2018-11-04, London on 2018-03-25 and 2018-10-28.
WEEKS = [date(2018, 3, 5), date(2018, 3, 12), date(2018, 3, 26), date(2018, 10, 29), date(2018, 11, 5)]


@pytest.fixture(scope="module")
def period(shared_data: Path) -> BarPeriod:
    return BarPeriod(open_parquet(shared_data / HOURLY), HOURLY, history_days=2)


@pytest.fixture(scope="module")
def bars(shared_data: Path) -> pl.DataFrame:
    return pl.read_parquet(shared_data / HOURLY)


def last_of(day: date) -> date:
    """The Friday on or before `day`."""
    return day - timedelta(days=(day.weekday() - 4) % 7)


@pytest.mark.parametrize("monday", WEEKS, ids=str)
def test_a_week_has_five_sessions_of_24_hours_and_loses_no_bar(
    period: BarPeriod, bars: pl.DataFrame, monday: date
) -> None:
    days = FX.sessions_between(monday, monday + timedelta(days=4))
    assert len(days) == 5
    taken = 0
    for day in days:
        data = period.session(day)
        local = data.window.opens_at.astimezone(NEW_YORK)
        assert (local.time(), local.date()) == (time(17), day - timedelta(days=1))
        assert len(data.boundaries) == 24
        assert data.boundaries[-1] == data.window.closes_at
        assert data.window.closes_at.astimezone(NEW_YORK).time() == time(17)
        # A last tick stamped Friday 17:00 opens a bar of a market that has just closed: kept aside.
        late = data.quarantined
        assert late.filter(
            (pl.col("ts") != FX.session_window(last_of(day)).closes_at) | (pl.col("volume") > 1)
        ).is_empty()
        taken += data.bars
    opens, closes = FX.session_window(days[0]).opens_at, FX.session_window(days[-1]).closes_at
    assert taken == bars.filter(pl.col("ts").is_between(opens, closes, closed="left")).height > 800


def test_sunday_evening_is_mondays_and_its_gap_is_from_friday(period: BarPeriod, bars: pl.DataFrame) -> None:
    """The session after the weekend opens on Sunday at 17:00; its previous close is Friday's last."""
    monday = period.session(date(2018, 3, 12))
    assert monday.window.opens_at == datetime(2018, 3, 11, 21, tzinfo=UTC)  # summer time since that morning
    friday = FX.session_window(date(2018, 3, 9))
    assert friday.closes_at == datetime(2018, 3, 9, 22, tzinfo=UTC)
    for symbol, close in zip(monday.universe.symbols, monday.reference.prev_close, strict=True):
        mine = bars.filter((pl.col("symbol") == symbol) & (pl.col("ts") < friday.closes_at)).sort("ts")
        assert close == mine["close"][-1]


@pytest.mark.parametrize(
    ("closed", "before", "after"),
    [
        (date(2015, 12, 25), date(2015, 12, 24), date(2015, 12, 28)),
        (date(2018, 1, 1), date(2017, 12, 29), date(2018, 1, 2)),
        (date(2017, 12, 25), date(2017, 12, 22), date(2017, 12, 26)),
        (date(2016, 1, 1), date(2015, 12, 31), date(2016, 1, 4)),
    ],
)
def test_holidays_are_no_sessions_and_those_around_them_are(
    period: BarPeriod, closed: date, before: date, after: date
) -> None:
    with pytest.raises(DataRefused, match=r"Christmas|New Year's Day"):
        period.session(closed)
    assert FX.previous_session(after) == before
    for day in (before, after):
        data = period.session(day)
        assert data.bars > 0
        assert len(data.boundaries) == 24


def test_crossed_quotes_are_kept_aside_and_the_day_goes_on(shared_data: Path) -> None:
    path = shared_data / "forex_minute_fxcm_gbpusd_201202.parquet"
    crossed = pl.read_parquet(path).filter(pl.col("ask_close") < pl.col("bid_close"))
    day = date(2012, 2, 8)
    data = load_session(path, day, history_days=0)
    window = FX.session_window(day)
    mine = crossed.filter(pl.col("ts").is_between(window.opens_at, window.closes_at, closed="left"))
    assert mine.height > 0
    assert data.quarantined.filter(pl.col("reason") == "crossed_quote").height == mine.height
    assert data.spreads_bps is not None
    assert np.concatenate(data.spreads_bps).min() >= 0
    assert len(data.boundaries) == 1440
