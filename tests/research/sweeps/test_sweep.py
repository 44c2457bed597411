"""Sweeps from end to end: rows, several symbols, bad bars, failing strategies, and what the best is worth."""

import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from qmworkbench.research.fills.tape import Terms
from qmworkbench.research.statistics.verdict import LUCK
from qmworkbench.research.sweeps.grid import GridRefused
from qmworkbench.research.sweeps.plain_rules import SMA_PLAIN
from qmworkbench.research.sweeps.sweep import How, SweepResult, sweep
from qmworkbench.research.sweeps.sweep_bars import MARKS, fault_of, sweep_bars
from qmworkbench.research.sweeps.sweep_engine import Setting
from qmworkbench.research.sweeps.sweep_tables import FAILED, METRICS, OK, TOGETHER
from qmworkbench.strategies.bars import BarsFault
from qmworkbench.strategies.catalog import get
from tests.research.sweeps.sweep_cases import NoSecondOpinion, row_of, walk

TERMS = Terms(fee_rate=1e-5, slippage_rate=1e-5)
GRID = "fast=2:6:2,slow=8:20:6"


def quick(strategy: Any, bars: Any, grid: Any = GRID, **asked: Any) -> SweepResult:
    """A sweep that is not held against vectorbt: that is tried elsewhere."""
    how = How(threads=2, sample=NoSecondOpinion(), chunk=asked.pop("chunk", 64))
    return sweep(strategy, bars, grid, how=how, setting=asked.pop("setting", Setting(TERMS)), **asked)


def test_a_row_for_each_combination_with_its_parameters_and_figures() -> None:
    done = quick("sma-plain", walk(1_800, seed=1))

    assert done.trials == done.rows.height == 9
    assert done.rows["combination"].to_list() == list(range(9))
    assert (done.rows["status"] == OK).all()
    assert set(METRICS) < set(done.rows.columns)
    assert done.equity is not None
    assert done.equity.shape == (9, 30)
    assert np.allclose(done.equity[:, -1], done.rows["final_equity"].to_numpy(), rtol=1e-12)
    best = done.best
    assert best is not None
    assert best["sharpe"] == done.rows["sharpe"].max()


def test_the_order_and_the_size_of_chunks_change_nothing() -> None:
    frame = walk(900, seed=2)
    one, many = quick("sma-cross", frame, chunk=1_000), quick("sma-cross", frame, chunk=2)

    assert one.rows.equals(many.rows)
    assert one.worth == many.worth


def test_several_symbols_have_a_row_each_and_one_together() -> None:
    frames = [walk(1_500, symbol=name, seed=seed) for seed, name in enumerate(("AAA", "BBB"))]
    done = quick("sma-plain", pl.concat(frames))
    alone = [quick("sma-plain", frame) for frame in frames]

    for one, symbol in zip(alone, ("AAA", "BBB"), strict=True):
        assert done.rows.filter(pl.col("symbol") == symbol).equals(one.rows)
    assert done.equity is not None
    assert alone[0].equity is not None
    assert alone[1].equity is not None
    assert np.array_equal(done.equity, alone[0].equity + alone[1].equity)
    for number in range(9):
        parts = [row_of(one.rows, combination=number) for one in alone]
        together = row_of(done.rows, combination=number, symbol=TOGETHER)
        assert together["trades"] == sum(part["trades"] for part in parts)
        assert math.isclose(together["total_return"], sum(part["total_return"] for part in parts) / 2, abs_tol=1e-12)
        assert together["worst_trade"] == min(part["worst_trade"] for part in parts)
        gains = np.diff(np.concatenate([[200_000.0], done.equity[number]])) / np.concatenate(
            [[200_000.0], done.equity[number][:-1]]
        )
        assert math.isclose(together["sharpe"], gains.mean() / gains.std(ddof=1) * math.sqrt(252), rel_tol=1e-9)
    assert done.whole.height == 9
    assert done.ranking(symbol="BBB", top=2).height == 2


def _with(frame: pl.DataFrame, **columns: pl.Expr) -> pl.DataFrame:
    return frame.with_columns(**columns).cast(dict(frame.schema))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ({"close": pl.when(pl.col("bar") == 7).then(float("nan")).otherwise(pl.col("close"))}, "no number"),
        ({"high": pl.when(pl.col("bar") == 7).then(None).otherwise(pl.col("high"))}, "no number"),
        ({"low": pl.col("low") - 1e6}, "impossible"),
        ({"high": pl.col("low") - 1}, "impossible"),
        ({name: pl.lit(100.0) for name in ("open", "high", "low", "close")}, "the price never changes"),
        ({"ts": pl.col("ts").shift(1).fill_null(strategy="backward")}, "out of order or twice"),
        (
            {
                name: pl.when(pl.col("session") >= pl.date(2020, 1, 5)).then(pl.col(name) / 2).otherwise(pl.col(name))
                for name in ("open", "high", "low", "close")
            },
            "unadjusted split",
        ),
    ],
)
def test_bars_that_cannot_be_simulated_are_failed_rows_with_the_reason(spoil: Any, says: str) -> None:
    good, bad = walk(600, symbol="AAA", seed=3), walk(600, symbol="BBB", seed=4)
    done = quick("sma-plain", pl.concat([good, _with(bad, **spoil)]))

    failed = done.rows.filter(pl.col("symbol") == "BBB")
    assert (failed["status"] == FAILED).all()
    assert failed["reason"].str.contains(says).all()
    assert failed.select(METRICS).null_count().sum_horizontal().item() == failed.height * len(METRICS)
    assert says in done.manifest["failed_symbols"]["BBB"]
    assert (done.whole["status"] == OK).all()
    with pytest.raises(BarsFault, match=says):
        quick("sma-plain", _with(bad, **spoil))


def test_a_split_may_be_taken_as_printed_and_volume_of_zero_caps_all() -> None:
    frame = walk(600, seed=4)
    halved = _with(
        frame,
        **{
            name: pl.when(pl.col("session") >= pl.date(2020, 1, 5)).then(pl.col(name) / 2).otherwise(pl.col(name))
            for name in ("open", "high", "low", "close")
        },
    )
    assert fault_of(halved, as_printed=True) is None
    still = quick("sma-plain", _with(frame, volume=pl.lit(0.0)), setting=Setting(replace(TERMS, participation=0.1)))
    assert still.rows["trades"].sum() == 0
    assert still.rows["sharpe"].null_count() == still.rows.height
    assert still.best is None
    assert "judged" in still.worth.sentence


def test_too_few_bars_fail_only_the_combinations_that_need_more() -> None:
    done = quick("sma-plain", walk(100, seed=5), "fast=2,slow=20:200:60")

    told = {row["slow_bars"]: row["reason"] for row in done.rows.iter_rows(named=True)}
    assert told[20] is None
    assert told[80] is None
    assert told[140] == "too few bars: 100; it takes 143 until the first can be traded"
    assert done.ranking()["status"].to_list()[-2:] == [FAILED, FAILED]
    assert done.worth.failed == 2


def test_a_strategy_that_raises_on_one_symbol_fails_there_alone() -> None:
    base = get("vwap-pullback")

    def signals(params: Any) -> Any:
        stages = base.signals(params)
        broken = pl.col("symbol").map_elements(_only_aaa, return_dtype=pl.Boolean)
        return (*stages[:-1], [*stages[-1], broken.alias("s_planted")])

    frames = pl.concat([walk(900, symbol=name, seed=6) for name in ("AAA", "BBB")])
    spec = next(spec for spec in base.parameter_specs if isinstance(spec.approved, float))
    done = quick(msgspec.structs.replace(base, signals=signals), frames, {spec.name: [spec.approved]})

    assert (done.rows.filter(pl.col("symbol") == "AAA")["status"] == OK).all()
    failed = done.rows.filter(pl.col("symbol") == "BBB")
    assert failed["reason"].str.starts_with("the strategy failed: raised").all()
    together = done.whole
    assert (together["status"] == FAILED).all()
    assert together["reason"].str.starts_with("BBB: the strategy failed").all()
    assert done.best is None


def _only_aaa(name: str) -> bool:
    if name != "AAA":
        raise RuntimeError(f"cannot bear {name}")
    return True


def test_an_undefined_figure_is_null_and_ranks_last_either_way() -> None:
    done = quick("sma-plain", walk(500, seed=7), "fast=2,3,slow=20:480:115")

    for by in ("sharpe", "fees"):
        ranked = done.ranking(by)[by]
        assert ranked.is_null().to_list() == sorted(ranked.is_null().to_list())
    assert done.ranking("fees")["fees"].drop_nulls().is_sorted()
    assert done.ranking("sharpe")["sharpe"].null_count() > 0


def test_what_is_asked_wrongly_is_refused_before_anything_runs() -> None:
    frame = walk(300)
    with pytest.raises(GridRefused, match="no combination of the grid"):
        quick("sma-plain", frame, "fast=9,slow=3")
    with pytest.raises(GridRefused, match="there is no figure 'luck'"):
        quick("sma-plain", frame, by="luck")
    with pytest.raises(GridRefused, match="random and search are both given"):
        quick("sma-plain", frame, random=3, search=3)
    with pytest.raises(BarsFault, match="no column tick"):
        quick("sma-plain", frame.drop("tick"))
    with pytest.raises(BarsFault, match="no bars"):
        quick("sma-plain", frame.clear())
    with pytest.raises(ValueError, match=r"position 20\.00 of cash 10\.00"):
        Setting(cash=10.0, position=20.0)


def test_a_search_tries_what_its_seed_says_and_finds_no_worse_than_its_trials() -> None:
    frame = walk(1_500, seed=8)
    grid = "fast=2:20,slow=10:60"
    one, again = (quick("sma-plain", frame, grid, search=90, seed=3) for _ in range(2))

    assert one.rows.equals(again.rows)
    assert one.trials == 90
    assert one.worth.invalid > 0
    assert not one.rows.equals(quick("sma-plain", frame, grid, search=90, seed=4).rows)
    whole = quick("sma-plain", frame, grid)
    found = whole.rows.filter(pl.col("combination").is_in(one.rows["combination"].to_list()))
    assert found.equals(one.rows.sort("combination"))
    drawn = quick("sma-plain", frame, grid, random=90, seed=3)
    assert drawn.trials + drawn.worth.invalid == 90


def test_marks_are_thinned_where_there_are_many_sessions() -> None:
    days = walk(1_500, seed=9, session=1_500)
    over = sweep_bars(days)
    assert len(over.symbols[0].marks) <= MARKS
    assert over.symbols[0].marks[-1] == 1_499
    assert over.marks_a_year == over.bars_a_year / 3
    many = sweep_bars(walk(1_200, seed=9, session=2))
    assert len(many.symbols[0].marks) == 300
    assert many.marks_a_year == 126


def test_ten_thousand_combinations_of_pure_noise_are_not_distinguishable_from_luck() -> None:
    bars = walk(80 * 30, seed=10, session=30, step=9, calm=0.0)
    done = quick(SMA_PLAIN, bars, "fast=1:100,slow=101:200", chunk=1_024)

    assert done.trials == 10_000
    assert done.worth.verdict == LUCK == "not distinguishable from luck"
    assert "10,000 combinations were tried" in done.worth.sentence or "10000" in done.worth.sentence
    assert done.worth.deflated is not None
    assert done.worth.deflated < 0.95
