"""What a sweep keeps while it runs: rows, and as much of the equities as there is room for (§2)."""

import numpy as np
import polars as pl

from qmworkbench.research.sweeps.sweep_bars import SweepBars
from qmworkbench.research.sweeps.sweep_engine import Setting, Table
from qmworkbench.research.sweeps.sweep_tables import OK, TOGETHER, returns_of

MATRIX_VALUES = 12_000_000
"""Equities of all combinations that are held together, 96 MB; of a larger sweep the ratios of all and the best's."""


class Gathered:
    """Chunks of a sweep as they come in, in order.

    `matrix` holds the returns from mark to mark of all combinations that did not fail, None where there are too many;
    `ratios` and `best_returns` are kept in any case: mean return over its deviation, and the returns of the best.
    """

    def __init__(self, bars: SweepBars, setting: Setting) -> None:
        self.cash = setting.cash * len(bars.symbols)
        self.combinations = 0
        self.best_returns: Table = np.empty(0)
        self.best: int | None = None
        self._rows: list[pl.DataFrame] = []
        self._equity: list[Table] | None = []
        self._ratios: list[Table] = []
        self._first = -np.inf
        self._values = 0

    def add(self, rows: pl.DataFrame, equity: Table) -> None:
        """A chunk's rows and equities."""
        together = rows.filter(pl.col("symbol") == TOGETHER)
        whole = together if together.height else rows
        gains = returns_of(equity, self.cash)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = (
                gains.mean(axis=1) / gains.std(axis=1, ddof=1) if gains.shape[1] > 1 else np.full(len(gains), np.nan)
            )
        ratios[~np.isfinite(ratios) | (whole["status"] != OK).to_numpy()] = np.nan
        if np.isfinite(ratios).any() and np.nanmax(ratios) > self._first:
            at = int(np.nanargmax(ratios))
            self._first, self.best, self.best_returns = ratios[at], int(whole["combination"][at]), gains[at]
        self._rows.append(rows)
        self._ratios.append(ratios)
        self.combinations += whole.height
        self._values += equity.size
        if self._values > MATRIX_VALUES:
            self._equity = None
        elif self._equity is not None:
            self._equity.append(equity)

    def rows(self) -> pl.DataFrame:
        """All rows, in the order of the chunks."""
        return pl.concat(self._rows)

    def equity(self) -> Table | None:
        """All equities, a row for each combination; None where they took too much room."""
        return None if self._equity is None else np.concatenate(self._equity)

    def ratios(self) -> Table:
        """Mean return over its deviation from mark to mark, by combination; NaN where it failed or never moved."""
        return np.concatenate(self._ratios)
