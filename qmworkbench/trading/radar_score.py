"""The Momentum Radar's score: how a symbol's momentum compares with the rest of the universe (§9).

Four columns are compared across the symbols that have a price. Each becomes
z = (value - median) / max(interquartile range, floor), then z / (1 + |z|), which keeps the order of even the
wildest gainers while no single column can decide alone. The score is 100 times the weighted sum (weights
in SCORE_TERMS): it lies between -100 and 100, and 0 is a symbol like the median one. An unknown value
counts as the median. The score is rounded to four decimals before ranking, so that the last bits of a
float never order two symbols; equal scores rank by symbol. Of the m known values in order, the median and
the quartiles are those at places (m-1)*q // 4 from zero: elements of the data, never an average of two.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qmworkbench.trading.frames import Floats

STEPS_PER_POINT: Final = 10_000  # a score is a whole number of these steps
_FULL_SCALE: Final = 100 * STEPS_PER_POINT


@dataclass(frozen=True)
class ScoreTerm:
    """One column's part in the score: its weight, and the spread below which the market counts as flat."""

    column: str
    weight: float
    floor: float


SCORE_TERMS: Final = (
    ScoreTerm("change", weight=0.40, floor=0.01),
    ScoreTerm("roc_5", weight=0.20, floor=0.002),
    ScoreTerm("rel_volume", weight=0.20, floor=0.5),
    ScoreTerm("range_position", weight=0.20, floor=0.25),
)

_FLOORS: Final = np.array([term.floor for term in SCORE_TERMS])
_WEIGHTS: Final = np.array([[term.weight] for term in SCORE_TERMS])


def score_steps(column: dict[str, Floats], priced: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Scores in whole steps over the universe; meaningful only where `priced`.

    `column` holds at least the columns of SCORE_TERMS, NaN where unknown.
    """
    total: Floats = np.zeros(len(priced))
    for term in SCORE_TERMS:
        value = column[term.column]
        known = ~np.isnan(value) & priced
        sample = value[known]
        if not len(sample):
            continue
        low, middle, high = ((len(sample) - 1) * quarter // 4 for quarter in (1, 2, 3))
        sample.partition((low, middle, high))
        scale = max(float(sample[high] - sample[low]), term.floor)
        z = (value - sample[middle]) / scale
        total += np.where(known, term.weight * (z / (1.0 + np.abs(z))), 0.0)
    return _in_whole_steps(total)


def steps_by_boundary(
    column: dict[str, Floats], priced: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The same for many boundaries, columns and `priced` of shape (boundaries, symbols), and at which it holds: where
    every symbol is priced, and each term is known of all of them or of none.
    """
    table = np.stack([column[term.column] for term in SCORE_TERMS], axis=1)
    unknown = np.isnan(table)
    lacking: npt.NDArray[np.bool_] = np.logical_or.reduce(unknown, axis=2)
    alike = np.logical_and.reduce(lacking == np.logical_and.reduce(unknown, axis=2), axis=1)
    whole: npt.NDArray[np.bool_] = np.logical_and.reduce(priced, axis=1) & alike
    steps = np.zeros(priced.shape, np.int64)
    if whole.any():
        steps[whole] = _in_whole_steps(_of_whole_columns(table[whole], lacking[whole]))
    return steps, whole


def _of_whole_columns(table: Floats, lacking: npt.NDArray[np.bool_]) -> Floats:
    """Scores of boundaries at which a term is known of every symbol, or of none where `lacking` says so."""
    low, middle, high = ((table.shape[2] - 1) * quarter // 4 for quarter in (1, 2, 3))
    ordered = np.sort(table, axis=2)
    scale = np.maximum(ordered[:, :, high] - ordered[:, :, low], _FLOORS)[:, :, np.newaxis]
    z = (table - ordered[:, :, middle, np.newaxis]) / scale
    parts = np.where(lacking[:, :, np.newaxis], 0.0, _WEIGHTS * (z / (1.0 + np.abs(z))))
    total: Floats = parts[:, 0]
    for term in range(1, len(SCORE_TERMS)):  # in this order: a sum of floats knows its order
        total = total + parts[:, term]
    return total


def _in_whole_steps(total: Floats) -> npt.NDArray[np.int64]:
    return np.rint(total * _FULL_SCALE).astype(np.int64)


def best_first(steps: npt.NDArray[np.int64], ranked: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The universe positions `ranked` ordered by score, best first, ties by position; read-only."""
    n = max(len(steps), 1)
    # One integer holds score and position, so a plain sort of whole numbers breaks ties by symbol.
    order: npt.NDArray[np.int64] = np.sort((_FULL_SCALE - steps[ranked]) * n + ranked) % n
    order.flags.writeable = False
    return order
