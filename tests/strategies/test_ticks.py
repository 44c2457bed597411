from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.strategies.ticks import (
    above,
    level_above,
    level_below,
    off_tick,
    price_of,
    ticks_down,
    ticks_up,
)

TICKS = ("0.0001", "0.01", "0.00001", "0.001", "0.25", "0.03125", "1", "5")
PX, TICK = pl.col("px"), pl.col("tick")


def evaluated(expr: pl.Expr, px: float, tick: float, close: float = 0.0) -> float:
    return float(pl.DataFrame({"px": [px], "tick": [tick], "close": [close]}).select(expr).item())


@given(st.sampled_from(TICKS), st.integers(1, 10_000_000))
def test_a_price_on_tick_is_its_own_floor_and_ceiling_and_comes_back_as_the_nearest_float(
    tick: str, count: int
) -> None:
    px, size = float(Decimal(tick) * count), float(tick)
    assert evaluated(ticks_down(PX, TICK), px, size) == count
    assert evaluated(ticks_up(PX, TICK), px, size) == count
    assert evaluated(price_of(ticks_down(PX, TICK), TICK), px, size) == px


@given(st.sampled_from(TICKS), st.decimals(min_value="0.01", max_value=5000, places=8))
def test_between_ticks_the_count_agrees_with_decimal(tick: str, price: Decimal) -> None:
    size = Decimal(tick)
    if abs(price / size - (price / size).to_integral_value()) < Decimal("0.00001"):
        return  # within the forgiven millionth of a tick the level counts as being on it
    down, up = ((price / size).to_integral_value(rounding=way) for way in (ROUND_FLOOR, ROUND_CEILING))
    assert evaluated(ticks_down(PX, TICK), float(price), float(tick)) == int(down)
    assert evaluated(ticks_up(PX, TICK), float(price), float(tick)) == int(up)


def test_the_floor_that_loses_a_tick_in_plain_floats_does_not_here() -> None:
    assert 0.29 // 0.01 == 28
    assert evaluated(ticks_down(PX, TICK), 0.29, 0.01) == 29


@pytest.mark.parametrize(
    ("px", "close", "stop", "target"),
    [
        (10.004, 11.0, 10.00, 11.01),
        (10.00, 11.0, 10.00, 11.01),
        (11.0, 11.0, 10.99, 11.01),  # a level at the close moves off it, away from the market
        (12.0, 11.0, 10.99, 12.00),
        (11.0, 11.005, 11.00, 11.01),
        (11.005, 11.005, 11.00, 11.01),
    ],
)
def test_levels_round_away_from_the_market_and_never_touch_the_close(
    px: float, close: float, stop: float, target: float
) -> None:
    assert evaluated(level_below(PX, pl.col("close"), TICK), px, 0.01, close) == stop
    assert evaluated(level_above(PX, pl.col("close"), TICK), px, 0.01, close) == target


def test_off_tick_tells_a_level_between_ticks_and_leaves_nan_alone() -> None:
    found = off_tick(np.array([0.29, 0.295, np.nan, 250_000.01, 1e-5]), np.array([0.01, 0.01, 0.01, 0.01, 1e-5]))
    assert found.tolist() == [False, True, False, False, False]


def test_noise_of_a_quotient_is_not_above() -> None:
    noisy = 0.1 + 0.2  # 0.30000000000000004
    frame = pl.DataFrame({"a": [noisy, 0.3, 0.31], "b": [0.3, noisy, 0.3], "tick": [0.01] * 3})
    assert frame.select(above(pl.col("a"), pl.col("b"), TICK)).to_series().to_list() == [False, False, True]
