"""The tear sheet says what a run earned and what that is worth, alone, on any screen, on paper."""

from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Page

from qmworkbench.market.schema import open_frame
from qmworkbench.reporting.sharpe_worth import worth_of
from qmworkbench.reporting.tear_figures import placed, thinned
from qmworkbench.reporting.tear_sheet import tear_sheet
from qmworkbench.reporting.tear_tables import drawdowns, month_heat, percent
from qmworkbench.research.backtests.backtest import Terms, backtest
from qmworkbench.research.backtests.runs import Run, RunRefused, RunRegistry
from tests.reporting.test_tables import balanced, plain
from tests.research.backtests.backtest_cases import daily_bars, minute_bars


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    bars = minute_bars(["AAA", "BBB"], [date(2018, 3, day) for day in (1, 2, 5, 6, 7, 8, 9, 12)], minutes=90)
    params = {"fast_bars": 5, "slow_bars": 15, "atr_bars": 10}
    done = backtest("sma-cross", open_frame(bars, "<b>made up</b>"), params, terms=Terms(fee_rate=1e-4))
    return RunRegistry(tmp_path_factory.mktemp("runs")).register(done.manifest(code_version="1"), done.tables)


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Run:
    chance = np.random.default_rng(5)
    closes = (80 * np.exp(np.cumsum(chance.normal(0.0005, 0.012, 700)))).round(2).tolist()
    source = open_frame(daily_bars("AAA", date(2014, 1, 2), closes), "made up")
    done = backtest("donchian", source, {"flat": "carry", "entry_bars": 20, "exit_bars": 10, "short": False})
    return RunRegistry(tmp_path_factory.mktemp("runs")).register(done.manifest(code_version="1"), done.tables)


@pytest.fixture(scope="module")
def minutes_page(minutes: Run) -> str:
    return tear_sheet(minutes, tried=3)


@pytest.fixture(scope="module")
def daily_page(daily: Run) -> str:
    return tear_sheet(daily)


def main_of(page: str) -> str:
    return page[page.index("<main") : page.index("</body>")]


def words_of(page: str) -> str:
    return plain(page.split("<body")[1])


def test_it_says_what_happened_and_what_it_is_worth(minutes: Run, minutes_page: str) -> None:
    page = minutes_page
    words = words_of(page)
    for said in (
        "Moving-average cross", "It returned", "where buying and holding returned", "Deepest drawdown",
        "What the Sharpe ratio is worth", "one of 3 kept of this strategy and bars", "Hour of entry",
        "What ended them", "The best and the worst", "Paid", "To know before believing it", "fast_bars", minutes.run_id,
    ):  # fmt: skip
        assert said in words, said
    assert balanced(main_of(page))
    assert "<b>made up</b>" not in page, "what comes from outside is escaped"
    assert "<script" not in page
    assert "http" not in page.split("<body")[1].replace("http://www.w3.org/2000/svg", "")


def test_daily_bars_have_no_hours_and_years_of_months(daily_page: str) -> None:
    words = words_of(daily_page)
    assert "Hour of entry" not in words
    assert "Weekday of entry" in words
    assert all(str(year) in words for year in (2014, 2015, 2016))
    assert "Sharpe of the last 126 sessions" in words


def test_the_same_run_is_the_same_page(daily: Run, daily_page: str) -> None:
    assert tear_sheet(daily) == daily_page


def test_a_run_without_a_trade_is_told_as_such(tmp_path: Path) -> None:
    source = open_frame(daily_bars("AAA", date(2014, 1, 2), [50.0] * 80), "flat")
    done = backtest("donchian", source, {"flat": "carry"})
    page = tear_sheet(RunRegistry(tmp_path).register(done.manifest(code_version="1"), done.tables))
    words = words_of(page)
    assert "No trade was closed" in words
    assert " nan" not in words.lower()
    assert balanced(main_of(page))


def test_a_sweep_has_no_tear_sheet(minutes: Run) -> None:
    manifest = msgspec.structs.replace(minutes.manifest, kind="sweep")
    with pytest.raises(RunRefused, match="is a sweep"):
        tear_sheet(Run(minutes.directory, manifest))


def test_months_are_tinted_by_what_they_brought() -> None:
    rows = [(2020, 1, 0.08, 0.01), (2020, 2, -0.08, 0.0), (2021, 12, 0.0, 0.02)]
    told = month_heat(pl.DataFrame(rows, schema=["year", "month", "return", "benchmark"], orient="row"))
    words = plain(told)
    assert "+8.0" in words
    assert "−8.0" in words
    assert "rgba(0,118,108" in told
    assert "rgba(179,54,27" in told
    assert balanced(told)
    assert "No session" in plain(month_heat(pl.DataFrame(schema=["year", "month", "return", "benchmark"])))


def test_drawdowns_are_told_from_the_first_session_below_to_the_one_that_made_good() -> None:
    days = [date(2020, 1, day) for day in range(1, 9)]
    told = drawdowns(pl.DataFrame({"session": days, "equity": [99.0, 101, 95, 97, 102, 101, 103, 100]}), 100.0)
    words = plain(told)
    assert "−5.94" in words
    assert words.index("2020-01-03") < words.index("2020-01-05")
    assert "not yet" in words


def test_what_a_sharpe_is_worth_falls_with_the_trials() -> None:
    returns = np.random.default_rng(2).normal(0.0008, 0.01, 400)
    alone, among = worth_of(returns), worth_of(returns, tried=50)
    assert alone is not None
    assert among is not None
    assert among.deflated < alone.deflated == alone.probability
    assert "50 runs" in among.sentence
    assert worth_of(np.zeros(100)) is None
    assert worth_of(returns[:3]) is None
    poor = worth_of(-np.abs(returns))
    assert poor is not None
    assert "did not earn more than cash" in poor.sentence
    assert poor.needed is None


def test_a_thinned_curve_keeps_its_ends_and_its_extremes() -> None:
    values = np.random.default_rng(1).normal(size=50_000).cumsum()
    kept, at = thinned(values, np.arange(50_000))
    assert len(kept) <= 1_210
    assert (kept[0], kept[-1], kept.min(), kept.max()) == (values[0], values[-1], values.min(), values.max())
    assert (np.diff(at) > 0).all()


def test_an_axis_of_sessions_has_no_nights() -> None:
    stamps = pl.datetime_range(
        pl.datetime(2020, 1, 2, 15), pl.datetime(2020, 1, 3, 20), "1h", time_zone="UTC", eager=True
    ).filter(pl.Series([hour in (15, 16, 17, 18, 19, 20) for hour in [*range(15, 24), *range(21)]]))
    where = placed(stamps, pl.Series([date(2020, 1, 2), date(2020, 1, 3)]))
    assert where.min() > 0
    assert where.max() == 2.0
    assert np.allclose(np.diff(where), 1 / 6)


def test_percentages() -> None:
    assert percent(None) == "–"
    assert percent(-0.0123) == "−1.2\N{NO-BREAK SPACE}%"
    assert percent(0.5, 0, sign=True) == "+50\N{NO-BREAK SPACE}%"


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_it_fits_any_screen(
    minutes: Run, page: Page, page_faults: list[str], tmp_path: Path, width: int, height: int
) -> None:
    (tmp_path / "sheet.html").write_text(tear_sheet(minutes))
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"file://{tmp_path / 'sheet.html'}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drawn = page.locator("main svg:visible")
    assert drawn.count() >= 6
    assert all(box["width"] > 150 for box in (drawn.nth(k).bounding_box() for k in range(drawn.count())) if box)
    assert page_faults == []
