"""What a sweep is worth: noise comes out as luck, an edge does not, and missing evidence never helps."""

import json
import math

import numpy as np
import pytest

from qmworkbench.research.statistics import sharpe
from qmworkbench.research.statistics.sweep_evidence import Thresholds
from qmworkbench.research.statistics.verdict import LUCK, PROMISING, PROVEN, sweep_verdict


def noise(seed: int, sessions: int = 250, trials: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (sessions, trials))


def planted(seed: int = 1, edge: float = 0.003) -> np.ndarray:
    returns = noise(seed)
    returns[:, 7] += edge
    return returns


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_ten_thousand_combinations_of_noise_is_luck(seed: int) -> None:
    returns = noise(seed, sessions=80, trials=10_000)
    found = sweep_verdict(returns, draws=200, seed=seed)
    assert found.verdict == LUCK
    assert found.trials == 10_000
    assert found.best_sharpe > 4  # it looks like a fortune
    assert "10,000 combinations were tried over 80 sessions" in found.sentence
    best = returns[:, found.best]
    assert sweep_verdict(sharpes=sharpe.sharpes(returns), best_returns=best).verdict == LUCK


def test_averages_crossing_on_a_random_walk_are_luck_nearly_always() -> None:
    """Trials as a real sweep makes them: many, and all of one market, so that they win and lose together."""
    verdicts = []
    for seed in range(16):
        steps = np.random.default_rng(seed).normal(0, 0.01, 300)
        path = np.concatenate([[0], np.cumsum(np.cumsum(steps))])
        at = np.arange(100, 299)
        averages = {span: (path[at + 1] - path[at + 1 - span]) / span for span in (2, 4, 7, 12, 20, 35, 60, 90)}
        pairs = [(fast, slow) for fast in averages for slow in averages if fast < slow]
        returns = np.array([np.sign(averages[fast] - averages[slow]) * steps[at + 1 - 0] for fast, slow in pairs]).T
        verdicts.append(sweep_verdict(returns, draws=150, seed=seed).verdict)
    assert verdicts.count(LUCK) >= 14


def test_a_planted_edge_is_distinguished_from_luck() -> None:
    found = sweep_verdict(planted(edge=0.005))
    assert found.verdict == PROVEN
    assert found.best == 7
    assert found.reasons == ()
    assert found.missing == {}
    assert found.deflated > 0.95
    assert found.pbo is not None
    assert found.pbo < 0.05
    assert found.spa_p is not None
    assert found.spa_p < 0.01
    assert found.survivors == 1
    assert found.sessions_needed is not None
    assert found.sessions_needed < 250


def test_an_edge_that_all_combinations_share_counts_although_choosing_among_them_does_not_matter() -> None:
    shared = noise(2, trials=1) + 0.004 + 0.001 * noise(3) / 0.01
    found = sweep_verdict(shared)
    assert found.pbo is not None
    assert found.pbo > 0.2
    assert found.probability_of_loss == 0
    assert found.verdict == PROVEN


def test_without_a_trial_matrix_a_verdict_is_never_better() -> None:
    returns = planted(edge=0.005)
    whole = sweep_verdict(returns)
    ratios = sweep_verdict(sharpes=sharpe.sharpes(returns), best_returns=returns[:, 7])
    assert whole.verdict == PROVEN
    assert ratios.verdict == PROMISING
    assert ratios.deflated <= whole.deflated
    assert ratios.expected_max_sharpe >= whole.expected_max_sharpe
    assert set(ratios.missing) == {"spa_p", "pbo", "effective_trials"}
    assert (ratios.spa_p, ratios.pbo, ratios.effective_trials) == (None, None, None)
    assert "no trial matrix" in ratios.sentence


def test_more_trials_than_are_told_of_make_it_harder() -> None:
    returns = planted(edge=0.0045)
    told = sweep_verdict(returns)
    failed = sweep_verdict(returns, trials=64)
    hidden = sweep_verdict(returns, trials=100_000)
    assert told.verdict == PROVEN
    assert failed.verdict == PROVEN  # four that failed among sixty-four
    assert told.expected_max_sharpe < failed.expected_max_sharpe < hidden.expected_max_sharpe
    assert told.deflated > failed.deflated > hidden.deflated
    assert hidden.verdict == LUCK
    part = sweep_verdict(returns, trials=120)
    assert part.verdict != PROVEN
    assert "60 of 120 trials" in part.missing["trial matrix"]


def test_choosing_that_does_not_carry_over_is_a_doubt() -> None:
    returns = planted(edge=0.005)
    strict = Thresholds(pbo=-0.01, probability_of_loss=-0.01)
    found = sweep_verdict(returns, thresholds=strict)
    assert sweep_verdict(returns).verdict == PROVEN
    assert found.verdict == PROMISING
    assert "choosing does not carry over: PBO 0.0" in found.sentence


def test_an_edge_that_lay_in_one_stretch_is_not_believed() -> None:
    returns = noise(4)
    returns[:41, 7] += 0.04
    returns[41:, 7] -= 0.002
    found = sweep_verdict(returns)
    assert found.best == 7
    assert found.best_sharpe > 4
    assert found.verdict == LUCK


def test_a_single_combination_is_never_proven() -> None:
    found = sweep_verdict(planted(edge=0.004)[:, [7]])
    assert found.verdict == PROMISING
    assert found.expected_max_sharpe == 0
    assert "single combination" in found.missing["pbo"]
    assert "1 combination was tried" in found.sentence


@pytest.mark.parametrize(
    ("returns", "words"),
    [
        (planted(edge=0.01)[:50], "50 sessions, 60 are needed"),
        (noise(1) - 0.005, "the best of them loses"),
        (np.where(np.arange(250)[:, None] % 20 == 0, 0.02 + noise(1) / 10, 0.0), "in 13 sessions, 30 are needed"),
    ],
)
def test_too_little_to_go_by_is_luck(returns: np.ndarray, words: str) -> None:
    found = sweep_verdict(returns)
    assert found.verdict == LUCK
    assert words in found.sentence


def test_small_gains_and_rare_large_losses_are_not_taken_for_skill() -> None:
    """Insurance sold at its price: among many sellers some have not paid yet, and look as if they never will."""
    chance = np.random.default_rng(3)
    paid = chance.random((200, 2000)) < 0.03
    returns = np.where(paid, -0.97 / 0.03, 1.0) * 0.001 * (1 + 0.3 * chance.random((200, 2000)))
    found = sweep_verdict(returns, draws=200)
    assert found.best_sharpe > 50
    assert found.verdict == LUCK
    assert "needed to see its risk" in found.sentence
    best = returns[:, found.best]
    assert sweep_verdict(sharpes=sharpe.sharpes(returns), best_returns=best).verdict == LUCK


def test_choosing_by_a_coin_is_luck() -> None:
    returns = planted(edge=0.005)
    thrown = Thresholds(coin=0.0, coin_loss=0.0)
    assert "choosing is a coin thrown: PBO 0.0" in sweep_verdict(returns, thresholds=thrown).sentence
    assert sweep_verdict(returns, thresholds=thrown).verdict == LUCK


def test_a_market_that_rose_is_no_merit_of_the_best() -> None:
    market = noise(5, trials=1) + 0.004
    returns = market + 0.2 * noise(6)
    assert sweep_verdict(returns).verdict == PROVEN
    against = sweep_verdict(returns, benchmark=market[:, 0])
    assert against.verdict == LUCK
    assert "against the benchmark given" in against.sentence


def test_returns_of_weeks_are_called_weeks() -> None:
    found = sweep_verdict(planted()[:50], unit="weeks", sessions_a_year=52, draws=200)
    assert "over 50 weeks" in found.sentence
    assert "50 weeks, 60 are needed" in found.sentence


def test_a_verdict_goes_into_a_manifest_and_is_the_same_again() -> None:
    first, again = (sweep_verdict(planted(), draws=200, seed=3) for _ in range(2))
    told = json.dumps(first.as_dict(), allow_nan=False)
    assert told == json.dumps(again.as_dict(), allow_nan=False)
    assert json.loads(told)["thresholds"]["deflated"] == 0.95


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "nothing to judge"),
        ({"sharpes": [0.1]}, "nothing to judge"),
        ({"returns": noise(1), "sharpes": [0.1]}, "both given"),
        ({"returns": noise(1), "trials": 3}, "trials is 3: at least 60"),
        ({"returns": noise(1), "trials": 0}, "trials is 0"),
        ({"returns": np.zeros((80, 3))}, "did it trade at all"),
        ({"returns": noise(1) * math.nan}, "leave combinations that failed out"),
        ({"returns": noise(1), "sessions_a_year": 0}, "sessions_a_year is 0"),
        ({"sharpes": [], "best_returns": noise(1)[:, 0]}, "one at least"),
        ({"sharpes": [math.nan] * 3, "best_returns": noise(1)[:, 0]}, "NaN for all 3"),
        ({"sharpes": [math.inf, 1.0], "best_returns": noise(1)[:, 0]}, "infinite at 0"),
        ({"sharpes": [2.5, 1.0], "best_returns": noise(1)[:, 0]}, "not annual ones"),
        ({"sharpes": [0.1], "best_returns": [0.0] * 80}, "did it trade at all"),
    ],
)
def test_what_carries_no_verdict_is_refused_by_name(asked: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sweep_verdict(**asked)  # type: ignore[arg-type]
