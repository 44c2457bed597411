"""The points of the charts."""

from zoneinfo import ZoneInfo

from dashboards.view_models.charts import equity_curve, trade_bars
from tests.dashboards import scenarios

NEW_YORK = ZoneInfo("America/New_York")


def test_equity_is_drawn_on_the_markets_clock() -> None:
    curve = equity_curve(scenarios.day(), NEW_YORK)
    assert len(curve.times_ms) == len(curve.equity) == 213
    hours = [ms / 3_600_000 % 24 for ms in (curve.times_ms[0], curve.times_ms[60])]
    assert hours == [9.5, 10.5]
    assert (curve.start, curve.floor) == (100_000.0, 99_000.0)
    assert curve.equity[-1] == 100_412.87


def test_points_that_cannot_be_read_are_left_out() -> None:
    good = [scenarios.minute(1), "5"]
    curve = equity_curve(
        {"equity_curve": [good, ["soon", "5"], [scenarios.minute(2), "x"], 7, None, [1, 2, 3]]}, NEW_YORK
    )
    assert curve.equity == (5.0,)
    assert (curve.start, curve.floor) == (None, None)


def test_no_curve_yet() -> None:
    assert equity_curve(scenarios.empty(), NEW_YORK).times_ms == ()


def test_trades_run_from_the_oldest() -> None:
    bars = trade_bars(scenarios.day())
    assert bars.symbols[0] == "AMGN"
    assert bars.symbols[-1] == "TWTR"
    assert bars.net[-1] == 121.6
    assert len(trade_bars(scenarios.day(), most=3).net) == 3
