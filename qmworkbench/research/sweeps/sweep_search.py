"""Searching a grid instead of walking it: the next combinations are chosen by what the last ones brought (§2).

The sampler is optuna's tree-structured Parzen estimator, seeded: the same seed, bars and batch size try the same
combinations in the same order, so that a killed search goes on as a grid does. A search tries fewer combinations and
is no less in danger of luck: each counts as a trial.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from qmworkbench.research.sweeps.grid import Combinations, Grid, GridRefused, chosen
from qmworkbench.research.sweeps.sweep_tables import LOWER_IS_BETTER
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import Value

BATCH: Final = 64
_PATIENCE: Final = 20


class Search:
    """Batches of combinations, each chosen after `told` of the one before; at most `count` in all.

    Contradictory combinations are told to the sampler as failed and counted in `invalid`; one tried before is not
    tried again. It ends early where nothing new turns up.
    """

    def __init__(
        self,
        grid: Grid,
        definition: StrategyDefinition,
        count: int,
        seed: int,
        *,
        by: str = "sharpe",
        fixed: Mapping[str, Value] | None = None,
    ) -> None:
        if count < 1:
            raise GridRefused(f"a search of {count} combinations", "give at least 1")
        if grid.size >= 2**63:
            raise GridRefused(f"the grid has {grid.size:,} combinations, too many to number", "drop an axis")
        self.grid, self.definition, self.count, self.seed = grid, definition, count, seed
        self.by, self.fixed = by, dict(fixed or {})
        self.invalid = 0
        self.reasons: tuple[str, ...] = ()
        self._open: dict[int, list[Any]] = {}
        self._values: dict[int, float | None] = {}
        self._study = self._made()

    def _made(self) -> Any:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=min(BATCH, max(10, self.count // 10)))
        direction: Any = "minimize" if self.by in LOWER_IS_BETTER else "maximize"
        return optuna.create_study(direction=direction, sampler=sampler)

    def batches(self) -> Iterator[Combinations]:
        """Batches until `count` combinations were tried; tell each one's result before asking for the next."""
        tried = idle = 0
        while tried < self.count and idle < _PATIENCE:
            batch = self._asked(min(BATCH, self.count - tried))
            idle = 0 if len(batch) else idle + 1
            tried += len(batch)
            if len(batch):
                yield batch

    def _asked(self, count: int) -> Combinations:
        new: dict[int, list[Any]] = {}
        for _ in range(count):
            trial = self._study.ask()
            number = 0
            for axis in self.grid.axes:
                number = number * axis.count + trial.suggest_int(axis.name, 0, axis.count - 1)
            if number in self._values:
                self._tell(trial, self._values[number])
            else:
                new.setdefault(number, []).append(trial)
        numbers = np.array(sorted(new), np.int64)
        found = chosen(self.grid, self.definition, numbers, fixed=self.fixed, how="search", seed=self.seed)
        kept = set(found.numbers.tolist())
        for number, trials in new.items():
            if number not in kept:
                self._values[number] = None
                for trial in trials:
                    self._tell(trial, None)
        self.invalid += found.invalid
        self.reasons = (*self.reasons, *found.reasons)[:5]
        self._open = {number: trials for number, trials in new.items() if number in kept}
        return found

    def told(self, rows: pl.DataFrame) -> None:
        """What the batch brought: one row for each of its combinations."""
        for number, value in rows.select("combination", self.by).iter_rows():
            self._values[number] = value
            for trial in self._open.pop(number, ()):
                self._tell(trial, value)

    def _tell(self, trial: Any, value: float | None) -> None:
        from optuna.trial import TrialState

        if value is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, value)
