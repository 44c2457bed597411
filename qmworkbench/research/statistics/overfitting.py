"""The probability that choosing the best in a backtest chose badly: PBO by symmetric cross-validation (M: layer 2).

Source: Bailey, Borwein, López de Prado & Zhu, "The Probability of Backtest Overfitting" (2015). The sessions are cut
into an even number of blocks; each half of the blocks chooses the combination with the best Sharpe ratio, the other
half judges it by its rank among all.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, Final

import numpy as np

from qmworkbench.research.backtests.observations import trial_matrix, whole
from qmworkbench.research.fills.tape import Bools, Floats, Ints

MOST_BLOCKS: Final = 20
_CELLS: Final = 500_000  # numbers held at once in each of some ten arrays: 40 MB
_FLAT: Final = 1e-12
_BLOCKS: Final = (12, 10, 8, 6)
_BLOCK_SESSIONS: Final = 5
_COUNTED: Final = 4_000_000  # splits × combinations
LEAST_SESSIONS: Final = _BLOCKS[-1] * _BLOCK_SESSIONS
TOO_FEW: Final = f"there are fewer than {LEAST_SESSIONS} sessions"


@dataclass(frozen=True, eq=False)
class Overfitting:
    """What every split found, arrays of one height, and what follows.

    `logits`: ln(w / (1 − w)) with w the chosen one's rank out of sample over trials + 1. `pbo`: the share of logits at
    or below 0, where the chosen one did no better than the median. `slope` and `intercept`: out-of-sample Sharpe ratio
    of the chosen one by its in-sample one, None where those do not vary. `probability_of_loss`: the share of splits
    with a negative ratio out of sample. Ratios are per session. `drawn`: the splits are a sample of the possible ones.
    """

    pbo: float
    logits: Floats
    chosen: Ints
    in_sample: Floats
    out_of_sample: Floats
    slope: float | None
    intercept: float | None
    probability_of_loss: float
    blocks: int
    splits: int
    drawn: bool


def overfitting(returns: Any, *, blocks: int = 16, most_splits: int = 20_000, seed: int = 0) -> Overfitting:
    """PBO of a trial matrix, sessions × combinations.

    `blocks` is even; with S of them there are S-over-S/2 splits, and where these are more than `most_splits`, so many
    are drawn, each with its mirror image. A block holds two sessions at least. Raises ValueError else, and for fewer
    than two combinations.
    """
    taken = trial_matrix(returns, columns=2)
    count = whole(blocks, "blocks", least=2, most=MOST_BLOCKS, remedy="16 gives 12,870 splits")
    if count % 2:
        raise ValueError(f"blocks is {blocks}: both halves have as many, so give an even number")
    if len(taken) < 2 * count:
        raise ValueError(
            f"{len(taken)} sessions in {count} blocks: a block holds two at least; give fewer blocks or more sessions"
        )
    if not taken.any():
        raise ValueError(f"returns are zero throughout: none of the {taken.shape[1]} combinations ever traded")
    whole(most_splits, "most_splits", least=2)
    halves = _halves(count, most_splits, seed)
    picked, inside, outside, ranks = _judged(taken, halves)
    weight = ranks / (taken.shape[1] + 1)
    logits = np.log(weight / (1 - weight))
    slope, intercept = _line(inside, outside)
    return Overfitting(
        pbo=float((logits <= 0).mean()),
        logits=logits,
        chosen=picked,
        in_sample=inside,
        out_of_sample=outside,
        slope=slope,
        intercept=intercept,
        probability_of_loss=float((outside < 0).mean()),
        blocks=count,
        splits=len(halves),
        drawn=len(halves) < comb(count, count // 2),
    )


def fitted(returns: Any) -> Overfitting | None:
    """`overfitting` with as many blocks as the sessions can carry and a few seconds can count.

    None where there are fewer than LEAST_SESSIONS. A verdict and whatever is shown beside it ask here, so that one page
    never tells two of them.
    """
    sessions, columns = np.shape(returns)
    fitting = [blocks for blocks in _BLOCKS if sessions >= blocks * _BLOCK_SESSIONS]
    quick = [blocks for blocks in fitting if comb(blocks, blocks // 2) * columns <= _COUNTED]
    return overfitting(returns, blocks=quick[0] if quick else fitting[-1]) if fitting else None


def _halves(blocks: int, most: int, seed: int) -> Bools:
    """Which blocks choose, one row a split; the others judge."""
    if comb(blocks, blocks // 2) <= most:
        rows = np.array(list(combinations(range(blocks), blocks // 2)))
        taken = np.zeros((len(rows), blocks), dtype=np.bool_)
        np.put_along_axis(taken, rows, True, axis=1)
        return taken
    # Every half has its mirror image, so the one with block 0 stands for both.
    chance = np.random.default_rng(seed)
    seen: dict[tuple[int, ...], None] = {}
    while len(seen) < most // 2:
        others = chance.permutation(blocks - 1)[: blocks // 2 - 1] + 1
        seen[tuple(sorted(int(block) for block in others))] = None
    taken = np.zeros((len(seen), blocks), dtype=np.bool_)
    taken[:, 0] = True
    for row, members in enumerate(seen):
        taken[row, list(members)] = True
    return np.concatenate([taken, ~taken])


def _judged(returns: Floats, halves: Bools) -> tuple[Ints, Floats, Floats, Floats]:
    """For each split the one chosen, its two ratios, and its rank out of sample from 1 (ties share their mean)."""
    parts = np.array_split(np.arange(len(returns)), halves.shape[1])
    sizes = np.array([len(part) for part in parts], dtype=np.float64)
    sums = np.array([returns[part].sum(axis=0) for part in parts])
    squares = np.array([(returns[part] ** 2).sum(axis=0) for part in parts])
    rows = max(1, _CELLS // returns.shape[1])
    found: list[tuple[Ints, Floats, Floats, Floats]] = []
    for start in range(0, len(halves), rows):
        choosing = halves[start : start + rows].astype(np.float64)
        inside = _ratios(choosing @ sums, choosing @ squares, choosing @ sizes)
        judging = 1 - choosing
        outside = _ratios(judging @ sums, judging @ squares, judging @ sizes)
        picked = inside.argmax(axis=1).astype(np.int64)
        at = np.arange(len(choosing))
        value = outside[at, picked]
        below = (outside < value[:, None]).sum(axis=1)
        alike = (outside == value[:, None]).sum(axis=1)
        found.append((picked, inside[at, picked], value, below + (alike + 1) / 2))
    return (
        np.concatenate([part[0] for part in found]),
        np.concatenate([part[1] for part in found]),
        np.concatenate([part[2] for part in found]),
        np.concatenate([part[3] for part in found]),
    )


def _ratios(sums: Floats, squares: Floats, sizes: Floats) -> Floats:
    """Sharpe ratios from sums; 0 for a half without trades, and large but finite for one without variation."""
    count = sizes[:, None]
    mean = sums / count
    size = squares / count
    spread = np.sqrt(np.maximum(size - mean**2, _FLAT * size) * (count / (count - 1)))
    return np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0)


def _line(inside: Floats, outside: Floats) -> tuple[float | None, float | None]:
    """The least-squares line of one on the other."""
    centred = inside - inside.mean()
    spread = float((centred**2).sum())
    if spread <= _FLAT * float((inside**2).sum()):
        return None, None
    slope = float((centred * (outside - outside.mean())).sum()) / spread
    return slope, float(outside.mean()) - slope * float(inside.mean())


def histogram(found: Overfitting, bins: int = 12) -> tuple[Ints, Floats]:
    """How often which logit came out: counts and the edges between them, for a chart, `bins` on either side of 0.

    A logit on an edge counts to the left of it, as one of exactly 0 counts for overfitting.
    """
    whole(bins, "bins", least=1)
    furthest = max(float(np.abs(found.logits).max()), 1e-9)
    edges = np.linspace(-furthest, furthest, 2 * bins + 1)
    places = np.clip(np.searchsorted(edges, found.logits, side="left") - 1, 0, 2 * bins - 1)
    return np.bincount(places, minlength=2 * bins).astype(np.int64), edges
