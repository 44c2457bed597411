"""What remains of a result when trading costs more than was assumed, and at which cost nothing does (M: layer 2).

Costs are in basis points of the value traded, on each side: 5 bps is 5 at the entry and 5 at the exit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from qmworkbench.research.backtests.observations import number, series
from qmworkbench.research.fills.tape import Floats, Terms

LADDER_BPS: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
_COLUMNS: Final = ("qty", "entry_px", "exit_px", "gross_pnl")

Evaluate = Callable[[Terms], Mapping[str, float | None]]


@dataclass(frozen=True, eq=False)
class CostSensitivity:
    """A row a rung of the ladder, and the cost at which the result is nothing.

    `breakeven_bps`: each side's cost at which the result reaches 0, None where `missing` says why. With trades it is
    exact, with a callable interpolated between two rungs.
    """

    ladder: pl.DataFrame
    breakeven_bps: float | None
    missing: str | None


def from_trades(trades: pl.DataFrame, *, capital: float, ladder_bps: Sequence[float] = LADDER_BPS) -> CostSensitivity:
    """The closed trades of a backtest (qty, entry_px, exit_px, gross_pnl) charged with each cost of the ladder.

    `ladder`: cost_bps, net_pnl and costs (in currency), net_return (of `capital`), win_rate, profit_factor (None
    without a loss), mean_pnl. The cost comes on top of slippage that is already in the prices. Sizes and signals stay:
    a strategy that would trade less where trading is dear is judged too harshly. Raises ValueError for missing columns,
    no closed trade, values that are not finite, a ladder that does not rise from 0 or above.
    """
    rungs = _rungs(ladder_bps)
    number(capital, "capital", above=0)
    gross, turnover = _closed(trades)
    rows = []
    for cost in rungs:
        net = gross - turnover * cost / 10_000
        losses = -float(net[net < 0].sum())
        rows.append(
            {
                "cost_bps": cost,
                "net_pnl": float(net.sum()),
                "costs": float(turnover.sum()) * cost / 10_000,
                "net_return": float(net.sum()) / capital,
                "win_rate": float((net > 0).mean()),
                "profit_factor": float(net[net > 0].sum()) / losses if losses else None,
                "mean_pnl": float(net.mean()),
            }
        )
    ladder = pl.DataFrame(rows, schema_overrides={"profit_factor": pl.Float64})
    earned = float(gross.sum())
    if earned <= 0:
        return CostSensitivity(ladder, None, f"the trades lose {-earned:,.2f} before any cost")
    return CostSensitivity(ladder, earned / float(turnover.sum()) * 10_000, None)


def from_callable(
    evaluate: Evaluate,
    *,
    base: Terms | None = None,
    by: Literal["slippage", "fees"] = "slippage",
    metric: str = "total_return",
    ladder_bps: Sequence[float] = LADDER_BPS,
) -> CostSensitivity:
    """Run a backtest at each rung: `evaluate(terms)` answers its figures by name, None where undefined.

    The rung replaces the slippage or the fee rate of `base`. `ladder`: cost_bps and the figures. Raises ValueError
    where `metric` is not among them.
    """
    rungs = _rungs(ladder_bps)
    if by not in ("slippage", "fees"):
        raise ValueError(f"by is {by!r}: slippage or fees")
    rows: list[dict[str, Any]] = []
    for cost in rungs:
        figures = dict(evaluate(_terms(base or Terms(), by, cost / 10_000)))
        if metric not in figures:
            raise ValueError(f"metric {metric!r} is not among the figures: {', '.join(sorted(figures))}")
        rows.append({"cost_bps": cost, **figures})
    told = [row[metric] for row in rows]
    ladder = pl.DataFrame(rows, infer_schema_length=None)
    if any(value is None or not np.isfinite(value) for value in told):
        return CostSensitivity(ladder, None, f"{metric} is undefined on a rung of the ladder")
    if told[0] <= 0:
        return CostSensitivity(ladder, None, f"{metric} is {told[0]:.4g} at {rungs[0]:g} bps already")
    for place in range(1, len(rungs)):
        before, after = told[place - 1], told[place]
        if after <= 0:
            share = before / (before - after)
            return CostSensitivity(ladder, rungs[place - 1] + share * (rungs[place] - rungs[place - 1]), None)
    return CostSensitivity(ladder, None, f"{metric} is still {told[-1]:.4g} at {rungs[-1]:g} bps: extend the ladder")


def _terms(base: Terms, by: str, rate: float) -> Terms:
    return Terms(
        fee_rate=rate if by == "fees" else base.fee_rate,
        fee_per_order=base.fee_per_order,
        fee_per_unit=base.fee_per_unit,
        slippage_rate=rate if by == "slippage" else base.slippage_rate,
        participation=base.participation,
    )


def _rungs(ladder_bps: Sequence[float]) -> list[float]:
    rungs = [number(cost, "ladder_bps") for cost in ladder_bps]
    if not rungs or rungs[0] < 0 or any(high <= low for low, high in pairwise(rungs)):
        raise ValueError(f"ladder_bps is {rungs}: give costs that rise from 0 or above")
    return rungs


def _closed(trades: pl.DataFrame) -> tuple[Floats, Floats]:
    """Gross P&L and value traded, both sides, of each closed trade."""
    absent = [name for name in _COLUMNS if name not in trades.columns]
    if absent:
        raise ValueError(f"trades have no column {absent[0]!r}: they have {', '.join(trades.columns)}")
    closed = trades.filter(~pl.col("open")) if "open" in trades.columns else trades
    if closed.is_empty():
        raise ValueError("no trade was closed: there is nothing to charge")
    qty, entry, out, gross = (series(closed[name].to_numpy(), name, least=1) for name in _COLUMNS)
    if not (qty != 0).all() or not ((entry > 0) & (out > 0)).all():
        raise ValueError("a trade has a qty of 0 or a price at or below 0: repair the trade list")
    return gross, np.abs(qty) * (entry + out)
