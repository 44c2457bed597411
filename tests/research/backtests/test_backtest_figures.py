"""A backtest's figures, held to an independent library's and to arithmetic by hand."""

import warnings
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from qmworkbench.research.backtests.backtest_figures import (
    FIGURES,
    figures_of,
    longest_below,
    peaks,
    sharpe,
    sortino,
    steps,
)
from qmworkbench.research.fills.ledger import TRADE_SCHEMA, Account

CASH = 10_000.0
NO_TRADES = pl.DataFrame(schema=TRADE_SCHEMA)


def account(equity: np.ndarray) -> Account:
    zero = np.zeros(len(equity))
    return Account(
        np.arange(len(equity)), equity, zero + 500, zero, np.ones(len(equity), np.int64), zero + 7, zero + 2e4
    )


def sessions(equity: np.ndarray, benchmark: np.ndarray) -> pl.DataFrame:
    days = [date(2020, 1, 1) + timedelta(days=k) for k in range(len(equity))]
    return pl.DataFrame(
        {
            "session": days,
            "equity": equity,
            "return": steps(equity, CASH),
            "benchmark": benchmark,
            "benchmark_return": steps(benchmark, CASH),
        }
    )


def told(equity: np.ndarray, benchmark: np.ndarray, trades: pl.DataFrame = NO_TRADES) -> dict[str, float | None]:
    return figures_of(account(equity), sessions(equity, benchmark), trades, cash=CASH, bars_a_session=1, refused=0)


def walk(seed: int, count: int = 500) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return CASH * np.cumprod(1 + chance.normal(0.0004, 0.01, count))


def test_an_independent_library_agrees() -> None:
    with warnings.catch_warnings():
        # It asks pandas 3 for what pandas 4 will not have; that is its own affair.
        warnings.simplefilter("ignore")
        import pandas as pd
        import quantstats.stats as theirs

        equity, benchmark = walk(1), walk(2)
        ours = told(equity, benchmark)
        index = pd.date_range("2020-01-01", periods=len(equity), freq="D")
        returns = pd.Series(steps(equity, CASH), index=index)
        versus = pd.Series(steps(benchmark, CASH), index=index)
        assert ours["sharpe_sessions"] == pytest.approx(theirs.sharpe(returns, periods=252), rel=1e-9)
        assert ours["sortino"] == pytest.approx(theirs.sortino(returns, periods=252), rel=1e-9)
        assert ours["volatility"] == pytest.approx(theirs.volatility(returns, periods=252), rel=1e-9)
        assert ours["max_drawdown"] == pytest.approx(theirs.max_drawdown(returns), rel=1e-9)
        assert ours["total_return"] == pytest.approx(theirs.comp(returns), rel=1e-9)
        greeks = theirs.greeks(returns, versus, periods=252)
        assert ours["beta"] == pytest.approx(float(greeks["beta"]), rel=1e-9)
        assert ours["correlation"] == pytest.approx(float(returns.corr(versus)), rel=1e-9)


def test_by_hand() -> None:
    equity = np.array([9_000.0, 9_900.0, 10_890.0, 10_890.0])
    ours = told(equity, np.array([10_100.0, 10_201.0, 10_000.0, 10_500.0]))
    returns = np.array([-0.1, 0.1, 0.1, 0.0])
    assert ours["total_return"] == pytest.approx(0.089)
    assert ours["benchmark_return"] == pytest.approx(0.05)
    assert ours["max_drawdown"] == pytest.approx(-0.1), "the initial cash counts as a peak"
    assert ours["drawdown_sessions"] == 2
    assert ours["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * 252**0.5)
    assert ours["yearly_return"] == pytest.approx(1.089 ** (252 / 4) - 1)
    assert (ours["exposure"], ours["fees"], ours["turnover"]) == (1.0, 7.0, 2.0)


def test_closed_trades_alone_count_and_breakeven_is_no_win() -> None:
    rows = [
        {"pnl": pnl, "open": still, "bars": 3}
        for pnl, still in ((30.0, False), (-10.0, False), (0.0, False), (99.0, True))
    ]
    trades = pl.DataFrame(rows, schema={name: TRADE_SCHEMA[name] for name in ("pnl", "open", "bars")})
    ours = told(walk(3), walk(4), trades)
    assert (ours["trades"], ours["open_trades"]) == (3, 1)
    assert ours["win_rate"] == pytest.approx(1 / 3)
    assert (ours["profit_factor"], ours["expectancy"]) == (3.0, pytest.approx(20 / 3))
    assert (ours["mean_win"], ours["mean_loss"], ours["best_trade"], ours["worst_trade"]) == (30.0, -10.0, 30.0, -10.0)


def test_what_is_not_defined_is_none_and_never_nan() -> None:
    still = np.full(30, CASH)
    ours = told(still, still)
    assert set(ours) == set(FIGURES)
    for name in ("sharpe", "sharpe_sessions", "sortino", "calmar", "beta", "win_rate", "profit_factor", "expectancy"):
        assert ours[name] is None, name
    assert ours["max_drawdown"] == 0.0
    ruined = told(np.array([5_000.0, 0.0, 0.0]), walk(1, 3))
    assert ruined["total_return"] == -1.0
    assert ruined["yearly_return"] is None
    assert all(value is None or np.isfinite(value) for value in ruined.values())


def test_the_parts() -> None:
    assert steps(np.array([110.0, 99.0]), 100.0).tolist() == pytest.approx([0.1, -0.1])
    assert peaks(np.array([90.0, 120.0, 80.0]), 100.0).tolist() == [100.0, 120.0, 120.0]
    assert longest_below(np.array([99.0, 101.0, 100.0, 99.0, 100.5, 102.0]), 100.0) == 3
    assert sharpe(np.array([0.01]), 252) is None
    assert sortino(np.array([0.01, 0.02])) is None
