"""Resampled histories: intervals of return, Sharpe and drawdown, and tests of the best of many (M: layer 2).

The stationary bootstrap (Politis & Romano 1994, by `arch`) keeps what hangs together in time by drawing blocks of
random length. On it rest White's Reality Check (2000), Hansen's test of superior predictive ability (2005) and the
step-down version of Romano & Wolf (2005). Everything is seeded: the same input gives the same numbers.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from qmworkbench.research.backtests.observations import (
    SESSIONS_A_YEAR,
    is_flat,
    number,
    risky,
    series,
    spreads,
    trial_matrix,
    whole,
)
from qmworkbench.research.fills.tape import Floats, Ints

_COLUMNS: Final = 1_000  # combinations resampled at once: 8 MB for a thousand draws
_LONGEST_SHARE: Final = 4  # a block longer than a quarter of the history leaves too few of them


@dataclass(frozen=True)
class Interval:
    """A figure of the history as it was, and between which two values `confidence` of the resampled ones lie."""

    value: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class Intervals:
    """Total return (compounded), annual Sharpe ratio and deepest drawdown (a fraction, ≥ 0), with their draws.

    `loss_probability`: the share of resampled histories that lose money. `without_sharpe`: draws without variation,
    left out of the Sharpe interval.
    """

    total_return: Interval
    sharpe: Interval
    max_drawdown: Interval
    loss_probability: float
    without_sharpe: int
    block_length: float
    draws: int


def block_length(returns: Any) -> float:
    """The expected length of a block for the stationary bootstrap (Politis & White 2004, corrected 2009).

    In sessions, 1 at least and a quarter of the history at most.
    """
    from arch.bootstrap import optimal_block_length

    taken = risky(returns)
    best = float(optimal_block_length(taken)["stationary"].iloc[0])
    if not math.isfinite(best):
        best = 1.0
    return min(max(best, 1.0), len(taken) / _LONGEST_SHARE)


def draws_of(sessions: int, *, draws: int, block: float, seed: int) -> Ints:
    """Resampled session numbers, draws × sessions, by arch's stationary bootstrap."""
    from arch.bootstrap import StationaryBootstrap

    whole(draws, "draws", least=100, remedy="fewer say nothing of the tails")
    number(block, "block", above=0)
    if block < 1 or block > sessions:
        raise ValueError(f"block is {block}: a block is 1 to {sessions} sessions long, the length of the history")
    mean_length: Any = block  # typed as whole there, used as the inverse of a probability
    source = StationaryBootstrap(mean_length, np.arange(sessions), seed=whole(seed, "seed", least=0))
    return np.array([data[0][0] for data in source.bootstrap(draws)], dtype=np.int64)


def intervals(
    returns: Any,
    *,
    confidence: float = 0.95,
    draws: int = 2_000,
    block: float | None = None,
    seed: int = 0,
    sessions_a_year: float = SESSIONS_A_YEAR,
) -> Intervals:
    """Percentile intervals of one series of session returns, `block` chosen by the data when None.

    Raises ValueError for a series too short, not finite, without variation, or with a return of -100 % or worse.
    """
    taken = risky(returns)
    if (taken <= -1).any():
        raise ValueError(f"returns is {taken.min():g} in a session: at -1 or below all is lost, nothing compounds")
    number(confidence, "confidence", above=0, below=1)
    length = block_length(taken) if block is None else block
    resampled = taken[draws_of(len(taken), draws=draws, block=length, seed=seed)]
    year = math.sqrt(number(sessions_a_year, "sessions_a_year", above=0))
    spread = resampled.std(axis=1, ddof=1)
    varied = spread > 1e-12 * np.abs(resampled).max(axis=1)
    ratios = resampled[varied].mean(axis=1) / spread[varied] * year
    totals = np.prod(1 + resampled, axis=1) - 1
    return Intervals(
        total_return=_interval(float(np.prod(1 + taken) - 1), totals, confidence),
        sharpe=_interval(float(taken.mean() / taken.std(ddof=1)) * year, ratios, confidence),
        max_drawdown=_interval(float(drawdowns(taken[None])[0]), drawdowns(resampled), confidence),
        loss_probability=float((totals < 0).mean()),
        without_sharpe=int((~varied).sum()),
        block_length=length,
        draws=draws,
    )


def drawdowns(returns: Floats) -> Floats:
    """The deepest drawdown of each row of returns, a fraction of the peak; the start counts as a peak."""
    worth = np.cumprod(1 + returns, axis=1)
    peak = np.maximum(np.maximum.accumulate(worth, axis=1), 1.0)
    return np.asarray(((peak - worth) / peak).max(axis=1), dtype=np.float64)


def _interval(value: float, drawn: Floats, confidence: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), confidence)


@dataclass(frozen=True, eq=False)
class Snooping:
    """Whether the best of many beats the benchmark by more than searching explains.

    `spa_p` is Hansen's consistent p-value, `spa_p_lower` and `spa_p_upper` its bounds; `reality_check_p` is White's,
    which measures in money, not in risk, and so listens to the wildest trial. A p-value is never 0: (hits + 1) /
    (draws + 1). `survivors`: combinations that beat the benchmark at `size` by the step-down test, in column order.
    `expected_maximum`: the best Sharpe ratio per session that luck alone brings among these very trials, correlations
    included. `best`: the combination with the highest ratio against the benchmark.
    """

    spa_p: float
    spa_p_lower: float
    spa_p_upper: float
    reality_check_p: float
    survivors: Ints
    expected_maximum: float
    best: int
    block_length: float
    draws: int
    size: float


def snooping(
    returns: Any,
    *,
    benchmark: Any = None,
    size: float = 0.05,
    draws: int = 1_000,
    block: float | None = None,
    seed: int = 0,
) -> Snooping:
    """Test a trial matrix against a benchmark's session returns, or against cash (zeros) when None.

    Raises ValueError for a matrix that cannot carry it, or where no combination differs from the benchmark.
    """
    taken = trial_matrix(returns)
    number(size, "size", above=0, below=1)
    if benchmark is not None:
        against = series(benchmark, "benchmark")
        if len(against) != len(taken):
            raise ValueError(f"benchmark has {len(against)} sessions, returns {len(taken)}: give the same sessions")
        taken = taken - against[:, None]
    spread = spreads(taken)
    traded = np.flatnonzero(spread > 0)
    if not len(traded):
        raise ValueError("no combination differs from the benchmark: there is nothing to test")
    active = taken if len(traded) == taken.shape[1] else taken[:, traded]
    best = int((active.mean(axis=0) / spread[traded]).argmax())
    length = _shared_block(active, best) if block is None else block
    weights = _weights(draws_of(len(active), draws=draws, block=length, seed=seed))
    drawn = _Resampled(active, spread[traded], weights)
    spa = [_p_value(maxima, max(float(drawn.statistic.max()), 0.0)) for maxima in drawn.maxima()]
    return Snooping(
        spa_p=spa[1],
        spa_p_lower=spa[0],
        spa_p_upper=spa[2],
        reality_check_p=_p_value(drawn.money, float(active.mean(axis=0).max())),
        survivors=traded[_step_down(drawn, size)].astype(np.int64),
        expected_maximum=float(drawn.ratios.mean()),
        best=int(traded[best]),
        block_length=length,
        draws=draws,
        size=size,
    )


def _shared_block(active: Floats, best: int) -> float:
    """One block length for all: the longer of the best trial's and the average trial's."""
    average = active.mean(axis=1)
    return max(block_length(active[:, best]), 1.0 if is_flat(average) else block_length(average))


def _weights(drawn: Ints) -> Floats:
    """How often each session was drawn, draws × sessions: a resampled mean is then one product of matrices."""
    draws, sessions = drawn.shape
    flat = (drawn + np.arange(draws)[:, None] * sessions).ravel()
    counts = np.bincount(flat, minlength=draws * sessions).reshape(draws, sessions)
    return np.asarray(counts / sessions, dtype=np.float64)


class _Resampled:
    """The resampled means of all trials, a thousand columns at a time, and the maxima that the tests ask for.

    `statistic` is each mean over its error. In short histories a bootstrap by blocks takes some errors too small by
    chance, and the maximum picks just those (14 % instead of 5 % of pure noise passed at 80 sessions): so no error is
    taken below that of independent returns, times what serial correlation adds to it on average.
    """

    def __init__(self, active: Floats, spread: Floats, weights: Floats) -> None:
        self._active, self._weights = active, weights
        sessions, trials = active.shape
        simple = spread / math.sqrt(sessions)
        self._error = np.zeros(trials)
        self.money = np.full(len(weights), -np.inf)
        self.ratios = np.full(len(weights), -np.inf)
        for columns, mean, drawn in self._parts(np.ones(trials, dtype=np.bool_)):
            centred = drawn - mean
            self._error[columns] = np.sqrt((centred**2).mean(axis=0))
            np.maximum(self.money, centred.max(axis=1), out=self.money)
            np.maximum(self.ratios, (centred / spread[columns]).max(axis=1), out=self.ratios)
        hung = max(1.0, math.sqrt(float(((self._error / simple) ** 2).mean())))
        self.statistic = active.mean(axis=0) / np.maximum(self._error, simple * hung)
        self._error = np.maximum(self._error, 1e-3 * simple)

    def _parts(self, keep: npt.NDArray[np.bool_]) -> Any:
        kept = np.flatnonzero(keep)
        for start in range(0, len(kept), _COLUMNS):
            columns = kept[start : start + _COLUMNS]
            part = self._active[:, columns]
            yield columns, part.mean(axis=0), self._weights @ part

    def maxima(self, keep: npt.NDArray[np.bool_] | None = None) -> Floats:
        """For each draw the best studentised mean under the null, 0 at least: lower, consistent, upper (3 × draws).

        Hansen's three ways to centre: those worse than the benchmark stay as much worse; only the hopeless do; none.
        """
        hopeless = -math.sqrt(2 * math.log(math.log(self._active.shape[0])))
        best = np.zeros((3, len(self._weights)))
        every = np.ones(self._active.shape[1], dtype=np.bool_) if keep is None else keep
        for columns, mean, drawn in self._parts(every):
            scaled = (drawn - mean) / self._error[columns]
            found = self.statistic[columns]
            left = (np.minimum(found, 0.0), np.where(found >= hopeless, 0.0, found), np.zeros(len(found)))
            for row, worse in enumerate(left):
                np.maximum(best[row], (scaled + worse).max(axis=1), out=best[row])
        return best


def _p_value(drawn: Floats, found: float) -> float:
    """The share of draws as good as what was found, the finding itself counted among them."""
    return float((drawn >= found).sum() + 1) / (len(drawn) + 1)


def _step_down(drawn: _Resampled, size: float) -> npt.NDArray[np.int64]:
    """Those that beat the benchmark: reject, set apart, and test the rest against the best of the rest."""
    left = np.ones(len(drawn.statistic), dtype=np.bool_)
    while left.any():
        critical = float(np.quantile(drawn.maxima(left)[1], 1 - size))
        better = left & (drawn.statistic > critical)
        if not better.any():
            break
        left &= ~better
    return np.flatnonzero(~left).astype(np.int64)
