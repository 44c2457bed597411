"""What polars' operations make of numbers, on arrays without nulls: the same bits (DESIGN "Numbers").

Where one of polars and numpy orders or rounds in a way of its own, this says so; `tests` hold each against polars.
NaN equals itself and is greater than all else; extremes pass over it; of two equal values (zeros of either sign) the
extreme is the second; a division by a number is a multiplication by its inverse.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qmworkbench.strategies.row_tape import NotCarried

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

_WHOLE_END: Final = 2.0**63


def greater(a: Array, b: Array) -> Array:
    """a > b, with NaN above all else."""
    found: Array = np.greater(a, b) | (np.isnan(a) & ~np.isnan(b))
    return found


def less(a: Array, b: Array) -> Array:
    """a < b, with NaN above all else."""
    return greater(b, a)


def greater_equal(a: Array, b: Array) -> Array:
    """a >= b, with NaN above all else and equal to itself."""
    found: Array = np.greater_equal(a, b) | np.isnan(a)
    return found


def less_equal(a: Array, b: Array) -> Array:
    """a <= b, with NaN above all else and equal to itself."""
    return greater_equal(b, a)


def equal(a: Array, b: Array) -> Array:
    """a == b, with NaN equal to itself."""
    found: Array = np.equal(a, b) | (np.isnan(a) & np.isnan(b))
    return found


def unequal(a: Array, b: Array) -> Array:
    """a != b, with NaN equal to itself."""
    return ~equal(a, b)


COMPARISONS: Final[dict[str, tuple[Callable[..., Any], Callable[..., Any]]]] = {
    "Gt": (np.greater, greater),
    "GtEq": (np.greater_equal, greater_equal),
    "Lt": (np.less, less),
    "LtEq": (np.less_equal, less_equal),
    "Eq": (np.equal, equal),
    "NotEq": (np.not_equal, unequal),
}
"""For each comparison what to call where neither side can be NaN, and where one may be."""


def highest(a: Array, b: Array) -> Array:
    """The greater, `b` of two equal ones (numpy's own maximum takes either of two zeros)."""
    return np.where(a > b, a, b)


def lowest(a: Array, b: Array) -> Array:
    """The lesser, `b` of two equal ones."""
    return np.where(a < b, a, b)


def highest_number(a: Array, b: Array) -> Array:
    """The greater, `b` of two equal ones; NaN only where both are."""
    return np.where((a > b) | np.isnan(b), a, b)


def lowest_number(a: Array, b: Array) -> Array:
    """The lesser, `b` of two equal ones; NaN only where both are."""
    return np.where((a < b) | np.isnan(b), a, b)


EXTREMES: Final[dict[bool, tuple[Callable[..., Any], Callable[..., Any]]]] = {
    True: (highest, highest_number),
    False: (lowest, lowest_number),
}
"""The highest (True) and the lowest: what to call where neither side can be NaN, and where one may be."""


def rounded(a: Array, decimals: int) -> Array:
    """To so many decimals, a half to the even neighbour."""
    scale = 10.0**decimals
    found: Array = np.rint(a * scale) / scale if decimals else np.rint(a)
    return found


def at_least(a: Array, bound: float) -> Array:
    """`a`, or the bound where it is below."""
    return np.where(a < bound, bound, a)


def at_most(a: Array, bound: float) -> Array:
    """`a`, or the bound where it is above."""
    return np.where(a > bound, bound, a)


def whole(a: Array, known: Bools | bool) -> Array:
    """As int64, fractions cut off; NotCarried for what does not fit, which polars answers in its own words."""
    if a.dtype.kind == "f" and not np.where(known, np.abs(a), 0.0).max() < _WHOLE_END:
        raise NotCarried("a number too large for a whole one")
    return a.astype(np.int64)


def floating(a: Array) -> Array:
    """As float64."""
    return a.astype(np.float64)


def smoothed(before: Array, begun: Bools, weight: float, a: Array) -> Array:
    """One step of an exponential average; the value itself where there was none before."""
    return np.where(begun, before + weight * (a - before), a)


def both(a: Bools | bool, b: Bools | bool) -> Bools | bool:
    """Whether both hold."""
    return b if a is True else a if b is True else np.logical_and(a, b)


def chosen(condition: Bools | bool, then: Any, otherwise: Any) -> Array:
    """`then` where the condition holds, `otherwise` elsewhere."""
    found: Array = then if condition is True else np.where(condition, then, otherwise)
    return found


def where_known(a: Array, known: Bools) -> Array:
    """`a`, NaN where it is null."""
    return np.where(known, a, np.nan)
