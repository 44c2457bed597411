"""A combination of a sweep is a backtest: the same figures from `backtest`, which takes another way to them."""

from pathlib import Path

import pytest

from qmworkbench.research.backtests.backtest import Sizing, Terms, backtest
from qmworkbench.research.backtests.period_bars import read_period
from qmworkbench.research.sweeps.sweep import How, sweep
from qmworkbench.research.sweeps.sweep_engine import Setting
from qmworkbench.service.bar_sources import open_bars
from qmworkbench.strategies.catalog import get
from tests.research.sweeps.sweep_cases import NoSecondOpinion

TERMS = Terms(fee_rate=1e-4, fee_per_unit=0.003, slippage_rate=1e-4)


@pytest.mark.parametrize(
    ("strategy", "grid"),
    [
        ("sma-cross", "fast=5,slow=15,stop_atr=1:2,trail=0,30"),
        ("donchian", "entry_bars=20,trail=0,30"),
        ("rsi-reversion", "rsi_bars=9,target_at=mean,r,target_r=1"),
        ("opening-range", "trail_bps=0,20"),
    ],
)
def test_every_combination_is_what_a_backtest_of_it_says(tmp_path: Path, strategy: str, grid: str) -> None:
    source, definition = open_bars("demo:7:2", data=tmp_path), get(strategy)
    names = source.symbols()[:1]
    how = How(threads=1, sample=NoSecondOpinion())
    done = sweep(definition, read_period(source, symbols=names), grid, setting=Setting(TERMS), how=how)
    known = {spec.name for spec in definition.parameter_specs}
    for row in done.rows.iter_rows(named=True):
        params = definition.parameters({name: value for name, value in row.items() if name in known})
        alone = backtest(
            definition, source, params, symbols=names, terms=TERMS, sizing=Sizing("cash", 25_000.0), cash=100_000.0
        )
        metrics = alone.manifest(code_version="").metrics
        assert row["trades"] == metrics["trades"] > 0
        for name in ("total_return", "sharpe", "max_drawdown", "win_rate", "profit_factor"):
            assert row[name] == pytest.approx(metrics[name], rel=1e-9, abs=1e-12), name
