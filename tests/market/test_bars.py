"""Recorded files as they really are: the shared data, counted, with its wrinkles."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmworkbench.market.bars import load_session
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.findings import DataRefused, Severity
from tests.market.bars_cases import codes, counted, framed, hours_apart

FX = SessionCalendar("FX")
FRIDAY = date(2018, 3, 2)


@pytest.fixture(scope="module")
def minutes(shared_data: Path) -> Path:
    return shared_data / "us_equity_minute_2018.parquet"


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> Path:
    return shared_data / "forex_hourly_9pairs_2015_2018.parquet"


def test_a_real_day_is_there_row_for_row(minutes: Path) -> None:
    data = load_session(minutes, FRIDAY)
    assert (data.bars, len(data.universe), len(data.boundaries)) == (75_518, 194, 390)
    assert [(len(frame), frame.extended) for frame in data.frames[:1]] == [(148, True)]
    start = datetime(2018, 3, 2, 5, 0, tzinfo=UTC)
    raw = pl.scan_parquet(minutes).filter(pl.col("ts").is_between(start, start + timedelta(days=1)))
    assert counted(framed(data)) == counted(raw.collect(engine="in-memory"))
    assert data.quarantined.is_empty()
    assert codes(data) == ["contents", "short_history"]
    assert all(finding.severity is Severity.NOTE for finding in data.findings)


def test_reference_of_a_real_day(minutes: Path) -> None:
    data = load_session(minutes, FRIDAY)
    bars = pl.read_parquet(minutes).filter(symbol="OPK")
    at = pl.col("ts").dt.time()
    regular = bars.filter(at >= time(14, 30), at < time(21))
    past = regular.filter(pl.col("ts").dt.date() < FRIDAY)
    opk = data.universe.index["OPK"]
    assert data.reference.prev_close[opk] == past["close"][-1]
    assert data.reference.history_days == 9
    assert data.reference.volume_profile is not None
    assert data.reference.volume_profile[-1, opk] == past["volume"].sum() / 9
    assert not np.isnan(data.reference.volume_profile).any()
    assert (np.diff(data.reference.volume_profile, axis=0) >= 0).all()


@pytest.mark.parametrize(("symbol", "last"), [("JUNO", date(2018, 3, 5)), ("CPN", date(2018, 3, 8))])
def test_a_symbol_that_stops_trading_stays_known_and_is_named(minutes: Path, symbol: str, last: date) -> None:
    on_its_last_day = load_session(minutes, last, history_days=1)
    assert symbol in on_its_last_day.universe
    after = load_session(minutes, SessionCalendar("XNYS").next_session(last), history_days=1)
    assert symbol in after.universe
    absent = next(finding for finding in after.findings if finding.code == "symbol_absent")
    assert absent.sample == (symbol,)
    later = load_session(minutes, date(2018, 3, 15), history_days=1)
    assert symbol not in later.universe


def test_dates_the_minute_file_cannot_give(minutes: Path) -> None:
    for day, code in (
        (date(2018, 2, 19), "not_a_session"),
        (date(2018, 3, 3), "not_a_session"),
        (date(2018, 3, 19), "date_not_in_file"),
        (date(2018, 2, 15), "date_not_in_file"),
    ):
        with pytest.raises(DataRefused, match=code):
            load_session(minutes, day)


def test_two_loads_are_bit_for_bit_the_same(minutes: Path) -> None:
    assert load_session(minutes, FRIDAY).data_hash == load_session(minutes, FRIDAY).data_hash


def test_the_week_in_which_new_york_changes_its_clocks(pairs: Path) -> None:
    """Sunday 11 March 2018: the session of Monday opens at 21:00 UTC, that of Friday before at 22:00."""
    friday, monday = load_session(pairs, date(2018, 3, 9)), load_session(pairs, date(2018, 3, 12))
    assert friday.window.opens_at == datetime(2018, 3, 8, 22, 0, tzinfo=UTC)
    assert monday.window.opens_at == datetime(2018, 3, 11, 21, 0, tzinfo=UTC)
    for data in (friday, monday):
        assert data.interval_s == 3600
        assert len(data.boundaries) == 24
        assert hours_apart(data.boundaries) == {timedelta(hours=1)}
    assert len(friday.frames[0]) == 9
    assert len(monday.frames[0]) == 0  # this provider starts an hour after the open
    assert "empty_boundaries" in codes(monday)
    assert monday.reference.prev_close.tolist() == friday.frames[-1].close.tolist()


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2018, 3, 5), date(2018, 3, 16)),  # New York goes to summer time
        (date(2018, 3, 26), date(2018, 3, 30)),  # London does
        (date(2018, 10, 29), date(2018, 11, 9)),  # and both come back
        (date(2017, 12, 18), date(2018, 1, 5)),  # over Christmas and the New Year
    ],
)
def test_no_hour_of_the_nine_pairs_is_lost_or_told_twice(pairs: Path, first: date, last: date) -> None:
    sessions = FX.sessions_between(first, last)
    start = FX.session_window(sessions[0]).opens_at
    end = FX.session_window(FX.next_session(sessions[-1])).opens_at
    loaded = [load_session(pairs, day, history_days=0, interval_s=3600) for day in sessions]
    raw = pl.scan_parquet(pairs).filter(pl.col("ts") >= start, pl.col("ts") < end).collect(engine="in-memory")
    parts = [framed(data) for data in loaded]
    aside = [data.quarantined.select(parts[0].columns) for data in loaded]
    assert counted(pl.concat([*parts, *aside])) == counted(raw)
    assert [data.after_close.height for data in loaded] == [0] * len(loaded)


def test_an_hour_after_the_friday_close_is_kept_aside(pairs: Path) -> None:
    data = load_session(pairs, date(2018, 3, 16))
    assert data.quarantined.select("reason", "ts").rows() == [
        ("out_of_session", datetime(2018, 3, 16, 21, 0, tzinfo=UTC))
    ]


def test_forex_instruments_follow_their_quote_currency(pairs: Path) -> None:
    data = load_session(pairs, date(2018, 3, 12))
    assert data.calendar == "FX"
    assert str(data.instruments["USDJPY"].tick_size) == "0.001"
    assert data.instruments["EURGBP"].currency == "GBP"


def test_a_file_with_extended_hours(shared_data: Path) -> None:
    data = load_session(shared_data / "us_equity_minute_lean_201310.parquet", date(2013, 10, 11))
    early = [frame for frame in data.frames if frame.extended]
    assert sum(len(frame) for frame in early) == 378
    assert all(frame.as_of <= data.window.opens_at for frame in early)
    assert data.after_close.height == 275
    assert data.bars == 378 + 4 * 390 - 1


def test_a_half_day_of_hourly_bars(shared_data: Path) -> None:
    data = load_session(shared_data / "us_equity_hourly_lean_raw.parquet", date(2013, 7, 3))
    assert data.window.half_day
    assert [f"{at:%H:%M}" for at in data.boundaries] == ["14:00", "15:00", "16:00", "17:00"]
    assert data.reference.history_days == 10


def test_crossed_quotes_are_kept_aside_and_spreads_known(shared_data: Path) -> None:
    path = shared_data / "forex_minute_fxcm_gbpusd_201202.parquet"
    data = load_session(path, date(2012, 2, 8), history_days=0)
    assert set(data.quarantined["reason"]) == {"crossed_quote"}
    spreads = [data.spread_bps(number) for number in range(len(data.frames)) if len(data.frames[number])]
    assert min(float(spread[0]) for spread in spreads if spread is not None) >= 0
    assert "no_volume" in codes(data)


def test_a_split_is_noticed(shared_data: Path) -> None:
    data = load_session(shared_data / "us_equity_daily_lean_raw.parquet", date(2020, 8, 31))
    jump = next(finding for finding in data.findings if finding.code == "price_jump")
    assert jump.sample == ("AAPL ×0.256",)
