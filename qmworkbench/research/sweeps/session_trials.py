"""A trial matrix from whole backtests: what every combination of a grid earned in every session (§2, M: layer 2).

For a few hundred combinations looked at closely. A sweep of thousands keeps its own, with fewer marks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

from qmworkbench.market.schema import BarSource
from qmworkbench.research.backtests.backtest import BacktestRefused, Sizing, Terms, backtest
from qmworkbench.research.backtests.period_bars import EVERYTHING, Period, PeriodBars, boundaries_of, read_period
from qmworkbench.research.fills.tape import Floats
from qmworkbench.research.sweeps.grid import all_of
from qmworkbench.research.sweeps.grid_text import parse_grid
from qmworkbench.strategies import catalog
from qmworkbench.strategies.contract import StrategyFault
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import Value

MOST: Final = 500


@dataclass(frozen=True, eq=False)
class SessionTrials:
    """`returns`: sessions × combinations that ran, beside `params` (the varying ones). `failed`: what did not, and why.

    `benchmark`: what the symbols in equal parts earned. `invalid`: combinations that contradict themselves.
    """

    strategy_id: str
    bars: PeriodBars
    sessions: tuple[date, ...]
    params: tuple[dict[str, Value], ...]
    returns: Floats
    benchmark: Floats
    failed: tuple[tuple[dict[str, Value], str], ...]
    invalid: int

    @property
    def trials(self) -> int:
        """All that were tried, failed ones included."""
        return len(self.params) + len(self.failed)


def session_trials(
    strategy: str | StrategyDefinition,
    source: BarSource,
    grid: str,
    *,
    fixed: Mapping[str, Value] | None = None,
    symbols: tuple[str, ...] = (),
    period: Period = EVERYTHING,
    terms: Terms | None = None,
    sizing: Sizing | None = None,
    cash: float = 100_000.0,
    progress: Callable[[int, int], None] | None = None,
) -> SessionTrials:
    """Run every combination of `grid` (grid_text.parse_grid) over the same bars, on one account for all symbols.

    A combination that the strategy breaks on is set down as failed. Raises GridRefused, ParameterError, DataRefused as
    the backtest does; ValueError for more than 500 combinations, or where every one failed.
    """
    definition = catalog.get(strategy) if isinstance(strategy, str) else strategy
    combinations = all_of(parse_grid(grid, definition), definition, fixed=fixed)
    if not 1 <= len(combinations) <= MOST:
        raise ValueError(
            f"the grid {grid} has {len(combinations)} combinations that make sense: give 1 to {MOST}, or sweep them"
        )
    every = [combinations.params(at) for at in range(len(combinations))]
    boundaries = boundaries_of(source, period)
    history = max(definition.history_sessions(one, boundaries) for one in every)
    bars = read_period(source, symbols=symbols, period=period, history_sessions=history)
    varying = combinations.grid.names
    columns: list[Floats] = []
    params: list[dict[str, Value]] = []
    failed: list[tuple[dict[str, Value], str]] = []
    benchmark: Floats | None = None
    for number, whole in enumerate(every):
        short = {name: whole[name] for name in varying}
        try:
            run = backtest(
                definition,
                bars,
                whole,
                terms=terms or Terms(),
                sizing=sizing or Sizing(),
                cash=cash,
            )
            sessions: Any = run.sessions
            columns.append(sessions["return"].to_numpy())
            benchmark = sessions["benchmark_return"].to_numpy()
            params.append(short)
        except (BacktestRefused, StrategyFault) as reason:
            failed.append((short, str(reason)))
        if progress is not None:
            progress(number + 1, len(every))
    if benchmark is None:
        raise ValueError(f"all {len(every)} combinations failed; the last: {failed[-1][1]}")
    return SessionTrials(
        strategy_id=definition.strategy_id,
        bars=bars,
        sessions=tuple(bars.sessions),
        params=tuple(params),
        returns=np.column_stack(columns),
        benchmark=benchmark,
        failed=tuple(failed),
        invalid=combinations.invalid,
    )
