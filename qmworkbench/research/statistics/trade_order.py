"""What luck of the draw the order of trades was: drawdowns of the same trades in other orders (M: layer 2).

A permutation keeps every trade and so the final result; a bootstrap draws trades again and again, with the luck of
which ones come. Both take trades as independent of one another: where losses come in rows, both are too mild.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from qmworkbench.research.backtests.observations import number, series, whole
from qmworkbench.research.fills.tape import Floats, Ints

Method = Literal["permutation", "bootstrap"]
LEAST_TRADES: Final = 10
_CELLS: Final = 2_000_000
_LEVELS: Final = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, eq=False)
class TradeOrder:
    """Drawdowns are fractions of the peak, capital counted as the first; `actual_drawdown` is that of the real order.

    `quantiles`: drawdown by probability. `worse_than_actual`: the share of orders with a deeper one; near 1, the real
    order was a lucky one. `ruin_probability`: the share that ever lost `ruin` of the capital. `final` holds what each
    draw ended with, in currency, `longest_losing_run` the most losses in a row.
    """

    method: Method
    trades: int
    draws: int
    actual_drawdown: float
    quantiles: dict[float, float]
    worse_than_actual: float
    ruin: float
    ruin_probability: float
    drawdowns: Floats
    final: Floats
    longest_losing_run: Ints


def trade_order(
    pnl: Any,
    *,
    capital: float,
    method: Method = "permutation",
    ruin: float = 0.5,
    draws: int = 2_000,
    seed: int = 0,
) -> TradeOrder:
    """Shuffle or redraw the closed trades' P&L, in currency and in the order they closed, from `capital` on.

    Sizes stay as they were traded: nothing compounds. Raises ValueError for fewer than 10 trades, values that are not
    finite, or a capital that is not above 0.
    """
    taken = series(pnl, "pnl", least=LEAST_TRADES)
    number(capital, "capital", above=0)
    number(ruin, "ruin", above=0, below=1)
    whole(draws, "draws", least=100, remedy="fewer say nothing of the tails")
    if method not in ("permutation", "bootstrap"):
        raise ValueError(f"method is {method!r}: permutation or bootstrap")
    chance = np.random.default_rng(whole(seed, "seed", least=0))
    count = len(taken)
    deepest, lowest, final = np.zeros(draws), np.zeros(draws), np.zeros(draws)
    runs = np.zeros(draws, dtype=np.int64)
    rows = max(1, _CELLS // count)
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        if method == "permutation":
            drawn = chance.permuted(np.broadcast_to(taken, (size, count)), axis=1)
        else:
            drawn = taken[chance.integers(0, count, (size, count))]
        part = slice(start, start + size)
        deepest[part], lowest[part], final[part] = _paths(drawn, capital)
        runs[part] = _losing_runs(drawn)
    actual = float(_paths(taken[None], capital)[0][0])
    return TradeOrder(
        method=method,
        trades=count,
        draws=draws,
        actual_drawdown=actual,
        quantiles={level: float(np.quantile(deepest, level)) for level in _LEVELS},
        worse_than_actual=float((deepest > actual + 1e-12).mean()),
        ruin=ruin,
        ruin_probability=float((lowest <= capital * (1 - ruin)).mean()),
        drawdowns=deepest,
        final=final,
        longest_losing_run=runs,
    )


def _paths(pnl: Floats, capital: float) -> tuple[Floats, Floats, Floats]:
    """Deepest drawdown, lowest and final equity of each row. More than all can be lost: a drawdown may pass 1."""
    equity = capital + np.cumsum(pnl, axis=1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), capital)
    return ((peak - equity) / peak).max(axis=1), equity.min(axis=1), equity[:, -1]


def _losing_runs(pnl: Floats) -> Ints:
    longest = np.zeros(len(pnl), dtype=np.int64)
    current = np.zeros(len(pnl), dtype=np.int64)
    for column in (pnl < 0).T:
        current = (current + 1) * column
        np.maximum(longest, current, out=longest)
    return longest
