"""The probability of overfitting: about a half for noise, hardly any for an edge, exact where it can be counted."""

from itertools import combinations

import numpy as np
import pytest

from qmworkbench.research.statistics.overfitting import fitted, histogram, overfitting
from qmworkbench.research.statistics.verdict import sweep_verdict


def noise(seed: int, sessions: int = 240, trials: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (sessions, trials))


def test_choosing_among_noise_is_overfitting() -> None:
    found = [overfitting(noise(seed), blocks=10) for seed in range(8)]
    assert np.mean([one.pbo for one in found]) > 0.45
    assert np.mean([one.probability_of_loss for one in found]) > 0.4
    assert {one.splits for one in found} == {252}


def test_choosing_a_planted_edge_is_not() -> None:
    returns = noise(1)
    returns[:, 17] += 0.006
    found = overfitting(returns, blocks=10)
    assert found.pbo < 0.02
    assert found.probability_of_loss < 0.02
    assert (found.chosen == 17).mean() > 0.95
    assert (found.logits > 0).mean() == 1 - found.pbo


def test_the_definition_is_followed_to_the_letter() -> None:
    """Every split counted by hand, on uneven blocks, with a combination that never trades and two that are alike."""
    returns = noise(3, sessions=43, trials=7)
    returns[:, 2], returns[:, 5] = 0.0, returns[:, 4]
    found = overfitting(returns, blocks=6)
    parts = np.array_split(np.arange(43), 6)

    def ratios(blocks: tuple[int, ...]) -> np.ndarray:
        taken = returns[np.concatenate([parts[block] for block in blocks])]
        spread = taken.std(axis=0, ddof=1)
        return np.where(spread > 0, taken.mean(axis=0) / np.where(spread > 0, spread, 1), 0.0)

    for row, half in enumerate(combinations(range(6), 3)):
        inside = ratios(half)
        outside = ratios(tuple(block for block in range(6) if block not in half))
        best = int(np.argmax(inside.round(12)))
        assert found.chosen[row] == best
        assert found.in_sample[row] == pytest.approx(inside[best])
        assert found.out_of_sample[row] == pytest.approx(outside[best])
        close = outside.round(12)
        rank = (close < close[best]).sum() + ((close == close[best]).sum() + 1) / 2
        assert found.logits[row] == pytest.approx(np.log(rank / (8 - rank)))
    line = np.polyfit(found.in_sample, found.out_of_sample, 1)
    assert [found.slope, found.intercept] == pytest.approx(line.tolist())
    assert found.pbo == (found.logits <= 0).mean()
    assert found.probability_of_loss == (found.out_of_sample < 0).mean()


def test_trials_that_are_all_the_same_are_ranked_in_the_middle() -> None:
    found = overfitting(np.repeat(noise(2, trials=1), 5, axis=1), blocks=4)
    assert found.logits.tolist() == [0.0] * 6
    assert found.pbo == 1


def test_too_many_splits_are_drawn_in_mirrored_pairs_and_alike_for_one_seed() -> None:
    returns = noise(4, sessions=60, trials=30)
    first, again, other = (overfitting(returns, blocks=14, most_splits=300, seed=seed) for seed in (1, 1, 2))
    assert first.drawn
    assert first.splits == 300
    assert (first.logits == again.logits).all()
    assert (first.logits != other.logits).any()
    full = overfitting(returns, blocks=14)
    assert not full.drawn
    assert full.splits == 3432
    assert first.pbo == pytest.approx(full.pbo, abs=0.12)


def test_wide_matrices_are_judged_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = noise(5, sessions=60, trials=50)
    whole = overfitting(returns, blocks=8)
    monkeypatch.setattr("qmworkbench.research.statistics.overfitting._CELLS", 170)
    assert overfitting(returns, blocks=8).logits.tolist() == whole.logits.tolist()


def test_a_histogram_counts_every_split() -> None:
    found = overfitting(noise(6, sessions=60, trials=9), blocks=8)
    counts, edges = histogram(found, bins=7)
    assert counts.sum() == 70
    assert edges[7] == 0
    assert (found.logits == 0).any()
    assert counts[:7].sum() / 70 == found.pbo


@pytest.mark.parametrize(
    ("returns", "asked", "words"),
    [
        (noise(1, trials=1), {}, "1 combinations, 2 are needed"),
        (noise(1, sessions=20), {"blocks": 12}, "20 sessions in 12 blocks"),
        (noise(1), {"blocks": 5}, "even number"),
        (noise(1), {"blocks": 22}, "blocks is 22"),
        (noise(1), {"blocks": 0}, "blocks is 0"),
        (noise(1), {"most_splits": 1}, "most_splits is 1"),
        (np.zeros((60, 4)), {}, "none of the 4 combinations ever traded"),
        (np.full((60, 4), np.nan), {}, "nan at session 0"),
    ],
)
def test_what_cannot_be_split_is_refused_by_name(returns: np.ndarray, asked: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        overfitting(returns, **asked)


def test_a_verdict_and_the_page_beside_it_tell_one_probability() -> None:
    """Found on a page of thirty sessions: 0.55 on a tile, 46 % in the paragraph below, by other blocks."""
    few, more = (np.random.default_rng(4).normal(0, 0.01, (sessions, 20)) for sessions in (30, 90))
    found = fitted(few)
    assert found is not None
    assert found.blocks == 6
    assert sweep_verdict(few).pbo == found.pbo
    again = fitted(more)
    assert again is not None
    assert again.blocks == 12
    assert sweep_verdict(more).pbo == again.pbo
    assert fitted(few[:-1]) is None
    many = fitted(noise(4, sessions=60, trials=8_000))
    assert many is not None
    assert many.blocks == 10, "twelve would be too many splits to count in seconds"
