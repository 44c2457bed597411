from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.strategies.bars import anchored
from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.donchian import DEFINITION
from qmworkbench.strategies.one_pass import period_signals, reached
from qmworkbench.strategies.parameters import Value
from tests.strategies.bar_cases import Px, equities, forex, made

SMALL: Mapping[str, Value] = {"entry_bars": 4, "exit_bars": 2, "atr_bars": 2, "stop_atr": 1.0}
FLAT: list[float | Px | None] = [(10.0, 10.2, 9.8, 10.0)] * 4
END: list[float | Px | None] = [(10.0, 10.1, 9.9, 10.0)] * 2


def told(rows: Sequence[float | Px | None], **overrides: Value) -> pl.DataFrame:
    market = made({"A": rows})
    return evaluate(DEFINITION, market.bars, DEFINITION.parameters({**SMALL, **overrides}))


def at(found: pl.DataFrame, flag: str) -> list[int]:
    return found[flag].arg_true().to_list()


def test_a_close_beyond_the_channel_enters_either_way() -> None:
    found = told([*FLAT, 10.21, *END])
    assert at(found, "entry_long") == [4]
    assert found["f_channel_high"][4] == 10.2
    assert at(told([*FLAT, 9.79, *END]), "entry_short") == [4]


def test_a_close_at_the_channels_edge_does_not() -> None:
    assert at(told([*FLAT, 10.2, *END]), "entry_long") == []
    assert at(told([*FLAT, 9.8, *END]), "entry_short") == []


def test_the_bar_itself_is_not_part_of_its_channel() -> None:
    found = told([*FLAT, (10.0, 12.0, 10.0, 10.3), *END])
    assert at(found, "entry_long") == [4]
    assert found["f_channel_high"][5] == 12.0


def test_before_the_channel_is_full_nothing_is_said() -> None:
    found = told([10.0, 11.0, 12.0, 13.0, 13.0])
    assert at(found, "entry_long") == []
    assert found["f_channel_high"].to_list() == [None, None, None, None, 13.0]


def test_positions_end_at_the_opposite_channel_of_fewer_bars() -> None:
    found = told([*FLAT, 11.0, 11.5, 12.0, (11.4, 11.4, 11.3, 11.3), *END])
    assert 7 in at(found, "exit_long")
    assert found["f_exit_low"][7] == 11.5
    assert 4 in at(found, "exit_short")


def test_one_side_alone_and_both() -> None:
    rows = [*FLAT, 10.5, (9.0, 9.0, 9.0, 9.0), *END]
    assert (at(told(rows), "entry_long"), at(told(rows), "entry_short")) == ([4], [5])
    assert at(told(rows, short=False), "entry_short") == []
    assert at(told(rows, long=False), "entry_long") == []


@pytest.mark.parametrize(
    ("overrides", "entered"),
    [
        ({"from_bar": 4}, [4]),
        ({"from_bar": 5}, []),
        ({"min_bars_left": 2}, [4]),
        ({"min_bars_left": 3}, []),
        ({"min_atr_bps": 400.0}, [4]),  # ATR 0.45 of 10.5 is 428 bps
        ({"min_atr_bps": 430.0}, []),
    ],
)
def test_the_window_and_the_least_range(overrides: dict[str, Value], entered: list[int]) -> None:
    assert at(told([*FLAT, 10.5, *END], **overrides), "entry_long") == entered


def test_stop_and_plan() -> None:
    row = told([*FLAT, 10.5, *END], target_r=2.0, trail_bps=80, max_hold_bars=7).row(4, named=True)
    assert row["f_atr"] == pytest.approx(0.45)
    assert (row["stop"], row["target"]) == (10.05, 11.40)
    assert (row["trail_bps"], row["max_hold_bars"]) == (80, 7)
    short = told([*FLAT, 9.5, *END], target_r=2.0).row(4, named=True)
    assert (short["stop"], short["target"]) == (9.95, 8.60)


def test_a_stop_below_zero_is_taken_back() -> None:
    found = told([*FLAT, 10.5, *END], stop_atr=50.0)
    assert at(found, "entry_long") == []
    assert found["masked"][4] == "long stop is not between zero and the close"


def test_the_channel_of_minutes_reaches_over_the_night(shared_data: Path) -> None:
    market = equities(shared_data, 1).only(["OPK", "SRC"])
    params = DEFINITION.parameters({})
    found = period_signals(DEFINITION, market.bars, market.grids, params)
    opening = found.filter((pl.col("symbol") == "OPK") & (pl.col("ts") == market.grids[-1].opens_at))
    yesterday = market.bars.filter((pl.col("symbol") == "OPK") & (pl.col("session") == market.grids[0].session))
    assert opening["f_channel_high"].item() == yesterday["high"].tail(55).max()


def test_it_trades_hours_of_nine_pairs_on_their_own_ticks(shared_data: Path) -> None:
    market = forex(shared_data)
    params = DEFINITION.parameters({"flat": "carry"})
    found = period_signals(DEFINITION, market.bars, market.grids, params)
    entered = found.filter(pl.col("entry_long") | pl.col("entry_short"))
    assert found.height == market.bars.height
    assert entered["symbol"].n_unique() == 9
    assert entered["entry_short"].any()
    assert entered["entry_long"].any()
    # With the referendum night in it: yen stops lie on a thousandth, the others on a hundred-thousandth.
    places = entered.select("symbol", places=pl.col("stop").cast(pl.String).str.split(".").list.last().str.len_chars())
    yen = pl.col("symbol").str.ends_with("JPY")
    assert places.filter(yen)["places"].max() == 3
    assert places.filter(~yen)["places"].max() == 5


def test_its_anchor_is_all_the_history_it_can_see(shared_data: Path) -> None:
    market = forex(shared_data)
    params = DEFINITION.parameters({"entry_bars": 40})
    anchor = DEFINITION.anchor(params)
    declared = anchored(market.bars, reached(anchor, market.grids), anchor.bars)
    assert declared.filter(pl.col("session") < market.grids[-1].session).group_by("symbol").len()["len"].max() == 40
    last = pl.col("ts") >= market.grids[-1].opens_at
    assert (
        evaluate(DEFINITION, declared, params)
        .filter(last)
        .equals(evaluate(DEFINITION, market.bars, params).filter(last))
    )
