from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.strategies.bars import BarsFault
from qmworkbench.strategies.contract import SIGNAL_SCHEMA, StrategyFault, cleaned, evaluate
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.exits import Entries, ExitPlan
from tests.strategies.bar_cases import made
from tests.strategies.planted import plan_of, planted

MARKET = made({"A": [99.0, 101.0, 102.0], "B": [101.0, 99.0, 101.0]})
LONG: dict[str, pl.Expr] = {}
SHORT = {"entry_long": pl.lit(False), "entry_short": pl.col.close > 100}
ENTRIES = [(False), (True), (False), (True), (False), (False)]  # the last bar of each symbol ends the session


def test_an_answer_has_the_rows_of_the_bars_and_the_columns_of_the_contract() -> None:
    found = evaluate(planted(), MARKET.bars, {})
    assert found.schema == pl.Schema({**SIGNAL_SCHEMA, "f_close": pl.Float64()})
    assert found.select("symbol", "ts").equals(MARKET.bars.select("symbol", "ts"))
    assert found["entry_long"].to_list() == ENTRIES


def test_levels_and_limits_are_there_on_entries_alone() -> None:
    plan = plan_of(lambda entries: entries.close - 1, lambda entries: entries.close + 2, trail_bps=50)
    found = evaluate(planted(plan=plan), MARKET.bars, {})
    assert found["stop"].to_list() == [None, 100.0, None, 100.0, None, None]
    assert found["target"].to_list() == [None, 103.0, None, 103.0, None, None]
    assert found["trail_bps"].to_list() == [None, 50, None, 50, None, None]
    assert found["max_hold_bars"].null_count() == 6


def at_close(entries: Entries) -> np.ndarray:
    return entries.close * 1.0


@pytest.mark.parametrize(
    ("plan", "flags", "said"),
    [
        (plan_of(stop=at_close), LONG, "long stop is not between zero and the close"),
        (plan_of(stop=0.0), LONG, "long stop is not between zero and the close"),
        (plan_of(target=at_close), LONG, "long target is not above the close"),
        (plan_of(stop=at_close), SHORT, "short stop is not above the close"),
        (plan_of(target=at_close), SHORT, "short target is not between zero and the close"),
        (plan_of(target=-1.0), SHORT, "short target is not between zero and the close"),
    ],
)
def test_an_entry_with_a_level_on_the_wrong_side_is_taken_back_with_its_reason(
    plan: Callable[[Entries], ExitPlan], flags: dict[str, pl.Expr], said: str
) -> None:
    found = evaluate(planted(plan=plan, **flags), MARKET.bars, {})
    assert not found["entry_long"].any()
    assert not found["entry_short"].any()
    assert found["stop"].null_count() == found["target"].null_count() == 6
    assert found["masked"].is_not_null().to_list() == ENTRIES
    assert said in found["masked"][1]


def test_only_the_entry_at_fault_is_taken_back() -> None:
    found = evaluate(planted(plan=plan_of(stop=lambda entries: np.array([102.0, 100.0]))), MARKET.bars, {})
    assert found["entry_long"].to_list() == [False, False, False, True, False, False]
    assert found["stop"].to_list() == [None, None, None, 100.0, None, None]
    assert found["masked"].to_list() == [None, "long stop is not between zero and the close", *[None] * 4]


FAULTS: list[tuple[StrategyDefinition, str]] = [
    (planted({"s_x": pl.col.nothing}), "raised ColumnNotFoundError: .*nothing"),
    (planted({"s_x": pl.col.close.head(2)}), "raised .*2"),
    (planted(entry_long=pl.col.close), "column 'entry_long' is Float64, expected Boolean"),
    (planted(without=["exit_long"]), "column 'exit_long' is missing"),
    (planted(without=["f_close"]), "column 'f_close' is missing"),
    (planted(f_close=pl.col.bar), "column 'f_close' is Int32, expected Float64"),
    (planted(exit_long=pl.col.close.shift(1) > 0), "column 'exit_long' has 1 nulls; say false"),
    (planted(plan=plan_of(stop=-np.inf)), "stop holds an infinite level; NaN means none"),
    (planted(plan=plan_of(target=np.inf)), "target holds an infinite level"),
    (planted(plan=plan_of(stop=lambda entries: entries.close - 0.004)), "stop has a level between two ticks"),
    (planted(plan=plan_of(stop=lambda _: np.array([1.0]))), r"stop holds \(1,\) float64, expected \(2,\) float64"),
    (planted(plan=plan_of(stop=lambda _: np.array([1, 1]))), r"stop holds \(2,\) int64, expected \(2,\) float64"),
    (planted(plan=plan_of(stop=lambda _: 1.0)), "raised AttributeError"),
    (planted(plan=plan_of(trail_bps=0)), "trail_bps is 0, expected a whole number above zero; None means none"),
    (planted(plan=plan_of(trail_bps=50)), "trail_bps trails a stop, and an entry has none; give every entry the level"),
    (planted(plan=plan_of(max_hold_bars=-1)), "max_hold_bars is -1"),
    (planted(plan=plan_of(max_hold_bars=1.5)), "max_hold_bars is 1.5"),
    (planted(plan=plan_of(stop=lambda entries: entries.features["f_gone"])), "raised KeyError: 'f_gone'"),
]


@pytest.mark.parametrize(("definition", "said"), FAULTS, ids=[said for _, said in FAULTS])
def test_a_breach_names_the_strategy_and_what_is_wrong(definition: StrategyDefinition, said: str) -> None:
    with pytest.raises(StrategyFault, match=f"(?s)strategy planted: {said}"):
        evaluate(definition, MARKET.bars, {})


def test_bars_without_a_column_are_not_the_strategys_fault() -> None:
    with pytest.raises(BarsFault, match="no column bars_left"):
        evaluate(planted(), MARKET.bars.drop("bars_left"), {})


def test_no_bars_have_no_signals() -> None:
    assert evaluate(planted(), MARKET.bars.clear(), {}).height == 0


BIT = st.lists(st.booleans(), min_size=5, max_size=5)


@given(st.lists(st.tuples(BIT, st.integers(0, 2)), min_size=1, max_size=30))
def test_cleaning_follows_its_order_row_by_row(rows: list[tuple[list[bool], int]]) -> None:
    flags = np.array([row for row, _ in rows])[:, :4]
    left = np.array([bars for _, bars in rows], dtype=np.int32)
    found_long, found_short = cleaned(*(flags[:, at].copy() for at in range(4)), bars_left=left)
    for at, ((enter_long, enter_short, exit_long, exit_short, _), bars) in enumerate(rows):
        long, short = enter_long, enter_short
        if exit_long:
            long = False
        if exit_short:
            short = False
        if long and short:
            long = short = False
        if bars == 0:
            long = short = False
        assert (bool(found_long[at]), bool(found_short[at])) == (long, short)
