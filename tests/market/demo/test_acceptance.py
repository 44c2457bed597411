"""The demo market beside real sessions: every figure within its tolerance, and the page shows what is measured."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.market.demo.acceptance import (
    COMPARABLE_TURNOVER,
    SAMPLES,
    above,
    demo_means,
    demo_panel,
    figures_of,
    markdown,
    quotes_as_bars,
    rows_of,
)
from qmworkbench.market.demo.panel import panel_of
from qmworkbench.market.demo.real_figures import REAL
from qmworkbench.market.demo.statistics import STATISTICS

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[3] / "docs" / "demo-market.md"
# Seeds and days that nothing was settled by.
OTHERS = ((31, date(2016, 9, 15)), (512, date(2023, 2, 10)))


@pytest.fixture(scope="module")
def demo() -> dict[str, float]:
    return demo_means([demo_panel(seed, last) for seed, last in SAMPLES])


def test_every_figure_of_the_demo_lies_within_its_tolerance(demo: dict[str, float]) -> None:
    outside = [(row.statistic.name, row.demo, row.real) for row in rows_of(demo) if not row.within]
    assert not outside


def test_so_do_seeds_and_days_that_nothing_was_settled_by() -> None:
    others = demo_means([demo_panel(seed, last) for seed, last in OTHERS])
    outside = [(row.statistic.name, row.demo, row.real) for row in rows_of(others) if not row.within]
    assert not outside


def test_the_page_shows_the_table_that_is_measured(demo: dict[str, float]) -> None:
    """`python -m qmworkbench.market.demo` prints the table anew."""
    text = PAGE.read_text()
    start, end = text.index("| statistic |"), text.index("<!-- end of the table -->")
    assert text[start:end] == markdown(rows_of(demo))


def test_the_real_figures_are_those_of_the_real_sessions(shared_data: Path) -> None:
    bars = panel_of(pl.read_parquet(shared_data / "us_equity_minute_2018.parquet"))
    assert len(above(bars, COMPARABLE_TURNOVER).symbols) == len(bars.symbols), "all of them are comparable"
    found = figures_of(bars)
    quotes = pl.read_parquet(shared_data / "us_equity_quotes_minute_lean_201310.parquet")
    found["spread"] = figures_of(panel_of(quotes_as_bars(quotes)))["spread"]
    assert list(found) == [statistic.name for statistic in STATISTICS]
    for name, figure in found.items():
        recorded = REAL[name]
        assert (figure.mean, figure.by_day, figure.by_symbols) == pytest.approx(
            (recorded.mean, recorded.by_day, recorded.by_symbols), rel=2e-3
        ), name
