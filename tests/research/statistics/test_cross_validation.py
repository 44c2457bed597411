"""Cross-validation: folds that never touch their tests, whole histories, and none of noise's promises kept."""

import numpy as np
import pytest

from qmworkbench.research.statistics.cross_validation import combinatorial_folds, purged_folds, validate


def noise(seed: int, sessions: int = 160, trials: int = 25) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (sessions, trials))


@pytest.mark.parametrize(("hold", "history"), [(0, 0), (2, 0), (0, 3), (2, 3)])
@pytest.mark.parametrize("sessions", [160, 163])
def test_no_train_session_is_within_a_hold_before_or_a_memory_after_a_test(
    sessions: int, hold: int, history: int
) -> None:
    plain = purged_folds(sessions, folds=5, longest_hold=hold, history=history)
    combined = combinatorial_folds(sessions, folds=6, tests=2, longest_hold=hold, history=history)
    for split in plain + combined:
        tests = np.concatenate(split.tests)
        near = {int(test) + step for test in tests for step in range(-hold, hold + history + 1)}
        kept = [session for session in range(sessions) if session not in near]
        assert split.train.tolist() == kept


def test_every_session_is_judged_once_in_every_history() -> None:
    splits = combinatorial_folds(160, folds=8, tests=2)
    assert len(splits) == 28
    for path in range(7):
        judged = [
            session
            for split in splits
            for number, test in zip(split.paths, split.tests, strict=True)
            if number == path
            for session in test.tolist()
        ]
        assert sorted(judged) == list(range(160))
    assert [split.tests[0].tolist() for split in purged_folds(40, folds=2)] == [list(range(20)), list(range(20, 40))]


def test_a_lasting_edge_earns_in_every_history() -> None:
    returns = noise(1)
    returns[:, 9] += 0.006
    found = validate(returns, combinatorial_folds(160, folds=6, tests=2, longest_hold=1))
    assert found.choice == 9
    assert found.agreement == 1
    assert found.negative == 0
    assert found.median_sharpe is not None
    assert found.median_sharpe > 4
    assert found.paths["path"].to_list() == [0, 1, 2, 3, 4]
    for row, history in zip(found.paths.iter_rows(named=True), found.returns, strict=True):
        assert row["total_return"] == pytest.approx(np.prod(1 + history) - 1)
        assert row["sharpe"] == pytest.approx(history.mean() / history.std(ddof=1) * np.sqrt(252))
        assert history.tolist() == returns[:, 9].tolist()


def test_noise_that_was_chosen_earns_as_often_as_not() -> None:
    splits = purged_folds(160, folds=5)
    found = [validate(noise(seed), splits) for seed in range(30)]
    assert 0.3 < np.mean([one.negative for one in found]) < 0.8
    best = [noise(seed).mean(axis=0).max() / 0.01 * np.sqrt(252) for seed in range(30)]
    told = [one.median_sharpe for one in found]
    assert np.mean(told) < np.mean(best) / 3


def test_histories_without_a_trade_count_as_not_earning() -> None:
    found = validate(np.zeros((160, 3)), purged_folds(160))
    assert found.median_sharpe is None
    assert found.negative == 1
    assert found.paths["sharpe"].to_list() == [None]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: purged_folds(160, folds=1), "folds is 1"),
        (lambda: purged_folds(6, folds=5), "sessions is 6"),
        (lambda: purged_folds(30, folds=2), "15 train sessions, 20 are needed"),
        (lambda: purged_folds(160, longest_hold=-1), "longest_hold is -1"),
        (lambda: combinatorial_folds(160, folds=20), "folds is 20"),
        (lambda: combinatorial_folds(160, folds=5, tests=5), "tests is 5"),
        (lambda: combinatorial_folds(160, folds=8, longest_hold=10, history=9), "leave nothing of a fold of 20"),
        (lambda: combinatorial_folds(60, folds=6, tests=5), "train sessions, 20 are needed"),
        (lambda: validate(noise(1), purged_folds(150)), "splits are of 150 sessions, returns has 160"),
        (lambda: validate(noise(1), purged_folds(160)[1:]), "without a test"),
    ],
)
def test_what_cannot_be_validated_is_refused_by_name(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
