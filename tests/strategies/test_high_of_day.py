from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.high_of_day import DEFINITION
from qmworkbench.strategies.parameters import ParameterError, Value
from tests.strategies.bar_cases import Px, equities, made

SMALL: Mapping[str, Value] = {
    "min_run_pct": 2.0,
    "base_bars": 3,
    "max_given_back": 0.5,
    "min_break_volume": 2.0,
    "max_chase_pct": 2.0,
    "exit_bars": 3,
    "last_entry_bar": 30,
    "min_bars_left": 1,
    "min_turnover": 0.0,
    "min_price": 0.0,
    "atr_bars": 2,
    "stop_atr": 50.0,
    "min_stop_bps": 0.0,
    "max_hold_bars": 0,
}
# From 100 to a high of 103 in bar 1, then three bars around 102.5, of which the lowest low is 102.
BASE: list[float | Px | None] = [
    100.0,
    (100, 103, 100, 102.8),
    (102.5, 102.9, 102.4, 102.5),
    (102.5, 102.6, 102, 102.4),
    (102.4, 103, 102.4, 102.6),
]
BREAK = (102.6, 103.6, 102.6, 103.5)
REST = [103.5] * 3
LOUD = [1000.0] * 5 + [2000.0] + [1000.0] * 9


def told(rows: Sequence[float | Px | None], volumes: Sequence[float] = LOUD, **overrides: Value) -> pl.DataFrame:
    market = made({"A": rows}, volumes)
    return evaluate(DEFINITION, market.bars, DEFINITION.parameters({**SMALL, **overrides}))


def entries(found: pl.DataFrame) -> list[int]:
    minutes = (found["ts"] - found["ts"].min()).dt.total_minutes()
    return minutes.filter(found["entry_long"]).to_list()


def test_a_close_above_a_high_that_stood_for_the_base_enters() -> None:
    found = told([*BASE, BREAK, *REST])
    assert entries(found) == [5]
    row = found.row(5, named=True)
    assert (row["f_broken_high"], row["f_base_low"], row["f_break_volume"]) == (103, 102, 2.0)
    assert row["f_given_back"] == pytest.approx(1 / 3)
    assert row["f_run_pct"] == pytest.approx(3.0)
    assert not found["entry_short"].any()
    assert not found["exit_short"].any()


def test_meeting_the_high_is_no_break_and_no_new_high() -> None:
    at_the_high = (102.6, 103, 102.6, 103)
    assert entries(told([*BASE, at_the_high, *REST])) == []
    volumes = [1000.0] * 6 + [2000.0] + [1000.0] * 9
    assert entries(told([*BASE, at_the_high, BREAK, *REST], volumes)) == [6]  # the base goes on through the test


def test_a_break_is_followed_by_a_new_base_or_by_nothing() -> None:
    higher = [(103.5, 104, 103.5, 104), (104, 105, 104, 105)]
    volumes = [1000.0] * 5 + [9000.0, 18000.0, 36000.0] + [1000.0] * 9
    assert entries(told([*BASE, BREAK, *higher, *REST], volumes)) == [5]


@pytest.mark.parametrize(
    ("overrides", "bars"),
    [
        ({"min_run_pct": 3.0}, [5]),
        ({"min_run_pct": 3.01}, []),
        ({"base_bars": 4}, []),
        ({"max_given_back": 0.34}, [5]),
        ({"max_given_back": 0.33}, []),
        ({"min_break_volume": 2.01}, []),
        ({"max_chase_pct": 0.48}, []),  # 103.5 is 0.485 % above 103
        ({"max_chase_pct": 0.49}, [5]),
        ({"last_entry_bar": 4}, []),
        ({"last_entry_bar": 5}, [5]),
        ({"min_bars_left": 3}, [5]),
        ({"min_bars_left": 4}, []),
        ({"min_price": 103.51}, []),
        ({"min_turnover": 1e6}, []),
        ({"atr_bars": 6}, [5]),
        ({"atr_bars": 7}, []),
    ],
)
def test_what_disqualifies_a_break(overrides: dict[str, Value], bars: list[int]) -> None:
    assert entries(told([*BASE, BREAK, *REST], **overrides)) == bars


def test_a_bar_that_closes_down_is_no_break() -> None:
    assert entries(told([*BASE, (103.9, 104, 103.4, 103.5), *REST])) == []


def test_exactly_the_share_given_back_still_counts() -> None:
    rows = [*BASE[:3], (102.5, 102.6, 101.5, 102.4), BASE[4], BREAK, *REST]
    assert entries(told(rows, max_given_back=0.5)) == [5]


def test_a_close_below_the_last_bars_leaves() -> None:
    found = told([*BASE, BREAK, 102.4, 102.3, 102.3, 102.29], exit_bars=3)
    assert found["exit_long"].to_list() == [*[False] * 7, True, False, True]


@pytest.mark.parametrize(
    ("overrides", "stop"), [({}, 101.99), ({"stop_atr": 1.0}, 102.7), ({"min_stop_bps": 200.0}, 101.43)]
)
def test_the_stop_is_a_tick_under_the_base_within_its_bounds(overrides: dict[str, Value], stop: float) -> None:
    row = told([*BASE, BREAK, *REST], **overrides).row(5, named=True)  # ATR of bars 4 and 5: 0.6 and 1.0
    assert row["f_atr"] == pytest.approx(0.8)
    assert row["stop"] == stop


def test_the_exit_plan_travels_with_the_entry() -> None:
    row = told([*BASE, BREAK, *REST], target_r=2.0, trail_bps=80, max_hold_bars=15).row(5, named=True)
    assert (row["stop"], row["target"], row["trail_bps"], row["max_hold_bars"]) == (101.99, 106.52, 80, 15)


def test_silent_minutes_are_no_base() -> None:
    rows = [100.0, (100, 103, 100, 102.8), None, None, None, BREAK, *REST]
    assert entries(told(rows)) == []


def test_two_symbols_keep_their_own_highs() -> None:
    market = made({"A": [200.0, *BASE[1:], BREAK, *REST], "B": [*BASE, BREAK, *REST]}, LOUD)
    found = evaluate(DEFINITION, market.bars, DEFINITION.parameters(SMALL))
    assert [entries(found.filter(pl.col("symbol") == name)) for name in "AB"] == [[], [5]]


def test_sets_that_could_never_enter_are_refused() -> None:
    with pytest.raises(ParameterError, match="last_entry_bar = 10 comes before a symbol can have 14 bars"):
        DEFINITION.parameters({"last_entry_bar": 10})


def test_on_a_real_day_it_follows_the_leaders(shared_data: Path) -> None:
    market = equities(shared_data, 0)
    found = evaluate(DEFINITION, market.bars, DEFINITION.parameters({}))
    entered = found.filter(pl.col("entry_long"))
    assert {"OPK", "SWN", "XON"} <= set(entered["symbol"])
    assert 5 < entered.height < 60
    close = market.bars["close"].filter(found["entry_long"])
    assert (close > entered["f_broken_high"]).all()
    assert (entered["f_run_pct"] >= 3).all()
    assert (entered["f_given_back"] <= 0.33).all()
    assert (entered["stop"] < close).all()
    assert entered.group_by("symbol").len()["len"].max() <= 6
    assert found["masked"].null_count() == found.height
