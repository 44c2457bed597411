"""What a run's Sharpe ratio is worth, in words a person can act on (M: layer 2; research/statistics/sharpe.py)."""

from dataclasses import dataclass
from typing import Any, Final

from qmworkbench.reporting.tables import DASH, minus, number
from qmworkbench.research.backtests.observations import SESSIONS_A_YEAR
from qmworkbench.research.statistics.sharpe import (
    Moments,
    deflated_sharpe,
    expected_maximum,
    minimum_track_record,
    moments,
    probabilistic_sharpe,
    standard_error,
)

_CONFIDENT: Final = 0.95


@dataclass(frozen=True)
class Worth:
    """A year's Sharpe ratio and its standard error; the probability that the true one is above zero, by itself and as
    the best of `tried` equally good worthless ones; how many sessions it takes to be 95 % sure (None: never)."""

    told: Moments
    annual: float
    error: float
    probability: float
    deflated: float
    luck: float
    tried: int
    needed: float | None

    @property
    def short(self) -> str:
        """The answer alone."""
        sure = self.deflated if self.tried > 1 else self.probability
        if self.annual <= 0:
            return "It did not earn more than cash."
        among = f", {self.tried} trials counted" if self.tried > 1 else ""
        held = "That it beats cash is " + ("hardly luck" if sure >= _CONFIDENT else "not distinguishable from luck")
        return f"{held} ({_share(sure)} sure{among})."

    @property
    def sentence(self) -> str:
        """The answer first."""
        sure = self.deflated if self.tried > 1 else self.probability
        seen = f"{self.told.observations:,} sessions"
        if sure >= _CONFIDENT:
            first = "That it beats cash is hardly luck"
        elif self.annual > 0:
            first = "That it beats cash is not distinguishable from luck"
        else:
            return f"There is nothing to explain: over {seen} it did not earn more than cash."
        needed = ""
        if self.needed is not None and self.needed > self.told.observations:
            needed = f" It would take {self.needed:,.0f} sessions like these to be 95 % sure."
        among = (
            f" {self.tried} runs of this strategy on these bars are kept; the best of as many worthless ones would be "
            f"expected at a Sharpe ratio of {self.luck:.2f}."
            if self.tried > 1
            else ""
        )
        shown = minus(f"{self.annual:.2f}")
        return (
            f"{first}: {seen} show {shown} ± {self.error:.2f}, above zero in truth with {_share(sure)}.{among}{needed}"
        )

    def entries(self) -> list[tuple[str, str, str]]:
        """As tiles."""
        told = self.told
        several = f"the best of {self.tried} tried" if self.tried > 1 else "nothing else was tried and kept"
        return [
            ("Above zero with", _share(self.probability), "probabilistic Sharpe ratio"),
            ("After the trials", _share(self.deflated), several),
            ("Sessions needed", number(0)(self.needed) if self.needed else DASH, "to be 95 % sure"),
            ("Skew", number(2)(told.skew), "below 0: losses are the larger ones"),
            ("Kurtosis", number(1)(told.kurtosis), "3 is normal; above, tails are fat"),
            ("Autocorrelation", number(2)(told.autocorrelation), "of one session with the next"),
        ]


def _share(value: float) -> str:
    return f"{value * 100:.0f}\N{NO-BREAK SPACE}%"


def worth_of(returns: Any, *, tried: int = 1) -> Worth | None:
    """The worth of a Sharpe ratio of session returns; None where there are too few or they do not vary."""
    try:
        told = moments(returns)
    except ValueError:
        return None
    shape: Any = {"skew": told.skew, "kurtosis": told.kurtosis}
    year = SESSIONS_A_YEAR**0.5
    error = standard_error(told.sharpe, told.observations, **shape)
    probability = probabilistic_sharpe(told.sharpe, told.observations, **shape)
    # What trials differ by is not kept with every run: as much as their own error would make them differ.
    deflated = (
        deflated_sharpe(told.sharpe, told.observations, trials=tried, variance=error**2, **shape)
        if tried > 1
        else probability
    )
    needed = minimum_track_record(told.sharpe, **shape) if told.sharpe > 0 else None
    return Worth(
        told=told,
        annual=told.sharpe * year,
        error=error * year,
        probability=probability,
        deflated=deflated,
        luck=expected_maximum(tried) * error * year,
        tried=tried,
        needed=needed,
    )
