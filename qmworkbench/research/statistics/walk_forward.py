"""Walk-forward: chosen on the past, judged on what came next, again and again (M: layer 2).

Everything is counted in sessions, so that no bar of a test session is ever in a train window. Between the two lies a
gap as long as the longest hold: a trade of the last train session may end that much later.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from qmworkbench.research.backtests.observations import (
    LEAST_SESSIONS,
    SESSIONS_A_YEAR,
    is_flat,
    series,
    trial_matrix,
    whole,
)
from qmworkbench.research.fills.tape import Floats

Mode = Literal["rolling", "expanding", "anchored"]
Params = Mapping[str, Any]
Score = Callable[[Floats], Floats]
Evaluate = Callable[[Params, range], Any]

_LEAST_TEST: Final = 2


@dataclass(frozen=True)
class Window:
    """Session numbers: `train` chooses, `gap` is looked at by neither, `test` judges."""

    number: int
    train: range
    gap: range
    test: range


def windows(
    sessions: int,
    *,
    train: int,
    test: int,
    embargo: int = 0,
    longest_hold: int = 0,
    mode: Mode = "rolling",
    anchor: int = 0,
) -> tuple[Window, ...]:
    """Windows whose tests follow one another without overlap until the sessions end; a rest too short is left out.

    "rolling": always the last `train` sessions. "expanding": all sessions so far, `train` at first. "anchored": all
    since session `anchor`, `train` at first (since a change of regime or of rules, say). The gap is the longer of
    `embargo` and `longest_hold`, in sessions. Raises ValueError where not even one window fits.
    """
    whole(sessions, "sessions", least=1)
    whole(train, "train", least=LEAST_SESSIONS, remedy="fewer sessions choose nothing but luck")
    whole(test, "test", least=_LEAST_TEST)
    gap = max(whole(embargo, "embargo", least=0), whole(longest_hold, "longest_hold", least=0))
    if mode not in ("rolling", "expanding", "anchored"):
        raise ValueError(f"mode is {mode!r}: rolling, expanding or anchored")
    if anchor and mode != "anchored":
        raise ValueError(f"anchor is {anchor} with mode {mode!r}: only an anchored window has one")
    start = whole(anchor, "anchor", least=0, most=sessions - 1) if mode == "anchored" else 0
    found = []
    for number, first in enumerate(range(start + train + gap, sessions - test + 1, test)):
        until = first - gap
        since = until - train if mode == "rolling" else start
        found.append(Window(number, range(since, until), range(until, first), range(first, first + test)))
    if not found:
        raise ValueError(
            f"{sessions} sessions from session {start} on hold no window of {train} to train, {gap} between and "
            f"{test} to test: take a longer period or shorter windows"
        )
    return tuple(found)


@dataclass(frozen=True, eq=False)
class WalkForward:
    """What the chosen parameters earned out of sample, and whether choosing helped.

    `curve`: session, window, return, equity (from 1). `choices`: one row a window with its sessions (train_from,
    train_to, test_from, test_to, inclusive), `choice` (number of the candidate), its parameters, train_score,
    test_score, test_return (compounded), median_score (test score of the median candidate, None with a callable).
    `efficiency`: mean session return out of sample over that in sample, None where `missing` says why.
    `stability`: share of windows that chose as the one before. `profitable`: share of windows that earned.
    `beats_median`: share in which the chosen one did better than the median candidate. `failed`: candidates that could
    not be evaluated: window, choice, reason.
    """

    windows: tuple[Window, ...]
    curve: pl.DataFrame
    choices: pl.DataFrame
    sharpe: float | None
    efficiency: float | None
    stability: float | None
    profitable: float
    beats_median: float | None
    failed: pl.DataFrame
    missing: dict[str, str]


def sharpe_score(returns: Floats) -> Floats:
    """The usual score of candidates: Sharpe per session of each column, 0 for one that never traded."""
    spread = returns.std(axis=0, ddof=1)
    flat = spread <= 1e-12 * np.abs(returns).max(axis=0)
    score: Floats = np.divide(returns.mean(axis=0), spread, out=np.zeros(returns.shape[1]), where=~flat)
    return score


def best_of(scores: Floats) -> int:
    """The first of the highest scores; one that is not finite is never chosen. Raises ValueError where none is."""
    known = np.isfinite(scores)
    if not known.any():
        raise ValueError(f"none of {len(scores)} scores is finite: there is nothing to choose by")
    return int(np.argmax(np.where(known, scores, -np.inf)))


def return_score(returns: Floats) -> Floats:
    """Score by the sum of session returns."""
    return np.asarray(returns.sum(axis=0), dtype=np.float64)


def from_matrix(
    returns: Any,
    cut: Sequence[Window],
    *,
    params: Sequence[Params] | None = None,
    score: Score = sharpe_score,
    sessions_a_year: float = SESSIONS_A_YEAR,
) -> WalkForward:
    """Walk forward over a trial matrix, sessions × candidates; of equal scores the first candidate is chosen.

    The matrix has to be one of session returns that do not depend on later sessions, as every backtest's are.
    """
    taken = trial_matrix(returns)
    given = _named(params, taken.shape[1])
    _inside(cut, len(taken))
    rows, parts = [], []
    for window in cut:
        scores = score(taken[window.train.start : window.train.stop])
        tests = taken[window.test.start : window.test.stop]
        judged = score(tests)
        choice = best_of(scores)
        inside = taken[window.train.start : window.train.stop, choice]
        parts.append((window, inside, tests[:, choice]))
        rows.append(
            _row(window, choice, given[choice], float(scores[choice]), tests[:, choice], float(judged[choice]))
            | {"median_score": float(np.median(judged))}
        )
    return _summed(cut, rows, parts, [], sessions_a_year)


def from_callable(
    evaluate: Evaluate,
    params: Sequence[Params],
    cut: Sequence[Window],
    *,
    score: Score = sharpe_score,
    sessions_a_year: float = SESSIONS_A_YEAR,
) -> WalkForward:
    """Walk forward with a backtest: `evaluate(params, sessions)` answers one return for each session of a range.

    It is asked for train sessions for every candidate, and for test sessions for the one chosen alone. A candidate
    whose evaluation raises ValueError, or whose returns are not finite, is set down as failed and not chosen.
    """
    given = _named(params, len(params))
    if not given:
        raise ValueError("params is empty: give one set of parameters at least")
    rows, parts, failed = [], [], []
    for window in cut:
        trained: dict[int, Floats] = {}
        for number, one in enumerate(given):
            try:
                trained[number] = _answered(evaluate, one, window.train)
            except ValueError as reason:
                failed.append({"window": window.number, "choice": number, "reason": str(reason)})
        if not trained:
            raise ValueError(
                f"all {len(given)} candidates failed in window {window.number}; the last: {failed[-1]['reason']}"
            )
        scores = {number: float(score(inside[:, None])[0]) for number, inside in trained.items()}
        choice = list(scores)[best_of(np.array(list(scores.values())))]
        outside = _answered(evaluate, given[choice], window.test)
        parts.append((window, trained[choice], outside))
        judged = float(score(outside[:, None])[0])
        rows.append(_row(window, choice, given[choice], scores[choice], outside, judged) | {"median_score": None})
    return _summed(cut, rows, parts, failed, sessions_a_year)


def _answered(evaluate: Evaluate, params: Params, sessions: range) -> Floats:
    taken = series(evaluate(params, sessions), f"returns of {dict(params)}", least=len(sessions))
    if len(taken) != len(sessions):
        raise ValueError(f"{dict(params)} answered {len(taken)} returns for {len(sessions)} sessions")
    return taken


def _named(params: Sequence[Params] | None, count: int) -> list[Params]:
    if params is None:
        return [{} for _ in range(count)]
    if len(params) != count:
        raise ValueError(f"params names {len(params)} candidates, the matrix has {count}: one for each column")
    names = {tuple(sorted(one)) for one in params}
    if len(names) > 1:
        raise ValueError(f"params name different parameters: {sorted(names)[:2]}")
    taken = {"window", "choice", "train_score", "test_score", "test_return", "median_score"} & set(*names)
    if taken:
        raise ValueError(f"a parameter is named {sorted(taken)[0]!r}, as a column of the result: rename it")
    return list(params)


def _inside(cut: Sequence[Window], sessions: int) -> None:
    if not cut:
        raise ValueError("no windows are given: make them with windows()")
    last = max(window.test.stop for window in cut)
    if last > sessions:
        raise ValueError(f"the windows reach session {last - 1}, returns end with {sessions - 1}: cut them for these")


def _row(
    window: Window, choice: int, params: Params, train_score: float, outside: Floats, test_score: float
) -> dict[str, Any]:
    return {
        "window": window.number,
        "train_from": window.train.start,
        "train_to": window.train.stop - 1,
        "test_from": window.test.start,
        "test_to": window.test.stop - 1,
        "choice": choice,
        **params,
        "train_score": train_score,
        "test_score": test_score,
        "test_return": float(np.prod(1 + outside) - 1),
    }


def _summed(
    cut: Sequence[Window],
    rows: list[dict[str, Any]],
    parts: list[tuple[Window, Floats, Floats]],
    failed: list[dict[str, Any]],
    sessions_a_year: float,
) -> WalkForward:
    outside = np.concatenate([test for _, _, test in parts])
    choices = pl.DataFrame(rows, infer_schema_length=None)
    missing: dict[str, str] = {}
    sharpe = efficiency = stability = beats = None
    if is_flat(outside):
        missing["sharpe"] = "no return out of sample differs from another: nothing was traded there"
    else:
        sharpe = float(outside.mean() / outside.std(ddof=1) * np.sqrt(sessions_a_year))
    # The mean of the windows' means: in expanding windows the sessions of the first would count many times.
    inside = float(np.mean([train.mean() for _, train, _ in parts]))
    if inside > 0:
        efficiency = float(np.mean([test.mean() for _, _, test in parts])) / inside
    else:
        missing["efficiency"] = "what was chosen did not earn in sample"
    if len(rows) > 1:
        chosen = choices["choice"].to_numpy()
        stability = float((chosen[1:] == chosen[:-1]).mean())
    else:
        missing["stability"] = "a single window"
    if choices["median_score"].null_count() == 0:
        beats = float((choices["test_score"] > choices["median_score"]).to_numpy().mean())
    else:
        missing["beats_median"] = "only the chosen candidate was evaluated out of sample"
    return WalkForward(
        windows=tuple(cut),
        curve=pl.DataFrame(
            {
                "session": np.concatenate([np.arange(window.test.start, window.test.stop) for window, _, _ in parts]),
                "window": np.concatenate([np.full(len(test), window.number) for window, _, test in parts]),
                "return": outside,
                "equity": np.cumprod(1 + outside),
            }
        ),
        choices=choices,
        sharpe=sharpe,
        efficiency=efficiency,
        stability=stability,
        profitable=float((choices["test_return"] > 0).to_numpy().mean()),
        beats_median=beats,
        failed=pl.DataFrame(failed, schema={"window": pl.Int64, "choice": pl.Int64, "reason": pl.String}),
        missing=missing,
    )
