"""Price levels on the tick grid, counted in whole ticks (§11 stops, FILLS "Ticks, float, Decimal").

A price over its tick is not exact in binary: 0.29 / 0.01 is 28.999999999999996, and a plain floor would lose a whole
tick. Counting therefore forgives a millionth of a tick, far above the noise of a division (below 1e-8 ticks up to
1e7 ticks a price) and far below the finest price quoted (eight decimals, a thousandth of a tick at 0.00001).
The way back divides: 29 / 100 is the float nearest to 0.29, 29 * 0.01 is not.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FORGIVEN_TICKS = 1e-6


def ticks_down(px: pl.Expr, tick: pl.Expr) -> pl.Expr:
    """Whole ticks at or below `px`, as float64."""
    return (px / tick + FORGIVEN_TICKS).floor()


def ticks_up(px: pl.Expr, tick: pl.Expr) -> pl.Expr:
    """Whole ticks at or above `px`, as float64."""
    return (px / tick - FORGIVEN_TICKS).ceil()


def price_of(ticks: pl.Expr, tick: pl.Expr) -> pl.Expr:
    """The price of a whole number of ticks: the float64 nearest to the decimal price."""
    return pl.when(tick < 1).then(ticks / (1 / tick).round()).otherwise(ticks * tick)


def off_tick(px: Floats, tick: Floats) -> Bools:
    """Which levels lie between two ticks; NaN, no level, does not."""
    ticks = px / tick
    return np.abs(ticks - np.round(ticks)) > FORGIVEN_TICKS


def above(a: pl.Expr, b: pl.Expr, tick: pl.Expr) -> pl.Expr:
    """a > b by more than the noise of computing them, for a level that is a quotient of sums (VWAP, averages).

    Bar prices among themselves need no such care: they are compared as they came.
    """
    return a - b > FORGIVEN_TICKS * tick


def level_below(px: pl.Expr, close: pl.Expr, tick: pl.Expr) -> pl.Expr:
    """The level at or under `px`, away from the market and at least a tick's part under `close`: a long's stop."""
    return price_of(pl.min_horizontal(ticks_down(px, tick), ticks_up(close, tick) - 1), tick)


def level_above(px: pl.Expr, close: pl.Expr, tick: pl.Expr) -> pl.Expr:
    """The level at or over `px`, away from the market and over `close`: a long's target, a short's stop."""
    return price_of(pl.max_horizontal(ticks_up(px, tick), ticks_down(close, tick) + 1), tick)
