"""Indicators against values that others published, row by row to the last (../shared/oracles/lean_indicators).

How near they must come is given by how the files are written. `PRINTED`: a value is off by no more than half a unit of
the last digit printed in its column, times 1.25 where it was rounded twice, first to a float of seven digits. Beyond
that only what rounded inputs explain is forgiven, and each such case says what it is.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pytest

from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies.bars import prepared
from qmworkbench.strategies.indicators import Indicator

FOLDER: Final = "lean_indicators"
CLOSE: Final = "close"
PRICES: Final = ("open", "high", "low", "close", "volume")


@pytest.fixture(scope="module")
def oracles(shared_data: Path) -> Path:
    folder = shared_data.parent / "oracles" / FOLDER
    if not folder.is_dir():
        pytest.skip(f"the published indicator values (../shared/oracles/{FOLDER}) are not beside this checkout")
    return folder


def columns(path: Path) -> dict[str, list[str]]:
    """The file's columns as printed; a row cut short is empty where it ends."""
    head, *rows = csv.reader(path.read_text(encoding="utf-8-sig").splitlines())
    return {name.strip(): [row[at].strip() if at < len(row) else "" for row in rows] for at, name in enumerate(head)}


def bars(told: dict[str, list[str]]) -> pl.DataFrame:
    """The prices of a file as bars of one symbol; the close stands in for those it lacks."""
    by_name = {name.lower(): values for name, values in told.items()}
    prices = {name: [float(text) for text in by_name.get(name, by_name[CLOSE])] for name in PRICES}
    return prepared(pl.DataFrame(prices).with_columns(symbol=pl.lit("SPY"), session=pl.lit(0)))


def computed(frame: pl.DataFrame, *wanted: Indicator) -> list[np.ndarray]:
    for stage in ind.stacked(*wanted):
        frame = frame.with_columns(stage)
    return [frame[indicator.name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for indicator in wanted]


Ours = Callable[[pl.DataFrame], np.ndarray]


def of(indicator: Indicator) -> Ours:
    return lambda frame: computed(frame, indicator)[0]


def channel_middle(frame: pl.DataFrame) -> np.ndarray:
    top, bottom = computed(frame, ind.donchian_high(50), ind.donchian_low(50))
    return (top + bottom) / 2


def bands(frame: pl.DataFrame) -> list[np.ndarray]:
    return computed(frame, *ind.bollinger(CLOSE, 20, 2.0), ind.sma(CLOSE, 20))


def band_width(frame: pl.DataFrame) -> np.ndarray:
    low, high, middle = bands(frame)
    return (high - low) / middle * 100


def percent_b(frame: pl.DataFrame) -> np.ndarray:
    low, high, _ = bands(frame)
    return (frame[CLOSE].to_numpy() - low) / (high - low)


def histogram(frame: pl.DataFrame) -> np.ndarray:
    line, signal = computed(frame, *ind.macd(CLOSE, 12, 26, 9))
    return line - signal


def half(digits: int, times: float = 1.0) -> float:
    """Half a unit of the last of so many decimals, and the noise of adding some hundred floats."""
    return times * 0.5 * 10.0**-digits + 1e-13


TWICE: Final = 1.25
MACD: Final = ind.macd(CLOSE, 12, 26, 9)
LOW, HIGH = ind.bollinger(CLOSE, 20, 2.0)

CASES: Final[list[tuple[str, str, Ours, float, int]]] = [
    ("spy_atr_wilder.txt", "Average True Range 14", of(ind.atr_wilder(14)), half(5, 1.01), 488),
    ("spy_with_vwap.txt", "Moving VWAP 50", of(ind.moving_vwap(50)), half(4, TWICE), 452),
    ("spy_with_don50.txt", "Donchian Channels 50 Top", of(ind.donchian_high(50)), 0.0, 451),
    ("spy_with_don50.txt", "Donchian Channels 50 Bottom", of(ind.donchian_low(50)), 0.0, 451),
    ("spy_with_don50.txt", "Donchian Channels 50 Mean", channel_middle, 1e-13, 451),
    ("spy_with_indicators.txt", "SMA14", of(ind.sma(CLOSE, 14)), half(2, TWICE), 487),
    ("spy_with_indicators.txt", "EMA14", of(ind.ema(CLOSE, 14)), half(2, TWICE), 487),
    ("spy_with_indicators.txt", "RSI 14 Wilder", of(ind.rsi(CLOSE, 14)), half(5), 486),
    # A difference of two averages of 17,000, each from closes rounded to seven digits.
    ("spy_with_indicators.txt", "MACD 12 26", of(MACD[0]), 2e-4, 475),
    ("spy_with_macd.txt", "MACD", of(MACD[0]), half(5, TWICE), 183),
    ("spy_with_macd.txt", "Signal", of(MACD[1]), half(5, TWICE), 183),
    ("spy_with_macd.txt", "Histogram", histogram, half(5, TWICE), 183),
    ("spy_bollinger_bands.txt", "Moving Average 20", of(ind.sma(CLOSE, 20)), half(4), 481),
    ("spy_bollinger_bands.txt", "Bollinger Bands® 20 2 Bottom", of(LOW), half(4, TWICE), 481),
    ("spy_bollinger_bands.txt", "Bollinger Bands® 20 2 Top", of(HIGH), half(4, TWICE), 481),
    # Quotients of bands that were rounded to seven digits before they were divided.
    ("spy_bollinger_bands.txt", "BandWidth", band_width, 1.3e-4, 481),
    ("spy_bollinger_bands.txt", "%B", percent_b, 9e-5, 481),
    ("spy_ema.csv", "EMA14", of(ind.ema(CLOSE, 14)), half(13), 351),
    ("spy_with_rma.csv", "RMA5", of(ind.relative_ma(CLOSE, 5)), half(7), 1012),
    # The file's averages carry each other's names: its SMA5 is of 15 closes, its SMA15 of 5.
    ("spy_with_rma.csv", "SMA15", of(ind.sma(CLOSE, 5)), half(7), 1022),
    ("spy_with_rma.csv", "SMA10", of(ind.sma(CLOSE, 10)), half(7), 1017),
    ("spy_with_rma.csv", "SMA5", of(ind.sma(CLOSE, 15)), half(7), 1012),
]


@pytest.mark.parametrize(
    ("file", "column", "ours", "tolerance", "rows"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
def test_published_values_are_met_on_every_row_and_on_the_last(
    oracles: Path, file: str, column: str, ours: Ours, tolerance: float, rows: int
) -> None:
    told = columns(oracles / file)
    found = ours(bars(told))
    theirs = np.array([float(text) if text and text != "NaN" else np.nan for text in told[column]])
    both = ~np.isnan(found) & ~np.isnan(theirs)
    off = np.abs(found - theirs)
    assert off[both].max() <= tolerance
    assert both.sum() == rows
    last = np.flatnonzero(~np.isnan(theirs))[-1]
    assert both[last - 50 : last + 1].all()


def test_a_wrong_bar_would_be_seen_in_every_column(oracles: Path) -> None:
    """A control: with the last bar five percent off no column stays within its tolerance."""
    for file, column, ours, tolerance, _ in CASES:
        told = columns(oracles / file)
        theirs = np.array([float(text) if text and text != "NaN" else np.nan for text in told[column]])
        last = int(np.flatnonzero(~np.isnan(theirs))[-1])
        frame = bars(told)
        moved = pl.when(pl.int_range(pl.len()) == last)
        frame = frame.with_columns(
            *(moved.then(pl.col(name) * 1.05).otherwise(name).alias(name) for name in ("open", "high", "close")),
            moved.then(pl.col("low") * 0.9).otherwise("low").alias("low"),
        )
        assert abs(ours(frame)[last] - theirs[last]) > tolerance, (file, column)
