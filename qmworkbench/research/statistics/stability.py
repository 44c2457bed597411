"""Whether a good result stands on a plateau or on a needle: the neighbours of every point of a grid (M: layer 2)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from qmworkbench.research.backtests.observations import whole
from qmworkbench.research.fills.tape import Floats


@dataclass(frozen=True, eq=False)
class StabilityMap:
    """A grid by two parameters, and how its best point compares with the points around it.

    `frame`: the two parameters, value, runs (results behind it), neighbours (how many have a value),
    neighbour_median, neighbour_worst (None without neighbours). `best`: the parameters of the highest value, `centre`:
    those where the point and its neighbours are best together (their median). `plateau`: the median of the best one's
    neighbours over its own value, 0 to 1; 1 is level ground. `width`: the share of the grid with at least half of the
    best value. Both None where `missing` says why. `unranked`: results without a finite value, left out.
    """

    frame: pl.DataFrame
    x: str
    y: str
    metric: str
    best: dict[str, Any]
    best_value: float
    centre: dict[str, Any]
    plateau: float | None
    width: float | None
    unranked: int
    missing: dict[str, str]


def stability_map(
    results: pl.DataFrame,
    x: str,
    y: str,
    metric: str = "sharpe",
    *,
    radius: int = 1,
    fixed: Mapping[str, Any] | None = None,
) -> StabilityMap:
    """Map a metric of which more is better over any two parameters of a grid's results, one row a combination.

    Neighbours are the points up to `radius` steps away on the grid in either parameter. Other parameters are held at
    `fixed`; those not named are summed up by their median. Raises ValueError for columns that are not there, a filter
    that leaves nothing, or a grid of fewer than three points.
    """
    whole(radius, "radius", least=1)
    chosen = dict(fixed or {})
    absent = [name for name in (x, y, metric, *chosen) if name not in results.columns]
    if absent:
        raise ValueError(f"results have no column {absent[0]!r}: they have {', '.join(results.columns)}")
    if len({x, y, metric}) < 3:
        raise ValueError(f"x {x!r}, y {y!r} and metric {metric!r}: three different columns are needed")
    held = results
    for name, value in chosen.items():
        held = held.filter(pl.col(name) == value)
    if held.is_empty():
        raise ValueError(f"no result has {chosen}: take values that the grid holds")
    value = pl.col(metric).cast(pl.Float64)
    known = held.filter(value.is_finite().fill_null(False) & pl.col(x).is_not_null() & pl.col(y).is_not_null())
    points = (
        known.group_by(x, y, maintain_order=True).agg(value=value.median(), runs=pl.len().cast(pl.Int64)).sort(x, y)
    )
    if points.height < 3:
        raise ValueError(f"{points.height} points of the grid have a {metric}: a map takes three at least")
    grid, at = _grid(points, x, y)
    counts, medians, worst = _around(grid, at, radius)
    frame = points.with_columns(
        pl.Series("neighbours", counts, dtype=pl.Int64),
        pl.Series("neighbour_median", medians, dtype=pl.Float64).fill_nan(None),
        pl.Series("neighbour_worst", worst, dtype=pl.Float64).fill_nan(None),
    )
    return _summed(frame, x, y, metric, held.height - known.height)


def _grid(points: pl.DataFrame, x: str, y: str) -> tuple[Floats, list[tuple[int, int]]]:
    """The values by rank of both parameters, NaN where the grid has none, and each point's place."""
    across = {value: rank for rank, value in enumerate(points[x].unique().sort().to_list())}
    down = {value: rank for rank, value in enumerate(points[y].unique().sort().to_list())}
    at = [(across[a], down[b]) for a, b in zip(points[x].to_list(), points[y].to_list(), strict=True)]
    grid = np.full((len(across), len(down)), np.nan)
    for place, value in zip(at, points["value"].to_list(), strict=True):
        grid[place] = value
    return grid, at


def _around(grid: Floats, at: list[tuple[int, int]], radius: int) -> tuple[list[int], list[float], list[float]]:
    counts, medians, worst = [], [], []
    for i, j in at:
        around = grid[max(i - radius, 0) : i + radius + 1, max(j - radius, 0) : j + radius + 1].copy()
        around[min(i, radius), min(j, radius)] = np.nan
        values = around[~np.isnan(around)]
        counts.append(len(values))
        medians.append(float(np.median(values)) if len(values) else math.nan)
        worst.append(float(values.min()) if len(values) else math.nan)
    return counts, medians, worst


def _summed(frame: pl.DataFrame, x: str, y: str, metric: str, unranked: int) -> StabilityMap:
    values = frame["value"].to_numpy()
    top = int(values.argmax())
    best = float(values[top])
    around = frame["neighbour_median"].fill_null(-math.inf).to_numpy()
    centre = int(np.minimum(values, around).argmax())
    missing: dict[str, str] = {}
    plateau = width = None
    if best <= 0:
        missing["plateau"] = missing["width"] = f"the best {metric} is {best:.3g}, not above 0"
    else:
        width = float((values >= best / 2).mean())
        if frame["neighbours"][top] == 0:
            missing["plateau"] = "the best point has no neighbour with a value"
        else:
            plateau = min(max(float(around[top]) / best, 0.0), 1.0)
    return StabilityMap(
        frame=frame,
        x=x,
        y=y,
        metric=metric,
        best={x: frame[x][top], y: frame[y][top]},
        best_value=best,
        centre={x: frame[x][centre], y: frame[y][centre]},
        plateau=plateau,
        width=width,
        unranked=unranked,
        missing=missing,
    )
