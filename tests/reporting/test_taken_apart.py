"""The day's result taken apart: it adds up to the day whatever it is cut by, and says where there is nothing (§18)."""

from pathlib import Path

import polars as pl
import pytest

from qmworkbench.reporting import taken_apart
from qmworkbench.reporting.session_source import load_session
from tests.analytics.frames import reviewed
from tests.reporting.test_tables import balanced, plain


def test_a_day_with_trades_shows_where_its_result_came_from(closed_book: Path) -> None:
    source = load_session(closed_book)
    page = taken_apart.where_it_came_from(source)
    assert balanced(page)
    assert page.count("<svg") >= 4, "results, by strategy, by symbol, by half hour"
    assert balanced(taken_apart.signals(source))


def test_what_no_chart_can_hold_is_one_bar_and_nothing_is_lost() -> None:
    many = reviewed(*({"symbol": f"S{n:02}", "net_pnl": float((n - 12) ** 2 - 40)} for n in range(25)))
    rows = taken_apart._summed(many, "symbol")
    assert len(rows) == taken_apart._BARS
    assert rows[-1][0] == "16 others"
    assert sum(net for _, net in rows) == pytest.approx(many["net_pnl"].sum())
    few = taken_apart._summed(many.filter(pl.col("symbol") < "S03"), "symbol")
    assert [net for _, net in few] == sorted((net for _, net in few), reverse=True)


def test_a_day_without_trades_says_so(closed_book: Path) -> None:
    source = load_session(closed_book)
    source.__dict__["trades"] = source.trades.clear()
    assert "No trade was closed" in plain(taken_apart.where_it_came_from(source))
