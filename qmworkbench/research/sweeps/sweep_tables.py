"""Figures as tables: a row for each combination and symbol, the symbols added up, and what ranks where (FILLS §8).

A figure that is not defined (no trades, no variance, no loss) is null, never NaN, and ranks last. A combination that
failed has a reason and no figures.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.research.sweeps.grid import Combinations
from qmworkbench.research.sweeps.sweep_bars import SweepBars
from qmworkbench.research.sweeps.sweep_engine import Block, Setting
from qmworkbench.strategies.definition import StrategyDefinition

Table = npt.NDArray[np.float64]

TOGETHER: Final = "(all)"
"""The symbol of rows in which the accounts of all symbols are added up."""
OK: Final = "ok"
FAILED: Final = "failed"

METRICS: Final = (
    "total_return",
    "sharpe",
    "max_drawdown",
    "trades",
    "open_trades",
    "win_rate",
    "profit_factor",
    "exposure",
    "fees",
    "turnover",
    "final_equity",
    "open_pnl",
    "gross_profit",
    "gross_loss",
    "best_trade",
    "worst_trade",
)
_PLACES: Final = (0, 1, 2, 4, 5, 7, 8, 13, 14, 15, 16, 17, 9, 10, 11, 12)  # measure.Figure
_COUNTS: Final = ("trades", "open_trades")
LOWER_IS_BETTER: Final = frozenset({"fees", "turnover", "exposure"})


def schema(combinations: Combinations, definition: StrategyDefinition) -> dict[str, pl.DataType]:
    """The columns of a result table: which combination, its parameters, how it went, its figures."""
    kinds: dict[type, pl.DataType] = {bool: pl.Boolean(), int: pl.Int64(), float: pl.Float64(), str: pl.String()}
    specs = {spec.name: kinds[type(spec.approved)] for spec in definition.parameter_specs}
    return {
        "combination": pl.Int64(),
        "symbol": pl.String(),
        **{name: specs[name] for name in combinations.grid.names},
        "status": pl.String(),
        "reason": pl.String(),
        **{name: pl.Int64() if name in _COUNTS else pl.Float64() for name in METRICS},
    }


def table_of(
    combinations: Combinations,
    blocks: Mapping[str, Block],
    bars: SweepBars,
    setting: Setting,
    definition: StrategyDefinition,
) -> pl.DataFrame:
    """The rows of a stretch of combinations: each symbol, those whose bars cannot be run, then all together."""
    frames = []
    for name in bars.names:
        if name in bars.failed:
            count = len(combinations)
            values = np.full((count, len(METRICS)), np.nan)
            frames.append(_rows(combinations, name, values, dict.fromkeys(range(count), bars.failed[name])))
        else:
            block = blocks[name]
            values = block.figures[:, _PLACES].copy()
            values[:, 1] *= np.sqrt(bars.bars_a_year)
            frames.append(_rows(combinations, name, values, block.reasons))
    if len(bars.names) > 1:
        values, reasons = _together(combinations, blocks, bars, setting)
        frames.append(_rows(combinations, TOGETHER, values, reasons))
    table = pl.concat(frames).cast(schema(combinations, definition))  # type: ignore[arg-type]
    return table.sort("combination", maintain_order=True)


def _rows(combinations: Combinations, symbol: str, values: Table, reasons: Mapping[int, str]) -> pl.DataFrame:
    count = len(combinations)
    failed = np.zeros(count, np.bool_)
    failed[list(reasons)] = True
    values[failed] = np.nan
    columns: dict[str, Any] = {
        "combination": combinations.numbers,
        "symbol": pl.repeat(symbol, count, eager=True),
        **combinations.columns,
        "status": np.where(failed, FAILED, OK),
        "reason": pl.Series([reasons.get(at) for at in range(count)], dtype=pl.String),
    }
    for at, name in enumerate(METRICS):
        column = values[:, at]
        # An infinite ratio is no better than any other: nothing lost, or nothing moved.
        columns[name] = pl.Series(np.where(np.isfinite(column), column, np.nan), nan_to_null=True)
    return pl.DataFrame(columns)


def _together(
    combinations: Combinations, blocks: Mapping[str, Block], bars: SweepBars, setting: Setting
) -> tuple[Table, dict[int, str]]:
    """The symbols' accounts added up, valued at session ends; those that cannot be run at all are left out."""
    marked, cash = added_up(blocks, bars, setting), setting.cash * len(bars.symbols)
    figures = np.stack([blocks[one.symbol].figures[:, _PLACES] for one in bars.symbols])
    at = {name: place for place, name in enumerate(METRICS)}
    values = np.full((len(combinations), len(METRICS)), np.nan)
    for name in ("trades", "open_trades", "fees", "turnover", "final_equity", "open_pnl", "gross_profit", "gross_loss"):
        values[:, at[name]] = figures[:, :, at[name]].sum(axis=0)
    values[:, at["best_trade"]] = _quiet(np.nanmax, figures[:, :, at["best_trade"]])
    values[:, at["worst_trade"]] = _quiet(np.nanmin, figures[:, :, at["worst_trade"]])
    values[:, at["exposure"]] = figures[:, :, at["exposure"]].mean(axis=0)
    wins = np.stack([blocks[one.symbol].figures[:, 6] for one in bars.symbols]).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        values[:, at["win_rate"]] = wins / values[:, at["trades"]]
        values[:, at["profit_factor"]] = values[:, at["gross_profit"]] / -values[:, at["gross_loss"]]
        gains = returns_of(marked, cash)
        deviation = gains.std(axis=1, ddof=1) if gains.shape[1] > 1 else np.zeros(len(gains))
        values[:, at["sharpe"]] = gains.mean(axis=1) / deviation * np.sqrt(bars.marks_a_year)
    values[:, at["total_return"]] = marked[:, -1] / cash - 1
    peak = np.maximum.accumulate(np.maximum(marked, cash), axis=1)
    values[:, at["max_drawdown"]] = (marked / peak - 1).min(axis=1)
    reasons: dict[int, str] = {}
    for one in bars.symbols:
        for row, reason in blocks[one.symbol].reasons.items():
            reasons.setdefault(row, f"{one.symbol}: {reason}")
    return values, reasons


def _quiet(of: Any, values: Table) -> Table:
    """`of` over the symbols, NaN where none has a value."""
    nothing = np.isnan(values).all(axis=0)
    found: Table = of(np.where(nothing, 0.0, values), axis=0)
    return np.where(nothing, np.nan, found)


def times_of(bars: SweepBars) -> npt.NDArray[np.int64]:
    """When equity is handed out: the marks of all symbols, ascending, microseconds of UTC."""
    return np.unique(np.concatenate([one.mark_us for one in bars.symbols]))


def added_up(blocks: Mapping[str, Block], bars: SweepBars, setting: Setting) -> Table:
    """The equity of all symbols together at `times_of`, a row for each combination.

    A symbol without a bar there keeps its last value, before its first bar its cash.
    """
    times = times_of(bars)
    total: Table | None = None
    for one in bars.symbols:
        marked = blocks[one.symbol].marked
        at = np.searchsorted(one.mark_us, times, side="right") - 1
        own = (
            marked if len(times) == len(one.mark_us) else np.where(at >= 0, marked[:, np.maximum(at, 0)], setting.cash)
        )
        total = own if total is None else total + own
    assert total is not None
    return total


def returns_of(marked: Table, cash: float) -> Table:
    """From one mark to the next, the first against the cash; nothing is gained on nothing."""
    before = np.concatenate([np.full((len(marked), 1), cash), marked[:, :-1]], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, marked / before - 1, 0.0)


def ranked(table: pl.DataFrame, by: str) -> pl.DataFrame:
    """`table` from best to worst by a figure: missing ones last, ties in the order of the grid. Raises ValueError."""
    if by not in METRICS:
        raise ValueError(f"there is no figure {by!r} to rank by; there are {', '.join(METRICS)}")
    down = by not in LOWER_IS_BETTER
    return table.sort(by, "combination", descending=[down, False], nulls_last=True)
