"""The Sharpe ratio's worth, by the numbers its papers print."""

import math

import numpy as np
import pytest

from qmworkbench.research.statistics import sharpe

# "The Sharpe Ratio Efficient Frontier": 24 monthly returns, 0.458 a month, with the skew and kurtosis of a hedge fund.
MONTHLY = 0.458
SKEW, KURTOSIS = -2.448, 10.164


def test_the_efficient_frontier_paper_is_reproduced() -> None:
    assert sharpe.probabilistic_sharpe(MONTHLY, 24) == pytest.approx(0.982, abs=5e-4)
    assert sharpe.probabilistic_sharpe(MONTHLY, 24, skew=SKEW, kurtosis=KURTOSIS) == pytest.approx(0.913, abs=5e-4)
    assert MONTHLY * math.sqrt(12) == pytest.approx(1.59, abs=5e-3)


@pytest.mark.parametrize(("periods", "years"), [(250, 2.73), (52, 2.83), (12, 3.24)])
def test_the_papers_track_records_for_two_against_one_are_reproduced(periods: int, years: float) -> None:
    root = math.sqrt(periods)
    needed = sharpe.minimum_track_record(2 / root, benchmark=1 / root)
    assert needed / periods == pytest.approx(years, abs=5e-3)


def test_the_papers_track_record_of_a_hedge_fund_is_reproduced() -> None:
    root = math.sqrt(12)
    needed = sharpe.minimum_track_record(2 / root, benchmark=1 / root, skew=-0.72, kurtosis=5.78)
    assert needed / 12 == pytest.approx(4.99, abs=5e-3)


def test_a_track_record_of_the_minimum_length_has_just_the_confidence_asked_for() -> None:
    needed = sharpe.minimum_track_record(0.11, benchmark=0.02, skew=-1.0, kurtosis=6.0, confidence=0.9)
    below = sharpe.probabilistic_sharpe(0.11, math.floor(needed), benchmark=0.02, skew=-1.0, kurtosis=6.0)
    above = sharpe.probabilistic_sharpe(0.11, math.ceil(needed), benchmark=0.02, skew=-1.0, kurtosis=6.0)
    assert below < 0.9 <= above


# "The Deflated Sharpe Ratio": 2.5 a year over 1,250 days, trials whose annual ratios vary with 1/2.
@pytest.mark.parametrize(
    ("trials", "skew", "kurtosis", "probability"), [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)]
)
def test_the_deflated_sharpe_paper_is_reproduced(trials: int, skew: float, kurtosis: float, probability: float) -> None:
    found = sharpe.deflated_sharpe(
        2.5 / math.sqrt(250), 1250, trials=trials, variance=0.5 / 250, skew=skew, kurtosis=kurtosis
    )
    assert found == pytest.approx(probability, abs=5e-5)


def test_the_papers_expected_best_of_a_hundred_is_reproduced() -> None:
    assert math.sqrt(0.5 / 250) * sharpe.expected_maximum(100) == pytest.approx(0.1132, abs=5e-5)


def test_forty_five_trials_need_five_years_as_the_pseudo_mathematics_paper_says() -> None:
    assert sharpe.minimum_backtest_years(45) == pytest.approx(5.0, abs=0.01)
    assert sharpe.expected_maximum(10) == pytest.approx(1.57, abs=5e-3)


# "How to Use the Sharpe Ratio": the fund above, whose returns follow one another with 0.2, the error at the null.
@pytest.mark.parametrize(("benchmark", "probability", "months"), [(0.0, 0.966, 19.543), (0.1, 0.900, 39.369)])
def test_the_paper_of_2025_is_reproduced(benchmark: float, probability: float, months: float) -> None:
    ratio = 0.036 / 0.079
    shape = {"skew": SKEW, "kurtosis": KURTOSIS, "autocorrelation": 0.2, "benchmark": benchmark}
    assert sharpe.probabilistic_sharpe(ratio, 24, form="null", **shape) == pytest.approx(probability, abs=6e-4)
    assert sharpe.minimum_track_record(ratio, form="null", **shape) == pytest.approx(months, abs=5e-3)


def test_skfolio_deflates_alike() -> None:
    from skfolio.measures import deflated_sharpe_ratio

    returns, ratios = np.random.default_rng(4).standard_t(5, 300) + 0.2, np.random.default_rng(5).normal(0, 0.05, 70)
    told = sharpe.moments(returns)
    ours = sharpe.deflated_sharpe(
        told.sharpe, 300, trials=70, variance=ratios.var(ddof=1), skew=told.skew, kurtosis=told.kurtosis
    )
    assert 0.5 < ours < 0.999
    assert ours == pytest.approx(deflated_sharpe_ratio(returns, ratios), abs=2e-3)  # their skew and kurtosis, ddof 1


def test_the_expected_maximum_is_what_draws_from_a_normal_bring() -> None:
    drawn = np.random.default_rng(5).normal(size=(4_000, 500)).max(axis=1)
    assert sharpe.expected_maximum(500) == pytest.approx(drawn.mean(), abs=0.03)
    assert sharpe.expected_maximum(1) == 0
    rising = [sharpe.expected_maximum(count) for count in (1, 1.5, 1.99, 2, 2.5, 3, 5, 50)]
    assert rising == sorted(rising)


def test_the_error_is_how_far_estimates_scatter() -> None:
    drawn = np.random.default_rng(6).gamma(2.0, size=(4_000, 300)) * -1 + 2.3  # losses have the long tail
    ratios = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1)
    true = 0.3 / math.sqrt(2)
    error = sharpe.standard_error(true, 300, skew=-math.sqrt(2), kurtosis=6.0)
    assert ratios.std() == pytest.approx(error, rel=0.05)
    assert sharpe.standard_error(true, 300) < 0.92 * error


def test_returns_that_follow_one_another_scatter_more_and_the_error_says_so() -> None:
    chance = np.random.default_rng(7)
    drawn = chance.normal(size=(3_000, 400))
    for step in range(1, 400):
        drawn[:, step] += 0.4 * drawn[:, step - 1]
    ratios = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1)
    assert ratios.std() == pytest.approx(sharpe.standard_error(0.0, 400, autocorrelation=0.4), rel=0.05)


def test_moments_are_those_of_scipy() -> None:
    from scipy import stats

    drawn = np.random.default_rng(8).standard_t(6, size=300)
    told = sharpe.moments(drawn)
    assert told.skew == pytest.approx(stats.skew(drawn))
    assert told.kurtosis == pytest.approx(stats.kurtosis(drawn, fisher=False))
    assert told.sharpe == pytest.approx(drawn.mean() / drawn.std(ddof=1))
    assert told.annual_sharpe() == pytest.approx(told.sharpe * math.sqrt(252))
    assert sharpe.moments(np.tile([0.01, -0.01], 30)).autocorrelation == pytest.approx(-1, abs=0.02)


def test_trials_that_are_alike_count_as_few() -> None:
    chance = np.random.default_rng(9)
    shared, own = chance.normal(size=(500, 1)), chance.normal(size=(500, 60))
    assert sharpe.effective_trials(own) == pytest.approx(60, abs=1)
    assert sharpe.effective_trials(shared + 0.001 * own) == pytest.approx(1, abs=0.01)
    half = sharpe.mean_correlation(shared + own)
    full = np.corrcoef(shared + own, rowvar=False)
    assert half == pytest.approx((full.sum() - 60) / (60 * 59), abs=1e-9)
    assert sharpe.effective_trials(np.zeros((30, 4))) == 1


def test_a_year_of_returns_that_follow_one_another_is_riskier_than_its_sessions() -> None:
    assert sharpe.annual_factor(sessions_a_year=12) == pytest.approx(math.sqrt(12))
    lags = 0.2 ** np.arange(1, 12)
    assert sharpe.annual_factor(lags, 12) == pytest.approx(2.88, abs=5e-3)
    assert sharpe.annual_factor(-lags, 12) > math.sqrt(12)


def test_a_column_without_trades_has_the_ratio_of_cash() -> None:
    returns = np.random.default_rng(1).normal(size=(30, 2))
    returns[:, 1] = 0
    found = sharpe.sharpes(returns)
    assert found[1] == 0
    assert found[0] == pytest.approx(returns[:, 0].mean() / returns[:, 0].std(ddof=1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sharpe.moments([0.01] * 30), "0.01 in every one of 30 sessions"),
        (lambda: sharpe.moments([0.01, 0.02]), "2 values, 20 are needed"),
        (lambda: sharpe.moments([0.01, math.nan] * 15), "nan at position 1"),
        (lambda: sharpe.moments([0.01, math.inf] * 15), "inf at position 1"),
        (lambda: sharpe.moments(np.ones((30, 2))), "2 dimensions"),
        (lambda: sharpe.expected_maximum(0), "trials is 0"),
        (lambda: sharpe.expected_maximum(math.nan), "trials is nan"),
        (lambda: sharpe.probabilistic_sharpe(0.1, 1), "observations is 1"),
        (lambda: sharpe.probabilistic_sharpe(0.1, 100, kurtosis=0.5), "kurtosis is 0.5"),
        (lambda: sharpe.probabilistic_sharpe(math.nan, 100), "sharpe is nan"),
        (lambda: sharpe.standard_error(0.1, 100, autocorrelation=1.0), "autocorrelation is 1.0"),
        (lambda: sharpe.minimum_track_record(0.1, benchmark=0.1), "not above the benchmark"),
        (lambda: sharpe.minimum_track_record(0.1, confidence=1.0), "confidence is 1.0"),
        (lambda: sharpe.deflated_sharpe(0.1, 100, trials=10, variance=-1), "variance is -1"),
        (lambda: sharpe.annual_factor([1.2], 12), "each lies above -1"),
        (lambda: sharpe.annual_factor([-0.9], 12), "without variance"),
        (lambda: sharpe.mean_correlation(np.zeros((30, 3))), "0 combinations traded"),
        (lambda: sharpe.sharpes(np.full((30, 2), 0.01)), "combination 0 is 0.01 in every session"),
        (lambda: sharpe.sharpes(np.full((30, 2), math.nan)), "nan at session 0 of combination 0"),
        (lambda: sharpe.sharpes(np.zeros(30)), "1 dimensions"),
        (lambda: sharpe.sharpes(np.zeros((5, 2))), "5 sessions, 20 are needed"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
