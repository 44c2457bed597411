"""Other orders of the same trades: counted out for few, seeded for many."""

from itertools import permutations

import numpy as np
import pytest

from qmworkbench.research.statistics.trade_order import trade_order


def deepest(pnl: tuple[float, ...], capital: float) -> float:
    equity = peak = capital
    worst = 0.0
    for one in pnl:
        equity += one
        peak = max(peak, equity)
        worst = max(worst, (peak - equity) / peak)
    return worst


def test_permutations_agree_with_every_order_counted_out() -> None:
    few = [300.0, -200.0, -250.0, 400.0, -100.0, 150.0]
    pnl = [*few, 0.0, 0.0, 0.0, 0.0]  # a trade that earned nothing changes no drawdown
    every = np.array([deepest(order, 1000.0) for order in permutations(few)])
    found = trade_order(pnl, capital=1000, draws=4000, ruin=0.3)
    assert found.actual_drawdown == pytest.approx(deepest(tuple(few), 1000.0))
    assert found.quantiles[0.5] == pytest.approx(np.quantile(every, 0.5), abs=0.02)
    assert found.drawdowns.mean() == pytest.approx(every.mean(), rel=0.03)
    assert found.worse_than_actual == pytest.approx((every > found.actual_drawdown + 1e-12).mean(), abs=0.03)
    lows = np.array([min(1000 + np.cumsum(order)) for order in permutations(few)])
    assert found.ruin_probability == pytest.approx((lows <= 700).mean(), abs=0.03)
    assert found.final.tolist() == pytest.approx([1300.0] * 4000)


def test_the_luckiest_order_is_told_as_lucky() -> None:
    trades = [-50.0] * 15 + [100.0] * 20
    alternating = [100.0, -50.0] * 15 + [100.0] * 5
    assert trade_order(alternating, capital=1000).worse_than_actual > 0.99
    assert trade_order(trades, capital=1000).worse_than_actual < 0.01


def test_a_bootstrap_lets_the_result_vary_and_counts_losing_runs() -> None:
    pnl = np.random.default_rng(1).normal(10, 100, 60)
    found = trade_order(pnl, capital=5000, method="bootstrap", draws=1500)
    assert found.final.mean() == pytest.approx(5000 + pnl.sum(), abs=100)
    assert found.final.std() == pytest.approx(pnl.std() * 60**0.5, rel=0.1)
    assert 1 <= found.longest_losing_run.min() <= found.longest_losing_run.max() <= 60
    losing = trade_order([-1.0] * 12, capital=10, method="bootstrap", draws=100, ruin=0.5)
    assert set(losing.longest_losing_run.tolist()) == {12}
    assert losing.ruin_probability == 1
    assert losing.actual_drawdown == pytest.approx(1.2)  # two more than there was


def test_draws_are_seeded_and_the_same_in_pieces_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    pnl = np.random.default_rng(2).normal(1, 10, 50)
    first, again, other = (trade_order(pnl, capital=100, seed=seed).drawdowns for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    monkeypatch.setattr("qmworkbench.research.statistics.trade_order._CELLS", 50 * 128)
    assert trade_order(pnl, capital=100, seed=1).drawdowns.tolist() == first.tolist()


@pytest.mark.parametrize(
    ("pnl", "more", "words"),
    [
        ([1.0] * 3, {}, "pnl has 3 values, 10 are needed"),
        ([1.0, np.nan] * 6, {}, "pnl is nan at position 1"),
        ([1.0] * 12, {"capital": 0}, "capital is 0"),
        ([1.0] * 12, {"ruin": 1.5}, "ruin is 1.5"),
        ([1.0] * 12, {"draws": 5}, "draws is 5"),
        ([1.0] * 12, {"method": "shuffle"}, "method is 'shuffle'"),
    ],
)
def test_what_cannot_be_shuffled_is_refused_by_name(pnl: list[float], more: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        trade_order(pnl, **({"capital": 100} | more))  # type: ignore[arg-type]
