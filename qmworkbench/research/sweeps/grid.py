"""Which combinations of parameters a sweep tries: whole grids, samples of them, refused before they cost memory (§2).

Grids too large are refused as a whole, with the number, the limit and the remedy; combinations that contradict
themselves in the strategy's own words are left out, counted and named. `grid_text` reads grids from text.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import Value, resolve

Numbers = npt.NDArray[np.int64]

LIMIT: Final = 2_000_000
"""Combinations that one sweep may try."""
_NAMED: Final = 5


class GridRefused(ValueError):
    """A grid that cannot be swept; the message names the axis, the value and the limit, `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True)
class Axis:
    """The values of one parameter: `count` of them from `first` in steps of `step`, or those of `listed`.

    A range is kept as its ends, so that one of a billion values takes no more room than one of two.
    """

    name: str
    count: int
    first: Decimal = Decimal(0)
    step: Decimal = Decimal(1)
    listed: tuple[Value, ...] = ()
    whole: bool = True

    def value(self, at: int) -> Value:
        """The value at place `at` from 0."""
        if self.listed:
            return self.listed[at]
        number = self.first + at * self.step
        return int(number) if self.whole else float(number)

    @property
    def largest(self) -> Value:
        """The largest value of a number, the last of anything else."""
        several = [value for value in self.listed if not isinstance(value, bool | str)]
        return max(several) if several else self.value(self.count - 1)

    def __str__(self) -> str:
        if self.listed:
            return f"{self.name}={','.join(text_of(value) for value in self.listed)}"
        return f"{self.name}={self.value(0)}:{self.value(self.count - 1)}:{self.step}"


@dataclass(frozen=True)
class Grid:
    """Axes and all their combinations, numbered: the last axis runs fastest, as nested loops would."""

    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """How many combinations there are, contradictory ones among them."""
        return math.prod(axis.count for axis in self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that vary."""
        return tuple(axis.name for axis in self.axes)

    def overrides(self, number: int) -> dict[str, Value]:
        """The values of combination `number`."""
        found: dict[str, Value] = {}
        for axis in reversed(self.axes):
            number, at = divmod(number, axis.count)
            found[axis.name] = axis.value(at)
        return {name: found[name] for name in self.names}

    def __str__(self) -> str:
        return ",".join(str(axis) for axis in self.axes)


@dataclass(frozen=True, eq=False)
class Combinations:
    """Combinations that can be run, by their `numbers` in the grid, and how many were left out, with examples why.

    `base` holds the parameters that do not vary. `columns` are the varying ones, one array each, side by side.
    """

    grid: Grid
    base: Mapping[str, Value]
    numbers: Numbers
    columns: Mapping[str, npt.NDArray[Any]]
    invalid: int = 0
    reasons: tuple[str, ...] = ()
    how: str = "grid"
    seed: int | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def params(self, at: int) -> dict[str, Value]:
        """The whole parameter set of the combination at place `at`."""
        return {**self.base, **{name: column[at].item() for name, column in self.columns.items()}}

    def slice(self, first: int, last: int) -> "Combinations":
        """Those from place `first` up to, not including, `last`."""
        columns = {name: column[first:last] for name, column in self.columns.items()}
        return Combinations(self.grid, self.base, self.numbers[first:last], columns, how=self.how, seed=self.seed)

    def taken(self, places: npt.NDArray[np.int64]) -> "Combinations":
        """Those at `places`, in that order."""
        columns = {name: column[places] for name, column in self.columns.items()}
        return Combinations(self.grid, self.base, self.numbers[places], columns, how=self.how, seed=self.seed)

    @cached_property
    def distinct(self) -> dict[str, tuple[Value, ...]]:
        """The distinct values of each varying parameter, sorted."""
        return {name: tuple(np.unique(column).tolist()) for name, column in self.columns.items()}


def all_of(
    grid: Grid, definition: StrategyDefinition, *, fixed: Mapping[str, Value] | None = None, limit: int = LIMIT
) -> Combinations:
    """Every combination of the grid that makes sense to the strategy. Raises GridRefused, ParameterError."""
    if grid.size > limit:
        raise GridRefused(
            f"the grid {grid} has {grid.size:,} combinations, more than the {limit:,} one sweep may try",
            "widen the steps, drop an axis, or try some of them: --random N draws N, --search N looks for the best",
        )
    return chosen(grid, definition, np.arange(grid.size, dtype=np.int64), fixed=fixed)


def drawn(
    grid: Grid,
    definition: StrategyDefinition,
    count: int,
    seed: int,
    *,
    fixed: Mapping[str, Value] | None = None,
    limit: int = LIMIT,
) -> Combinations:
    """`count` combinations drawn without repetition, the same for the same seed; all of a grid that has no more.

    Contradictory ones that are drawn count as drawn. Raises GridRefused, ParameterError.
    """
    if not 0 < count <= limit:
        raise GridRefused(f"a sample of {count:,} combinations", f"draw from 1 to {limit:,}")
    if grid.size >= 2**63:
        raise GridRefused(f"the grid has {grid.size:,} combinations, too many to number", "drop an axis")
    generator = np.random.default_rng(seed)
    numbers = np.sort(generator.choice(grid.size, min(count, grid.size), replace=False)).astype(np.int64)
    return chosen(grid, definition, numbers, fixed=fixed, how="random", seed=seed)


def chosen(
    grid: Grid,
    definition: StrategyDefinition,
    numbers: Numbers,
    *,
    fixed: Mapping[str, Value] | None = None,
    how: str = "grid",
    seed: int | None = None,
) -> Combinations:
    """The combinations of these numbers, those left out that contradict themselves."""
    twice = sorted(set(grid.names) & set(fixed or {}))
    if twice:
        raise GridRefused(
            f"parameter {', '.join(twice)} is both fixed and in the grid", "give it either a value or an axis"
        )
    base = _base(definition, fixed or {})
    kept, tally = _Tally(), np.ones(len(numbers), dtype=np.bool_)
    params = dict(base)
    for at, overrides in enumerate(_walk(grid, numbers)):
        params.update(overrides)
        problem = definition.contradiction(params)
        if problem is not None:
            tally[at] = False
            kept.add(problem)
    valid = numbers[tally]
    return Combinations(
        grid, base, valid, _columns(grid, valid), int(len(numbers) - len(valid)), kept.examples(), how, seed
    )


def _base(definition: StrategyDefinition, fixed: Mapping[str, Value]) -> dict[str, Value]:
    """The approved values with `fixed` over them; only each value is checked, for the set is not complete yet."""
    return resolve(definition.strategy_id, definition.parameter_specs, fixed)


def _walk(grid: Grid, numbers: Numbers) -> Iterator[dict[str, Value]]:
    """The values of each combination."""
    columns = [(name, column.tolist()) for name, column in _columns(grid, numbers).items()]
    for at in range(len(numbers)):
        yield {name: values[at] for name, values in columns}


def _columns(grid: Grid, numbers: Numbers) -> dict[str, npt.NDArray[Any]]:
    columns: dict[str, npt.NDArray[Any]] = {}
    rest = numbers
    for axis in reversed(grid.axes):
        rest, at = np.divmod(rest, axis.count)
        if axis.listed:
            columns[axis.name] = np.array(axis.listed)[at]
        elif axis.count <= len(numbers):
            columns[axis.name] = np.array([axis.value(i) for i in range(axis.count)])[at]
        else:
            columns[axis.name] = np.array([axis.value(int(i)) for i in at])
    return {name: columns[name] for name in grid.names}


@dataclass
class _Tally:
    """Reasons seen, the first few of them kept."""

    seen: dict[str, None] = field(default_factory=dict)

    def add(self, reason: str) -> None:
        if len(self.seen) < _NAMED:
            self.seen.setdefault(reason)

    def examples(self) -> tuple[str, ...]:
        return tuple(self.seen)


def text_of(value: Value) -> str:
    """A value as a grid tells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
