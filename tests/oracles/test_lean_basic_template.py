"""A published first algorithm, all its money into SPY, traded again by our kernel at our venue to the cent.

The rule (the oracle's README): 100,000 of cash; the first regular bar of 2013-10-07 is known at 09:31 and everything
goes into SPY: 688 shares at that minute's closing ask, in prices adjusted by the factor file, 0.005 a share; held to
the last trade of 2013-10-11. The publisher keeps a quarter of a per cent of the money back, hence 688 and not 690.
Its adjusted prices lie off the cent: the fill is declared unrounded, by a venue that prints what it was shown.
"""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.domain.events.orders import FillRecorded
from qmworkbench.domain.instruments import AssetClass, us_equity
from qmworkbench.venue.costs import IBKR_FIXED, CostSchedule, VenueModel
from tests.oracles.desk import Desk, Row

CENT = Decimal("0.01")
FIRST, LAST = date(2013, 10, 7), date(2013, 10, 11)
UNROUNDED = VenueModel(
    name="unrounded", schedules={AssetClass.EQUITY: CostSchedule(fees=IBKR_FIXED), AssetClass.FOREX: CostSchedule()}
)


def test_the_published_equity_is_reached(shared_data: Path) -> None:
    factor = factor_on(shared_data / "lean_factor_files" / "spy.csv", LAST)
    trades = regular(shared_data / "us_equity_minute_lean_201310.parquet", factor, ["close"])
    asks = regular(shared_data / "us_equity_quotes_minute_lean_201310.parquet", factor, ["ask_close"])
    known_at, ask = asks.row(0)
    assert known_at == trades["known_at"][0] == datetime(2013, 10, 7, 13, 31, tzinfo=UTC)

    desk = Desk(us_equity("SPY"), Decimal(100_000), UNROUNDED, budget_pct=Decimal("99.75"))
    desk.begin(known_at - timedelta(minutes=1), trades["known_at"][-1], boundaries=trades.height + 1)
    desk.show(Row.tick(known_at - timedelta(seconds=1), ask))
    desk.show(Row.tick(known_at, ask), entry_long=True)  # a buyer sizes by what a buyer pays
    desk.show(Row.tick(known_at + timedelta(seconds=1), ask))
    for at, close in trades.rows()[1:]:
        desk.show(Row.tick(at, close))
    desk.close()

    fills = [event for event in desk.events() if isinstance(event, FillRecorded)]
    assert [(fill.last_qty, fill.fee) for fill in fills] == [(688, Decimal("3.44"))]
    assert float(fills[0].last_px) == pytest.approx(167.45 * 0.8646266, abs=1e-12)
    assert desk.equity.quantize(CENT) == Decimal("101691.92")
    assert desk.breaks() == []


def regular(file: Path, factor: float, prices: list[str]) -> pl.DataFrame:
    """SPY's regular minutes of the five days, adjusted: when each was known, and the columns asked for."""
    if not file.is_file():
        pytest.skip(f"{file.name} is not among the shared market data")
    at = pl.col("ts").dt.convert_time_zone("America/New_York")
    in_hours = at.dt.time().is_between(datetime(1, 1, 1, 9, 30).time(), datetime(1, 1, 1, 15, 59).time())  # noqa: DTZ001
    return (
        pl.read_parquet(file)
        .filter((pl.col("symbol") == "SPY") & at.dt.date().is_between(FIRST, LAST) & in_hours)
        .sort("ts")
        .select((pl.col("ts") + timedelta(minutes=1)).alias("known_at"), *(pl.col(name) * factor for name in prices))
    )


def factor_on(file: Path, day: date) -> float:
    """The adjustment of a day: the line of the first date on or after it, price factor times split factor."""
    if not file.is_file():
        pytest.skip(f"{file.name} is not among the shared market data")
    with file.open() as lines:
        for row in csv.reader(lines):
            if datetime.strptime(row[0], "%Y%m%d").date() >= day:  # noqa: DTZ007
                return float(row[1]) * float(row[2])
    raise AssertionError(f"{file.name} has no line on or after {day}")
