"""Sessions cut from a block are those read alone, bit for bit, whatever is wrong with some of the rows."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.market.bars import session_from_source
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.demo import demo_bars, demo_symbols
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.period import BarPeriod
from qmworkbench.market.schema import BarSource, open_frame, open_parquet
from qmworkbench.market.session import SessionData

DAYS = SessionCalendar("XNYS").sessions_between(date(2024, 3, 5), date(2024, 3, 8))
_TS = pl.col("ts")
_ON_THE_6TH = _TS.dt.date() == date(2024, 3, 6)


def told(data: SessionData) -> tuple[object, ...]:
    """Everything about a session, in a form that compares."""
    return (
        data.data_hash,
        data.source,
        data.findings,
        data.reference.content_hash,
        data.instruments,
        data.stops,
        [grid.boundaries for grid in data.grids()],
        data.quarantined.rows(),
        data.after_close.rows(),
        data.warmup.rows(),
    )


def alone(source: BarSource, day: date, history_days: int) -> tuple[object, ...] | str:
    try:
        return told(session_from_source(source, "x", day, history_days=history_days))
    except DataRefused as error:
        return str(error)


def cut(period: BarPeriod, day: date, until: date) -> tuple[object, ...] | str:
    try:
        return told(period.session(day, until=until))
    except DataRefused as error:
        return str(error)


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return demo_bars(date(2024, 3, 8), 3, demo_symbols(3), history_days=4)


def one_row(change: pl.Expr, column: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Change one row of the 6th."""

    def changed(bars: pl.DataFrame) -> pl.DataFrame:
        at = bars.with_row_index().filter(_ON_THE_6TH)["index"][40]
        return bars.with_columns(pl.when(pl.int_range(pl.len()) == at).then(change).otherwise(column).alias(column))

    return changed


def _every_other_minute(bars: pl.DataFrame) -> pl.DataFrame:
    """On the 5th nobody trades but in even minutes."""
    return bars.filter((_TS.dt.date() != date(2024, 3, 5)) | (_TS.dt.minute() % 2 == 0))


WRINKLES: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "nothing": lambda bars: bars,
    "by time": lambda bars: bars.sort("ts", "symbol"),
    "in no order": lambda bars: bars.sample(fraction=1.0, shuffle=True, seed=4),
    "a bad price": one_row(-pl.col("low"), "low"),
    "a missing value": one_row(pl.lit(None, pl.Float64), "close"),
    "a row without a time": one_row(pl.lit(None, pl.Datetime("us", "UTC")), "ts"),
    "a row off the grid": one_row(_TS + pl.duration(seconds=7), "ts"),
    "a repeated row": lambda bars: pl.concat([bars, bars.filter(_ON_THE_6TH).head(1)]).sort("symbol", "ts"),
    "an empty session": lambda bars: bars.filter(~_ON_THE_6TH),
    "a symbol that vanishes": lambda bars: bars.filter(
        (pl.col("symbol") != bars["symbol"][0]) | (_TS.dt.date() < date(2024, 3, 6))
    ),
    "half the minutes": _every_other_minute,
    "quotes": lambda bars: bars.with_columns(spread=pl.lit(0.01)),
}


@pytest.mark.parametrize("history_days", [0, 2])
@pytest.mark.parametrize("wrinkle", WRINKLES)
def test_a_session_of_a_period_is_the_session_read_alone(bars: pl.DataFrame, wrinkle: str, history_days: int) -> None:
    source = open_frame(WRINKLES[wrinkle](bars), "x")
    period = BarPeriod(source, "x", history_days=history_days)
    for day in DAYS:
        assert cut(period, day, DAYS[-1]) == alone(source, day, history_days), day


@pytest.mark.parametrize("block_rows", [1, 9_000])
def test_a_period_larger_than_may_be_held_is_read_in_blocks(bars: pl.DataFrame, block_rows: int) -> None:
    source = open_frame(bars, "x")
    period = BarPeriod(source, "x", history_days=2, block_rows=block_rows)
    for day in DAYS:
        assert cut(period, day, DAYS[-1]) == alone(source, day, 2), day


def test_only_the_symbols_asked_for_are_there(bars: pl.DataFrame) -> None:
    names = demo_symbols(3)[:2]
    period = BarPeriod(open_frame(bars, "x"), "x", history_days=1, symbols=names)
    assert period.session(DAYS[-1], until=DAYS[-1]).universe.symbols == tuple(sorted(names))


def test_real_days_with_their_wrinkles_are_cut_as_they_are_read(shared_data: Path) -> None:
    """Extended hours, stops in mid-session, hourly bars cut short by the open, crossed quotes."""
    stretches = {
        "us_equity_minute_lean_201310": (date(2013, 10, 7), date(2013, 10, 9)),
        "us_equity_hourly_lean_raw": (date(2014, 11, 26), date(2014, 12, 2)),
        "forex_hourly_9pairs_2015_2018": (date(2015, 1, 12), date(2015, 1, 19)),
        "forex_minute_fxcm_gbpusd_201202": (date(2012, 2, 2), date(2012, 2, 3)),
    }
    for name, (first, last) in stretches.items():
        source = open_parquet(shared_data / f"{name}.parquet")
        period = BarPeriod(source, "x", history_days=3)
        for day in period.market.sessions_between(first, last):
            assert cut(period, day, last) == alone(source, day, 3), (name, day)
