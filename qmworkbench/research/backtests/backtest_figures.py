"""The figures of a backtest's account, each defined once and in one place (FILLS §8)."""

from typing import Final

import numpy as np
import polars as pl

from qmworkbench.research.fills.ledger import Account
from qmworkbench.research.fills.tape import Floats

SESSIONS_A_YEAR: Final = 252

FIGURES: Final[dict[str, str]] = {
    "total_return": "equity at the end over the initial cash, less 1; what is still held is valued, not closed",
    "yearly_return": "the same compounded to a year of 252 sessions",
    "benchmark_return": "bought at the first open in equal parts and held, without costs",
    "sharpe": "mean over deviation of the returns per bar, a year's; no risk-free rate",
    "sharpe_sessions": "the same of the returns per session",
    "sortino": "mean of the session returns over their downside deviation, a year's",
    "volatility": "deviation of the session returns, a year's",
    "max_drawdown": "deepest fall of the equity at closes from its highest so far, the initial cash counted",
    "drawdown_sessions": "the most sessions from a peak until it was reached again, or until the end",
    "calmar": "yearly return over the deepest drawdown",
    "beta": "of the session returns on the benchmark's",
    "correlation": "of the session returns with the benchmark's",
    "trades": "closed round trips",
    "open_trades": "positions still held at the end",
    "win_rate": "closed trades that made money after fees, over all closed",
    "profit_factor": "gains over losses of closed trades; none without a loss",
    "expectancy": "mean profit of a closed trade, in currency",
    "mean_win": "mean of the winning trades, in currency",
    "mean_loss": "mean of the losing trades, in currency",
    "best_trade": "in currency",
    "worst_trade": "in currency",
    "mean_bars": "bars a closed trade was held",
    "exposure": "share of the bars at whose close something was held",
    "gross_exposure": "mean value of the positions over the equity",
    "turnover": "value traded over the initial cash",
    "fees": "paid, in currency",
    "final_equity": "in currency",
    "refused": "entries decided and not taken, for want of cash, places or size",
}
"""Every figure by name, and what it is. Where it is not defined it is None."""


def figures_of(
    account: Account,
    sessions: pl.DataFrame,
    trades: pl.DataFrame,
    *,
    cash: float,
    bars_a_session: int,
    refused: int,
) -> dict[str, float | None]:
    """FIGURES. `sessions`: equity, return, benchmark_return and benchmark (what the cash would have become)."""
    bar_returns = steps(account.equity, cash)
    returns = sessions["return"].to_numpy()
    versus = sessions["benchmark_return"].to_numpy()
    total = float(account.equity[-1] / cash - 1)
    years = sessions.height / SESSIONS_A_YEAR
    yearly = (1 + total) ** (1 / years) - 1 if total > -1 and years > 0 else None
    deepest = -float((1 - account.equity / peaks(account.equity, cash)).max())
    told: dict[str, float | None] = {
        "total_return": total,
        "yearly_return": yearly,
        "benchmark_return": float(sessions["benchmark"][-1] / cash - 1),
        "sharpe": sharpe(bar_returns, SESSIONS_A_YEAR * bars_a_session),
        "sharpe_sessions": sharpe(returns, SESSIONS_A_YEAR),
        "sortino": sortino(returns),
        "volatility": float(returns.std(ddof=1)) * SESSIONS_A_YEAR**0.5 if len(returns) > 1 else None,
        "max_drawdown": deepest,
        "drawdown_sessions": float(longest_below(sessions["equity"].to_numpy(), cash)),
        "calmar": yearly / -deepest if yearly is not None and deepest < 0 else None,
        "beta": _beta(returns, versus),
        "correlation": _correlation(returns, versus),
        **_of_trades(trades),
        "exposure": float((account.held > 0).mean()),
        "gross_exposure": float((account.gross / np.where(account.equity > 0, account.equity, np.nan)).mean()),
        "turnover": float(account.traded[-1]) / cash,
        "fees": float(account.fees[-1]),
        "final_equity": float(account.equity[-1]),
        "refused": float(refused),
    }
    return {name: _defined(told[name]) for name in FIGURES}


def _of_trades(trades: pl.DataFrame) -> dict[str, float | None]:
    closed = trades.filter(~pl.col("open"))
    pnl = closed["pnl"].to_numpy()
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    return {
        "trades": float(len(pnl)),
        "open_trades": float(trades.height - len(pnl)),
        "win_rate": float((pnl > 0).mean()) if len(pnl) else None,
        "profit_factor": float(wins.sum() / -losses.sum()) if len(losses) else None,
        "expectancy": float(pnl.mean()) if len(pnl) else None,
        "mean_win": float(wins.mean()) if len(wins) else None,
        "mean_loss": float(losses.mean()) if len(losses) else None,
        "best_trade": float(pnl.max()) if len(pnl) else None,
        "worst_trade": float(pnl.min()) if len(pnl) else None,
        "mean_bars": float(closed["bars"].to_numpy().mean()) if len(pnl) else None,
    }


def steps(equity: Floats, cash: float) -> Floats:
    """Returns from value to value, the first against the initial cash; after ruin none."""
    before = np.concatenate(([cash], equity[:-1]))
    gained: Floats = np.divide(equity - before, before, out=np.zeros(len(equity)), where=before > 0)
    return gained


def peaks(equity: Floats, cash: float) -> Floats:
    """The highest so far, the initial cash counted."""
    highest: Floats = np.maximum.accumulate(np.maximum(equity, cash))
    return highest


def sharpe(returns: Floats, a_year: float) -> float | None:
    """A year's Sharpe ratio; None where returns do not vary."""
    spread = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    return float(returns.mean()) / spread * float(np.sqrt(a_year)) if spread > 0 else None


def sortino(returns: Floats) -> float | None:
    """A year's Sortino ratio, against zero; None without a loss."""
    below = float(np.sqrt((np.minimum(returns, 0.0) ** 2).mean())) if len(returns) else 0.0
    return float(returns.mean()) / below * SESSIONS_A_YEAR**0.5 if below > 0 else None


def longest_below(equity: Floats, cash: float) -> int:
    """The most values in a row that lie below the highest before them."""
    below = equity < peaks(equity, cash)
    longest = run = 0
    for under in below.tolist():
        run = run + 1 if under else 0
        longest = max(longest, run)
    return longest


def _beta(returns: Floats, versus: Floats) -> float | None:
    if len(returns) < 3 or not versus.std() > 0:
        return None
    return float(np.cov(returns, versus, ddof=1)[0, 1] / versus.var(ddof=1))


def _correlation(returns: Floats, versus: Floats) -> float | None:
    if len(returns) < 3 or not versus.std() > 0 or not returns.std() > 0:
        return None
    return float(np.corrcoef(returns, versus)[0, 1])


def _defined(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
