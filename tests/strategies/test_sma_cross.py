from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies.bars import prepared
from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.one_pass import period_signals
from qmworkbench.strategies.parameters import ParameterError, Value
from qmworkbench.strategies.sma_cross import DEFINITION
from tests.strategies.bar_cases import Px, forex, made

SMALL: Mapping[str, Value] = {"fast_bars": 2, "slow_bars": 4, "atr_bars": 2, "stop_atr": 1.0}
DOWN = [10.6, 10.4, 10.2, 10.0]
END = [10.0] * 2


def told(rows: Sequence[float | Px | None], **overrides: Value) -> pl.DataFrame:
    market = made({"A": rows})
    return evaluate(DEFINITION, market.bars, DEFINITION.parameters({**SMALL, **overrides}))


def at(found: pl.DataFrame, flag: str) -> list[int]:
    return found[flag].arg_true().to_list()


def test_a_cross_upwards_buys_and_one_downwards_sells() -> None:
    found = told([*DOWN, 10.1, 10.5, 10.9, 10.0, 9.4, 9.0, 9.0])
    assert at(found, "entry_long") == [5]  # 10.3 over 10.2; at the bar before 10.05 under 10.175
    assert (found["f_fast"][5], found["f_slow"][5]) == (pytest.approx(10.3), pytest.approx(10.2))
    assert at(found, "entry_short") == [8]
    assert found["f_bars_since_cross"].to_list()[5:9] == [0.0, None, None, 0.0]


def test_the_other_side_of_the_averages_ends_a_position_for_as_long_as_it_lasts() -> None:
    found = told([*DOWN, 10.1, 10.5, 10.9, 10.0, 9.4, 9.0, 9.0])
    assert at(found, "exit_long") == [3, 4, 8, 9, 10]
    assert at(found, "exit_short") == [5, 6, 7]


def test_averages_that_touch_and_part_again_have_not_crossed() -> None:
    touching = [10.0, 10.2, 10.4, 10.6, 10.1, 10.5, 11.0, 11.2, *END]
    found = told(touching)
    gap = found["f_fast"] - found["f_slow"]
    assert gap.to_list()[3:7] == [pytest.approx(0.2), pytest.approx(0.025), pytest.approx(-0.1), pytest.approx(0.2)]
    assert at(found, "entry_long") == [6]
    tie = [10.0, 10.2, 10.4, 10.6, 10.4, 10.6, 11.0, 11.2, *END]
    found = told(tie)
    assert found["f_fast"][5] == found["f_slow"][5]
    assert not found["exit_long"][5]
    assert not found["exit_short"][5]
    assert at(found, "entry_long") == []


def test_a_cross_through_a_tie_is_one_and_fires_where_it_is_left() -> None:
    found = told([10.6, 10.4, 10.2, 10.0, 10.2, 10.0, 10.6, 10.8, *END])
    assert found["f_fast"][5] == found["f_slow"][5]
    assert at(found, "entry_long") == [6]


def test_averages_tied_for_longer_than_the_slow_window_come_from_no_side() -> None:
    assert at(told([*DOWN, *[10.0] * 8, 10.3, 10.5, *END]), "entry_long") == []
    assert at(told([*DOWN, *[10.0] * 6, 10.3, 10.5, *END]), "entry_long") == [10]


def test_the_first_full_average_is_no_cross() -> None:
    assert at(told([10.0, 10.1, 10.2, 10.3, 10.4, 10.5, *END]), "entry_long") == []


def test_a_neighbours_side_is_not_ones_own() -> None:
    market = made({"A": [11.0, 10.8, 10.6, 10.4, 10.2, 10.0], "B": [10.0, 10.2, 10.4, 10.6, 10.8, 11.0]})
    found = evaluate(DEFINITION, market.bars, DEFINITION.parameters({**SMALL, "enter_within_bars": 3}))
    assert not found["entry_long"].any()
    assert found["f_bars_since_cross"].null_count() == found.height


def test_within_some_bars_of_the_cross_an_entry_may_follow_the_close_of_the_other_side() -> None:
    rows = [*DOWN, 10.1, 10.5, 10.9, 11.0, 11.0, 11.0]
    assert at(told(rows, enter_within_bars=3), "entry_long") == [5, 6, 7]
    assert told(rows, enter_within_bars=3)["f_bars_since_cross"].to_list()[5:9] == [0.0, 1.0, 2.0, None]


@pytest.mark.parametrize(
    ("overrides", "entered"),
    [
        ({"from_bar": 5}, [5]),
        ({"from_bar": 6}, []),
        ({"min_bars_left": 2}, [5]),
        ({"min_bars_left": 3}, []),
        ({"min_atr_bps": 230.0}, [5]),  # ATR 0.25 of 10.5 is 238 bps
        ({"min_atr_bps": 240.0}, []),
        ({"long": False}, []),
    ],
)
def test_the_window_the_least_range_and_the_side(overrides: dict[str, Value], entered: list[int]) -> None:
    assert at(told([*DOWN, 10.1, 10.5, *END], **overrides), "entry_long") == entered


def test_stop_and_plan() -> None:
    row = told([*DOWN, 10.1, 10.5, *END], target_r=2.0, trail_bps=80, max_hold_bars=7).row(5, named=True)
    assert row["f_atr"] == pytest.approx(0.25)
    assert (row["stop"], row["target"]) == (10.25, 11.0)
    assert (row["trail_bps"], row["max_hold_bars"]) == (80, 7)
    short = told([10.0, 10.2, 10.4, 10.6, 10.5, 10.1, *END], target_r=2.0).row(5, named=True)
    assert short["entry_short"]
    assert short["stop"] > short["f_fast"] > short["target"]


def test_windows_that_could_not_cross_and_no_side_at_all_are_refused() -> None:
    with pytest.raises(ParameterError, match="fast_bars = 30 must be below slow_bars = 30"):
        DEFINITION.parameters({"fast_bars": 30})
    with pytest.raises(ParameterError, match="long and short are both false"):
        DEFINITION.parameters({"long": False, "short": False})


# ── exact ties ────────────────────────────────────────────────────────────────────────────────────────────────────────

TICKS = st.lists(st.integers(20, 26), min_size=12, max_size=60)


def gaps(closes: Sequence[float], fast: int, slow: int, tick: float) -> list[int | None]:
    gap = ind.sma_gap("close", fast, slow)
    frame = prepared(made({"A": closes, "B": closes[::-1]}, tick=tick).bars)
    for stage in gap.stages:
        frame = frame.with_columns(stage)
    return frame[gap.name].to_list()


@given(TICKS, st.integers(1, 4), st.integers(5, 10), st.sampled_from([0.01, 0.00001, 0.25]))
def test_the_sign_is_that_of_exact_fractions(ticks: list[int], fast: int, slow: int, tick: float) -> None:
    unit = Fraction(str(tick)) if tick != 0.00001 else Fraction(1, 100_000)
    expected: list[int | None] = []
    for row in (ticks, ticks[::-1]):
        for end in range(1, len(row) + 1):
            if end < slow:
                expected.append(None)
                continue
            quick, lazy = (Fraction(sum(row[end - n : end]), n) for n in (fast, slow))
            exact = (quick - lazy) * unit * fast * slow * 100_000_000
            expected.append(int(exact))
    assert gaps([px * tick for px in ticks], fast, slow, tick) == expected


def test_hundreds_of_true_ties_are_ties_and_float_sums_lean_in_some() -> None:
    """The trap this comparison is made for: running float sums of the same closes lean to a side."""
    ticks = [1000 + (7 * bar * bar + 3 * bar) % 11 for bar in range(4000)]
    row = [px / 100 for px in ticks]
    tied = [2 * sum(ticks[end - 5 : end]) == sum(ticks[end - 10 : end]) for end in range(10, len(ticks) + 1)]
    assert sum(tied) > 300
    assert [gap == 0 for gap in gaps(row, 5, 10, 0.01)[9 : len(row)]] == tied
    total = np.cumsum([0.0, *row])
    floats = (total[10:] - total[5:-5]) / 5 - (total[10:] - total[:-10]) / 10
    assert (np.array(tied) & (floats != 0)).any()


def test_prices_of_half_a_million_do_not_overflow() -> None:
    closes = [500_000.0 + bar % 7 for bar in range(1100)]
    found = gaps(closes, 499, 500, 0.01)[1099]
    quick, lazy = (Fraction(sum(Fraction(px) for px in closes[-n:]), n) for n in (499, 500))
    assert found == (quick - lazy) * 499 * 500 * 100_000_000


def test_it_trades_hours_of_nine_pairs_both_ways(shared_data: Path) -> None:
    market = forex(shared_data, sessions=14)
    found = period_signals(DEFINITION, market.bars, market.grids, DEFINITION.parameters({"flat": "carry"}))
    entered = found.filter(pl.col("entry_long") | pl.col("entry_short"))
    assert entered["symbol"].n_unique() == 9
    assert entered["entry_long"].sum() > 20
    assert entered["entry_short"].sum() > 20
    assert entered["masked"].null_count() == entered.height
