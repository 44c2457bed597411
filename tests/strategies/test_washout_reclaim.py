from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.parameters import ParameterError, Value
from qmworkbench.strategies.washout_reclaim import DEFINITION
from tests.strategies.bar_cases import Px, equities, made

SMALL: Mapping[str, Value] = {
    "support_bars": 2,
    "min_gain_pct": 0.0,
    "flush_bars": 2,
    "min_flush_pct": 3.0,
    "min_flush_atr": 1.0,
    "volume_bars": 2,
    "min_climax_volume": 4.0,
    "reclaim_bars": 3,
    "turn_bars": 1,
    "min_reclaim_volume": 0.5,
    "max_chase_pct": 2.0,
    "last_entry_bar": 30,
    "min_bars_left": 1,
    "min_turnover": 0.0,
    "min_price": 0.0,
    "atr_bars": 2,
    "stop_atr": 50.0,
    "min_stop_bps": 0.0,
    "max_hold_bars": 0,
}
# Support at 100, the low of bars 0 and 1; a fall from 101 to 97 in bar 4, on five times the volume before.
FLUSH: list[float | Px | None] = [100.0, 100.5, 101.0, (101, 101, 100.8, 100.8), (100.8, 100.8, 97, 97.5)]
BOTTOM = (97.5, 98, 97.2, 98)
RECLAIM = (98, 101, 98, 100.9)
REST = [100.9] * 3
LOUD = [1000.0] * 4 + [5000.0, 2000.0, 3000.0] + [1000.0] * 9


def told(rows: Sequence[float | Px | None], volumes: Sequence[float] = LOUD, **overrides: Value) -> pl.DataFrame:
    market = made({"A": rows}, volumes)
    return evaluate(DEFINITION, market.bars, DEFINITION.parameters({**SMALL, **overrides}))


def entries(found: pl.DataFrame) -> list[int]:
    minutes = (found["ts"] - found["ts"].min()).dt.total_minutes()
    return minutes.filter(found["entry_long"]).to_list()


def test_a_close_back_above_the_lost_support_enters_once() -> None:
    found = told([*FLUSH, BOTTOM, RECLAIM, (100.9, 101.5, 100.9, 101.5), *REST])
    assert entries(found) == [6]
    row = found.row(6, named=True)
    assert (row["f_level"], row["f_flush_low"], row["f_climax_volume"]) == (100.0, 97.0, 5.0)
    assert row["f_relative_volume"] == pytest.approx(3000 / 3500)
    assert found["f_level"].to_list()[:4] == [None] * 4
    assert not found["entry_short"].any()


@pytest.mark.parametrize(
    ("overrides", "bars"),
    [
        ({"min_flush_pct": 3.96}, [6]),  # 101 to 97
        ({"min_flush_pct": 3.97}, []),
        ({"min_flush_atr": 2.0}, [6]),  # ATR of bars 3 and 4: 0.2 and 3.8
        ({"min_flush_atr": 2.01}, []),
        ({"min_climax_volume": 5.0}, [6]),
        ({"min_climax_volume": 5.01}, []),
        ({"min_reclaim_volume": 0.86}, []),
        ({"reclaim_bars": 2}, [6]),
        ({"reclaim_bars": 1}, []),
        ({"max_chase_pct": 0.9}, [6]),
        ({"max_chase_pct": 0.89}, []),
        ({"min_gain_pct": 0.9}, [6]),
        ({"min_gain_pct": 0.91}, []),
        ({"turn_bars": 2}, [6]),
        ({"turn_bars": 3, "flush_bars": 3}, []),  # 101 was the high three bars ago; support then needs a bar more
        ({"last_entry_bar": 5}, []),
        ({"last_entry_bar": 6}, [6]),
        ({"min_bars_left": 4}, []),
        ({"min_price": 100.91}, []),
        ({"min_turnover": 1e7}, []),
        ({"atr_bars": 8, "last_entry_bar": 9}, []),
    ],
)
def test_what_disqualifies_a_reclaim(overrides: dict[str, Value], bars: list[int]) -> None:
    assert entries(told([*FLUSH, BOTTOM, RECLAIM, *REST], **overrides)) == bars


def test_a_fall_that_spares_the_support_is_no_flush() -> None:
    low = [96.0, 96.5, *FLUSH[2:]]
    assert entries(told([*low, BOTTOM, RECLAIM, *REST], min_gain_pct=-50.0)) == []


def test_a_reclaim_that_was_there_before_is_not_traded_later() -> None:
    quiet = [1000.0] * 4 + [5000.0, 2000.0, 1800.0, 9000.0] + [1000.0] * 9
    down_again = (100.9, 101, 99, 99.5)
    again = (99.5, 101.5, 99.5, 101.4)
    # Bar 6 takes the level back on too little volume to count: the next that does is the reclaim.
    assert entries(told([*FLUSH, BOTTOM, RECLAIM, again, *REST], quiet, min_reclaim_volume=1.0)) == [7]
    volumes = [1000.0] * 4 + [5000.0, 2000.0, 4000.0, 4000.0, 9000.0] + [1000.0] * 9
    found = told([*FLUSH, BOTTOM, RECLAIM, down_again, again, *REST], volumes, min_reclaim_volume=1.0, reclaim_bars=9)
    assert entries(found) == []  # bar 6 took it back before there were nine bars, and that was it


def test_a_second_flush_may_be_reclaimed_again() -> None:
    second = [(100.9, 100.9, 96, 96.5), (96.5, 97, 96.2, 97), (97, 98.5, 97, 98.5)]
    volumes = [1000.0] * 4 + [5000.0, 2000.0, 3000.0, 11000.0, 9000.0, 8000.0] + [1000.0] * 9
    found = told([*FLUSH, BOTTOM, RECLAIM, *second, *REST], volumes, min_gain_pct=-5.0)
    assert entries(found) == [6, 9]
    assert found.row(9, named=True)["f_level"] == 97.0  # the lows of bars 3 and 4, before that flush began


def test_the_level_may_be_vwap() -> None:
    found = told([*FLUSH, BOTTOM, RECLAIM, *REST], level="vwap")
    row = found.row(6, named=True)
    assert entries(found) == [6]
    assert row["f_level"] == row["f_vwap"]
    assert found["f_level"].to_list()[:4] == [None] * 4
    above = [*FLUSH[:4], (101, 101, 100.9, 101)]  # a little down, on as much volume, and still above it
    small: dict[str, Value] = {"level": "vwap", "min_flush_pct": 0.05, "min_flush_atr": 0.0}
    assert told([*above, BOTTOM, RECLAIM, *REST], **small)["f_level"].null_count() == 10


def test_a_close_back_below_the_level_gives_up() -> None:
    found = told([*FLUSH, BOTTOM, RECLAIM, 99.6, 99.4, *REST], exit_under_bps=50.0)
    assert found["exit_long"].to_list() == [*[False] * 4, True, True, False, False, True, *[False] * 3]


@pytest.mark.parametrize(
    ("overrides", "stop"), [({}, 96.99), ({"stop_atr": 1.0}, 99.0), ({"min_stop_bps": 500.0}, 95.85)]
)
def test_the_stop_is_a_tick_under_the_flush_within_its_bounds(overrides: dict[str, Value], stop: float) -> None:
    row = told([*FLUSH, BOTTOM, RECLAIM, *REST], **overrides).row(6, named=True)  # ATR of bars 5 and 6: 0.8 and 3
    assert row["f_atr"] == pytest.approx(1.9)
    assert row["stop"] == stop


def test_the_exit_plan_travels_with_the_entry() -> None:
    row = told([*FLUSH, BOTTOM, RECLAIM, *REST], target_r=2.0, trail_bps=80, max_hold_bars=15).row(6, named=True)
    assert (row["stop"], row["target"], row["trail_bps"], row["max_hold_bars"]) == (96.99, 108.72, 80, 15)


def test_a_flush_of_the_neighbour_is_none_of_mine() -> None:
    flat: list[float | Px | None] = [100.0, 100.5, 101.0, 100.8, 100.9, 101.0, (98, 101, 98, 100.9), *REST]
    market = made({"A": [*FLUSH, *REST], "B": flat, "C": [*FLUSH, BOTTOM, RECLAIM, *REST]}, LOUD)
    found = evaluate(DEFINITION, market.bars, DEFINITION.parameters(SMALL))
    assert [entries(found.filter(pl.col("symbol") == name)) for name in "BC"] == [[], [6]]
    assert found.filter(pl.col("symbol") == "B")["f_level"].null_count() == 10


def test_sets_that_could_never_enter_are_refused() -> None:
    with pytest.raises(ParameterError, match="last_entry_bar = 20 comes before a symbol can have 30 bars"):
        DEFINITION.parameters({"last_entry_bar": 20})
    assert DEFINITION.parameters({"last_entry_bar": 20, "level": "vwap"})


def test_on_a_real_day_it_buys_the_flush_of_the_gainer(shared_data: Path) -> None:
    market = equities(shared_data, 0)
    found = evaluate(DEFINITION, market.bars, DEFINITION.parameters({}))
    entered = found.filter(pl.col("entry_long"))
    assert "XON" in set(entered["symbol"])  # down 4 % within minutes at 11:15, and back
    assert 0 < entered.height < 20
    close = market.bars["close"].filter(found["entry_long"])
    assert (close > entered["f_level"]).all()
    assert (entered["f_flush_low"] < entered["f_level"]).all()
    assert (entered["f_climax_volume"] >= 2).all()
    assert (entered["stop"] < close).all()
    assert found["masked"].null_count() == found.height
