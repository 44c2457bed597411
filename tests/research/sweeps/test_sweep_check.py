"""The sample that vectorbt simulates again: agreed to 1e-9, or the sweep is wrong and says where."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from qmworkbench.research.fills.measure import Figure
from qmworkbench.research.fills.real_bars import figures_of
from qmworkbench.research.fills.tape import Decisions, Terms
from qmworkbench.research.fills.vectorbt_rows import one_row
from qmworkbench.research.sweeps.grid import all_of
from qmworkbench.research.sweeps.grid_text import parse_grid
from qmworkbench.research.sweeps.plain_rules import SMA_PLAIN, definition_of
from qmworkbench.research.sweeps.sweep import How, sweep
from qmworkbench.research.sweeps.sweep_bars import sweep_bars
from qmworkbench.research.sweeps.sweep_check import (
    COMPARED,
    Case,
    Checked,
    CheckFailed,
    SweepDiffers,
    compared,
    in_vectorbt,
)
from qmworkbench.research.sweeps.sweep_engine import Engine, Setting, quantities
from qmworkbench.research.sweeps.sweep_runner import part_of
from qmworkbench.research.sweeps.sweep_signals import RuleBook, decided, evaluated
from tests.research.sweeps.sweep_cases import NoSecondOpinion, walk

FIGURES = {name: 1.5 for name in COMPARED}


def _case(number: int) -> Case:
    none = np.zeros(3, np.bool_)
    nothing = np.zeros(3)
    empty = Decisions(
        none, none, none, none, nothing, nothing, nothing.astype(np.int32), nothing.astype(np.int32), nothing
    )
    return Case(f"combination {number} on AAA", number, "AAA", empty)


def test_a_figure_that_is_off_is_named_with_both_values_and_the_distance() -> None:
    theirs = [dict(FIGURES), FIGURES | {"sharpe": 1.5 + 1e-8, "fees": None}]
    with pytest.raises(SweepDiffers) as differs:
        compared([_case(1), _case(2)], lambda *_: FIGURES, theirs, "vectorbt")

    assert len(differs.value.findings) == 2
    assert differs.value.findings[0].startswith("combination 2 on AAA: sharpe is 1.5 here and 1.50000001 in vectorbt")
    assert "fees is 1.5 here and None" in differs.value.findings[1]
    assert "use none of its results" in differs.value.remedy


def test_what_agrees_is_counted_and_what_failed_here_is_not_asked_about() -> None:
    ours: dict[int, Any] = {1: FIGURES, 2: None, 3: FIGURES | {"sharpe": None}}
    theirs = [FIGURES | {"sharpe": 1.5 + 1e-12}, {"error": "CashBound: cash"}, FIGURES | {"sharpe": None}]
    told = compared([_case(n) for n in (1, 2, 3)], lambda n, _: ours[n], theirs, "vectorbt")

    assert told.cases == 2
    assert 0 < told.max_abs_diff < 1e-11
    with pytest.raises(CheckFailed, match="combination 3 on AAA: it cannot"):
        compared([_case(3)], lambda *_: FIGURES, [{"error": "it cannot"}], "vectorbt")


class Disagreeing(NoSecondOpinion):
    """A second opinion that is another one."""

    def result(self, rows: pl.DataFrame) -> Checked:
        return compared([_case(1)], lambda *_: FIGURES, [FIGURES | {"trades": 2}], "vectorbt")


def test_a_sweep_that_vectorbt_contradicts_fails_and_is_never_complete(tmp_path: Path) -> None:
    how = How(threads=1, sample=Disagreeing())
    with pytest.raises(SweepDiffers, match=r"combination 1 on AAA: trades is 1\.5 here and 2 in vectorbt"):
        sweep("sma-plain", walk(200), "fast=2,slow=5", out=tmp_path, how=how)

    assert json.loads((tmp_path / "manifest.json").read_text())["status"] == "running"
    assert not (tmp_path / "results.parquet").exists()


@pytest.mark.slow
def test_one_row_and_two_rows_agree_with_the_kernel() -> None:
    """A carried rule without a stop needs one row a bar, stops and a flat close need two."""
    over = sweep_bars(walk(900, seed=1))
    one, setting = over.symbols[0], Setting(Terms(fee_rate=1e-4, fee_per_order=0.5, slippage_rate=1e-4))
    told_of = set()
    for strategy, grid in (("sma-plain", "fast=2:3,slow=9"), ("sma-cross", "fast=2:3,slow=9,stop_atr=1,target_r=1.5")):
        definition = definition_of(strategy)
        found = all_of(parse_grid(grid, definition), definition)
        with Engine(definition, over, setting, threads=1) as engine:
            rows = part_of(engine, found)[0]
        for at in range(len(found)):
            params, row = found.params(at), rows.row(at, named=True)
            rule = evaluated(RuleBook(definition).program(params)[0], one)
            decisions = decided(definition, params, one, rule, quantities(one, setting))
            figures, how = in_vectorbt(one.tape, decisions, setting.terms, setting.cash, over.bars_a_year)
            assert row["trades"] > 10
            assert {name: row[name] for name in COMPARED} == pytest.approx(figures, rel=1e-9, abs=1e-9)
            told_of.add(how.partition(", ")[2])
    assert told_of == {"one row a bar", "two rows a bar, rust"}


@pytest.mark.slow
def test_five_thousand_adversarial_combinations_equal_vectorbt() -> None:
    """Ticks from a hundredth to one, ties, gaps, flat prices, averages that start above: no mismatch."""

    grid = parse_grid("fast=1:10,slow=2:21,long=true", SMA_PLAIN)
    setting = Setting(Terms(fee_rate=1e-4, slippage_rate=1e-4))
    compared_places = [
        Figure.TOTAL_RETURN,
        Figure.SHARPE,
        Figure.MAX_DRAWDOWN_CLOSES,
        Figure.TRADES,
        Figure.OPEN_TRADES,
        Figure.WINS,
        Figure.WIN_RATE,
        Figure.PROFIT_FACTOR,
        Figure.FEES,
    ]
    tried = trades = 0
    for seed in range(34):
        tick = (0.01, 0.05, 0.25, 1.0)[seed % 4]
        start = (10_000, 40, 700)[seed % 3]
        frame = walk(
            220, seed=seed, tick=tick, start=start, step=1 + seed % 5, calm=0.1 + 0.2 * (seed % 4), missing=0.1
        )
        over = sweep_bars(frame, as_printed=True)
        found = all_of(grid, SMA_PLAIN)
        one, qty = over.symbols[0], quantities(over.symbols[0], setting)
        with Engine(SMA_PLAIN, over, setting, threads=2) as engine:
            ours = engine.run(found)["AAA"].figures
        told = figures_of(one_row(one.tape, _flags(one.tape, found, qty), setting.terms, setting.cash, engine="rust"))
        a, b = ours[:, compared_places], told[:, compared_places]
        a, b = np.where(np.isfinite(a), a, np.nan), np.where(np.isfinite(b), b, np.nan)
        assert np.allclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True), f"seed {seed}"
        tried += len(found)
        trades += int(ours[:, Figure.TRADES].sum())
    assert tried >= 5_000
    assert trades > 10_000


def _flags(tape: Any, found: Any, qty: Any) -> list[Decisions]:
    """The rule anew, in whole ticks and plain sums."""
    ticks = np.round(tape.close / tape.tick).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(ticks)])
    none, nothing, zero = np.zeros(len(tape), np.bool_), np.full(len(tape), np.nan), np.zeros(len(tape), np.int32)
    several = []
    for at in range(len(found)):
        fast, slow = found.params(at)["fast_bars"], found.params(at)["slow_bars"]
        gap = np.full(len(tape), np.nan)
        few = total[slow:] - total[slow - fast : -fast]
        gap[slow - 1 :] = few * slow - (total[slow:] - total[:-slow]) * fast
        before = np.concatenate([[np.nan], gap[:-1]])
        enter = (gap > 0) & (before <= 0)
        several.append(Decisions(enter, none, gap < 0, none, nothing, nothing, zero, zero, qty, flat_at_close=False))
    return several
