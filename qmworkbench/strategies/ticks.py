"""Price levels on the tick grid, counted in whole ticks (§11 stops, FILLS "Ticks, float, Decimal").

A price over its tick is not exact in binary: 0.29 / 0.01 is 28.999999999999996, and a plain floor would lose a whole
tick. Counting therefore forgives a millionth of a tick, far above the noise of a division (below 1e-8 ticks up to
1e7 ticks a price) and far below the finest price quoted (eight decimals, a thousandth of a tick at 0.00001).
The way back divides: 29 / 100 is the float nearest to 0.29, 29 * 0.01 is not.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FORGIVEN_TICKS: Final = 1e-6


def ticks_down(px: Floats, tick: Floats) -> Floats:
    """Whole ticks at or below `px`; NaN stays NaN."""
    return np.floor(px / tick + FORGIVEN_TICKS)


def ticks_up(px: Floats, tick: Floats) -> Floats:
    """Whole ticks at or above `px`; NaN stays NaN."""
    return np.ceil(px / tick - FORGIVEN_TICKS)


def price_of(ticks: Floats, tick: Floats) -> Floats:
    """The price of a whole number of ticks: the float64 nearest to the decimal price."""
    return np.where(tick < 1, ticks / np.maximum(np.round(1 / tick), 1), ticks * tick)


def off_tick(px: Floats, tick: Floats) -> Bools:
    """Which levels lie between two ticks; NaN, no level, does not."""
    ticks = px / tick
    return np.abs(ticks - np.round(ticks)) > FORGIVEN_TICKS


def level_below(px: Floats, close: Floats, tick: Floats) -> Floats:
    """The level at or under `px`, away from the market and surely under `close`: a long's stop, a short's target."""
    return price_of(np.minimum(ticks_down(px, tick), ticks_up(close, tick) - 1), tick)


def level_above(px: Floats, close: Floats, tick: Floats) -> Floats:
    """The level at or over `px`, away from the market and surely over `close`: a long's target, a short's stop."""
    return price_of(np.maximum(ticks_up(px, tick), ticks_down(close, tick) + 1), tick)


def above(a: pl.Expr, b: pl.Expr, tick: pl.Expr) -> pl.Expr:
    """a > b by more than the noise of computing them, for a level that is a quotient of sums (VWAP, averages).

    Bar prices among themselves need no such care: they are compared as they came.
    """
    return a - b > FORGIVEN_TICKS * tick
