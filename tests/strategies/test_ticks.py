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


def one(value: float) -> np.ndarray:
    return np.array([value])


@given(st.sampled_from(TICKS), st.integers(1, 10_000_000))
def test_a_price_on_tick_is_its_own_floor_and_ceiling_and_comes_back_as_the_nearest_float(
    tick: str, count: int
) -> None:
    px, size = one(float(Decimal(tick) * count)), one(float(tick))
    assert ticks_down(px, size) == ticks_up(px, size) == count
    assert price_of(ticks_down(px, size), size) == px
    assert not off_tick(px, size)


@given(st.sampled_from(TICKS), st.decimals(min_value="0.01", max_value=5000, places=8))
def test_between_ticks_the_count_agrees_with_decimal(tick: str, price: Decimal) -> None:
    size = Decimal(tick)
    if abs(price / size - (price / size).to_integral_value()) < Decimal("0.00001"):
        return  # within the forgiven millionth of a tick the level counts as being on it
    down, up = ((price / size).to_integral_value(rounding=way) for way in (ROUND_FLOOR, ROUND_CEILING))
    assert ticks_down(one(float(price)), one(float(tick))) == int(down)
    assert ticks_up(one(float(price)), one(float(tick))) == int(up)
    assert off_tick(one(float(price)), one(float(tick)))


def test_the_floor_that_loses_a_tick_in_plain_floats_does_not_here() -> None:
    assert 0.29 // 0.01 == 28
    assert ticks_down(one(0.29), one(0.01)) == 29


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
    assert level_below(one(px), one(close), one(0.01)) == stop
    assert level_above(one(px), one(close), one(0.01)) == target


def test_off_tick_tells_a_level_between_ticks_and_leaves_nan_alone() -> None:
    found = off_tick(np.array([0.29, 0.295, np.nan, 250_000.01, 1e-5]), np.array([0.01, 0.01, 0.01, 0.01, 1e-5]))
    assert found.tolist() == [False, True, False, False, False]


def test_noise_of_a_quotient_is_not_above() -> None:
    noisy = 0.1 + 0.2  # 0.30000000000000004
    frame = pl.DataFrame({"a": [noisy, 0.3, 0.31], "b": [0.3, noisy, 0.3], "tick": [0.01] * 3})
    assert frame.select(above(pl.col("a"), pl.col("b"), pl.col("tick"))).to_series().to_list() == [False, False, True]
