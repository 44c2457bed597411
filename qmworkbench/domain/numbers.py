"""Exact numbers: money, prices and quantities as Decimal, and the one road there from float (§13)."""

import math
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import lru_cache

ZERO = Decimal(0)
ONE = Decimal(1)
CENT = Decimal("0.01")
BPS = Decimal("0.0001")

# Market data arrives as float64. Eight places keep every price quoted anywhere we trade and drop
# the binary noise behind them, so the same bar always becomes the same Decimal.
_FLOAT_PLACES = 8


@lru_cache(maxsize=16_384)  # a boundary asks for the same closes again and again: marks, signals, stops
def decimal_of(value: float) -> Decimal:
    """A float from a frame as the Decimal it was meant to be, to eight places.

    Raises ValueError for NaN and infinities: a price that is not a number must never reach an order.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not a price or a quantity")
    # Adding zero gives both zeros the same sign: the cache cannot tell them apart.
    return Decimal(repr(round(float(value), _FLOAT_PLACES) + 0.0))


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `value`."""
    return (value / step).to_integral_value(rounding=ROUND_FLOOR) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is not below `value`."""
    return (value / step).to_integral_value(rounding=ROUND_CEILING) * step


def nearest_to(value: Decimal, step: Decimal) -> Decimal:
    """The multiple of `step` nearest to `value`; a tie goes to the even multiple."""
    return (value / step).to_integral_value(rounding=ROUND_HALF_EVEN) * step


def toward_zero(value: Decimal, step: Decimal) -> Decimal:
    """The multiple of `step` next to `value` on the side of zero: a quantity that is surely affordable."""
    return (value / step).to_integral_value(rounding=ROUND_DOWN) * step


def cents(value: Decimal) -> Decimal:
    """`value` rounded to the cent, for reports; the books keep every digit."""
    return value.quantize(CENT, rounding=ROUND_HALF_EVEN)
