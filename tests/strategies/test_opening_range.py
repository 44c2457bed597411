from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.opening_range import DEFINITION
from qmworkbench.strategies.parameters import Value
from tests.strategies.bar_cases import Market, Px, equities, made

# A small session: the range is the first four bars, everything that is not under test is out of the way.
SMALL: Mapping[str, Value] = {
    "range_bars": 4,
    "last_entry_bar": 30,
    "min_bars_left": 2,
    "confirm_bars": 2,
    "max_breaks": 2,
    "min_relative_volume": 0.0,
    "min_turnover": 0.0,
    "min_price": 0.0,
    "min_range_pct": 0.0,
    "max_range_pct": 100.0,
    "atr_bars": 2,
    "stop_atr": 50.0,
    "min_stop_bps": 0.0,
    "stop_at": "low",
    "exit_at_vwap": False,
    "max_hold_bars": 0,
}
RANGE: list[Px] = [(100, 101, 99, 100), (100, 102, 98, 100), (100, 101, 99, 100), (100, 101, 99, 100)]
REST = [100.0] * 4


def told(rows: Sequence[float | Px | None], volumes: float | list[float] = 1000.0, **overrides: Value) -> pl.DataFrame:
    market = made({"A": rows}, volumes)
    return evaluate(DEFINITION, market.bars, DEFINITION.parameters({**SMALL, **overrides}))


def entries(found: pl.DataFrame, market: Market | None = None, side: str = "entry_long") -> list[int]:
    """The bars of the session at which the side enters."""
    minutes = (found["ts"] - found["ts"].min()).dt.total_minutes()
    return minutes.filter(found[side]).to_list()


def test_the_first_close_above_the_range_enters_once() -> None:
    found = told([*RANGE, 101.5, 102.5, 103.0, 104.0, *REST])
    assert entries(found) == [5]
    row = found.row(5, named=True)
    assert (row["f_range_high"], row["f_range_low"]) == (102, 98)
    assert row["f_range_pct"] == pytest.approx(4 / 98 * 100)


def test_a_close_at_the_range_high_is_no_break() -> None:
    assert entries(told([*RANGE, 102.0, 102.0, (102, 110, 102, 102), *REST])) == []


def test_a_second_break_enters_again_and_a_third_does_not() -> None:
    rows = [*RANGE, 103.0, 101.0, 103.0, 101.0, 103.0, *REST]
    assert entries(told(rows)) == [4, 6]
    assert entries(told(rows, max_breaks=1)) == [4]
    assert entries(told(rows, max_breaks=3)) == [4, 6, 8]


def test_volume_may_confirm_a_break_within_a_few_bars() -> None:
    rows = [*RANGE, 103.0, 103.5, 104.0, 104.5, *REST]

    def entered(*loud: int) -> list[int]:
        volumes = [2000.0 if bar in loud else 1000.0 for bar in range(len(rows))]
        return entries(told(rows, volumes, min_relative_volume=1.5))

    assert entered(4) == [4]
    assert entered(6) == [6]
    assert entered(7) == []  # confirm_bars is 2
    assert entered(5, 6) == [5]
    assert entered() == []


def test_a_break_below_the_vwap_waits_for_it() -> None:
    early = [(100.0, 102.0, 98.0, 101.9)] * 4
    found = told([*early, (150, 150, 101, 102.5), 140.0, *REST])
    assert entries(found) == [5]


def test_leaving_at_the_vwap_is_a_switch() -> None:
    rows = [*RANGE, 103.0, 99.0, *REST]
    assert told(rows, exit_at_vwap=True)["exit_long"].to_list()[4:6] == [False, True]
    assert told(rows, exit_at_vwap=True)["exit_short"].to_list()[4:6] == [True, False]
    assert not told(rows)["exit_long"].any()


def test_at_the_vwap_nobody_leaves() -> None:
    assert not told([50.1] * 12, volumes=333.0, exit_at_vwap=True)["exit_long"].any()


@pytest.mark.parametrize(
    ("overrides", "bars"),
    [
        ({"max_range_pct": 4.0}, []),
        ({"max_range_pct": 4.1}, [5]),
        ({"min_range_pct": 4.1}, []),
        ({"min_price": 103.0}, []),
        ({"min_turnover": 1e9}, []),
        ({"last_entry_bar": 4}, []),
        ({"last_entry_bar": 5}, [5]),
        ({"min_bars_left": 4}, [5]),
        ({"min_bars_left": 5}, []),
        ({"atr_bars": 6}, [5]),
        ({"atr_bars": 7}, []),
        ({"range_bars": 6}, []),
    ],
)
def test_what_disqualifies_a_break(overrides: dict[str, Value], bars: list[int]) -> None:
    assert entries(told([*RANGE, 101.5, 102.5, 102.0, 102.0, 102.0, 102.0], **overrides)) == bars


def test_silent_minutes_do_not_move_the_range() -> None:
    found = told([RANGE[0], None, None, RANGE[1], None, 101.9, 102.5, *REST])
    assert entries(found) == [6]


def test_a_symbol_that_wakes_after_the_range_has_none() -> None:
    found = told([None, None, None, None, 100.0, 103.0, 110.0, *REST])
    assert entries(found) == []
    assert found["f_range_high"].null_count() == found.height


def test_a_break_in_the_first_bar_after_a_silent_range_end_counts() -> None:
    assert entries(told([RANGE[0], RANGE[1], None, None, 103.0, 103.5, *REST], atr_bars=2)) == [4]


@pytest.mark.parametrize(
    ("overrides", "stop"),
    [
        ({}, 98.0),
        ({"stop_at": "middle"}, 100.0),
        ({"stop_atr": 1.0}, 100.5),  # ATR 2.5: the break ranged 3.0 from the close before, the bar before it 2.0
        ({"stop_atr": 0.5}, 101.75),
        ({"stop_atr": 0.5, "min_stop_bps": 200.0}, 100.94),
        ({"stop_at": "middle", "min_stop_bps": 400.0}, 98.88),
    ],
)
def test_the_stop_is_the_nearer_level_but_not_too_near(overrides: dict[str, Value], stop: float) -> None:
    found = told([*RANGE, (101.0, 103.0, 101.0, 103.0), *REST, 100.0], **overrides)
    row = found.row(4, named=True)
    assert row["entry_long"]
    assert row["stop"] == stop


def test_the_exit_plan_travels_with_the_entry() -> None:
    rows = [*RANGE, 103.0, *REST]
    row = told(rows, target_r=2.0, trail_bps=150, max_hold_bars=20).row(4, named=True)
    assert (row["stop"], row["target"], row["trail_bps"], row["max_hold_bars"]) == (98.0, 113.0, 150, 20)
    row = told(rows, target_r=0.0).row(4, named=True)
    assert (row["target"], row["trail_bps"], row["max_hold_bars"]) == (None, None, None)


def test_shorts_mirror_longs_and_are_off_unless_asked_for() -> None:
    rows: list[float | Px | None] = [*RANGE, 101.5, 102.5, 101.0, 103.25, 103.5, 100.0, 100.0, 100.0]

    def mirrored(px: float | Px | None) -> float | Px | None:
        if px is None or isinstance(px, int | float):
            return None if px is None else 200 - px
        opened, high, low, closed = (200 - value for value in px)
        return (opened, low, high, closed)

    long, short = told(rows), told([mirrored(px) for px in rows], short=True, exit_at_vwap=True)
    assert entries(short, side="entry_short") == entries(long) == [5, 7]
    assert not short["entry_long"].any()
    assert [200 - px for px in short["stop"].drop_nulls()] == long["stop"].drop_nulls().to_list()
    assert [200 - px for px in short["target"].drop_nulls()] == long["target"].drop_nulls().to_list()
    assert not told([mirrored(px) for px in rows])["entry_short"].any()


def test_two_symbols_keep_their_own_counts() -> None:
    rows = [*RANGE, 103.0, 101.0, 103.0, 101.0, 103.0, *REST]
    market = made({"A": rows, "B": [None, *rows[1:]], "C": rows})
    found = evaluate(DEFINITION, market.bars, DEFINITION.parameters(SMALL))
    assert [entries(found.filter(pl.col("symbol") == name)) for name in "AC"] == [[4, 6], [4, 6]]
    assert found.filter((pl.col("symbol") == "B") & pl.col("entry_long")).height == 2


def test_on_a_real_day_it_finds_the_runners(shared_data: Path) -> None:
    market = equities(shared_data, 0)
    found = evaluate(DEFINITION, market.bars, DEFINITION.parameters({}))
    entered = found.filter(pl.col("entry_long"))
    assert {"OPK", "XON", "SWN"} <= set(entered["symbol"])  # up 26, 21 and 17 % from the open that day
    assert 20 < entered.height < 200
    assert entered.group_by("symbol").len()["len"].max() <= 2
    assert not found["entry_short"].any()
    assert found["masked"].null_count() == found.height
    close = market.bars["close"].filter(found["entry_long"])
    assert (entered["stop"] < close).all()
    assert (entered["target"] > close).all()
    assert (close > entered["f_range_high"]).all()
    assert (close > entered["f_vwap"]).all()
    reward_to_risk = (entered["target"] - close) / (close - entered["stop"])
    assert reward_to_risk.is_between(2.9999, 3.5).all()
