"""What a sweep offers as evidence of an edge: figures of its trial matrix, or of its ratios alone (M: layer 2).

What luck brings is resampled from the trials themselves where their returns are known. The paper's own estimate, from
the spread of the trials' ratios, is measured beside it: where part of a grid has an edge and part of it none, or loses
to its fees, that spread is no longer one of luck and the paper's figure is too strict.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from qmworkbench.research.backtests.observations import risky, whole
from qmworkbench.research.fills.tape import Floats
from qmworkbench.research.statistics import bootstrap, overfitting, sharpe


@dataclass(frozen=True)
class Thresholds:
    """Where a figure stops being luck. `pbo` or, where all combinations share an edge, `probability_of_loss` suffices.

    With a PBO of `coin` or more and a loss in `coin_loss` or more of the other halves, choosing is a coin thrown.
    `sessions`, `active_sessions` (with a return other than 0, of the best) and `losing_sessions` (below 0): with fewer
    nothing is concluded. What has hardly ever lost has not shown its risk, and no figure here can know it. `untold`:
    the share of trials without returns above which a matrix counts as a part of the sweep only.
    """

    deflated: float = 0.95
    spa_p: float = 0.05
    pbo: float = 0.20
    probability_of_loss: float = 0.05
    coin: float = 0.50
    coin_loss: float = 0.25
    sessions: int = 60
    active_sessions: int = 30
    losing_sessions: int = 10
    untold: float = 0.10


THRESHOLDS: Final = Thresholds()


@dataclass(frozen=True)
class Evidence:
    """What was measured; ratios per session."""

    moments: sharpe.Moments
    active: int
    losing: int
    best: int
    trials: int
    effective: float | None
    luck: float
    luck_by_spread: float
    spa_p: float | None
    survivors: int | None
    pbo: float | None
    loss: float | None
    benchmark: str
    missing: dict[str, str]


def of_matrix(
    returns: Floats, trials: int | None, benchmark: Any, draws: int, seed: int, thresholds: Thresholds
) -> Evidence:
    """The evidence of a trial matrix that has passed `trial_matrix`; `trials` and `benchmark` as in `sweep_verdict`."""
    columns = returns.shape[1]
    tried = _tried(trials, columns)
    ratios = sharpe.sharpes(returns)
    best = int(ratios.argmax())
    series = risky(returns[:, best], "returns of the best combination")
    missing: dict[str, str] = {}
    tests = bootstrap.snooping(returns, benchmark=benchmark, draws=draws, seed=seed, size=thresholds.spa_p)
    alone = columns == 1
    choice = None if alone else overfitting.fitted(returns)
    if alone:
        missing["pbo"] = "a single combination: nothing was chosen, or it is not told what was chosen from"
    elif choice is None:
        missing["pbo"] = f"{len(returns)} sessions are too few to cut into halves of blocks"
    untold = 1 - columns / tried
    spread = float(ratios.std(ddof=1)) if columns > 1 else 0.0
    # Each trial untold is taken to be as good a lottery ticket as those told.
    luck = _scaled(tests.expected_maximum, columns, tried)
    spa_p = 1 - (1 - tests.spa_p) ** (tried / columns)
    if untold > thresholds.untold:
        told_of = f"returns of {columns:,} of {tried:,} trials only"
        missing["trial matrix"] = told_of
        luck = max(luck, spread * sharpe.expected_maximum(tried), _error(series) * sharpe.expected_maximum(tried))
    return Evidence(
        moments=sharpe.moments(series),
        active=int((series != 0).sum()),
        losing=int((series < 0).sum()),
        best=best,
        trials=tried,
        effective=sharpe.effective_trials(returns) * tried / columns,
        luck=luck,
        luck_by_spread=spread * sharpe.expected_maximum(tried),
        spa_p=spa_p,
        survivors=len(tests.survivors),
        pbo=None if choice is None else choice.pbo,
        loss=None if choice is None else choice.probability_of_loss,
        benchmark="cash" if benchmark is None else "the benchmark given",
        missing=missing,
    )


def of_ratios(sharpes: Any, best_returns: Any, trials: int | None) -> Evidence:
    """The evidence of the trials' ratios alone: every trial counts as independent, for nothing says how alike they are.

    Raises ValueError where the ratios are not those of `best_returns`, as with annual ones.
    """
    ratios = np.asarray(sharpes, dtype=np.float64)
    if ratios.ndim != 1 or not len(ratios):
        raise ValueError(f"sharpes has the shape {ratios.shape}: give one ratio for each combination, one at least")
    if np.isinf(ratios).any():
        raise ValueError(f"sharpes is infinite at {int(np.flatnonzero(np.isinf(ratios))[0])}: give NaN where undefined")
    if np.isnan(ratios).all():
        raise ValueError(f"sharpes is NaN for all {len(ratios)} combinations: none has a ratio to judge")
    tried = _tried(trials, len(ratios))
    series = risky(best_returns, "best_returns")
    told_of = sharpe.moments(series)
    best = int(np.nanargmax(ratios))
    if not math.isclose(told_of.sharpe, float(ratios[best]), rel_tol=1e-6, abs_tol=1e-9):
        raise ValueError(
            f"sharpes has {ratios[best]:.6g} for the best, best_returns give {told_of.sharpe:.6g}: give ratios per "
            "session (mean / standard deviation, ddof 1), not annual ones, and the returns of that very combination"
        )
    known = ratios[~np.isnan(ratios)]
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    why = "no trial matrix (sessions × combinations) was kept"
    return Evidence(
        moments=told_of,
        active=int((series != 0).sum()),
        losing=int((series < 0).sum()),
        best=best,
        trials=tried,
        effective=None,
        # How alike the trials are is not known: each counts as independent, at the error of a ratio at least.
        luck=max(spread, _error(series)) * sharpe.expected_maximum(tried),
        luck_by_spread=spread * sharpe.expected_maximum(tried),
        spa_p=None,
        survivors=None,
        pbo=None,
        loss=None,
        benchmark="cash",
        missing=dict.fromkeys(("spa_p", "pbo", "effective_trials"), why),
    )


def _tried(trials: int | None, given: int) -> int:
    if trials is None:
        return given
    return whole(trials, "trials", least=given, remedy="every combination given here was tried, failed ones besides")


def _error(series: Floats) -> float:
    """The error of the best one's ratio if its true ratio were 0."""
    told_of = sharpe.moments(series)
    return sharpe.standard_error(0.0, len(series), autocorrelation=after(told_of))


def after(told_of: sharpe.Moments) -> float:
    """Returns that follow one another widen an error; ones that alternate are not believed to narrow it."""
    return max(told_of.autocorrelation, 0.0)


def above(told_of: sharpe.Moments, luck: float) -> float:
    """The probability that the true ratio is above what luck brings."""
    return sharpe.probabilistic_sharpe(
        told_of.sharpe,
        told_of.observations,
        benchmark=luck,
        skew=told_of.skew,
        kurtosis=told_of.kurtosis,
        autocorrelation=after(told_of),
    )


def _scaled(best: float, given: int, tried: int) -> float:
    """The expected best of the trials given, stretched to all that were tried."""
    if tried == given:
        return best if given > 1 else 0.0
    return best * sharpe.expected_maximum(tried) / max(sharpe.expected_maximum(given), 0.5)
