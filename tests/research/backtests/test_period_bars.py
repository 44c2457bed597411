"""A period of bars: framed as live, daily ones as one long session, unadjusted splits refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.schema import open_frame, open_parquet
from qmworkbench.research.backtests.period_bars import boundaries_of, read_period
from qmworkbench.strategies.bars import check_bars
from tests.research.backtests.backtest_cases import daily_bars, minute_bars

DAYS = [date(2018, 3, day) for day in (1, 2, 5, 6)]


@pytest.fixture(scope="module")
def minutes() -> pl.DataFrame:
    return minute_bars(["BBB", "AAA"], DAYS, minutes=60)


def test_sessions_before_the_period_are_history(minutes: pl.DataFrame) -> None:
    source = open_frame(minutes, "made up")
    held = read_period(source, period=(DAYS[2], None), history_sessions=1)
    assert (held.dates, held.history, held.sessions) == (tuple(DAYS[1:]), 1, tuple(DAYS[2:]))
    assert (held.first, held.last, held.symbols) == (DAYS[2], DAYS[3], ("AAA", "BBB"))
    assert held.first_us < int(datetime(2018, 3, 5, 14, 30, tzinfo=UTC).timestamp()) * 1_000_000
    assert held.number_of(held.bars["ts"].to_physical().to_numpy()).max() == 2
    assert (held.boundaries, held.interval_s, held.one_session) == (390, 60, False)
    assert boundaries_of(source) == 390
    check_bars(held.bars)
    assert not held.complete, "sixty minutes are no whole session"


def test_the_hash_is_over_what_was_read(minutes: pl.DataFrame) -> None:
    source = open_frame(minutes, "made up")
    whole = read_period(source)
    assert whole.hash == read_period(open_frame(minutes.reverse(), "another name")).hash
    assert whole.hash != read_period(source, symbols=["AAA"]).hash
    other = minutes.with_columns(pl.when(pl.int_range(pl.len()) == 7).then(999.0).otherwise("volume").alias("volume"))
    assert whole.hash != read_period(open_frame(other, "made up")).hash


def test_daily_bars_are_boundaries_of_one_session() -> None:
    held = read_period(open_frame(daily_bars("AAA", date(2018, 3, 1), [10.0 + k for k in range(30)]), "made up"))
    assert held.one_session
    assert held.bars["session"].unique().to_list() == [date(2018, 3, 1)]
    assert held.bars["bar"].to_list() == list(range(30))
    assert held.bars["bars_left"].to_list() == list(range(29, -1, -1))
    assert (held.boundaries, held.interval_s, len(held.dates)) == (1, 86_400, 30)
    assert held.complete
    assert boundaries_of(open_frame(daily_bars("AAA", date(2018, 3, 1), [10.0, 11.0]), "made up")) == 1


def split_bars() -> pl.DataFrame:
    """Forty closes about 100 and then, after a split of two for one, about 50."""
    closes = [100.0 + k % 3 for k in range(40)] + [50.5 + k % 2 for k in range(40)]
    bars = daily_bars("AAA", date(2018, 3, 1), closes)
    # A split shows at an open: the day's own prices are in the new shares.
    first_new = pl.int_range(pl.len()) == 40
    return bars.with_columns(
        open=pl.when(first_new).then(51.0).otherwise("open"), high=pl.when(first_new).then(51.5).otherwise("high")
    )


def test_an_unadjusted_split_is_refused_with_its_remedy() -> None:
    source = open_frame(split_bars(), "made up")
    with pytest.raises(DataRefused, match="split_suspect") as refused:
        read_period(source)
    told = refused.value.findings[0]
    assert "AAA ×0.5" in told.message
    assert "corporate actions (--actions FILE)" in told.remedy
    assert any(one.code == "split_suspect" for one in read_period(source, as_printed=True).findings)


def test_with_the_split_told_the_prices_before_it_are_in_today_s_shares() -> None:
    bars = split_bars()
    ex_date = bars["ts"][40].date()
    split = CorporateAction(
        symbol="AAA", ex_date=ex_date, kind=ActivityKind.SPLIT, ratio=Decimal(2), amount=Decimal(0), source="test"
    )
    held = read_period(open_frame(bars, "made up"), actions=[split])
    assert held.bars["close"][:40].to_list() == pytest.approx([(100.0 + k % 3) / 2 for k in range(40)])
    assert held.bars["volume"][0] == 2e6
    assert held.bars["close"][41] == bars["close"][41]


def test_real_splits_are_found(shared_data: Path) -> None:
    source = open_parquet(shared_data / "us_equity_daily_pystock_2015_2017.parquet")
    with pytest.raises(DataRefused, match=r"CHD ×0\.501 on 2016-09-02 \(looks like 2 for 1\)"):
        read_period(source, symbols=["CHD", "AAPL"])
    assert read_period(source, symbols=["AAPL"]).one_session


def test_what_is_not_there_is_named(minutes: pl.DataFrame) -> None:
    source = open_frame(minutes, "made up")
    with pytest.raises(DataRefused, match=r"no bars of ZZZ; it has AAA, BBB"):
        read_period(source, symbols=["AAA", "ZZZ"])
    with pytest.raises(DataRefused, match=r"It holds 2018-03-01 to 2018-03-06"):
        read_period(source, period=(date(2019, 1, 1), None))
    with pytest.raises(DataRefused, match="period_reversed"):
        read_period(source, period=(DAYS[1], DAYS[0]))
