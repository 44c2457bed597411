"""Walk-forward: no test session ever trained on, the choice made by the past alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from qmworkbench.research.statistics.walk_forward import (
    Mode,
    WalkForward,
    best_of,
    from_callable,
    from_matrix,
    return_score,
    sharpe_score,
    windows,
)


def noise(seed: int, sessions: int = 200, trials: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (sessions, trials))


@settings(max_examples=60, deadline=None)
@given(
    sessions=st.integers(30, 300),
    train=st.integers(20, 120),
    test=st.integers(2, 40),
    embargo=st.integers(0, 8),
    hold=st.integers(0, 8),
    mode=st.sampled_from(["rolling", "expanding", "anchored"]),
    anchor=st.integers(0, 20),
)
def test_windows_never_train_on_a_test_session_nor_within_the_gap(
    sessions: int, train: int, test: int, embargo: int, hold: int, mode: Mode, anchor: int
) -> None:
    start = anchor if mode == "anchored" else 0
    gap = max(embargo, hold)
    fits = start + train + gap + test <= sessions
    asked = {"train": train, "test": test, "embargo": embargo, "longest_hold": hold, "mode": mode, "anchor": start}
    if not fits:
        with pytest.raises(ValueError, match="hold no window"):
            windows(sessions, **asked)
        return
    cut = windows(sessions, **asked)
    tested = [session for window in cut for session in window.test]
    assert tested == list(range(start + train + gap, start + train + gap + len(cut) * test))
    assert sessions - tested[-1] - 1 < test
    for window in cut:
        assert window.train.stop + gap == window.test.start
        assert list(window.gap) == list(range(window.train.stop, window.test.start))
        assert len(window.train) == train if mode == "rolling" else window.train.start == start
        assert len(window.train) >= train
        assert window.test.stop <= sessions


def test_the_three_modes() -> None:
    def trained(mode: Mode, anchor: int = 0) -> list[tuple[int, int]]:
        cut = windows(100, train=30, test=20, embargo=2, mode=mode, anchor=anchor)
        return [(window.train.start, window.train.stop) for window in cut]

    assert trained("rolling") == [(0, 30), (20, 50), (40, 70)]
    assert trained("expanding") == [(0, 30), (0, 50), (0, 70)]
    assert trained("anchored", 15) == [(15, 45), (15, 65)]


def assert_same(one: WalkForward, other: WalkForward) -> None:
    """Choices and curves alike; scores to the last bits, which sums over a column and over a matrix differ by."""
    kept = ["window", "choice", "train_score", "test_score", "test_return"]
    assert_frame_equal(one.curve, other.curve)
    assert_frame_equal(one.choices.select(kept), other.choices.select(kept), rel_tol=1e-12)


def test_a_callable_and_its_matrix_walk_alike_and_test_sessions_are_asked_for_the_chosen_alone() -> None:
    returns = noise(1)
    cut = windows(200, train=60, test=35, longest_hold=3)
    asked: list[tuple[int, range]] = []

    def evaluate(params: dict[str, int], sessions: range) -> np.ndarray:
        asked.append((params["column"], sessions))
        return returns[sessions.start : sessions.stop, params["column"]]

    params = [{"column": number} for number in range(12)]
    walked = from_callable(evaluate, params, cut)
    assert_same(walked, from_matrix(returns, cut, params=params))
    for window in cut:
        chosen = walked.choices["choice"][window.number]
        assert [column for column, sessions in asked if sessions == window.test] == [chosen]
    assert walked.beats_median is None
    assert "only the chosen candidate" in walked.missing["beats_median"]
    assert walked.choices["column"].to_list() == walked.choices["choice"].to_list()


def test_what_comes_after_a_train_window_never_changes_its_choice() -> None:
    returns = noise(2)
    cut = windows(200, train=60, test=35, longest_hold=3)
    before = from_matrix(returns, cut).choices
    for window in cut:
        changed = returns.copy()
        changed[window.train.stop :] = noise(3)[window.train.stop :] + 0.05
        after = from_matrix(changed, cut).choices
        assert after["choice"][: window.number + 1].equals(before["choice"][: window.number + 1])
        assert after["train_score"][: window.number + 1].equals(before["train_score"][: window.number + 1])


def test_a_lasting_edge_is_found_kept_and_carried_over() -> None:
    returns = noise(4)
    returns[:, 5] += 0.008
    walked = from_matrix(returns, windows(200, train=60, test=35))
    assert walked.choices["choice"].unique().to_list() == [5]
    assert walked.stability == 1
    assert walked.profitable == 1
    assert walked.beats_median == 1
    assert walked.efficiency == pytest.approx(1, abs=0.5)
    assert walked.sharpe is not None
    assert walked.sharpe > 5
    assert walked.curve["equity"][-1] == pytest.approx(float(np.prod(1 + walked.curve["return"].to_numpy())))
    assert walked.curve["session"].to_list() == list(range(60, 200))


def test_noise_does_not_carry_over() -> None:
    cut = windows(200, train=60, test=35)
    walked = [from_matrix(noise(seed, trials=80), cut) for seed in range(20)]
    assert abs(np.mean([one.efficiency for one in walked])) < 0.3
    assert 0.3 < np.mean([one.beats_median for one in walked]) < 0.7


def test_the_figures_are_what_their_names_say() -> None:
    returns = np.zeros((26, 2))
    returns[:20, 0], returns[:20:2, 0] = 0.02, 0.0  # earns 1 % a session where it is chosen
    returns[20:, 0] = [0.01, 0.0, 0.01, 0.0, 0.01, 0.0]
    walked = from_matrix(returns, windows(26, train=20, test=6))
    assert walked.efficiency == pytest.approx(0.5)
    assert walked.stability is None
    assert walked.missing["stability"] == "a single window"
    row = walked.choices.row(0, named=True)
    assert (row["train_from"], row["train_to"], row["test_from"], row["test_to"]) == (0, 19, 20, 25)
    assert row["test_return"] == pytest.approx(1.01**3 - 1)
    assert row["median_score"] == pytest.approx(row["test_score"] / 2)


def test_missing_figures_say_why() -> None:
    losing = from_matrix(-np.abs(noise(5)), windows(200, train=60, test=35))
    assert losing.efficiency is None
    assert losing.missing["efficiency"] == "what was chosen did not earn in sample"
    returns = noise(6, trials=1)
    returns[60:] = 0
    idle = from_matrix(returns, windows(200, train=60, test=140))
    assert idle.sharpe is None
    assert "nothing was traded" in idle.missing["sharpe"]


def test_a_candidate_that_fails_is_set_down_and_not_chosen() -> None:
    def evaluate(params: dict[str, float], sessions: range) -> np.ndarray:
        if params["span"] == 1:
            raise ValueError("span 1 is too short")
        if params["span"] == 2:
            return np.full(len(sessions), np.nan)
        if params["span"] == 3:
            return np.zeros(3)
        return noise(7)[sessions.start : sessions.stop, 0]

    spans = [{"span": 1}, {"span": 2}, {"span": 3}, {"span": 4.5}]
    walked = from_callable(evaluate, spans, windows(200, train=60, test=70))
    assert walked.choices["choice"].to_list() == [3, 3]
    assert walked.choices["span"].to_list() == [4.5, 4.5]
    assert walked.failed["choice"].to_list() == [0, 1, 2, 0, 1, 2]
    assert walked.failed["reason"][0] == "span 1 is too short"
    assert "nan at position 0" in walked.failed["reason"][1]
    with pytest.raises(ValueError, match="all 3 candidates failed in window 0"):
        from_callable(evaluate, spans[:3], windows(200, train=60, test=70))


def test_scores() -> None:
    returns = np.array([[0.01, 0.0, 0.02], [0.03, 0.0, 0.02]])
    assert return_score(returns).tolist() == [0.04, 0.0, 0.04]
    assert sharpe_score(returns).tolist() == [pytest.approx(2**0.5), 0.0, 0.0]
    assert best_of(np.array([np.nan, 1.0, np.inf, 2.0, 2.0])) == 3
    with pytest.raises(ValueError, match="none of 2 scores is finite"):
        best_of(np.array([np.nan, np.inf]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: windows(100, train=10, test=10), "train is 10: at least 20"),
        (lambda: windows(100, train=20, test=1), "test is 1"),
        (lambda: windows(100, train=20, test=10, embargo=-1), "embargo is -1"),
        (lambda: windows(100, train=20, test=10, anchor=5), "only an anchored window"),
        (lambda: windows(100, train=20, test=10, mode="sliding"), "mode is 'sliding'"),
        (lambda: windows(25, train=20, test=10), "25 sessions from session 0 on hold no window"),
        (lambda: from_matrix(noise(1)[:90], windows(200, train=60, test=35)), "reach session 199, returns end with 89"),
        (lambda: from_matrix(noise(1), ()), "no windows are given"),
        (lambda: from_matrix(noise(1), windows(200, train=60, test=35), params=[{"a": 1}]), "names 1 candidates"),
        (
            lambda: from_matrix(noise(1, trials=2), windows(200, train=60, test=35), params=[{"a": 1}, {"b": 1}]),
            "name different parameters",
        ),
        (
            lambda: from_matrix(noise(1, trials=1), windows(200, train=60, test=35), params=[{"choice": 1}]),
            "named 'choice'",
        ),
        (lambda: from_callable(lambda p, s: [], [], windows(200, train=60, test=35)), "params is empty"),
    ],
)
def test_what_cannot_be_walked_is_refused_by_name(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
