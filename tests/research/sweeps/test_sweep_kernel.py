"""The kernel's rules against the strategies' own expressions, its short ways against its long ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from qmworkbench.research.fills.fill_kernel import events_of, scratch
from qmworkbench.research.fills.fill_walk import walk as fill
from qmworkbench.research.fills.measure import measure
from qmworkbench.research.fills.tape import Terms
from qmworkbench.research.sweeps import sweep_engine
from qmworkbench.research.sweeps.grid import all_of
from qmworkbench.research.sweeps.grid_text import parse_grid
from qmworkbench.research.sweeps.plain_rules import definition_of
from qmworkbench.research.sweeps.rule_families import Shared
from qmworkbench.research.sweeps.rule_kernels import gap_sides
from qmworkbench.research.sweeps.sweep_bars import SymbolBars, sweep_bars
from qmworkbench.research.sweeps.sweep_engine import Block, Engine, Setting, _costs, quantities
from qmworkbench.research.sweeps.sweep_kernel import LEAST_CASH
from qmworkbench.research.sweeps.sweep_signals import ReadParams, RuleBook, column_of, decided, evaluated
from qmworkbench.strategies.indicators import sma_gap
from tests.research.sweeps.sweep_cases import walk

TERMS = Terms(fee_rate=1e-4, fee_per_order=0.35, fee_per_unit=0.005, slippage_rate=2e-4)
GRIDS = {
    "sma-plain": "fast=1:4,slow=3:12:3,long=true,false,short=true,false,flat=carry,at_close",
    "sma-cross": "fast=2,5,slow=3:12:3,enter_within=1,4,10,stop_atr=0.5,3,target_r=0,1.5,trail=0,40,max_hold=0,7,"
    "flat=carry,at_close,min_atr_bps=0,5",
    "donchian": "entry_bars=2,6,exit_bars=2,9,stop_atr=0.5,3,target_r=0,1.5,trail=0,40,max_hold=0,7,"
    "flat=carry,at_close,from_bar=0,9,short=true,false",
    "rsi-reversion": "rsi_bars=2,5,mean_bars=4,9,oversold=20,45,exit_rsi=50,70,min_stretch_atr=0,0.3,"
    "max_stretch_atr=0,2,atr_bars=3,stop_atr=0.5,3,target_at=mean,r,target_r=0,1.5,trail=0,40,max_hold=0,7,flat=carry,at_close",
}


def _both_ways(strategy: str, frame: pl.DataFrame, seed: int, count: int, setting: Setting) -> tuple[Block, Block]:
    """The same combinations by the kernel's family and by the strategy's expressions."""
    definition, bars = definition_of(strategy), sweep_bars(frame, as_printed=True)
    found = all_of(parse_grid(GRIDS[strategy], definition), definition)
    places = np.sort(np.random.default_rng(seed).choice(len(found), min(count, len(found)), replace=False))
    with Engine(definition, bars, setting, threads=2) as engine:
        assert engine.family is not None
        fast = engine.run(found.taken(places))["AAA"]
        engine.family = None
        slow = engine.run(found.taken(places))["AAA"]
    return fast, slow


@pytest.mark.parametrize("strategy", list(GRIDS))
@pytest.mark.parametrize(
    "bars",
    [
        {"height": 400, "seed": 1, "calm": 0.6, "step": 1},  # ties in most bars
        {"height": 300, "seed": 2, "tick": 1.0, "start": 60, "step": 2},
        {"height": 500, "seed": 3, "tick": 0.25, "missing": 0.3, "step": 9},
    ],
)
def test_the_family_says_what_the_expressions_say_bit_for_bit(strategy: str, bars: dict[str, Any]) -> None:
    fast, slow = _both_ways(strategy, walk(**bars), seed=bars["seed"], count=24, setting=Setting(TERMS))

    assert np.array_equal(fast.figures, slow.figures, equal_nan=True)
    assert np.array_equal(fast.marked, slow.marked)
    assert fast.reasons == slow.reasons
    assert (slow.figures[:, 4] > 0).any()


@pytest.mark.parametrize("strategy", list(GRIDS))
def test_history_in_front_of_the_tape_is_looked_back_to_and_not_traded(strategy: str) -> None:
    definition, frame = definition_of(strategy), walk(360, seed=4)
    found = all_of(parse_grid(GRIDS[strategy], definition), definition)
    few = found.taken(np.arange(0, len(found), max(1, len(found) // 9)))
    whole = sweep_bars(frame)
    from_day = _later(whole.symbols[0], 120)
    with Engine(definition, replace(whole, symbols=(from_day,)), Setting(TERMS), threads=1) as engine:
        fast = engine.run(few)["AAA"]
        engine.family = None
        slow = engine.run(few)["AAA"]
    with Engine(definition, whole, Setting(TERMS), threads=1) as engine:
        all_traded = engine.run(few)["AAA"]

    assert from_day.history == 120
    assert np.array_equal(fast.figures, slow.figures, equal_nan=True)
    assert fast.figures[:, 4].sum() < all_traded.figures[:, 4].sum()


def _later(bars: SymbolBars, rows: int) -> SymbolBars:
    """The same symbol with its first rows as history."""
    cut = sweep_bars(bars.frame.select(walk(1).columns)[rows:]).symbols[0]
    return SymbolBars(bars.symbol, bars.frame, rows, cut.tape, cut.marks, cut.mark_us)


def test_figures_by_stretches_are_those_by_bars() -> None:
    """Equity valued at stretches and blocks, against every close looked at."""
    definition, bars = definition_of("sma-plain"), sweep_bars(walk(2_000, seed=5, step=40))
    found = all_of(parse_grid("fast=1:9:2,slow=11:60:7,short=true,false", definition), definition)
    setting = Setting(TERMS, cash=50_000.0, position=49_000.0)
    with Engine(definition, bars, setting, threads=1) as engine:
        block = engine.run(found)["AAA"]
        market = engine._markets["AAA"]
        one = bars.symbols[0]
        book = RuleBook(definition)
        for at in range(len(found)):
            params = found.params(at)
            decisions = decided(
                definition, params, one, evaluated(book.program(params)[0], one), quantities(one, setting)
            )
            events = events_of(one.tape, decisions)
            out = scratch(events)
            fills, _ = fill(market.rows, events, _costs(setting, flat=False), out)
            figures, sessions = np.full(len(block.figures[at]) - 1, np.nan), np.full(len(one.marks), np.nan)
            measure(market.rows, out, fills, setting.cash, figures, sessions)
            assert np.allclose(block.figures[at][:LEAST_CASH], figures, rtol=1e-11, atol=1e-11, equal_nan=True)
            assert np.allclose(block.marked[at], sessions, rtol=1e-12, atol=0)
    assert (block.figures[:, 2] < -0.05).any()


def test_a_gap_of_averages_is_compared_in_the_exact_integers_of_the_indicator() -> None:
    one = sweep_bars(walk(400, seed=6, calm=0.7, step=1)).symbols[0]
    ties = 0
    for fast, slow in ((1, 2), (2, 4), (3, 6), (5, 10), (7, 30), (399, 400), (5, 500)):
        side = np.zeros(400, np.int8)
        gap_sides(Shared(one).totals(), fast, slow, side)
        indicator = sma_gap("close", fast, slow)
        gap = column_of(one, indicator.stages, indicator.name)
        assert side.tolist() == gap.sign().fill_null(0).to_list()
        ties += int((gap == 0).sum())
    assert ties > 50


def test_a_rule_is_known_by_what_it_reads() -> None:
    definition = definition_of("donchian")
    book = RuleBook(definition)
    keys = {
        book.program(definition.parameters({"entry_bars": n, "stop_atr": stop, "trail_bps": trail}))[1]
        for n in (5, 9)
        for stop in (1.0, 2.0, 3.0)
        for trail in (0, 50)
    }

    assert (len(keys), book.built) == (2, 2)
    seen = ReadParams({"a": 1, "b": 2})
    assert dict(seen) == {"a": 1, "b": 2}
    assert set(seen.read) == {"a", "b"}


def test_cash_that_would_have_bound_is_a_failure_with_the_sum() -> None:
    definition, bars = definition_of("sma-plain"), sweep_bars(walk(1_500, seed=7))
    found = all_of(parse_grid("fast=2,slow=5,short=true", definition), definition)
    with Engine(definition, bars, Setting(Terms(fee_per_order=200.0), 10_000.0, 9_000.0), threads=1) as engine:
        block = engine.run(found)["AAA"]

    assert "cash would have bound" in block.reasons[0]


def test_columns_that_would_not_fit_are_shared_by_fewer_combinations(monkeypatch: pytest.MonkeyPatch) -> None:
    definition, bars = definition_of("donchian"), sweep_bars(walk(300, seed=8))
    found = all_of(parse_grid("entry_bars=2:14,exit_bars=3:9:3", definition), definition)
    with Engine(definition, bars, Setting(TERMS), threads=1) as engine:
        at_once = engine.run(found)["AAA"]
        monkeypatch.setattr(sweep_engine, "SHARED_BYTES", 300 * 100)
        bounded = engine.run(found)["AAA"]
        stretches = list(engine._bounded(bars.symbols[0], found, 0, len(found)))
        held = sum(column.nbytes for column in engine._shared["AAA"].columns.values())

    assert len(stretches) > 4
    assert [first for first, _ in stretches[1:]] == [last for _, last in stretches[:-1]]
    assert held < 4 * 300 * 100
    assert np.array_equal(at_once.figures, bounded.figures, equal_nan=True)
