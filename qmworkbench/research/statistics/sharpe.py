"""What a Sharpe ratio is worth: its error, its probability, and what remains of the best of many trials (M: layer 2).

All ratios here are per observation (a session, mostly), not annual, unless a name says annual. Kurtosis is the plain
one, 3 for a normal distribution. Sources: Bailey & López de Prado, "The Sharpe Ratio Efficient Frontier" (2012) and
"The Deflated Sharpe Ratio" (2014); Lo, "The Statistics of Sharpe Ratios" (2002); López de Prado, Lipton & Zoonekynd,
"How to Use the Sharpe Ratio" (2025).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, Literal

import numpy as np

from qmworkbench.research.backtests.observations import SESSIONS_A_YEAR, number, risky, spreads, trial_matrix, whole
from qmworkbench.research.fills.tape import Floats

NORMAL: Final = NormalDist()
_COLUMNS: Final = 1_000
_EULER: Final = 0.5772156649015329  # the Euler–Mascheroni constant

Form = Literal["estimate", "null"]
"""Where the error of a Sharpe ratio is taken: at the ratio found (2012), or at the one it is tested against (2025)."""


@dataclass(frozen=True)
class Moments:
    """What a series of returns says of itself; `sharpe` is mean over deviation (ddof 1), `autocorrelation` of lag 1."""

    observations: int
    mean: float
    deviation: float
    sharpe: float
    skew: float
    kurtosis: float
    autocorrelation: float

    def annual_sharpe(self, sessions_a_year: float = SESSIONS_A_YEAR) -> float:
        """The ratio times the square root of the sessions of a year."""
        return self.sharpe * math.sqrt(sessions_a_year)


def moments(returns: Any, name: str = "returns") -> Moments:
    """The moments of a series. Raises ValueError where it is too short, not finite or without variation."""
    taken = risky(returns, name)
    centred = taken - taken.mean()
    variance = float((centred**2).mean())
    deviation = float(taken.std(ddof=1))
    return Moments(
        observations=len(taken),
        mean=float(taken.mean()),
        deviation=deviation,
        sharpe=float(taken.mean()) / deviation,
        skew=float((centred**3).mean()) / variance**1.5,
        kurtosis=float((centred**4).mean()) / variance**2,
        autocorrelation=float((centred[1:] * centred[:-1]).sum() / (centred**2).sum()),
    )


def sharpes(returns: Any) -> Floats:
    """The Sharpe ratio of every column of a trial matrix; 0 for one that never traded, as cash has none."""
    taken = trial_matrix(returns)
    spread = spreads(taken)
    found: Floats = np.divide(taken.mean(axis=0), spread, out=np.zeros(taken.shape[1]), where=spread > 0)
    return found


def variance_factor(sharpe: float, *, skew: float = 0.0, kurtosis: float = 3.0, autocorrelation: float = 0.0) -> float:
    """Observations times the variance of an estimated Sharpe ratio whose true value is `sharpe`.

    Fat tails, losses larger than gains and returns that follow one another widen it. Raises ValueError for moments no
    distribution has.
    """
    if kurtosis < 1 + skew**2 - 1e-9:
        raise ValueError(
            f"kurtosis is {kurtosis} with a skew of {skew}: no distribution has a kurtosis below 1 + skew²; "
            "give the plain kurtosis (3 for normal), not the excess"
        )
    rho = number(autocorrelation, "autocorrelation", above=-1, below=1)
    tail = (1 + rho**2) / (1 - rho**2) * (kurtosis - 1) / 4
    tilt = (1 + rho + rho**2) / (1 - rho**2) * skew
    return (1 + rho) / (1 - rho) - tilt * sharpe + tail * sharpe**2


def standard_error(
    sharpe: float, observations: int, *, skew: float = 0.0, kurtosis: float = 3.0, autocorrelation: float = 0.0
) -> float:
    """How far an estimated Sharpe ratio lies from the true one, as one standard deviation."""
    count = whole(observations, "observations", least=2)
    factor = variance_factor(sharpe, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation)
    return math.sqrt(factor / (count - 1))


def probabilistic_sharpe(
    sharpe: float,
    observations: int,
    *,
    benchmark: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
    form: Form = "estimate",
) -> float:
    """The probability that the true Sharpe ratio is above `benchmark`, 0 to 1.

    Form "null" takes the error at the benchmark and all observations, as the paper of 2025 does; "estimate" takes it
    at the ratio found and one observation less, as the paper of 2012.
    """
    number(sharpe, "sharpe")
    if form == "estimate":
        error = standard_error(sharpe, observations, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation)
    else:
        whole(observations, "observations", least=2)
        factor = variance_factor(benchmark, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation)
        error = math.sqrt(factor / observations)
    return NORMAL.cdf((sharpe - number(benchmark, "benchmark")) / error)


def minimum_track_record(
    sharpe: float,
    *,
    benchmark: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
    confidence: float = 0.95,
    form: Form = "estimate",
) -> float:
    """How many observations it takes until `sharpe` is above `benchmark` with `confidence`.

    Raises ValueError when the ratio is not above the benchmark: then no track record is long enough.
    """
    number(sharpe, "sharpe")
    if sharpe <= benchmark:
        raise ValueError(
            f"sharpe is {sharpe:g}, not above the benchmark {benchmark:g}: no track record is long enough; "
            "ask against a lower benchmark"
        )
    at = sharpe if form == "estimate" else benchmark
    factor = variance_factor(at, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation)
    steps = NORMAL.inv_cdf(number(confidence, "confidence", above=0, below=1)) / (sharpe - benchmark)
    return factor * steps**2 + (1 if form == "estimate" else 0)


def expected_maximum(trials: float) -> float:
    """The expected best of so many independent draws from a standard normal: what luck alone brings home.

    `trials` need not be whole (an effective number is not). One trial brings 0.
    """
    count = float(trials)
    if not count >= 1 or math.isinf(count):
        raise ValueError(f"trials is {trials}: at least 1 was made; count every combination tried, failed ones too")
    if count < 2:  # made for large numbers, it falls below 0 here: a line from the exact 0 to its value at 2
        return (count - 1) * expected_maximum(2)
    return (1 - _EULER) * NORMAL.inv_cdf(1 - 1 / count) + _EULER * NORMAL.inv_cdf(1 - 1 / (count * math.e))


def deflated_sharpe(
    sharpe: float,
    observations: int,
    *,
    trials: float,
    variance: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
) -> float:
    """The probability that the best of `trials` has a true Sharpe ratio above 0, given how it was found.

    `variance` is that of the trials' Sharpe ratios, per observation like them.
    """
    if not variance >= 0 or math.isinf(variance):
        raise ValueError(f"variance is {variance}: give the variance of the trials' Sharpe ratios, 0 or more")
    luck = math.sqrt(variance) * expected_maximum(trials)
    return probabilistic_sharpe(
        sharpe, observations, benchmark=luck, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation
    )


def minimum_backtest_years(trials: float, annual_sharpe: float = 1.0) -> float:
    """Years of data below which the best of so many worthless trials is expected to show `annual_sharpe`.

    Source: Bailey, Borwein, López de Prado & Zhu, "Pseudo-Mathematics and Financial Charlatanism" (2014).
    """
    return (expected_maximum(trials) / number(annual_sharpe, "annual_sharpe", above=0)) ** 2


def mean_correlation(returns: Any) -> float:
    """The average correlation between the trials of a matrix, without ever forming it; those that never traded apart.

    Raises ValueError when fewer than two traded.
    """
    taken = trial_matrix(returns)
    spread = spreads(taken)
    traded = np.flatnonzero(spread > 0)
    count = len(traded)
    if count < 2:
        raise ValueError(f"{count} combinations traded: a correlation takes two")
    summed = np.zeros(len(taken))
    for start in range(0, count, _COLUMNS):
        columns = traded[start : start + _COLUMNS]
        part = taken[:, columns]
        summed += ((part - part.mean(axis=0)) / spread[columns]).sum(axis=1)
    together = float((summed**2).sum()) / (len(taken) - 1)
    return float((together - count) / (count * (count - 1)))


def effective_trials(returns: Any) -> float:
    """How many independent trials a matrix of correlated ones amounts to: average correlation + (1 − it) × trials.

    The interpolation of the paper of 2014: all alike count once, uncorrelated ones each.
    """
    taken = trial_matrix(returns)
    if int((spreads(taken) > 0).sum()) < 2:
        return 1.0
    alike = min(max(mean_correlation(taken), 0.0), 1.0)
    return float(alike + (1 - alike) * taken.shape[1])


def annual_factor(autocorrelations: Any = (), sessions_a_year: int = SESSIONS_A_YEAR) -> float:
    """What a session's Sharpe ratio is multiplied with for a year's, where returns follow one another (Lo 2002).

    `autocorrelations` from lag 1 on; with none it is the square root of the sessions.
    """
    count = whole(sessions_a_year, "sessions_a_year", least=1)
    lags = np.asarray(autocorrelations, dtype=np.float64)[: count - 1]
    if not (np.isfinite(lags) & (np.abs(lags) < 1)).all():
        raise ValueError(f"autocorrelations {lags.tolist()}: each lies above -1 and below 1")
    left = count - np.arange(1, len(lags) + 1)
    spread = count + 2 * float((left * lags).sum())
    if spread <= 0:
        raise ValueError(f"autocorrelations {lags.tolist()} leave a year without variance: give fewer lags")
    return count / math.sqrt(spread)
