"""A kept run as its tear sheet reads it: manifest, tables read once, and what stands above and below the page (§2)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from qmworkbench.research.backtests.runs import Run, RunManifest
from qmworkbench.strategies import catalog


@dataclass(frozen=True, eq=False)
class Sheet:
    """A run's tables, read once. `tried` is how many runs of this strategy on the same bars are kept, this one among
    them: what was tried before it."""

    run: Run
    tried: int = 1

    @property
    def told(self) -> RunManifest:
        return self.run.manifest

    @property
    def metrics(self) -> dict[str, float | None]:
        return self.told.metrics

    @property
    def cash(self) -> float:
        return float(self.told.terms["cash"])

    @property
    def currency(self) -> str:
        return str(self.told.terms.get("currency", ""))

    @cached_property
    def equity(self) -> pl.DataFrame:
        return self.run.table("equity")

    @cached_property
    def sessions(self) -> pl.DataFrame:
        return self.run.table("sessions")

    @cached_property
    def trades(self) -> pl.DataFrame:
        return self.run.table("trades")

    @cached_property
    def closed(self) -> pl.DataFrame:
        return self.trades.filter(~pl.col("open"))


def title(found: Sheet) -> str:
    """The strategy's title in the catalog, its id where it is in it no more."""
    told = found.told
    entry = catalog.catalog().get(told.strategy) if told.strategy in catalog.catalog() else None
    return entry.title if entry is not None else told.strategy


def where(found: Sheet) -> str:
    """Strategy, symbols, period and bars, in a line."""
    told, data = found.told, found.told.data
    among = ", ".join(data.symbols) if len(data.symbols) <= 3 else f"{len(data.symbols)} symbols"
    interval = {60: "minute bars", 3600: "hourly bars", 86_400: "daily bars"}.get(
        data.interval_s, f"bars of {data.interval_s} s"
    )
    period = f"{day_text(data.first)} to {day_text(data.last)}"
    return f"{told.strategy} {told.strategy_version} · {among} · {period} · {interval}"


def day_text(day: Any) -> str:
    """A date as a person writes it."""
    return f"{day:%d %b %Y}".lstrip("0")


def facts(found: Sheet) -> dict[str, str]:
    """What the run can be made again from."""
    told, data = found.told, found.told.data
    assert told.at is not None
    engine = ", ".join(f"{name} {value}" for name, value in told.engine.items())
    return {
        "run": f"{told.run_id}, made {told.at:%Y-%m-%d %H:%M} UTC, one of {found.tried} kept of this strategy and bars",
        "bars": f"{data.source}, {data.bars:,} bars of {len(data.symbols):,} symbols, hash {data.hash}",
        "parameters": f"hash {told.params_hash}",
        "code": told.code_version,
        "engine": engine,
        "Sharpe": "mean over deviation of session returns × √252, no risk-free rate; benchmark without costs",
    }
