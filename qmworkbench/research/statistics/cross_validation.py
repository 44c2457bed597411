"""Cross-validation of a choice of parameters: purged folds, and many histories from few (M: layer 2).

Source: López de Prado, "Advances in Financial Machine Learning" (2018), chapters 7 and 12; the combinations are
skfolio's. Train sessions next to a test are left out: `longest_hold` before it, for a trade may end in it, and
`history` besides after it, for what a strategy remembers reaches that far back into it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from qmworkbench.research.backtests.observations import LEAST_SESSIONS, SESSIONS_A_YEAR, trial_matrix, whole
from qmworkbench.research.fills.tape import Floats, Ints
from qmworkbench.research.statistics.walk_forward import best_of, sharpe_score


@dataclass(frozen=True, eq=False)
class Split:
    """Session numbers: `train` chooses, each of `tests` is one fold that judges; `paths` says for which history."""

    train: Ints
    tests: tuple[Ints, ...]
    paths: tuple[int, ...]


def purged_folds(sessions: int, *, folds: int = 5, longest_hold: int = 0, history: int = 0) -> tuple[Split, ...]:
    """Each fold judges once what the others choose; folds differ by one session at most.

    Raises ValueError where a split would be left with fewer than 20 train sessions.
    """
    whole(folds, "folds", least=2)
    whole(sessions, "sessions", least=2 * folds, remedy="a fold holds two sessions at least")
    before, after = _purge(longest_hold, history)
    found = []
    for test in np.array_split(np.arange(sessions, dtype=np.int64), folds):
        every = np.arange(sessions, dtype=np.int64)
        train = every[(every < test[0] - before) | (every > test[-1] + after)]
        found.append(Split(train, (test,), (0,)))
    return _enough(tuple(found))


def combinatorial_folds(
    sessions: int, *, folds: int = 8, tests: int = 2, longest_hold: int = 0, history: int = 0
) -> tuple[Split, ...]:
    """Every choice of `tests` folds out of `folds` judges what the rest choose: many whole histories, by skfolio.

    8 folds with 2 tests make 28 splits and 7 histories. Raises ValueError where the sessions are too few for it.
    """
    from skfolio.model_selection import CombinatorialPurgedCV

    whole(folds, "folds", least=3, most=16, remedy="more give thousands of splits of the same sessions")
    whole(tests, "tests", least=2, most=folds - 1)
    whole(sessions, "sessions", least=2 * folds, remedy="a fold holds two sessions at least")
    before, after = _purge(longest_hold, history)
    if after >= sessions // folds - 1:
        raise ValueError(
            f"longest_hold {longest_hold} and history {history} leave nothing of a fold of {sessions // folds} "
            "sessions: take fewer folds or a longer period"
        )
    cutter = CombinatorialPurgedCV(
        n_folds=folds, n_test_folds=tests, purged_size=before, embargo_size=whole(history, "history", least=0)
    )
    paths = cutter.get_path_ids()
    found = [
        Split(
            np.asarray(train, dtype=np.int64),
            tuple(np.asarray(test, dtype=np.int64) for test in judged),
            tuple(int(path) for path in paths[number]),
        )
        for number, (train, judged) in enumerate(cutter.split(np.zeros((sessions, 1))))
    ]
    return _enough(tuple(found))


def _purge(longest_hold: int, history: int) -> tuple[int, int]:
    """How many train sessions go before a test, and how many after it."""
    hold = whole(longest_hold, "longest_hold", least=0)
    return hold, hold + whole(history, "history", least=0)


def _enough(splits: tuple[Split, ...]) -> tuple[Split, ...]:
    least = min(len(split.train) for split in splits)
    if least < LEAST_SESSIONS:
        raise ValueError(
            f"a split is left with {least} train sessions, {LEAST_SESSIONS} are needed: fewer test folds, a shorter "
            "purge or a longer period"
        )
    return splits


@dataclass(frozen=True, eq=False)
class Validation:
    """How the chosen combination fared in every history.

    `paths`: path, sharpe (annual, None without variation), total_return, max_drawdown. `choices`: one row a split:
    split, choice, train_score. `negative`: the share of histories with a Sharpe ratio of 0 or below, those without one
    included. `agreement`: the share of splits that chose what most chose, `choice`.
    """

    paths: pl.DataFrame
    choices: pl.DataFrame
    returns: Floats
    median_sharpe: float | None
    negative: float
    choice: int
    agreement: float


def validate(
    returns: Any,
    splits: tuple[Split, ...],
    *,
    score: Callable[[Floats], Floats] = sharpe_score,
    sessions_a_year: float = SESSIONS_A_YEAR,
) -> Validation:
    """Choose by each split's train sessions from a trial matrix, and put its tests together to whole histories.

    Raises ValueError where the splits are of other sessions than the matrix, or leave a hole in a history.
    """
    taken = trial_matrix(returns)
    last = max(int(test[-1]) for split in splits for test in split.tests)
    if last + 1 != len(taken):
        raise ValueError(f"the splits are of {last + 1} sessions, returns has {len(taken)}: cut them for these")
    count = max(path for split in splits for path in split.paths) + 1
    histories = np.full((count, len(taken)), np.nan)
    rows = []
    for number, split in enumerate(splits):
        scores = score(taken[split.train])
        choice = best_of(scores)
        rows.append({"split": number, "choice": choice, "train_score": float(scores[choice])})
        for path, test in zip(split.paths, split.tests, strict=True):
            histories[path, test] = taken[test, choice]
    if np.isnan(histories).any():
        raise ValueError("the splits leave sessions of a history without a test: make them with the functions here")
    choices = pl.DataFrame(rows)
    picked, often = np.unique(choices["choice"].to_numpy(), return_counts=True)
    ratios = sharpe_score(np.ascontiguousarray(histories.T)) * np.sqrt(sessions_a_year)
    traded = [bool(one.any()) for one in histories]
    worth = np.cumprod(1 + histories, axis=1)
    peak = np.maximum(np.maximum.accumulate(worth, axis=1), 1.0)
    table = pl.DataFrame(
        {
            "path": np.arange(count),
            "sharpe": [float(ratio) if any_trade else None for ratio, any_trade in zip(ratios, traded, strict=True)],
            "total_return": worth[:, -1] - 1,
            "max_drawdown": ((peak - worth) / peak).max(axis=1),
        },
        schema_overrides={"sharpe": pl.Float64},
    )
    return Validation(
        paths=table,
        choices=choices,
        returns=histories,
        median_sharpe=float(np.median(ratios[traded])) if any(traded) else None,
        negative=float((ratios <= 0).mean()),
        choice=int(picked[often.argmax()]),
        agreement=float(often.max() / len(splits)),
    )
