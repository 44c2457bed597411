"""Numbers that a statistic may rest on: every figure here asks first whether its returns can carry it (M: layer 2)."""

import math
from typing import Any, Final

import numpy as np

from qmworkbench.research.fills.tape import Floats

SESSIONS_A_YEAR: Final = 252
LEAST_SESSIONS: Final = 20  # fewer carry no estimate of spread, let alone of skew

_COLUMNS: Final = 1_000
_FLAT: Final = 1e-12  # a spread below this share of the size is rounding, not risk


def series(values: Any, name: str = "returns", *, least: int = LEAST_SESSIONS) -> Floats:
    """One return for each session, as float64. Raises ValueError for a wrong shape, too few, NaN or infinity."""
    taken = np.asarray(values, dtype=np.float64)
    if taken.ndim != 1:
        raise ValueError(f"{name} has {taken.ndim} dimensions: give one return for each session, one dimension")
    if len(taken) < least:
        raise ValueError(f"{name} has {len(taken)} values, {least} are needed: take a longer period")
    wrong = np.flatnonzero(~np.isfinite(taken))
    if len(wrong):
        raise ValueError(
            f"{name} is {taken[wrong[0]]} at position {wrong[0]} ({len(wrong)} such in all): "
            "repair or leave out those sessions; nothing is guessed here"
        )
    return taken


def risky(values: Any, name: str = "returns", *, least: int = LEAST_SESSIONS) -> Floats:
    """A series as above that also varies: without variation there is no Sharpe ratio, and ValueError says so."""
    taken = series(values, name, least=least)
    if is_flat(taken):
        raise ValueError(
            f"{name} is {taken[0]:g} in every one of {len(taken)} sessions: without variation there is no Sharpe "
            "ratio; did it trade at all?"
        )
    return taken


def is_flat(values: Floats) -> bool:
    """Whether values are one and the same but for rounding."""
    return bool(values.std() <= _FLAT * max(float(np.abs(values).max()), np.finfo(np.float64).tiny))


def trial_matrix(values: Any, name: str = "returns", *, least: int = LEAST_SESSIONS, columns: int = 1) -> Floats:
    """Returns of every trial: sessions down, combinations across. A column of zeros is one that never traded.

    Raises ValueError for a wrong shape, too few rows or columns, NaN or infinity, a constant column other than zero.
    """
    taken = np.asarray(values, dtype=np.float64)
    if taken.ndim != 2:
        raise ValueError(f"{name} has {taken.ndim} dimensions: give sessions × combinations, two dimensions")
    sessions, trials = taken.shape
    if sessions < least:
        raise ValueError(f"{name} has {sessions} sessions, {least} are needed: take a longer period")
    if trials < columns:
        raise ValueError(f"{name} has {trials} combinations, {columns} are needed: nothing was chosen among fewer")
    if not np.isfinite(taken).all():
        row, column = np.argwhere(~np.isfinite(taken))[0]
        raise ValueError(
            f"{name} is {taken[row, column]} at session {row} of combination {column}: leave combinations that "
            "failed out, and count them among the trials"
        )
    same = (taken == taken[0]).all(axis=0) & (taken[0] != 0)
    if same.any():
        column = int(np.argmax(same))
        raise ValueError(
            f"{name} of combination {column} is {taken[0, column]:g} in every session: no trading earns that; "
            "give zeros for a combination that never traded"
        )
    return taken


def spreads(matrix: Floats) -> Floats:
    """The standard deviation (ddof 1) of every column, exactly 0 for one that never varies.

    A thousand columns at a time: a matrix of a sweep is large, and its copies would be as large.
    """
    found = np.empty(matrix.shape[1])
    for start in range(0, len(found), _COLUMNS):
        part = matrix[:, start : start + _COLUMNS]
        deviation = part.std(axis=0, ddof=1)
        size = np.maximum(np.abs(part).max(axis=0), np.finfo(np.float64).tiny)
        found[start : start + _COLUMNS] = np.where(deviation > _FLAT * size, deviation, 0.0)
    return found


def whole(value: int, name: str, *, least: int, most: int | None = None, remedy: str = "") -> int:
    """A whole number within its limits, else ValueError with the limits."""
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"{name} is {value!r}: give a whole number")
    if value < least or (most is not None and value > most):
        limits = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} is {value}: {limits} is allowed{'; ' + remedy if remedy else ''}")
    return int(value)


def number(value: float, name: str, *, above: float | None = None, below: float | None = None) -> float:
    """A finite number strictly within its limits, else ValueError with the limits."""
    taken = float(value)
    low = above is not None and taken <= above
    high = below is not None and taken >= below
    if not math.isfinite(taken) or low or high:
        parts = [f"above {above:g}" if above is not None else "", f"below {below:g}" if below is not None else ""]
        limits = " and ".join(part for part in parts if part)
        raise ValueError(f"{name} is {value}: give a finite number{' ' + limits if limits else ''}")
    return taken


def told(value: float | None, form: str = ".2f") -> str:
    """A figure for a sentence, a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else format(value, form)
