"""The made-up market: the same for a seed, legal by our own rules, continuous, and lively enough to trade."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmworkbench.domain.instruments import instrument_for
from qmworkbench.market.calendars import NotASession
from qmworkbench.market.demo import (
    DEMO_SYMBOLS,
    FIRST_DAY,
    MOST_SYMBOLS,
    demo_bars,
    demo_companies,
    demo_session,
    demo_symbols,
    wide_session,
)
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.session import SessionData
from qmworkbench.trading.frames import Floats
from tests.market.bars_cases import same_frames

ROOT = Path(__file__).resolve().parents[3]
DAY = date(2024, 3, 8)
NEXT = date(2024, 3, 11)
HALF_DAY = date(2024, 11, 29)


@pytest.fixture(scope="module")
def data() -> SessionData:
    return demo_session(DAY, 7)


def last_prices(data: SessionData) -> Floats:
    closes = np.full(len(data.universe), np.nan)
    for frame in data.regular_frames:
        closes[frame.index] = frame.close
    return closes


def of_day(bars: pl.DataFrame, day: date) -> pl.DataFrame:
    return bars.filter(pl.col("ts").dt.convert_time_zone("America/New_York").dt.date() == day)


def regular_of(bars: pl.DataFrame) -> pl.DataFrame:
    local = pl.col("ts").dt.convert_time_zone("America/New_York").dt.time()
    return bars.filter(local >= pl.time(9, 30))


def test_a_seed_and_a_date_make_the_same_market_every_time(data: SessionData) -> None:
    again = demo_session(DAY, 7)
    assert same_frames(data, again)
    assert data.data_hash == again.data_hash
    assert data.source == "demo:7"


def test_the_market_of_a_seed_is_the_same_on_every_machine(data: SessionData) -> None:
    """A pinned hash: it changes only when the demo market is changed on purpose."""
    assert data.data_hash == "0f8b6489a4ab8db8"


def test_threads_and_hash_seeds_change_nothing() -> None:
    """Another process, with one polars thread and another hash seed, reads shuffled bars to the same hash."""
    program = (
        "from datetime import date; from qmworkbench.market.bars import session_from_frame;"
        "from qmworkbench.market.demo import demo_bars, demo_symbols; day = date(2024, 3, 8);"
        "bars = demo_bars(day, 7, demo_symbols(40)).sample(fraction=1.0, shuffle=True, seed=1);"
        "print(session_from_frame(bars, day, history_days=5).data_hash)"
    )
    environment = os.environ | {"POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "12345"}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert told.stdout.strip() == demo_session(DAY, 7, symbols=40).data_hash


def test_other_seeds_and_dates_make_other_markets(data: SessionData) -> None:
    assert demo_session(DAY, 8).data_hash != data.data_hash
    assert not same_frames(demo_session(date(2024, 3, 7), 7), data)


def test_a_bar_depends_on_seed_date_and_company_alone() -> None:
    """Neither how many symbols nor how many days are asked for, nor what was asked for before, changes a bar."""
    many = demo_bars(DAY, 7, demo_symbols(120), history_days=3)
    few = demo_bars(DAY, 7, demo_symbols(30), history_days=0)
    assert of_day(many, DAY).filter(pl.col("symbol").is_in(demo_symbols(30))).equals(few)
    fresh = (
        "from datetime import date; from qmworkbench.market.demo import demo_bars, demo_symbols;"
        "print(demo_bars(date(2024, 3, 8), 7, demo_symbols(30), history_days=0).hash_rows(1).sum())"
    )
    told = subprocess.run([sys.executable, "-c", fresh], check=True, capture_output=True, text=True, cwd=ROOT)
    long_ago = date(2019, 6, 3)
    demo_bars(long_ago, 7, demo_symbols(5, long_ago), history_days=0)
    again = demo_bars(DAY, 7, demo_symbols(30), history_days=0)
    assert int(told.stdout) == again.hash_rows(1).sum()


def test_a_day_is_the_same_as_session_and_as_history() -> None:
    """What was traded on a day is what the next session remembers, and where it opens from."""
    names = demo_symbols(60)
    traded = regular_of(demo_bars(DAY, 7, names, history_days=0))
    remembered = of_day(demo_bars(NEXT, 7, names, history_days=1), DAY)
    assert traded.equals(remembered)


def test_every_session_of_a_month_opens_from_the_close_before_it() -> None:
    """No seam anywhere: over a month that crosses where the days are drawn in blocks, gaps are nights, not jumps."""
    data = demo_bars(date(2024, 4, 12), 3, demo_symbols(60, date(2024, 4, 12)), history_days=40)
    local = pl.col("ts").dt.convert_time_zone("America/New_York").dt.date().alias("day")
    daily = regular_of(data).group_by("symbol", local).agg(pl.col("open").first(), pl.col("close").last())
    daily = daily.sort("symbol", "day").with_columns(before=pl.col("close").shift().over("symbol")).drop_nulls()
    gap = (daily["open"] / daily["before"]).log().abs()
    assert float(gap.median() or 1) < 0.02
    assert float(gap.quantile(0.95) or 1) < 0.10


def test_the_demo_is_legal_by_our_own_rules(data: SessionData) -> None:
    assert {finding.code for finding in data.findings} <= {"contents", "symbol_stops", "price_jump"}
    assert data.quarantined.is_empty()
    assert len(data.universe) == DEMO_SYMBOLS
    assert len(data.boundaries) == 390
    assert data.reference.history_days == 5


def test_prices_are_whole_cents(data: SessionData) -> None:
    for name in ("open", "high", "low", "close"):
        cents = data.warmup[name].to_numpy() * 100
        assert np.abs(cents - np.rint(cents)).max() < 1e-6
    tick = Decimal("0.01")
    assert all(instrument.tick_at(Decimal("5")) == tick for instrument in data.instruments.values())


def test_tickers_cannot_be_listed_shares() -> None:
    names = demo_symbols(MOST_SYMBOLS)
    assert len(set(names)) == MOST_SYMBOLS
    assert all(len(name) == 6 and name.isalpha() and name.isupper() for name in names)
    assert all(instrument_for(name).calendar == "XNYS" for name in names)
    assert set(demo_symbols(20)) < set(demo_symbols(200))


def test_every_company_has_a_name_a_sector_and_a_float() -> None:
    companies = demo_companies(DEMO_SYMBOLS)
    assert [company.symbol for company in companies] == demo_symbols(DEMO_SYMBOLS)
    assert len({company.sector for company in companies}) == 11
    small = [company for company in companies if company.small]
    assert 0.2 < len(small) / len(companies) < 0.4
    assert np.median([c.float_shares for c in small]) < np.median([c.float_shares for c in companies])
    assert all(c.float_shares > c.shares_a_day * 0.1 and c.name.split()[0].upper() == c.symbol for c in companies)


@pytest.mark.parametrize("seed", range(4))
def test_some_symbols_run_on_volume_and_some_fall(seed: int) -> None:
    """What the top-gainer scan looks for exists on every seed: a rise of 5 % on more than twice the usual volume."""
    data = demo_session(DAY, seed)
    change = last_prices(data) / data.reference.prev_close - 1
    volume = np.zeros(len(data.universe))
    for frame in data.regular_frames:
        volume[frame.index] += frame.volume
    assert data.reference.volume_profile is not None
    relative = volume / data.reference.volume_profile[-1]
    assert 2 <= int(((change > 0.05) & (relative > 2)).sum()) <= 25
    assert int((change < -0.05).sum()) >= 1
    assert np.median(np.abs(change)) < 0.05


def test_most_days_have_gainers_of_ten_to_forty_percent() -> None:
    day, found = date(2024, 3, 28), []
    bars = regular_of(demo_bars(day, 7, demo_symbols(DEMO_SYMBOLS, day), history_days=10))
    local = pl.col("ts").dt.convert_time_zone("America/New_York").dt.date().alias("day")
    daily = bars.group_by("symbol", local).agg(pl.col("close").last(), pl.col("high").max()).sort("symbol", "day")
    daily = daily.with_columns(before=pl.col("close").shift().over("symbol")).drop_nulls()
    change, top = pl.col("close") / pl.col("before") - 1, pl.col("high") / pl.col("before") - 1
    for _, one in daily.group_by("day", maintain_order=True):
        found.append(
            one.select(gainers=change.is_between(0.1, 0.4).sum(), faders=((top > 0.1) & (change < top / 2)).sum()).row(
                0
            )
        )
    assert len(found) == 10
    assert sum(gainers >= 2 for gainers, _ in found) >= 7
    assert sum(faders for _, faders in found) >= 5


def test_volume_is_u_shaped_and_minutes_are_missing(data: SessionData) -> None:
    totals = np.array([frame.volume.sum() for frame in data.regular_frames])
    assert totals[:30].mean() > 1.5 * totals[180:210].mean() < totals[-30:].mean()
    held = sum(len(frame) for frame in data.regular_frames) / (DEMO_SYMBOLS * 390)
    assert 0.85 < held < 0.99


def test_quotes_reach_the_scanner(data: SessionData) -> None:
    """Every bar has its spread, so the spread filter has something to judge: most pass, some small names do not."""
    number = len(data.frames) - 200
    spreads = data.spread_bps(number)
    assert spreads is not None
    known = spreads[~np.isnan(spreads)]
    assert len(known) == len(data.frames[number])
    assert known.min() > 0
    assert 2 < np.median(known) < 20
    assert (known > 50).any()


def test_before_the_open_those_with_news_trade_most(data: SessionData) -> None:
    early = [frame for frame in data.frames if frame.extended]
    assert len(early) > 60
    assert early[0].as_of >= data.window.opens_at - timedelta(minutes=90)
    bars, last = np.zeros(len(data.universe)), np.full(len(data.universe), np.nan)
    for frame in early:
        bars[frame.index] += 1
        last[frame.index] = frame.close
    gap = np.abs(last / data.reference.prev_close - 1)
    assert np.nanmax(gap) > 0.05
    assert bars[gap > 0.05].mean() > 2 * np.median(bars)


def pauses(data: SessionData) -> Iterator[tuple[int, int]]:
    """Symbols that print each minute but for five in a row, and the frame they come back in."""
    printed = np.zeros((len(data.universe), 390), dtype=bool)
    for k, frame in enumerate(data.regular_frames):
        printed[frame.index, k] = True
    for symbol in np.flatnonzero(printed.mean(axis=1) > 0.94):
        at = 0
        for there, run in groupby(printed[symbol].tolist()):
            length = len(list(run))
            if not there and length == 5:
                yield int(symbol), at + length
            at += length


def test_trading_halts_and_reopens_elsewhere() -> None:
    data, jumps = demo_session(date(2024, 3, 14), 7), []
    for symbol, back in pauses(data):
        before, after = data.regular_frames[back - 6], data.regular_frames[back]
        was = before.close[before.index == symbol][0]
        jumps.append(abs(after.open[after.index == symbol][0] / was - 1))
    assert jumps
    assert max(jumps) > 0.005


def test_a_half_day_is_short() -> None:
    assert len(demo_session(HALF_DAY, 1, symbols=5).boundaries) == 210


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(NotASession, match="Saturday"):
        demo_session(date(2024, 3, 9), 1)
    with pytest.raises(ValueError, match="seed is -1"):
        demo_session(DAY, -1)
    with pytest.raises(ValueError, match="symbols is 0"):
        demo_session(DAY, 1, symbols=0)
    with pytest.raises(ValueError, match=f"1 to {MOST_SYMBOLS}"):
        demo_session(DAY, 1, symbols=MOST_SYMBOLS + 1)
    with pytest.raises(ValueError, match="NOSUCH is not listed on the demo market on 2024-03-08"):
        demo_bars(DAY, 1, ["NOSUCH"])
    with pytest.raises(ValueError, match="names is empty"):
        demo_bars(DAY, 1, [])
    with pytest.raises(DataRefused, match=f"its first session is {FIRST_DAY}"):
        demo_session(date(2012, 1, 5), 1)
    with pytest.raises(ValueError, match="minutes 391"):
        wide_session(10, 391)


def test_the_first_sessions_have_as_much_history_as_there_is() -> None:
    assert demo_session(FIRST_DAY, 1, symbols=5, history_days=5).reference.history_days == 0
    assert demo_session(date(2015, 1, 7), 1, symbols=5, history_days=5).reference.history_days == 3


def test_a_wide_session_is_as_wide_and_as_long_as_asked() -> None:
    data = wide_session(1500, 30, seed=3)
    assert len(data.universe) == 1500
    traded = [len(frame) for frame in data.regular_frames]
    assert min(traded[:30]) > 1300
    assert set(traded[30:]) == {0}
    assert data.reference.history_days == 0
    assert wide_session(1500, 30, seed=3).data_hash == data.data_hash
    assert wide_session(50, 30, seed=3, history_days=1).reference.history_days == 1


def test_the_bars_themselves_are_in_the_schemas_order() -> None:
    bars = demo_bars(DAY, 1, demo_symbols(30))
    assert bars.equals(bars.sort("symbol", "ts"))
    assert bars.schema["ts"] == pl.Datetime("us", "UTC")
