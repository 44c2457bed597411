from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.strategies.bars import anchored
from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.one_pass import period_signals, reached
from qmworkbench.strategies.parameters import ParameterError, Value
from qmworkbench.strategies.rsi_reversion import DEFINITION
from tests.strategies.bar_cases import Px, equities, forex, made

SMALL: Mapping[str, Value] = {
    "rsi_bars": 3,
    "mean_bars": 4,
    "atr_bars": 2,
    "min_stretch_atr": 0.0,
    "max_stretch_atr": 0.0,
}
# Gains and losses after Wilder, n = 3: the fall to 9.5 leaves the index at 0, the rise to 9.7 lifts it to 30.
FALL: list[float | Px | None] = [10.4, 10.2, 10.0, 9.8, 9.5]
TURN = 9.7
END: list[float | Px | None] = [10.0] * 2


def told(rows: Sequence[float | Px | None], **overrides: Value) -> pl.DataFrame:
    market = made({"A": rows})
    return evaluate(DEFINITION, market.bars, DEFINITION.parameters({**SMALL, **overrides}))


def mirrored(rows: Sequence[float | Px | None]) -> list[float]:
    return [20.0 - px for px in rows if isinstance(px, float)]


def at(found: pl.DataFrame, flag: str) -> list[int]:
    return found[flag].arg_true().to_list()


def test_a_fall_is_bought_where_the_index_comes_back_and_a_rise_is_sold() -> None:
    found = told([*FALL, TURN, *END])
    assert found["f_rsi"].to_list()[:3] == [None, None, None]
    # After losses of 0.2, 0.2, 0.2 and 0.3 a gain of 0.2: 0.2/3 against a mean loss of 7/45 is 30 of a hundred.
    assert found["f_rsi"].to_list()[3:6] == [0.0, 0.0, 30.0]
    assert at(found, "entry_long") == [5]
    assert at(found, "entry_short") == []
    other = told(mirrored([*FALL, TURN, *END]))
    assert at(other, "entry_short") == [5]
    assert other["f_rsi"][5] == 70.0


def test_while_it_still_falls_nothing_is_bought() -> None:
    assert at(told([*FALL, 9.4, 9.3, *END[:0], 9.2, 9.1]), "entry_long") == []


def test_the_level_itself_counts_as_back() -> None:
    assert at(told([*FALL, TURN, *END], oversold=30.0), "entry_long") == [5]
    assert at(told([*FALL, TURN, 9.7, 9.7], oversold=30.1), "entry_long") == []


def test_a_position_ends_where_the_index_has_recovered() -> None:
    found = told([*FALL, TURN, 10.2, 10.3, 10.3])
    assert found["f_rsi"][6] > 50
    assert at(found, "exit_long") == [6, 7, 8]
    assert at(told([*FALL, TURN, 10.2, 10.3, 10.3], exit_rsi=95.0), "exit_long") == []
    assert at(told(mirrored([*FALL, TURN, 10.2, 10.3, 10.3])), "exit_short") == [6, 7, 8]


@pytest.mark.parametrize(
    ("overrides", "entered"),
    [
        ({"from_bar": 5}, [5]),
        ({"from_bar": 6}, []),
        ({"min_bars_left": 2}, [5]),
        ({"min_bars_left": 3}, []),
        ({"min_stretch_atr": 0.2}, [5]),  # 9.7 is 0.05 under its average of 9.75, ATR 0.25
        ({"min_stretch_atr": 0.21}, []),
        ({"max_stretch_atr": 0.21}, [5]),
        ({"max_stretch_atr": 0.19}, []),
        ({"min_atr_bps": 257.0}, [5]),  # 0.25 of 9.7 is 257.7 bps
        ({"min_atr_bps": 258.0}, []),
        ({"long": False}, []),
    ],
)
def test_window_stretch_range_and_side(overrides: dict[str, Value], entered: list[int]) -> None:
    found = told([*FALL, TURN, *END], **overrides)
    assert at(found, "entry_long") == entered
    assert found["f_stretch"][5] == pytest.approx(-0.2)


def test_a_turn_beyond_the_average_is_no_reversion() -> None:
    found = told([*FALL, 9.9, *END])
    assert found["f_stretch"][5] > 0
    assert at(found, "entry_long") == []


def test_the_target_is_the_average_and_the_stop_lies_in_ranges() -> None:
    row = told([*FALL, TURN, *END], trail_bps=80, max_hold_bars=7).row(5, named=True)
    assert row["f_atr"] == pytest.approx(0.25)
    assert (row["stop"], row["target"]) == (9.2, 9.75)
    assert (row["trail_bps"], row["max_hold_bars"]) == (80, 7)
    short = told(mirrored([*FALL, TURN, *END])).row(5, named=True)
    assert (short["stop"], short["target"]) == (10.8, 10.25)
    by_risk = told([*FALL, TURN, *END], target_at="r", target_r=2.0).row(5, named=True)
    assert by_risk["target"] == 10.7
    assert told([*FALL, TURN, *END], target_at="r").row(5, named=True)["target"] is None


def test_what_could_never_trade_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"exit_rsi = 20\.0 must be above oversold = 25\.0"):
        DEFINITION.parameters({"exit_rsi": 20.0})
    with pytest.raises(ParameterError, match=r"min_stretch_atr = 7\.0 exceeds max_stretch_atr = 6\.0"):
        DEFINITION.parameters({"min_stretch_atr": 7.0})
    with pytest.raises(ParameterError, match="long and short are both false"):
        DEFINITION.parameters({"long": False, "short": False})


def test_a_market_that_stands_still_is_left_alone() -> None:
    found = told([10.0] * 12)
    assert not found.select(pl.any_horizontal("entry_long", "entry_short").any()).item()
    assert found["f_stretch"].null_count() == 12  # a range of nothing measures nothing


def test_the_anchor_grows_with_the_index_and_covers_the_windows() -> None:
    bars = [DEFINITION.anchor(DEFINITION.parameters({"rsi_bars": n})).bars for n in (2, 9, 14)]
    assert bars == [37, 206, 326]
    assert DEFINITION.anchor(DEFINITION.parameters({"rsi_bars": 2, "mean_bars": 500})).bars == 500


def test_a_shorter_start_shows_and_the_anchors_does_not(shared_data: Path) -> None:
    """Enough is measured: from 120 bars back the unrounded index is off, from the anchor the tenths are the same."""
    market = forex(shared_data, sessions=24)
    params = DEFINITION.parameters({})
    anchor = DEFINITION.anchor(params)
    today = pl.col("session") == market.grids[-1].session
    days = [grid.session for grid in market.grids]

    def index(history_bars: int | None) -> pl.Series:
        bars = anchored(market.bars, days, history_bars)
        told = evaluate(DEFINITION, bars, params).with_columns(bars["session"])
        return told.filter(today)["f_rsi"]

    assert index(anchor.bars).equals(index(None))
    assert not index(24).equals(index(None))


@pytest.mark.parametrize("market_of", [forex, equities], ids=["hours", "minutes"])
def test_it_trades_hours_of_pairs_and_minutes_of_shares_both_ways(shared_data: Path, market_of: object) -> None:
    market = forex(shared_data, sessions=16) if market_of is forex else equities(shared_data).only(["OPK", "SWN"])
    params = DEFINITION.parameters({})
    found = period_signals(DEFINITION, market.bars, market.grids, params)
    assert found["entry_long"].sum() > 10
    assert found["entry_short"].sum() > 10
    assert found["masked"].null_count() == found.height
    assert len(reached(DEFINITION.anchor(params), market.grids)) <= 11
