"""Bars by the name a person gives them."""

import contextlib
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.market.adding.packages import PackageMissing
from qmworkbench.market.findings import DataRefused
from qmworkbench.service.bar_sources import open_bars, recorded_bars
from qmworkbench.service.bar_store.adding import Terms, add
from qmworkbench.service.data_shelf import Provenance, Shelf
from tests.research.backtests.backtest_cases import minute_bars

DAY = date(2018, 3, 2)


def test_a_file_and_a_name_on_the_shelf_are_the_same_bars(tmp_path: Path) -> None:
    bars = minute_bars(["AAA"], [DAY], minutes=30)
    bars.write_parquet(tmp_path / "some.parquet")
    origin = Provenance(source="here", licence="", treatment="", made_from="a test")
    Shelf(tmp_path).add("mine", bars, origin, datetime(2026, 1, 1, tzinfo=UTC))
    by_path = open_bars(str(tmp_path / "some.parquet"), data=tmp_path)
    by_name = open_bars("mine", data=tmp_path)
    assert by_path.read().equals(by_name.read())
    with pytest.raises(DataRefused, match="the shelf has mine"):
        open_bars("yours", data=tmp_path)
    with pytest.raises(DataRefused, match="there is no such file"):
        open_bars("nowhere/some.parquet", data=tmp_path)


def test_a_store_is_meant_where_the_directory_it_was_made_of_lies_at_hand(tmp_path: Path) -> None:
    """`qm data add vendor` begins a store called vendor: it would be hidden by the directory, and nobody know why."""
    folder = tmp_path / "vendor"
    folder.mkdir()
    bars = minute_bars(["AAA"], [DAY], minutes=30)
    bars.write_parquet(folder / "some.parquet")
    with contextlib.chdir(tmp_path):
        with pytest.raises(DataRefused, match="this is a directory, not a file"):
            open_bars("vendor", data=tmp_path / "data")
        add(tmp_path / "data/added/vendor", folder, Terms(interval_s=60), datetime(2026, 1, 1, tzinfo=UTC))
        assert open_bars("vendor", data=tmp_path / "data").read().height == bars.height


def test_the_demo_market_is_made_for_the_period(tmp_path: Path) -> None:
    source = open_bars("demo:7:3", data=tmp_path, period=(date(2024, 3, 7), date(2024, 3, 8)))
    dates = source.trading_dates(source.market())["date"].to_list()
    assert dates[-2:] == [date(2024, 3, 7), date(2024, 3, 8)]
    assert len(dates) == 12, "ten sessions before it to warm up on"
    assert len(source.symbols()) == 3
    one = source.symbols()[0]
    alone = open_bars("demo:7", data=tmp_path, period=(date(2024, 3, 7), date(2024, 3, 8)), symbols=[one])
    assert alone.read().equals(source.read().filter(pl.col("symbol") == one))


@pytest.mark.parametrize(
    ("given", "period", "says"),
    [
        ("demo:x", (None, None), "demo:SEED"),
        ("demo:7:many", (None, None), "demo:SEED"),
        ("demo:7:9999999", (None, None), "the demo market has 1 to"),
        ("demo:7", (date(2024, 3, 9), date(2024, 3, 10)), "no session from 2024-03-09"),
        ("demo:7", (date(2024, 3, 9), date(2024, 3, 8)), "no session"),
    ],
)
def test_a_demo_market_that_cannot_be(tmp_path: Path, given: str, period: tuple, says: str) -> None:
    with pytest.raises(DataRefused, match=says) as refused:
        open_bars(given, data=tmp_path, period=period)
    assert refused.value.findings[0].remedy


def test_a_package_s_bars(tmp_path: Path) -> None:
    assert "GOOG" in open_bars("package:bokeh-sampledata", data=tmp_path).symbols()
    with pytest.raises(PackageMissing, match="no data package 'none'"):
        open_bars("package:none", data=tmp_path)


def test_recorded_bars_are_those_of_regular_hours() -> None:
    bars = minute_bars(["AAA"], [DAY], minutes=4).with_columns(extended=pl.Series([True, False, False, True]))
    assert recorded_bars(bars, "a session").read().height == 2
