"""Charts: the same bytes for the same data, text as text, nothing fetched, and no complaint about empty days."""

import re
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from qmworkbench.reporting import figures, svg
from qmworkbench.reporting.tables import Html
from tests.analytics.frames import MINUTE, OPEN, ZONE, bars, reviewed, table

CURVE = pl.DataFrame(
    {
        "at": [OPEN + n * MINUTE for n in range(30)],
        "equity": [100_000.0 + (n % 7) * 12 - n for n in range(30)],
        "realized": [0.0] * 30,
        "open_positions": [1] * 30,
    },
    schema_overrides={"at": pl.Datetime("us", "UTC")},
)
PATH = bars("OPK", *[(10.0 + n / 10, 10.2 + n / 10, 9.8 + n / 10, 10.1 + n / 10) for n in range(20)])
TRADE: dict[str, Any] = {
    "symbol": "OPK",
    "side": "buy",
    "entry_px": 10.3,
    "exit_px": 11.2,
    "opened_at": OPEN + 4 * MINUTE,
    "closed_at": OPEN + 12 * MINUTE,
    "initial_stop_px": 9.9,
    "target_px": 11.5,
    "net_pnl": 9.0,
}


def vwapped(vwap: float) -> pl.DataFrame:
    return PATH.with_columns(vwap=pl.lit(vwap))


def drawn() -> dict[str, Html]:
    timings = pl.DataFrame(
        {"boundary": [1, 2], **{f"{s}_ms": [1.0, 2.0] for s in ("radar", "signals", "decide", "journal")}}
    )
    fills = table(
        "fills", *[{"at": OPEN, "leg": leg, "slippage_bps": bps} for leg in ("entry", "stop") for bps in (1.0, 50.0)]
    )
    done = reviewed({"mae_r": -0.5, "mfe_r": 2.0, "r_multiple": 1.0}, {"mae_r": -1.1, "mfe_r": 0.1, "r_multiple": -1.2})
    return {
        "equity": figures.equity(CURVE, start=100_000.0, zone=ZONE, currency="USD", statements=CURVE.head(3)),
        "trade": figures.trade(vwapped(10.5), TRADE, zone=ZONE),
        "bars": figures.signed_bars(["09:30", "10:00"], [5.0, -7.0], label="Net by hour", unit="USD"),
        "ranked": figures.ranked([("donchian (2)", 12.0), ("opening-range (1)", -7.0)], label="Net by strategy"),
        "results": figures.results(done.with_columns(symbol=pl.lit("OPK")), zone=ZONE, currency="USD"),
        "excursions": figures.excursions(done),
        "stages": figures.stages(timings),
        "slippage": figures.slippage(fills, 28.0),
        "timeline": figures.timeline([("pre start", OPEN, OPEN + MINUTE)], [("halt", OPEN, "#000")], zone=ZONE),
    }


@pytest.fixture(scope="module")
def charts() -> dict[str, Html]:
    return drawn()


def test_the_same_data_gives_the_same_bytes(charts: dict[str, Html]) -> None:
    assert drawn() == charts


def test_every_chart_is_drawn_named_and_needs_nobody(charts: dict[str, Html]) -> None:
    for name, chart in charts.items():
        assert "<svg" in chart, name
        assert re.search(r'role="img" aria-label="[^"]{8,}"', chart), name
        assert "<path" in chart, name
        assert not re.search(r"(src|href)\s*=\s*[\"']https?:", chart), name
        assert "<script" not in chart, name
        assert "<text" in chart, name
        assert not re.search(r'<svg[^>]* (width|height)="', chart), name


def test_wide_charts_come_a_second_time_for_a_phone(charts: dict[str, Html]) -> None:
    assert charts["equity"].count("<svg") == 2
    assert charts["trade"].count("<svg") == 1


def test_times_are_the_exchanges_own(charts: dict[str, Html]) -> None:
    assert "09:35" in charts["equity"]
    assert "14:35" not in charts["equity"]


def test_a_vwap_far_away_does_not_flatten_the_price() -> None:
    near, far = (figures.trade(vwapped(vwap), TRADE, zone=ZONE) for vwap in (10.5, 2.0))
    ticks = [re.findall(r">(\d+\.?\d*)</text>", chart) for chart in (near, far)]
    assert ticks[0] == ticks[1]


def test_a_short_trade_without_stop_and_target_is_drawn_too() -> None:
    short = {**TRADE, "side": "sell", "initial_stop_px": None, "target_px": None, "net_pnl": -1.0}
    chart = figures.trade(vwapped(10.5), short, zone=ZONE)
    assert "sold at" in chart
    assert ">stop<" not in chart


def test_days_and_years_get_dates_and_minutes_get_times() -> None:
    long = CURVE.with_columns(
        at=pl.Series([OPEN + timedelta(days=9 * n) for n in range(30)], dtype=pl.Datetime("us", "UTC"))
    )
    chart = figures.equity(long, start=100_000.0, zone=ZONE, currency="USD")
    assert re.search(r"\d\d \w{3} 2018", chart)


def test_a_label_cannot_break_out_of_its_attribute() -> None:
    chart = svg.small(lambda axes, narrow: None, label='"><script>x</script>')
    assert "<script>" not in chart
