"""Resampling: seeded, by blocks, and equal to arch where arch counts the same thing."""

import numpy as np
import pytest

from qmworkbench.research.statistics import sharpe
from qmworkbench.research.statistics.bootstrap import block_length, drawdowns, draws_of, intervals, snooping


def noise(seed: int, sessions: int = 200, trials: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (sessions, trials))


def test_the_reality_check_is_that_of_arch_draw_for_draw() -> None:
    from arch.bootstrap import RealityCheck

    returns = noise(12)
    returns[:, 4] += 0.0012
    theirs = RealityCheck(np.zeros(200), -returns, block_size=5, reps=400, seed=9)
    theirs.compute()
    ours = snooping(returns, block=5, draws=400, seed=9)
    hits = round(float(theirs.pvalues["upper"]) * 400)
    assert 0 < hits < 400
    assert ours.reality_check_p == pytest.approx((hits + 1) / 401)


def test_an_edge_among_noise_survives_and_alone() -> None:
    returns = noise(2)
    returns[:, 11] += 0.004
    found = snooping(returns, draws=500)
    assert found.best == 11
    assert found.spa_p == pytest.approx(1 / 501)
    assert found.survivors.tolist() == [11]
    assert found.spa_p_lower <= found.spa_p <= found.spa_p_upper


def test_the_step_down_finds_the_weaker_edge_after_the_stronger() -> None:
    returns = noise(13, sessions=400)
    returns[:, [5, 6]] += [0.006, 0.0022]
    assert set(snooping(returns, draws=500).survivors.tolist()) == {5, 6}


@pytest.mark.parametrize("block", [None, 5.0])
def test_noise_passes_about_as_seldom_as_the_size_says(block: float | None) -> None:
    """Of 60 histories 3 are expected; with errors as the blocks alone give them it would be 11."""
    tests = [snooping(noise(seed, sessions=80), draws=200, seed=seed, block=block) for seed in range(100, 160)]
    assert sum(found.spa_p <= 0.05 for found in tests) <= 7


def test_a_wild_trial_hides_an_edge_from_the_reality_check_and_not_from_spa() -> None:
    returns = noise(4)
    returns[:, 3] += 0.003
    returns[:, 9] *= 40
    found = snooping(returns, draws=500)
    assert found.spa_p < 0.02
    assert found.reality_check_p > 0.2


def test_what_luck_brings_is_the_expected_maximum_for_independent_trials_and_less_for_twins() -> None:
    apart = snooping(noise(5, trials=400), draws=300, block=1).expected_maximum
    assert apart == pytest.approx(sharpe.expected_maximum(400) / np.sqrt(200), rel=0.05)
    twins = noise(5, trials=1) + 0.0001 * noise(6, trials=400)
    assert snooping(twins, draws=300, block=1).expected_maximum < 0.25 * apart


def test_a_rising_market_is_no_edge_against_itself() -> None:
    market = noise(7, trials=1)[:, 0] + 0.004
    returns = market[:, None] + 0.2 * noise(8)
    assert snooping(returns, draws=300).spa_p < 0.01
    assert snooping(returns, benchmark=market, draws=300).spa_p > 0.1


def test_pieces_of_a_wide_matrix_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = noise(9, trials=90)
    returns[:, 60] += 0.004
    returns[:, 13] = 0
    whole = snooping(returns, draws=200)
    monkeypatch.setattr("qmworkbench.research.statistics.bootstrap._COLUMNS", 17)
    pieces = snooping(returns, draws=200)
    assert (pieces.spa_p, pieces.reality_check_p) == (whole.spa_p, whole.reality_check_p)
    assert pieces.survivors.tolist() == whole.survivors.tolist() == [60]


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    chance = np.random.default_rng(10)
    held = 0
    for _ in range(60):
        found = intervals(chance.normal(0.001, 0.01, 150), draws=200, confidence=0.8).sharpe
        held += found.low <= 0.1 * np.sqrt(252) <= found.high
    assert 38 <= held <= 58


def test_intervals_are_seeded_and_contain_what_they_are_of() -> None:
    returns = noise(11)[:, 0] + 0.001
    first, again, other = (intervals(returns, draws=300, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first.total_return.value == pytest.approx(np.prod(1 + returns) - 1)
    assert first.sharpe.value == pytest.approx(sharpe.moments(returns).annual_sharpe())
    assert first.total_return.low < first.total_return.value < first.total_return.high
    assert 0 < first.loss_probability < 0.5
    assert first.without_sharpe == 0
    assert first.max_drawdown.low > 0


def test_a_drawdown_counts_from_the_start_too() -> None:
    rows = np.array([[-0.5, 0.5, 0.0], [0.1, -0.5, 1.0], [0.1, 0.1, 0.1]])
    assert drawdowns(rows).tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_draws_that_hold_one_trade_or_none_are_left_out_of_the_ratio() -> None:
    returns = np.zeros(60)
    returns[7] = 0.02
    found = intervals(returns, draws=400, block=1)
    assert 60 < found.without_sharpe < 240  # a session is left out of about one draw in e
    assert np.isfinite([found.sharpe.low, found.sharpe.high]).all()


def test_blocks_are_long_where_returns_hang_together() -> None:
    own = np.random.default_rng(12).normal(size=400)
    hung = own.copy()
    for step in range(1, 400):
        hung[step] += 0.8 * hung[step - 1]
    assert 1 <= block_length(own) < 6 < block_length(hung) <= 100
    lengths = np.diff(draws_of(400, draws=100, block=20.0, seed=1), axis=1)
    assert (lengths == 1).mean() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: intervals([0.01] * 50), "0.01 in every one of 50 sessions"),
        (lambda: intervals([0.01, -1.0] * 20), "nothing compounds"),
        (lambda: intervals(noise(1)[:, 0], draws=10), "draws is 10"),
        (lambda: intervals(noise(1)[:, 0], confidence=95), "confidence is 95"),
        (lambda: intervals(noise(1)[:, 0], block=500), "block is 500"),
        (lambda: snooping(noise(1), benchmark=[0.0] * 10), "benchmark has 10 values"),
        (lambda: snooping(noise(1), benchmark=[0.0] * 100), "benchmark has 100 sessions, returns 200"),
        (lambda: snooping(np.zeros((50, 3))), "no combination differs from the benchmark"),
        (lambda: snooping(noise(1), size=0), "size is 0"),
        (lambda: snooping(noise(1), seed=-1), "seed is -1"),
    ],
)
def test_what_cannot_be_resampled_is_refused_by_name(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
