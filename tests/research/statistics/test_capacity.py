"""Capacity by the square-root law, checked against the law's own solution."""

import numpy as np
import polars as pl
import pytest

from qmworkbench.research.fills.tape import Tape
from qmworkbench.research.statistics.capacity import capacity, with_liquidity


def trades(**changed: float) -> pl.DataFrame:
    row = {
        "qty": 100.0, "entry_px": 50.0, "exit_px": 50.0, "pnl": 20.0,
        "entry_volume": 1e6, "exit_volume": 1e6, "volatility": 0.002,
    }  # fmt: skip
    return pl.DataFrame([row | changed] * 4).with_columns(open=False)


def test_the_edge_halves_where_the_law_says() -> None:
    found = capacity(trades(), capital=10_000, participation_cap=1.0)
    # Both sides of 10,000 pay 0.002 · √(multiple · 1e-4); half of the 20 earned is gone where that is 10.
    multiple = (10 / (10_000 * 0.002)) ** 2 / 1e-4
    assert found.halving_capital == pytest.approx(10_000 * multiple, rel=1e-6)
    # P&L is largest where net 20m − 0.2·m^1.5 has its top: √m = 2/3 · 100.
    assert found.best_capital == pytest.approx(10_000 * (200 / 3) ** 2, rel=0.15)
    row = found.frame.row(by_predicate=pl.col("multiple") == 1, named=True)
    assert row["impact_bps"] == pytest.approx(0.002 * 0.01 * 10_000)
    assert row["participation"] == pytest.approx(1e-4)
    assert row["net_pnl"] == pytest.approx(4 * (20 - 0.2))


def test_more_capital_never_returns_more() -> None:
    chance = np.random.default_rng(1)
    many = pl.DataFrame(
        {
            "qty": chance.integers(1, 500, 80).astype(float), "entry_px": 20.0, "exit_px": 20.3,
            "pnl": chance.uniform(1, 50, 80), "entry_volume": chance.uniform(0, 1e5, 80),
            "exit_volume": chance.uniform(0, 1e5, 80), "volatility": chance.uniform(0, 0.004, 80),
        }
    )  # fmt: skip
    told = capacity(many, capital=100_000)
    assert (np.diff(told.frame["net_return"].to_numpy()) <= 1e-12).all()
    assert (np.diff(told.frame["filled"].to_numpy()) <= 1e-12).all()


def test_thin_bars_cut_an_entry_and_drop_the_rest() -> None:
    found = capacity(trades(entry_volume=500.0, volatility=0.0), capital=10_000, multiples=[0.5, 1, 2])
    assert found.frame["filled"].to_list() == [1, 0.5, 0.25]
    assert found.frame["participation"].to_list() == [0.1, 0.1, 0.1]
    assert found.frame["net_pnl"].to_list() == [40, 40, 40]
    assert found.halving_capital == pytest.approx(10_000)
    dry = capacity(trades(entry_volume=0.0), capital=10_000)
    assert dry.frame["net_pnl"].to_list() == [0] * 9
    assert "halving_capital" in dry.missing
    stuck = capacity(trades(exit_volume=0.0), capital=10_000, multiples=[1])
    assert stuck.frame["net_pnl"][0] < 0


def test_trades_that_lose_have_no_capacity() -> None:
    found = capacity(trades(pnl=-5.0), capital=10_000)
    assert (found.halving_capital, found.best_capital) == (None, None)
    assert found.missing["halving_capital"] == "the trades lose 20.00 before any impact"
    assert (
        "outside of 10 to 10,000,000,000"
        in capacity(trades(volatility=0.0, entry_volume=1e15), capital=10_000).missing["best_capital"]
    )


def tape() -> Tape:
    count = 30
    close = np.where(np.arange(count) % 2, 10.0, 10.1)
    flags = np.zeros(count, dtype=np.bool_)
    return Tape(
        "AAA", np.arange(count), close, close, close, close, np.arange(count, dtype=np.float64),
        np.zeros(count, dtype=np.int32), np.arange(count, dtype=np.int32), flags, 0.01,
    )  # fmt: skip


def test_liquidity_is_that_of_the_bars_traded_and_volatility_of_those_before() -> None:
    made = pl.DataFrame({"symbol": ["AAA", "AAA"], "entry_bar": [12, 1], "exit_bar": [20, 1]})
    found = with_liquidity(made, [tape()], bars=5)
    assert found["entry_volume"].to_list() == [12, 1]
    assert found["exit_volume"].to_list() == [20, 1]
    closes = tape().close[6:12]
    assert found["volatility"].to_list() == pytest.approx([(np.diff(closes) / closes[:-1]).std(ddof=1), 0])
    assert with_liquidity(made.clear(), [tape()]).columns[-1] == "volatility"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: capacity(trades().drop("volatility"), capital=1), "no column 'volatility': add .* with_liquidity"),
        (lambda: capacity(trades(qty=0.0), capital=1), "qty of a trade is 0"),
        (lambda: capacity(trades(entry_volume=-1.0), capital=1), "entry_volume of a trade is below 0"),
        (lambda: capacity(trades(volatility=float("nan")), capital=1), "volatility is nan"),
        (lambda: capacity(trades(), capital=1, participation_cap=0), "participation_cap is 0"),
        (lambda: capacity(trades(), capital=1, multiples=[0]), "multiples is 0"),
        (lambda: capacity(trades().with_columns(open=True), capital=1), "no trade was closed"),
        (
            lambda: with_liquidity(pl.DataFrame({"symbol": ["B"], "entry_bar": [1], "exit_bar": [1]}), [tape()]),
            "no tape of B",
        ),
        (
            lambda: with_liquidity(pl.DataFrame({"symbol": ["AAA"], "entry_bar": [1], "exit_bar": [30]}), [tape()]),
            "its tape has 30 bars",
        ),
    ],
)
def test_what_cannot_be_scaled_is_refused_by_name(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]
