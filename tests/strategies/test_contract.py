import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.strategies.bars import BarsFault
from qmworkbench.strategies.contract import SIGNAL_SCHEMA, StrategyFault, cleaned, evaluate
from qmworkbench.strategies.definition import StrategyDefinition
from tests.strategies.bar_cases import made
from tests.strategies.planted import planted

MARKET = made({"A": [99.0, 101.0, 102.0], "B": [101.0, 99.0, 101.0]})
ENTRIES = [(False), (True), (False), (True), (False), (False)]  # the last bar of each symbol ends the session


def test_an_answer_has_the_rows_of_the_bars_and_the_columns_of_the_contract() -> None:
    found = evaluate(planted(), MARKET.bars, {})
    assert found.schema == pl.Schema({**SIGNAL_SCHEMA, "f_close": pl.Float64()})
    assert found.select("symbol", "ts").equals(MARKET.bars.select("symbol", "ts"))
    assert found["entry_long"].to_list() == ENTRIES


def test_levels_and_limits_are_there_on_entries_alone() -> None:
    levels = {"stop": pl.col.close - 1, "target": pl.col.close + 2, "trail_bps": pl.lit(50, pl.Int32)}
    found = evaluate(planted(plan=levels), MARKET.bars, {})
    assert found["stop"].to_list() == [None, 100.0, None, 100.0, None, None]
    assert found["target"].to_list() == [None, 103.0, None, 103.0, None, None]
    assert found["trail_bps"].to_list() == [None, 50, None, 50, None, None]
    assert found["max_hold_bars"].null_count() == 6


@pytest.mark.parametrize(
    ("plan", "flags", "said"),
    [
        ({"stop": pl.col.close * 1.0}, {}, "long stop is not between zero and the close"),
        ({"stop": pl.lit(0.0)}, {}, "long stop is not between zero and the close"),
        ({"target": pl.col.close * 1.0}, {}, "long target is not above the close"),
        (
            {"stop": pl.col.close * 1.0},
            {"entry_long": pl.lit(False), "entry_short": pl.col.close > 100},
            "short stop is",
        ),
        (
            {"target": pl.lit(-1.0)},
            {"entry_long": pl.lit(False), "entry_short": pl.col.close > 100},
            "short target is not between zero and the close",
        ),
    ],
)
def test_an_entry_with_a_level_on_the_wrong_side_is_taken_back_with_its_reason(
    plan: dict[str, pl.Expr], flags: dict[str, pl.Expr], said: str
) -> None:
    found = evaluate(planted(plan=plan, **flags), MARKET.bars, {})
    assert not found["entry_long"].any()
    assert not found["entry_short"].any()
    assert found["stop"].null_count() == found["target"].null_count() == 6
    assert found["masked"].is_not_null().to_list() == ENTRIES
    assert said in found["masked"][1]


def test_only_the_entry_at_fault_is_taken_back() -> None:
    plan = {"stop": pl.when(pl.col.symbol == "A").then(pl.col.close + 1).otherwise(pl.col.close - 1)}
    found = evaluate(planted(plan=plan), MARKET.bars, {})
    assert found["entry_long"].to_list() == [False, False, False, True, False, False]
    assert found["stop"].to_list() == [None, None, None, 100.0, None, None]


FAULTS: list[tuple[StrategyDefinition, str]] = [
    (planted({"s_x": pl.col.nothing}), "raised ColumnNotFoundError: .*nothing"),
    (planted({"s_x": pl.col.close.head(2)}), "raised .*2"),
    (planted(entry_long=pl.col.close), "column 'entry_long' is Float64, expected Boolean"),
    (planted(without=["exit_long"]), "column 'exit_long' is missing"),
    (planted(without=["f_close"]), "column 'f_close' is missing"),
    (planted(f_close=pl.col.bar), "column 'f_close' is Int32, expected Float64"),
    (planted(exit_long=pl.col.close.shift(1) > 0), "column 'exit_long' has 1 nulls; say false"),
    (planted(plan={"stop": pl.lit(float("nan"))}), "column 'stop' holds a value that is no number"),
    (planted(plan={"target": pl.lit(float("inf"))}), "column 'target' holds a value that is no number"),
    (planted(plan={"stop": pl.col.close - 0.004}), "column 'stop' has a level between two ticks"),
    (planted(plan={"stop": pl.lit(1)}), "column 'stop' is Int32, expected Float64"),
    (planted(plan={"trail_bps": pl.lit(0, pl.Int32)}), "column 'trail_bps' holds 0; null means none"),
    (planted(plan={"max_hold_bars": pl.lit(-1, pl.Int32)}), "column 'max_hold_bars' holds -1"),
    (planted(plan={"stop": pl.col.nothing}), "raised ColumnNotFoundError"),
    (planted(without=["target"]), "column 'target' is missing"),
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
