"""What every combination earned in every session, from the backtest itself."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from qmworkbench.research.backtests.backtest import backtest
from qmworkbench.research.fills.tape import Terms
from qmworkbench.research.sweeps.grid import GridRefused
from qmworkbench.research.sweeps.session_trials import SessionTrials, session_trials
from qmworkbench.service.bar_sources import open_bars

CARRIED = {"flat": "carry", "short": False}
PERIOD = (date(2010, 1, 4), date(2010, 12, 31))
SOURCE = open_bars("package:bokeh-sampledata", data=Path("none"))


def made(grid: str, symbols: tuple[str, ...] = ("IBM",)) -> SessionTrials:
    return session_trials(
        "donchian", SOURCE, grid, fixed=CARRIED, symbols=symbols, period=PERIOD, terms=Terms(fee_rate=0.001)
    )


def test_a_column_is_the_backtest_of_its_parameters() -> None:
    asked: list[tuple[int, int]] = []
    found = session_trials(
        "donchian",
        SOURCE,
        "entry_bars=20,60,exit_bars=10",
        fixed=CARRIED,
        symbols=("IBM", "MSFT"),
        period=PERIOD,
        terms=Terms(fee_rate=0.001),
        progress=lambda done, of: asked.append((done, of)),
    )
    assert found.params == ({"entry_bars": 20, "exit_bars": 10}, {"entry_bars": 60, "exit_bars": 10})
    assert asked == [(1, 2), (2, 2)]
    assert found.returns.shape == (len(found.sessions), 2)
    assert (found.sessions[0], found.sessions[-1]) == PERIOD
    alone = backtest(
        "donchian",
        SOURCE,
        {**CARRIED, "entry_bars": 60, "exit_bars": 10},
        symbols=("IBM", "MSFT"),
        period=PERIOD,
        terms=Terms(fee_rate=0.001),
    )
    assert found.returns[:, 1].tolist() == alone.sessions["return"].to_list()
    assert found.returns[:, 1].any()
    assert np.prod(1 + found.returns[:, 1]) - 1 == pytest.approx(alone.metrics["total_return"])
    assert found.benchmark.tolist() == alone.sessions["benchmark_return"].to_list()
    assert found.trials == 2


@pytest.mark.parametrize(("grid", "words"), [("entry_bars=2:500:1,exit_bars=2,3", "998 combinations"), ("x=1", "'x'")])
def test_a_grid_too_large_or_of_other_parameters_is_refused(grid: str, words: str) -> None:
    with pytest.raises((ValueError, GridRefused), match=words):
        made(grid)
