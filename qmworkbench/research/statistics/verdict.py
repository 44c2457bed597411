"""What the best of a sweep is worth once it is counted how long it was looked for (M: layer 2).

Three figures judge, each with its own weakness: the deflated Sharpe ratio (how much the best exceeds what luck brings
among so many), Hansen's SPA (does the best beat the benchmark, correlations included) and PBO (does choosing in one
half of the sessions help in the other). Evidence that is missing never improves a verdict.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from qmworkbench.research.backtests.observations import SESSIONS_A_YEAR, number, told, trial_matrix
from qmworkbench.research.statistics import sharpe
from qmworkbench.research.statistics.sweep_evidence import (
    THRESHOLDS,
    Evidence,
    Thresholds,
    above,
    after,
    of_matrix,
    of_ratios,
)

Word = Literal["not distinguishable from luck", "promising, not proven", "distinguishable from luck"]
LUCK: Final[Word] = "not distinguishable from luck"
PROMISING: Final[Word] = "promising, not proven"
PROVEN: Final[Word] = "distinguishable from luck"


@dataclass(frozen=True)
class Verdict:
    """The verdict, its figures and why each that is missing is.

    `best` is the column of the best combination, `best_sharpe` and `expected_max_sharpe` are annual: what it shows, and
    what luck alone is expected to bring. `deflated` is the probability that its true ratio is above 0 after the search,
    `deflated_by_spread` the same with the paper's estimate of luck; `sessions_needed`: how many like these it would
    take to say so with 95 %. `effective_trials`: independent trials that the correlated ones amount to.
    """

    verdict: Word
    sentence: str
    reasons: tuple[str, ...]
    trials: int
    effective_trials: float | None
    sessions: int
    active_sessions: int
    best: int
    best_sharpe: float
    expected_max_sharpe: float
    deflated: float
    deflated_by_spread: float
    sessions_needed: int | None
    pbo: float | None
    probability_of_loss: float | None
    spa_p: float | None
    survivors: int | None
    benchmark: str
    missing: dict[str, str] = field(default_factory=dict)
    thresholds: Thresholds = THRESHOLDS

    def as_dict(self) -> dict[str, Any]:
        """For a manifest: plain numbers and words, no NaN."""
        return asdict(self) | {"reasons": list(self.reasons)}


def sweep_verdict(
    returns: Any = None,
    *,
    sharpes: Any = None,
    best_returns: Any = None,
    trials: int | None = None,
    benchmark: Any = None,
    sessions_a_year: float = SESSIONS_A_YEAR,
    unit: str = "sessions",
    draws: int = 1_000,
    seed: int = 0,
    thresholds: Thresholds = THRESHOLDS,
) -> Verdict:
    """Judge a sweep by its trial matrix (`returns`, sessions × combinations), or without one by `sharpes`.

    `sharpes`: one ratio per session (not annual) for every combination, NaN where it failed or never traded, with
    `best_returns`, the session returns of the best. `trials`: all that were ever tried, failed ones and earlier sweeps
    over the same data included, where these are more. `benchmark`: session returns the best has to beat, cash if None.
    Where the returns are of weeks, say, `unit` names them so and `sessions_a_year` counts them.
    Raises ValueError for input that cannot carry a verdict.
    """
    number(sessions_a_year, "sessions_a_year", above=0)
    if returns is not None:
        if sharpes is not None or best_returns is not None:
            raise ValueError("returns and sharpes are both given: give the trial matrix, or the ratios with the best")
        found = of_matrix(trial_matrix(returns), trials, benchmark, draws, seed, thresholds)
    elif sharpes is None or best_returns is None:
        raise ValueError("nothing to judge: give returns (sessions × combinations), or sharpes and best_returns")
    else:
        found = of_ratios(sharpes, best_returns, trials)
    return _judged(found, sessions_a_year, unit, thresholds)


def _judged(found: Evidence, year: float, unit: str, at: Thresholds) -> Verdict:
    told_of = found.moments
    deflated = above(told_of, found.luck)
    needed = None
    if told_of.sharpe > found.luck:
        needed = sharpe.minimum_track_record(
            told_of.sharpe,
            benchmark=found.luck,
            skew=told_of.skew,
            kurtosis=told_of.kurtosis,
            autocorrelation=after(told_of),
        )
    against, doubts = _against(found, deflated, unit, at), _doubts(found, at)
    word = LUCK if against else PROMISING if doubts else PROVEN
    root = math.sqrt(year)
    best, luck = told_of.sharpe * root, found.luck * root
    counted = "combination was" if found.trials == 1 else "combinations were"
    sentence = (
        f"{found.trials:,} {counted} tried over {told_of.observations:,} {unit}; the best shows a Sharpe ratio of "
        f"{told(best)} a year where luck alone is expected to show {told(luck)}: {word}"
    )
    reasons = tuple(against or doubts)
    return Verdict(
        verdict=word,
        sentence=f"{sentence}{' (' + '; '.join(reasons) + ')' if reasons else ''}.",
        reasons=reasons,
        trials=found.trials,
        effective_trials=found.effective,
        sessions=told_of.observations,
        active_sessions=found.active,
        best=found.best,
        best_sharpe=best,
        expected_max_sharpe=luck,
        deflated=deflated,
        deflated_by_spread=above(told_of, found.luck_by_spread),
        sessions_needed=None if needed is None else math.ceil(needed),
        pbo=found.pbo,
        probability_of_loss=found.loss,
        spa_p=found.spa_p,
        survivors=found.survivors,
        benchmark=found.benchmark,
        missing=found.missing,
        thresholds=at,
    )


def _against(found: Evidence, deflated: float, unit: str, at: Thresholds) -> list[str]:
    """What speaks for luck: one of these is enough."""
    told_of = found.moments
    spoken = []
    if told_of.sharpe <= 0:
        spoken.append("the best of them loses")
    if told_of.observations < at.sessions:
        spoken.append(f"{told_of.observations} {unit}, {at.sessions} are needed")
    if found.active < at.active_sessions:
        spoken.append(f"the best earned or lost in {found.active} {unit}, {at.active_sessions} are needed")
    if found.losing < at.losing_sessions:
        spoken.append(f"the best lost in {found.losing} {unit} only, {at.losing_sessions} are needed to see its risk")
    if deflated < at.deflated:
        spoken.append(f"deflated Sharpe probability {told(deflated)}, below {at.deflated:g}")
    if found.spa_p is not None and found.spa_p > at.spa_p:
        spoken.append(f"SPA p-value {told(found.spa_p, '.3f')} against {found.benchmark}, above {at.spa_p:g}")
    if found.pbo is not None and found.loss is not None and found.pbo >= at.coin and found.loss >= at.coin_loss:
        spoken.append(f"choosing is a coin thrown: PBO {told(found.pbo)}, a loss in {told(found.loss)} of other halves")
    return spoken


def _doubts(found: Evidence, at: Thresholds) -> list[str]:
    """What keeps a good result from counting as proven."""
    doubts = [f"{name} is missing: {why}" for name, why in found.missing.items()]
    if found.pbo is not None and found.loss is not None and found.pbo > at.pbo and found.loss > at.probability_of_loss:
        doubts.append(
            f"choosing does not carry over: PBO {told(found.pbo)} above {at.pbo:g}, and the chosen one loses in "
            f"{told(found.loss)} of the other halves"
        )
    return doubts
