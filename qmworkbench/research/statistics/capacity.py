"""How much capital a strategy carries: what impact and thin volume take as it grows (M: layer 2).

Impact follows the square-root law: a fill of quantity q moves the price against itself by `impact` × volatility ×
√(q / volume), volatility and volume of the same bar. It is an order of magnitude, not a promise: nothing here has seen
an order book, and other traders of the same idea count as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from qmworkbench.research.backtests.observations import number, series, whole
from qmworkbench.research.fills.tape import Floats, Tape

_COLUMNS: Final = ("qty", "entry_px", "exit_px", "pnl", "entry_volume", "exit_volume", "volatility")
_SMALLEST: Final = 1e-3
_LARGEST: Final = 1e6
_STEPS: Final = 181  # twenty a decade


@dataclass(frozen=True, eq=False)
class Capacity:
    """A row a capital, and where growing stops to pay.

    `frame`: capital, multiple (of the capital the trades were made with), participation (median of an entry's bar
    volume), filled (share of the wanted quantity), impact_bps (of the value traded), net_pnl, net_return (of that
    capital). `halving_capital`: where the return is half of what it is without impact; `best_capital`: where the P&L is
    largest. None where `missing` says why.
    """

    frame: pl.DataFrame
    halving_capital: float | None
    best_capital: float | None
    missing: dict[str, str]


@dataclass(frozen=True, eq=False)
class _Trades:
    qty: Floats
    entry: Floats
    out: Floats
    pnl: Floats
    entry_volume: Floats
    exit_volume: Floats
    volatility: Floats


def with_liquidity(trades: pl.DataFrame, tapes: Sequence[Tape], *, bars: int = 60) -> pl.DataFrame:
    """Trades of a backtest (symbol, entry_bar, exit_bar) with entry_volume, exit_volume and volatility beside them.

    Volatility is the standard deviation of close-to-close returns over the `bars` before the entry bar, 0 where there
    are fewer than two. Raises ValueError for a symbol without a tape or a bar outside it.
    """
    whole(bars, "bars", least=2)
    by_symbol = {tape.symbol: tape for tape in tapes}
    rows: list[dict[str, float]] = []
    for trade in trades.select("symbol", "entry_bar", "exit_bar").iter_rows(named=True):
        tape = by_symbol.get(trade["symbol"])
        if tape is None:
            raise ValueError(f"no tape of {trade['symbol']}: give the tapes the trades were made on")
        into, out = int(trade["entry_bar"]), int(trade["exit_bar"])
        if not 0 <= into <= out < len(tape):
            raise ValueError(f"{trade['symbol']} trades from bar {into} to {out}, its tape has {len(tape)} bars")
        closes = tape.close[max(into - bars - 1, 0) : into]
        steps = np.diff(closes) / closes[:-1]
        rows.append(
            {
                "entry_volume": float(tape.volume[into]),
                "exit_volume": float(tape.volume[out]),
                "volatility": float(steps.std(ddof=1)) if len(steps) > 1 else 0.0,
            }
        )
    schema = {"entry_volume": pl.Float64, "exit_volume": pl.Float64, "volatility": pl.Float64}
    return trades.hstack(pl.DataFrame(rows, schema=schema))


def capacity(
    trades: pl.DataFrame,
    *,
    capital: float,
    multiples: Sequence[float] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
    impact: float = 1.0,
    participation_cap: float = 0.1,
) -> Capacity:
    """Scale closed trades (qty, entry_px, exit_px, pnl and with_liquidity's columns) made with `capital`.

    An entry is cut to `participation_cap` of its bar's volume and the rest dropped; what was bought is sold in one bar
    whatever its volume, at its impact. Raises ValueError for missing columns, no closed trade, or values out of range.
    """
    number(capital, "capital", above=0)
    number(impact, "impact", above=0)
    if not 0 < participation_cap <= 1:
        raise ValueError(f"participation_cap is {participation_cap}: give a share above 0, 1 at most")
    steps = [number(multiple, "multiples", above=0) for multiple in multiples]
    taken = _read(trades)

    def net_of(multiple: float) -> dict[str, float]:
        return _scaled(taken, capital, multiple, impact, participation_cap)

    frame = pl.DataFrame([net_of(multiple) for multiple in steps])
    edge = float(taken.pnl.sum()) / capital
    missing: dict[str, str] = {}
    if edge <= 0:
        reason = f"the trades lose {-edge * capital:,.2f} before any impact"
        return Capacity(frame, None, None, {"halving_capital": reason, "best_capital": reason})
    grid = np.geomspace(_SMALLEST, _LARGEST, _STEPS)
    told = [net_of(float(multiple)) for multiple in grid]
    best = int(np.argmax([row["net_pnl"] for row in told]))
    best_capital = None
    if 0 < best < _STEPS - 1:
        best_capital = told[best]["capital"]
    else:
        missing["best_capital"] = f"outside of {told[0]['capital']:,.0f} to {told[-1]['capital']:,.0f}"
    halved = [place for place, row in enumerate(told) if row["net_return"] <= edge / 2]
    if not halved or halved[0] == 0:
        missing["halving_capital"] = f"outside of {told[0]['capital']:,.0f} to {told[-1]['capital']:,.0f}"
        return Capacity(frame, None, best_capital, missing)
    low, high = float(grid[halved[0] - 1]), float(grid[halved[0]])
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if net_of(middle)["net_return"] <= edge / 2 else (middle, high)
    return Capacity(frame, capital * high, best_capital, missing)


def _scaled(taken: _Trades, capital: float, multiple: float, impact: float, cap: float) -> dict[str, float]:
    wanted = taken.qty * multiple
    filled = np.minimum(wanted, cap * taken.entry_volume)
    into = impact * taken.volatility * np.sqrt(np.divide(filled, np.maximum(taken.entry_volume, 1.0)))
    # A bar without volume cannot take the exit at all: one unit makes it as dear as can be told.
    away = impact * taken.volatility * np.sqrt(filled / np.maximum(taken.exit_volume, 1.0))
    cost = filled * (taken.entry * into + taken.out * away)
    value = float((filled * (taken.entry + taken.out)).sum())
    net = float((taken.pnl * filled / taken.qty - cost).sum())
    known = taken.entry_volume > 0
    share = filled[known] / taken.entry_volume[known]
    return {
        "capital": capital * multiple,
        "multiple": multiple,
        "participation": float(np.median(share)) if known.any() else 0.0,
        "filled": float(filled.sum() / wanted.sum()),
        "impact_bps": float(cost.sum()) / value * 10_000 if value else 0.0,
        "net_pnl": net,
        "net_return": net / (capital * multiple),
    }


def _read(trades: pl.DataFrame) -> _Trades:
    absent = [name for name in _COLUMNS if name not in trades.columns]
    if absent:
        raise ValueError(
            f"trades have no column {absent[0]!r}: add volumes and volatility by with_liquidity(trades, tapes)"
        )
    closed = trades.filter(~pl.col("open")) if "open" in trades.columns else trades
    if closed.is_empty():
        raise ValueError("no trade was closed: there is nothing to scale")
    columns: dict[str, Any] = {name: series(closed[name].to_numpy(), name, least=1) for name in _COLUMNS}
    columns["qty"] = np.abs(columns["qty"])
    for name in ("qty", "entry_px", "exit_px"):
        if not (columns[name] > 0).all():
            raise ValueError(f"{name} of a trade is 0 or below: repair the trade list")
    for name in ("entry_volume", "exit_volume", "volatility"):
        if not (columns[name] >= 0).all():
            raise ValueError(f"{name} of a trade is below 0: repair the bars")
    return _Trades(
        columns["qty"],
        columns["entry_px"],
        columns["exit_px"],
        columns["pnl"],
        columns["entry_volume"],
        columns["exit_volume"],
        columns["volatility"],
    )
