from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.parameters import ParameterError, Value
from qmworkbench.strategies.vwap_pullback import DEFINITION
from tests.strategies.bar_cases import Px, equities, made

# A small session in which everything that is not under test is out of the way.
SMALL: Mapping[str, Value] = {
    "min_extension_pct": 1.0,
    "min_pullback_bars": 2,
    "max_pullback_bars": 6,
    "max_pullback_volume": 1.0,
    "turn_bars": 1,
    "min_recovery_volume": 1.0,
    "recover_bars": 3,
    "last_entry_bar": 30,
    "min_bars_left": 1,
    "min_turnover": 0.0,
    "min_price": 0.0,
    "atr_bars": 2,
    "stop_atr": 50.0,
    "min_stop_bps": 0.0,
    "max_hold_bars": 0,
}
# Up to 106 in bar 2, down to the VWAP of 102.8 in bar 4: its low of 103 is within 20 bps.
RUN: list[float | Px | None] = [100.0, 102.0, (104, 106, 104, 106), 104.0, 103.0]
TURN = (103.2, 103.6, 103.2, 103.6)
REST = [103.6] * 3


def told(rows: Sequence[float | Px | None], volumes: float | list[float] = 1000.0, **overrides: Value) -> pl.DataFrame:
    market = made({"A": rows}, volumes)
    return evaluate(DEFINITION, market.bars, DEFINITION.parameters({**SMALL, **overrides}))


def entries(found: pl.DataFrame) -> list[int]:
    """The bars of the session with an entry."""
    minutes = (found["ts"] - found["ts"].min()).dt.total_minutes()
    return minutes.filter(found["entry_long"]).to_list()


def test_the_first_turn_after_a_touch_of_vwap_enters_once() -> None:
    found = told([*RUN, TURN, (103.6, 104.5, 103.6, 104.5), *REST])
    assert entries(found) == [5]
    row = found.row(5, named=True)
    assert row["f_session_high"] == 106
    assert row["f_pullback_low"] == 103
    assert row["f_pullback_volume"] == 1.0
    assert row["f_vwap"] == pytest.approx((100 + 102 + 105 + 104 + 103 + 103.4) / 6)
    assert not found["entry_short"].any()


@pytest.mark.parametrize(
    ("overrides", "bars"),
    [
        ({"min_extension_pct": 3.5}, [5]),  # the high of 106 stood 3.58 % above the VWAP of its bar, 102 1/3
        ({"min_extension_pct": 3.6}, []),
        ({"min_pullback_bars": 3}, []),
        ({"max_pullback_bars": 2}, [5]),
        ({"near_bps": 19.0}, []),
        ({"max_pullback_volume": 0.99}, []),
        ({"min_recovery_volume": 1.01}, []),
        ({"max_chase_pct": 0.69}, [5]),  # the VWAP of bar 5 is 102.9
        ({"max_chase_pct": 0.68}, []),
        ({"last_entry_bar": 4}, []),
        ({"last_entry_bar": 5}, [5]),
        ({"min_bars_left": 3}, [5]),
        ({"min_bars_left": 4}, []),
        ({"min_price": 103.6}, [5]),
        ({"min_price": 103.61}, []),
        ({"min_turnover": 617_400.0}, [5]),
        ({"min_turnover": 617_401.0}, []),
        ({"atr_bars": 6}, [5]),
        ({"atr_bars": 7, "last_entry_bar": 8}, []),
    ],
)
def test_what_disqualifies_a_recovery(overrides: dict[str, Value], bars: list[int]) -> None:
    assert entries(told([*RUN, TURN, *REST], **overrides)) == bars


def test_a_turn_that_comes_late_is_none_and_ends_the_pullback() -> None:
    waiting = [(103.0, 103.0, 103.0, 103.0)] * 2
    assert entries(told([*RUN, *waiting, TURN, *REST])) == [7]  # touched until bar 6
    far = [(103.5, 103.5, 103.5, 103.5)]
    fading = [(103.5 - step / 100,) * 4 for step in (1, 2, 3)]
    # The turn of bar 5 goes unused for want of volume; bars 6 to 8 stay off VWAP, and the next turn is none.
    volumes = [1000.0] * 5 + [900.0] + [1000.0] * 8
    rows = [*RUN, *far, *fading, (103.5, 104.0, 103.5, 104.0), *REST]
    assert entries(told(rows, volumes[: len(rows)])) == []


def test_a_touch_again_gives_another_turn() -> None:
    rows = [*RUN, TURN, (103.6, 103.6, 102.9, 103.0), (103.0, 103.9, 103.0, 103.9), *REST]
    assert entries(told(rows, max_pullback_bars=9)) == [5, 7]


def test_a_pullback_that_went_too_deep_is_another_thing() -> None:
    deep = [100.0, 102.0, (104, 106, 104, 106), 104.0, (103, 103, 102.0, 103.0)]  # VWAP 102.86 after it
    assert entries(told([*deep, TURN, *REST], max_under_pct=0.5)) == []
    assert entries(told([*deep, TURN, *REST], max_under_pct=1.0)) == [5]


def test_volume_is_compared_by_boundaries_and_without_the_bar_itself() -> None:
    rows = [100.0, 102.0, (104, 106, 104, 106), None, 103.5, 103.0, TURN, *REST]
    volumes = [1000.0, 1000.0, 1000.0, 0.0, 600.0, 600.0, 3000.0, 1000.0, 1000.0, 1000.0]
    loose: dict[str, Value] = {"near_bps": 60.0, "max_pullback_volume": 0.4, "min_recovery_volume": 7.5}
    found = told(rows, volumes, **loose)
    assert entries(found) == [6]  # 1200 in three boundaries: 400 a boundary against 1000
    assert found.filter(pl.col("entry_long"))["f_pullback_volume"].to_list() == [0.4]
    assert entries(told(rows, volumes, **{**loose, "max_pullback_volume": 0.39})) == []
    assert entries(told(rows, volumes, **{**loose, "min_recovery_volume": 7.51})) == []


def test_a_close_well_below_vwap_gives_up() -> None:
    found = told([*RUN, TURN, 103.0, 102.0, *REST], exit_under_bps=50.0)
    assert found["exit_long"].to_list()[5:8] == [False, False, True]
    assert not told([50.1] * 9, volumes=333.0, exit_under_bps=0.0)["exit_long"].any()  # at VWAP nobody leaves
    assert not found["exit_short"].any()


@pytest.mark.parametrize(
    ("overrides", "stop"),
    [
        ({}, 102.99),
        ({"stop_atr": 0.5}, 103.2),  # ATR of bars 4 and 5: 1.0 and 0.6
        ({"stop_atr": 0.5, "min_stop_bps": 100.0}, 102.56),
        ({"min_stop_bps": 100.0}, 102.56),
    ],
)
def test_the_stop_is_a_tick_under_the_pullback_within_its_bounds(overrides: dict[str, Value], stop: float) -> None:
    row = told([*RUN, TURN, *REST], **overrides).row(5, named=True)
    assert row["f_atr"] == pytest.approx(0.8)
    assert row["entry_long"]
    assert row["stop"] == stop


def test_the_exit_plan_travels_with_the_entry() -> None:
    row = told([*RUN, TURN, *REST], target_r=2.0, trail_bps=80, max_hold_bars=15).row(5, named=True)
    assert (row["stop"], row["target"], row["trail_bps"], row["max_hold_bars"]) == (102.99, 104.82, 80, 15)
    assert told([*RUN, TURN, *REST], target_r=0.0).row(5, named=True)["target"] is None


def test_neighbours_and_earlier_symbols_make_no_touch() -> None:
    rows = [*RUN, TURN, *REST]
    market = made({"A": rows, "B": [None, *rows[1:]], "C": rows, "D": [104.0, 103.9, 104.5, 104.6, 105.0]})
    found = evaluate(DEFINITION, market.bars, DEFINITION.parameters(SMALL))
    assert [entries(found.filter(pl.col("symbol") == name)) for name in "ACD"] == [[5], [5], []]


def test_sets_that_could_never_enter_are_refused() -> None:
    with pytest.raises(ParameterError, match="max_pullback_bars = 4 is below min_pullback_bars = 5"):
        DEFINITION.parameters({"max_pullback_bars": 4})
    with pytest.raises(ParameterError, match="last_entry_bar = 10 comes before a symbol can have 15 bars"):
        DEFINITION.parameters({"last_entry_bar": 10})


def test_on_a_real_day_it_joins_runners_at_their_vwap(shared_data: Path) -> None:
    market = equities(shared_data, 0)
    found = evaluate(DEFINITION, market.bars, DEFINITION.parameters({}))
    entered = found.filter(pl.col("entry_long"))
    assert {"OPK", "SWN"} <= set(entered["symbol"])
    assert 3 < entered.height < 30
    close = market.bars["close"].filter(found["entry_long"])
    assert (close > entered["f_vwap"]).all()
    assert (close <= entered["f_session_high"]).all()
    assert (close / entered["f_vwap"]).max() <= 1.03
    assert (entered["stop"] < close).all()
    assert (entered["f_pullback_volume"] <= 0.8).all()
    assert found["masked"].null_count() == found.height
