"""One strategy on daily bars in vectorbt: decided at a close, filled at the next open (§2 Backtesting; FILLS §1).

The rules come from the catalog or from the same indicators; vectorbt is given signals and re-derives nothing. There is
no stop and no target here, so each bar has at most one order and that one is at the open: one row per bar is enough,
with signals moved on by one bar and the open as price. Strategies with stops need the two-row form.
"""

import gzip
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.strategies import catalog
from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies.bars import BARS_SCHEMA, prepared
from qmworkbench.strategies.contract import evaluate

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Rule = Literal["sma", "donchian"]

SYMBOLS: Final = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
SESSIONS_A_YEAR: Final = 252
_TICK: Final = 0.0001


class NoBars(ValueError):
    """There are no daily bars of that symbol; the message lists those there are."""


def sample_bars(symbol: str) -> pl.DataFrame:
    """Daily bars from the bokeh_sampledata package, read from the installed file: date, open, high, low, close, volume.

    Prices are adjusted for splits and dividends by the package's own adjusted close, to a hundredth of a cent: a split
    is no loss, and results are total returns. Raises NoBars.
    """
    if symbol not in SYMBOLS:
        raise NoBars(f"no daily bars of {symbol!r}: the sample has {', '.join(SYMBOLS)}")
    packed = (files("bokeh_sampledata") / "_data" / "stocks.csv.gz").read_bytes()
    raw = pl.read_csv(gzip.decompress(packed), try_parse_dates=True).filter(pl.col("Ticker") == symbol).sort("Date")
    factor = pl.col("Adj Close") / pl.col("Close")
    prices = [(pl.col(name) * factor).round(4).alias(name.lower()) for name in ("Open", "High", "Low", "Close")]
    volume = (pl.col("Volume") / factor).alias("volume")
    return raw.select(pl.col("Date").alias("date"), *prices, volume)


@dataclass(frozen=True)
class Signals:
    """What a rule says at each bar's close; `lines` are the levels it looked at, by name, for a chart."""

    entry: Bools
    exit: Bools
    lines: dict[str, Floats]


def signals_of(bars: pl.DataFrame, rule: Rule, fast: int, slow: int) -> Signals:
    """Long signals at the closes of `bars`.

    "sma": the fast average crosses the slow one. "donchian": the catalog's channel, `slow` bars to enter, `fast` to
    leave; its stop is left out. An entry where the exit is true as well counts as none.
    """
    if rule == "donchian":
        return _donchian(bars, fast, slow)
    quick, long = ind.sma("close", fast), ind.sma("close", slow)
    frame = prepared(_as_strategies_read(bars))
    for stage in ind.stacked(quick, long):
        frame = frame.with_columns(stage)
    above = pl.col(quick.name) > pl.col(long.name)
    below = pl.col(quick.name) < pl.col(long.name)
    crossed = frame.select(
        entry=(above & below.shift(1)).fill_null(False), exit=(below & above.shift(1)).fill_null(False)
    )
    lines = {f"average of {fast}": frame[quick.name], f"average of {slow}": frame[long.name]}
    return Signals(
        crossed["entry"].to_numpy(), crossed["exit"].to_numpy(), {name: s.to_numpy() for name, s in lines.items()}
    )


def _donchian(bars: pl.DataFrame, fast: int, slow: int) -> Signals:
    definition = catalog.get("donchian")
    params = definition.parameters({"entry_bars": slow, "exit_bars": fast, "short": False, "flat": "carry"})
    told = evaluate(definition, _as_strategies_read(bars), params)
    lines = {f"high of {slow}": told["f_channel_high"], f"low of {fast}": told["f_exit_low"]}
    return Signals(
        told["entry_long"].to_numpy(), told["exit_long"].to_numpy(), {name: s.to_numpy() for name, s in lines.items()}
    )


def _as_strategies_read(bars: pl.DataFrame) -> pl.DataFrame:
    """Daily bars in the form strategies read: to a strategy that carries, the whole history is one long session."""
    index = pl.int_range(bars.height, dtype=pl.Int32)
    return bars.select(
        symbol=pl.lit("SAMPLE"),
        ts=pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        session=pl.col("date").first(),
        bar=index,
        bars_left=bars.height - 1 - index,
        open=pl.col("open"),
        high=pl.col("high"),
        low=pl.col("low"),
        close=pl.col("close"),
        volume=pl.col("volume"),
        tick=pl.lit(_TICK),
    ).cast(BARS_SCHEMA)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class DailyBacktest:
    """One run. `figures` by name, None where undefined.

    `equity`: date, equity, held, buy_and_hold, in dollars. `trades`: entry and exit with bar, date and price, qty, pnl,
    return_pct, bars, open (still held at the end).
    """

    bars: pl.DataFrame
    signals: Signals
    equity: pl.DataFrame
    trades: pl.DataFrame
    figures: dict[str, float | None]


def backtest(
    bars: pl.DataFrame,
    rule: Rule = "sma",
    *,
    fast: int = 20,
    slow: int = 50,
    cash: float = 10_000.0,
    fees_bps: float = 5.0,
) -> DailyBacktest:
    """Run a rule over daily bars: all in, whole shares, one position at a time, fees on each fill.

    Raises ValueError for windows the bars cannot fill.
    """
    if not 1 < fast < slow:
        raise ValueError(f"fast {fast} and slow {slow}: the fast window is above 1 and below the slow one")
    if bars.height <= slow + 1:
        raise ValueError(f"{bars.height} bars cannot fill a window of {slow}: give more bars or a smaller window")
    found = signals_of(bars, rule, fast, slow)
    portfolio = _portfolio(bars, found.entry & ~found.exit, found.exit, cash, fees_bps)
    equity = np.asarray(portfolio.value().to_numpy(), dtype=np.float64)
    held = np.asarray(portfolio.assets().to_numpy(), dtype=np.float64) > 0
    curve = bars.select("date").with_columns(
        pl.Series("equity", equity),
        pl.Series("held", held),
        pl.Series("buy_and_hold", _held_throughout(bars, cash, fees_bps)),
    )
    trades = _trades(portfolio, bars)
    return DailyBacktest(bars, found, curve, trades, _figures(curve, trades, cash))


def _portfolio(bars: pl.DataFrame, entry: Bools, leave: Bools, cash: float, fees_bps: float) -> Any:
    """The simulation: what was decided at one close is filled at the next bar's open."""
    import pandas as pd
    import vectorbt as vbt

    return vbt.Portfolio.from_signals(
        pd.Series(bars["close"].to_numpy(), index=pd.DatetimeIndex(bars["date"].to_numpy())),
        entries=_next_bar(entry),
        exits=_next_bar(leave),
        price=bars["open"].to_numpy(),
        size=np.inf,
        size_granularity=1,
        init_cash=cash,
        fees=fees_bps / 10_000,
        accumulate=False,
        upon_long_conflict="exit",
        freq="1D",
        engine="rust",
    )


def _next_bar(flags: Bools) -> Bools:
    return np.concatenate(([False], flags[:-1]))


def _held_throughout(bars: pl.DataFrame, cash: float, fees_bps: float) -> Floats:
    """Bought whole at the first open and kept: what the rule has to beat."""
    first = float(bars["open"][0])
    shares = np.floor(cash / (first * (1 + fees_bps / 10_000)))
    return np.asarray(
        cash - shares * first * (1 + fees_bps / 10_000) + shares * bars["close"].to_numpy(), dtype=np.float64
    )


_TRADES: Final = {
    "entry_bar": pl.Int64,
    "entry_date": pl.Date,
    "entry_px": pl.Float64,
    "exit_bar": pl.Int64,
    "exit_date": pl.Date,
    "exit_px": pl.Float64,
    "qty": pl.Float64,
    "pnl": pl.Float64,
    "return_pct": pl.Float64,
    "bars": pl.Int64,
    "open": pl.Boolean,
}


def _trades(portfolio: Any, bars: pl.DataFrame) -> pl.DataFrame:
    records = portfolio.trades.records
    into, out = records["entry_idx"].to_numpy(), records["exit_idx"].to_numpy()
    columns = {
        "entry_bar": into,
        "entry_date": bars["date"].gather(into),
        "entry_px": records["entry_price"].to_numpy(),
        "exit_bar": out,
        "exit_date": bars["date"].gather(out),
        "exit_px": records["exit_price"].to_numpy(),
        "qty": records["size"].to_numpy(),
        "pnl": records["pnl"].to_numpy(),
        "return_pct": records["return"].to_numpy() * 100,
        "bars": out - into,
        "open": records["status"].to_numpy() == 0,
    }
    return pl.DataFrame(columns).cast(_TRADES)  # type: ignore[arg-type]


def _figures(curve: pl.DataFrame, trades: pl.DataFrame, cash: float) -> dict[str, float | None]:
    """Returns, Sharpe, deepest drawdown (initial cash is a peak), and the closed trades' own figures."""
    equity = curve["equity"].to_numpy()
    steps = np.diff(np.concatenate(([cash], equity))) / np.concatenate(([cash], equity[:-1]))
    spread = float(steps.std(ddof=1))
    peak = np.maximum.accumulate(np.maximum(equity, cash))
    closed = trades.filter(~pl.col("open"))["pnl"]
    gains, losses = float(closed.filter(closed > 0).sum()), -float(closed.filter(closed < 0).sum())
    total = float(equity[-1] / cash - 1)
    years = curve.height / SESSIONS_A_YEAR
    return {
        "total_return": total,
        "yearly_return": (1 + total) ** (1 / years) - 1 if total > -1 else None,
        "buy_and_hold": float(curve["buy_and_hold"][-1] / cash - 1),
        "sharpe": float(steps.mean()) / spread * SESSIONS_A_YEAR**0.5 if spread else None,
        "max_drawdown": float(((peak - equity) / peak).max()),
        "trades": float(closed.len()),
        "win_rate": float((closed > 0).mean()) if closed.len() else None,  # type: ignore[arg-type]
        "profit_factor": gains / losses if losses else None,
        "exposure": float(curve["held"].mean()),  # type: ignore[arg-type]
    }


def neighbours(
    bars: pl.DataFrame, rule: Rule, fast: int, slow: int, *, cash: float, fees_bps: float, steps: int = 3
) -> pl.DataFrame:
    """The same rule with windows around the chosen ones: fast, slow, total_return, sharpe, trades.

    A result that its neighbours do not share is luck until shown otherwise. Pairs the bars cannot fill are left out.
    """
    spread = [0.5, 0.7, 0.85, 1.0, 1.15, 1.4, 2.0] if steps == 3 else [0.7, 1.0, 1.4]
    fasts = sorted({max(2, round(fast * f)) for f in spread})
    slows = sorted({max(3, round(slow * f)) for f in spread})
    rows = []
    for quick in fasts:
        for long in slows:
            if quick < long and bars.height > long + 1:
                run = backtest(bars, rule, fast=quick, slow=long, cash=cash, fees_bps=fees_bps)
                told = {name: run.figures[name] for name in ("total_return", "sharpe", "trades")}
                rows.append({"fast": quick, "slow": long, **told})
    schema = {
        "fast": pl.Int64,
        "slow": pl.Int64,
        "total_return": pl.Float64,
        "sharpe": pl.Float64,
        "trades": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
