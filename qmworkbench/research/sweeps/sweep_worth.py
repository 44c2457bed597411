"""What the best of a sweep is worth after so many trials: the verdict every summary carries (M: layer 2)."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl

from qmworkbench.research.sweeps.sweep_bars import SweepBars
from qmworkbench.research.sweeps.sweep_gathered import Gathered
from qmworkbench.research.sweeps.sweep_tables import OK, returns_of

UNKNOWN: Final = "cannot be judged"


@dataclass(frozen=True)
class Worth:
    """The best combination by Sharpe and what it is worth.

    `verdict` is one of verdict.LUCK, PROMISING, PROVEN, or UNKNOWN with the reason in `sentence`. Ratios are annual;
    `expected_max_sharpe` is what luck alone is expected to bring in so many trials, `deflated` the probability that the
    best is better than that. `details` is the whole verdict.
    """

    trials: int
    failed: int
    invalid: int
    verdict: str
    sentence: str
    best: int | None = None
    best_sharpe: float | None = None
    expected_max_sharpe: float | None = None
    deflated: float | None = None
    details: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


def worth_of(gathered: Gathered, whole: pl.DataFrame, bars: SweepBars, *, invalid: int, seed: int) -> Worth:
    """Judge a sweep. `whole`: one row for each combination, in the order they were gathered.

    A combination that failed is a trial as well: it was tried, and had it been good it would have been chosen.
    """
    from qmworkbench.research.statistics.verdict import sweep_verdict

    trials = whole.height
    sound = (whole["status"] == OK).to_numpy()
    count: dict[str, Any] = {"trials": trials, "failed": int(trials - sound.sum()), "invalid": invalid}
    if not sound.any():
        return Worth(**count, verdict=UNKNOWN, sentence="every combination failed")
    equity = gathered.equity()
    how: dict[str, Any] = {"trials": trials, "sessions_a_year": bars.marks_a_year, "seed": seed}
    try:
        if equity is not None:
            found = sweep_verdict(returns_of(equity[sound], gathered.cash).T, **how)
            best: int | None = int(whole["combination"].to_numpy()[sound][found.best])
        else:
            found = sweep_verdict(sharpes=gathered.ratios(), best_returns=gathered.best_returns, **how)
            best = gathered.best
    except ValueError as error:
        return Worth(
            **count,
            verdict=UNKNOWN,
            sentence=f"{trials:,} combinations were tried; what the best is worth {UNKNOWN}: {error}",
        )
    return Worth(
        **count,
        verdict=found.verdict,
        sentence=found.sentence,
        best=best,
        best_sharpe=found.best_sharpe,
        expected_max_sharpe=found.expected_max_sharpe,
        deflated=found.deflated,
        details=found.as_dict(),
    )
