"""Fills as a vectorbt Portfolio on the bars they happened on, and its figures under our names (FILLS §2, §8).

The Portfolio of two rows a bar is good for fills alone: its Sharpe ratio, durations and drawdowns mean nothing. This
one is made from order records and knows the real bars, so everything vectorbt can plot and count is right.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from qmworkbench.research.fills.measure import Figure
from qmworkbench.research.fills.tape import Fills, Floats, Tape


def portfolio_of(
    tapes: Sequence[Tape],
    fills: Sequence[Fills],
    cash: float | Floats,
    *,
    interval_s: int,
    shared: bool = False,
    names: Sequence[str] = (),
    engine: str = "rust",
) -> Any:
    """A vbt.Portfolio of these fills, a column for each tape. `cash`: of each column, or of all where `shared`.

    All tapes have their bars at the same times. `interval_s` is the length of a bar: an index with holes has no
    frequency of its own. For ratios of a year give `year_freq` (252 sessions of the session's length): vectorbt's own
    year has 365 days of 24 hours. Raises ValueError for tapes of different times.
    """
    import pandas as pd
    import vectorbt as vbt
    from vectorbt.portfolio.enums import log_dt, order_dt

    for tape in tapes:
        if not np.array_equal(tape.ts_us, tapes[0].ts_us):
            raise ValueError(
                f"{tape.symbol} and {tapes[0].symbol} have bars at different times; give each a portfolio of its own"
            )
    index = pd.to_datetime(tapes[0].ts_us, unit="us", utc=True)
    columns = list(names) or [tape.symbol for tape in tapes]
    closes = pd.DataFrame(np.array([tape.close for tape in tapes]).T, index=index, columns=columns)
    records = np.concatenate([_records(number, done, order_dt) for number, done in enumerate(fills)])
    wrapper = vbt.ArrayWrapper.from_obj(
        closes, freq=pd.Timedelta(seconds=interval_s), group_by=True if shared else None
    )
    accounts = np.array([cash], np.float64) if shared else np.broadcast_to(np.asarray(cash, np.float64), len(tapes))
    return vbt.Portfolio(
        wrapper,
        closes,
        records,
        np.empty(0, log_dt),
        np.ascontiguousarray(accounts),
        shared,
        engine=engine,
    )


def _records(column: int, done: Fills, dtype: Any) -> Any:
    records = np.zeros(len(done), dtype)
    records["id"], records["col"], records["idx"] = np.arange(len(done)), column, done.at
    records["size"], records["price"], records["fees"] = np.abs(done.qty), done.px, done.fee
    records["side"] = np.where(done.qty > 0, 0, 1)
    return records


def figures_of(portfolio: Any, wanted: Collection[Figure] = tuple(Figure)) -> Floats:
    """vectorbt's figures where we have the same, a row of measure.Figure for each column, NaN where we have not.

    `wanted`: those to compute, all by default. The Sharpe ratio is per bar. A drawdown that never was is NaN in
    vectorbt and 0 here.
    """
    import pandas as pd

    columns = len(portfolio.wrapper.columns)
    told = np.full((columns, len(Figure)), np.nan)
    bar = pd.Timedelta(portfolio.wrapper.freq)
    closed, left = portfolio.trades.closed, portfolio.trades.open
    values: dict[Figure, Callable[[], Any]] = {
        Figure.TOTAL_RETURN: portfolio.total_return,
        Figure.SHARPE: lambda: portfolio.sharpe_ratio(freq=bar, year_freq=bar),
        Figure.MAX_DRAWDOWN_CLOSES: lambda: portfolio.drawdowns.max_drawdown().fillna(0.0),
        Figure.TRADES: closed.count,
        Figure.OPEN_TRADES: left.count,
        Figure.WINS: lambda: closed.winning.count(),  # noqa: PLW0108, a view that costs something to make
        Figure.WIN_RATE: closed.win_rate,
        Figure.PROFIT_FACTOR: closed.profit_factor,
        Figure.GROSS_PROFIT: lambda: closed.winning.pnl.sum().fillna(0.0),
        Figure.GROSS_LOSS: lambda: closed.losing.pnl.sum().fillna(0.0),
        Figure.BEST_TRADE: closed.pnl.max,
        Figure.WORST_TRADE: closed.pnl.min,
        Figure.FEES: lambda: portfolio.orders.fees.sum().fillna(0.0),
        Figure.FINAL_EQUITY: portfolio.final_value,
        Figure.OPEN_PNL: lambda: left.pnl.sum().fillna(0.0),
    }
    for figure in wanted:
        if figure in values:
            told[:, figure] = np.asarray(values[figure](), np.float64)
    return told
