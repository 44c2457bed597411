"""Which combinations vectorbt is asked about again, and the asking: drawn by seed, in every sweep (FILLS).

Their decisions come from the strategy's own expressions, whatever evaluated the rule in the sweep: a family of the
kernel that read a rule wrong would be caught here.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl

from qmworkbench.research.sweeps.grid import Combinations
from qmworkbench.research.sweeps.sweep_bars import SweepBars
from qmworkbench.research.sweeps.sweep_check import COMPARED, Case, Check, Checked, Figures, begin
from qmworkbench.research.sweeps.sweep_engine import Setting, quantities
from qmworkbench.research.sweeps.sweep_signals import RuleBook, decided, evaluated
from qmworkbench.research.sweeps.sweep_tables import OK
from qmworkbench.strategies.contract import StrategyFault
from qmworkbench.strategies.definition import StrategyDefinition


class SecondOpinion(Protocol):
    """Who is asked about some of a sweep's combinations again."""

    def begin(
        self, definition: StrategyDefinition, bars: SweepBars, setting: Setting, combinations: Combinations
    ) -> None:
        """Begin, while the sweep goes on."""

    def result(self, rows: pl.DataFrame) -> Checked:
        """What it says against the sweep's rows. Raises SweepDiffers, CheckFailed."""

    def stop(self) -> None:
        """End it unasked."""


@dataclass
class Sample:
    """`count` combinations, each on one symbol, drawn by `seed`; simulated while the sweep goes on."""

    count: int
    seed: int
    _check: Check | None = field(default=None, repr=False)

    def begin(
        self, definition: StrategyDefinition, bars: SweepBars, setting: Setting, combinations: Combinations
    ) -> None:
        """Draw, decide, and start vectorbt in its own process."""
        drawn = np.random.default_rng([self.seed, 1])
        places = np.sort(drawn.choice(len(combinations), min(self.count, len(combinations)), replace=False))
        symbols = drawn.integers(0, len(bars.symbols), len(places))
        cases: list[Case] = []
        for at, which in zip(places.tolist(), symbols.tolist(), strict=True):
            one, params = bars.symbols[which], combinations.params(at)
            program, _ = RuleBook(definition).program(params)
            try:
                decisions = decided(
                    definition, params, one, evaluated(program, one), quantities(one, setting), reverse=setting.reverse
                )
            except StrategyFault:
                continue  # the sweep says so of that row itself
            told = ", ".join(f"{name}={params[name]}" for name in combinations.grid.names)
            label = f"combination {combinations.numbers[at]} ({told}) on {one.symbol}"
            cases.append(Case(label, int(combinations.numbers[at]), one.symbol, decisions))
        tapes = {one.symbol: one.tape for one in bars.symbols}
        self._check = begin(cases, tapes, setting.terms, setting.cash, bars.bars_a_year)

    def result(self, rows: pl.DataFrame) -> Checked:
        """What vectorbt said against the sweep's rows. Raises SweepDiffers, CheckFailed."""

        def ours(combination: int, symbol: str) -> Figures | None:
            row = rows.filter((pl.col("combination") == combination) & (pl.col("symbol") == symbol)).row(0, named=True)
            return {name: row[name] for name in COMPARED} if row["status"] == OK else None

        if self._check is None:
            raise RuntimeError("a sample is begun before its result is asked for")
        return self._check.result(ours)

    def stop(self) -> None:
        """End it unasked, if it runs."""
        if self._check is not None:
            self._check.stop()
