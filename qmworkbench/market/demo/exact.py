"""Arithmetic whose last bit is the same on every machine, for a market that a seed must name exactly (§6).

Only uniform draws and operations that IEEE 754 rounds exactly: no library's exp, log or power, whose last bits vary
with processor and version, and no sums whose order a library may choose.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_HALVINGS: Final = 8
_TERMS: Final = 6
_LOG_OF_TWO: Final = 0.6931471805599453
_BELL: Final = 1.7320508075688772  # a sum of four uniforms has variance 1/3
_TENT: Final = 2.449489742783178  # a sum of two has 1/6


def exp(x: Floats) -> Floats:
    """e to the power x, for sizes up to some tens, to twelve digits."""
    y = x * (0.5**_HALVINGS)
    total: Floats = y * (1.0 / _TERMS) + 1.0
    for k in range(_TERMS - 1, 0, -1):
        total *= y
        if k > 1:
            total *= 1.0 / k
        total += 1.0
    for _ in range(_HALVINGS):
        total *= total
    return total


@lru_cache(maxsize=256)
def log(value: float) -> float:
    """The natural logarithm of a constant, by Newton's method on `exp`."""
    doublings = 0
    while value > 1.5:
        value, doublings = value / 2, doublings + 1
    while value < 0.75:
        value, doublings = value * 2, doublings - 1
    found = value - 1.0
    for _ in range(6):
        found += value * float(exp(np.array([-found]))[0]) - 1.0
    return found + doublings * _LOG_OF_TWO


def bell(uniforms: Floats) -> Floats:
    """Bell-shaped noise of variance 1 from four uniforms, along the first axis; it ends at 3.46."""
    total: Floats = uniforms[0] + uniforms[1]
    total += uniforms[2]
    total += uniforms[3]
    total -= 2.0
    total *= _BELL
    return total


def tent(uniforms: Floats) -> Floats:
    """Tent-shaped noise of variance 1 from two uniforms, along the first axis; it ends at 2.45."""
    total: Floats = uniforms[0] + uniforms[1]
    total -= 1.0
    total *= _TENT
    return total


def stream(*key: int) -> np.random.Generator:
    """The draws that belong to a key and to no other, such as (purpose, seed, date, seat)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def total(values: Floats) -> Floats:
    """Sums along the last axis, added in order: a library's own sum may pair as it likes."""
    if not values.shape[-1]:
        return np.zeros(values.shape[:-1])
    added: Floats = np.cumsum(values, axis=-1)[..., -1]
    return added
