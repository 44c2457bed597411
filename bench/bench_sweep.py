"""Combinations a second of a moving-average cross: the fused sweep against vectorbt's best engine, and against others.

Both sides answer the same figures of the same combinations on the same bars: returns, Sharpe, drawdown, trades, win
rate, profit factor; a sample is held equal before a rate is told. Each side runs in a process of its own, so that
peak memory is its own. vectorbt runs on fewer combinations, in the chunks it is fastest in, and is told by rate; it is
given its averages for nothing. `ratio_per_cpu_s` leaves out how many cores each took and who else was at work. The
physical limit is the comparing alone: the sign of fast − slow at every bar.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from qmworkbench.strategies.bars import BARS_SCHEMA

GRID = "fast=2:101,slow=102:201"
SESSION = 390
FEES, SLIPPAGE, CASH, POSITION = 1e-5, 1e-5, 100_000.0, 25_000.0
SIZES = {10_000: ("sweep_sma_10k", 256, 64), 100_000: ("sweep_sma_100k", 24, 8)}
FIGURES = ("total_return", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")
SEED = 5


def bars_of(height: int) -> pl.DataFrame:
    """A seeded random walk on the cent grid, in sessions of 390 minutes."""
    rng = np.random.default_rng(SEED)
    close = np.maximum(10_000 + np.cumsum(rng.integers(-6, 7, height)), 1_000)
    first = np.concatenate([[10_000], close[:-1]]) + rng.integers(-1, 2, height)
    high = np.maximum(first, close) + rng.integers(0, 4, height)
    low = np.minimum(first, close) - rng.integers(0, 4, height)
    day, bar = np.arange(height) // SESSION, np.arange(height) % SESSION
    session = np.datetime64("2020-01-01") + day
    stamp = session.astype("datetime64[us]").astype(np.int64) + (870 + bar) * 60_000_000
    columns: dict[str, Any] = {
        "symbol": ["SYN"] * height,
        "ts": pl.Series(stamp).cast(pl.Datetime("us", "UTC")),
        "session": session,
        "bar": bar,
        "bars_left": SESSION - 1 - bar,
        **{name: px / 100 for name, px in (("open", first), ("high", high), ("low", low), ("close", close))},
        "volume": np.full(height, 1e4),
        "tick": np.full(height, 0.01),
    }
    return pl.DataFrame(columns).cast(BARS_SCHEMA)  # type: ignore[arg-type]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(height: int) -> dict[str, Any]:
    """All combinations of the grid, twice; the second time, when all is compiled, counts."""
    from qmworkbench.research.fills.tape import Terms
    from qmworkbench.research.sweeps.grid import all_of
    from qmworkbench.research.sweeps.grid_text import parse_grid
    from qmworkbench.research.sweeps.plain_rules import SMA_PLAIN
    from qmworkbench.research.sweeps.sweep_bars import sweep_bars
    from qmworkbench.research.sweeps.sweep_engine import Engine, Setting
    from qmworkbench.research.sweeps.sweep_gathered import Gathered
    from qmworkbench.research.sweeps.sweep_runner import LocalRunner

    setting = Setting(Terms(fee_rate=FEES, slippage_rate=SLIPPAGE), CASH, POSITION)
    over = sweep_bars(bars_of(height))
    grid = parse_grid(GRID, SMA_PLAIN)
    with LocalRunner(Engine(SMA_PLAIN, over, setting)) as runner:
        list(runner.map([all_of(grid, SMA_PLAIN).slice(0, 4)], ahead=True))
        before = peak_mb()
        took, worked = [], []
        for _ in range(3):
            began, busy = time.perf_counter(), time.process_time()
            combinations = all_of(grid, SMA_PLAIN)
            parts = (combinations.slice(at, at + 1024) for at in range(0, len(combinations), 1024))
            gathered = Gathered(over, setting)
            for part in runner.map(parts, ahead=True):
                gathered.add(*part)
            took.append(time.perf_counter() - began)
            worked.append(time.process_time() - busy)
    rows = gathered.rows()
    return {
        "rate": len(combinations) / min(took),
        "cpu_rate": len(combinations) / min(worked),
        "limit": _limit(over, combinations),
        "peak_mb": peak_mb(),
        "before_mb": before,
        "figures": {name: rows[name].to_list() for name in ("fast_bars", "slow_bars", *FIGURES)},
        "bars_a_year": over.bars_a_year,
    }


def _limit(over: Any, combinations: Any) -> float:
    """Combinations a second if comparing the averages were all, on as many threads."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    from qmworkbench.research.fills.compiled import compiled
    from qmworkbench.research.sweeps.rule_families import Shared
    from qmworkbench.research.sweeps.rule_kernels import gap_sides

    def many(totals: Any, fast: Any, slow: Any, side: Any) -> None:
        for k in range(len(fast)):
            gap_sides(totals, fast[k], slow[k], side)

    run = compiled(many)
    totals = Shared(over.symbols[0]).totals()
    fast, slow = (combinations.columns[name].astype(np.int64) for name in ("fast_bars", "slow_bars"))
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        spans = [slice(at, None, threads) for at in range(threads)]

        def work(span: slice) -> None:
            run(
                totals,
                np.ascontiguousarray(fast[span]),
                np.ascontiguousarray(slow[span]),
                np.zeros(len(totals), np.int8),
            )

        work(slice(0, 1))
        began = time.perf_counter()
        list(pool.map(work, spans))
        return len(fast) / (time.perf_counter() - began)


def _averages(close: Any, windows: Any) -> dict[int, Any]:
    """Exact averages by window, NaN until there is one: what the peer is given."""
    total = np.concatenate([[0], np.cumsum(np.round(close * 100).astype(np.int64))])
    found = {}
    for n in sorted({int(n) for n in windows}):
        found[n] = np.full(len(close), np.nan)
        found[n][n - 1 :] = (total[n:] - total[:-n]) / n
    return found


def theirs(height: int, count: int, chunk: int) -> dict[str, Any]:
    """`count` combinations of the grid in vectorbt, chunk by chunk: crossing, simulation, the same figures."""
    import gc

    import vectorbt as vbt

    frame = bars_of(height)
    close, first = frame["close"].to_numpy(), frame["open"].to_numpy()
    rng = np.random.default_rng(SEED)
    pairs = [(2 + k // 100, 102 + k % 100) for k in np.sort(rng.choice(10_000, count + chunk, replace=False)).tolist()]
    averages = _averages(close, [n for pair in pairs for n in pair])
    qty = np.floor(POSITION / close * (1 + 1e-12))
    last = frame["bars_left"].to_numpy() == 0
    year = 252 * SESSION
    told: dict[str, list[float]] = {name: [] for name in FIGURES}
    took = worked = 0.0
    for at in range(0, count + chunk, chunk):
        part = pairs[at : at + chunk]
        began, busy = time.perf_counter(), time.process_time()
        fast = np.column_stack([averages[a] for a, _ in part])
        slow = np.column_stack([averages[b] for _, b in part])
        above, below = fast > slow, fast < slow
        enter, leave = np.zeros_like(above), np.zeros_like(above)
        known = ~np.isnan(slow[:-2])
        enter[2:] = above[1:-1] & ~above[:-2] & known & ~last[1:-1, None]
        leave[1:] = below[:-1]
        portfolio = vbt.Portfolio.from_signals(
            np.broadcast_to(close[:, None], above.shape),
            entries=enter,
            exits=leave,
            price=np.broadcast_to(first[:, None], above.shape),
            size=np.broadcast_to(np.concatenate([[np.nan], qty[:-1]])[:, None], above.shape),
            fees=FEES,
            slippage=SLIPPAGE,
            init_cash=CASH,
            accumulate=False,
            upon_long_conflict="exit",
            freq="1min",
            engine="rust",
        )
        closed = portfolio.trades.closed
        figures = {
            "total_return": portfolio.total_return(),
            "sharpe": portfolio.returns_acc(freq="1min", year_freq=f"{year}min").sharpe_ratio(),
            "max_drawdown": portfolio.max_drawdown(),
            "trades": closed.count(),
            "win_rate": closed.win_rate(),
            "profit_factor": closed.profit_factor(),
        }
        if at:  # the first chunk warms up
            took += time.perf_counter() - began
            worked += time.process_time() - busy
        for name, values in figures.items():
            told[name] += np.asarray(values, np.float64).tolist()
        del portfolio, closed, figures, fast, slow, above, below, enter, leave
        gc.collect()
    return {
        "rate": count / took,
        "cpu_rate": count / worked,
        "peak_mb": peak_mb(),
        "pairs": pairs,
        "figures": told,
        "version": vbt.__version__,
    }


def backtesting_py(height: int, count: int) -> float:
    """Combinations a second of backtesting.py, the same rule."""
    import warnings

    import pandas as pd

    warnings.simplefilter("ignore")
    from backtesting import Backtest, Strategy  # type: ignore[import-untyped]

    frame = bars_of(height)
    data = pd.DataFrame(
        {name.title(): frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(frame["ts"].to_numpy()),
    )
    averages = _averages(frame["close"].to_numpy(), range(2, 202))

    class Cross(Strategy):  # type: ignore[misc]
        fast, slow = 10, 110

        def init(self) -> None:
            self.quick = self.I(lambda: averages[self.fast], plot=False)
            self.long = self.I(lambda: averages[self.slow], plot=False)

        def next(self) -> None:
            if self.quick[-1] < self.long[-1]:
                self.position.close()
            elif self.quick[-1] > self.long[-1] and self.quick[-2] <= self.long[-2] and not self.position:
                self.buy(size=250)

    test = Backtest(data, Cross, cash=CASH, commission=FEES, finalize_trades=False)
    test.run()
    began = time.perf_counter()
    for k in range(count):
        test.run(fast=2 + k * 7, slow=110 + k * 5)
    return count / (time.perf_counter() - began)


def _child(*words: object) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, *map(str, words)], check=True, capture_output=True, text=True
    )
    answer: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return answer


def _apart(mine: dict[str, Any], peer: dict[str, Any]) -> float:
    """The largest difference of any figure of any combination both have."""
    figures = mine["figures"]
    place = {pair: at for at, pair in enumerate(zip(figures["fast_bars"], figures["slow_bars"], strict=True))}
    worst = 0.0
    for name in FIGURES:
        for pair, value in zip(peer["pairs"], peer["figures"][name], strict=True):
            a = figures[name][place[tuple(pair)]]
            if a is None and not np.isfinite(value):
                continue
            worst = max(worst, abs(a - value) / max(1.0, abs(value)))
    return worst


def run() -> list[dict[str, Any]]:
    """Rates at 10,000 and 100,000 bars, and a small grid against two more peers."""
    found = []
    rates = {}
    for height, (name, count, chunk) in SIZES.items():
        peer = _child("theirs", height, count, chunk)
        mine = _child("ours", height)
        rates[height] = mine["rate"]
        worst = _apart(mine, peer)
        if not worst <= 1e-9:
            raise RuntimeError(f"{name}: figures differ by {worst}; a rate would mean nothing")
        found.append(
            {
                "bench": name,
                "ours": round(mine["rate"]),
                "unit": "combinations/s",
                "peer": f"vectorbt {peer['version']}, rust, chunks of {chunk}",
                "theirs": round(peer["rate"], 1),
                "ratio": round(mine["rate"] / peer["rate"], 1),
                "ratio_per_cpu_s": round(mine["cpu_rate"] / peer["cpu_rate"], 1),
                "peak_mb": round(mine["peak_mb"]),
                "peak_mb_before": round(mine["before_mb"]),
                "peer_peak_mb": round(peer["peak_mb"]),
                "max_abs_diff": worst,
                "limit": round(mine["limit"]),
                "of_limit": round(mine["rate"] / mine["limit"], 3),
                "note": f"10,000 combinations of {height:,} bars, {len(peer['pairs'])} compared; limit: comparing "
                "the averages alone",
            }
        )
    small = _child("backtesting", 10_000, 8)["rate"]
    found.append(_small("backtesting.py 0.6.6", rates[10_000], small))
    try:
        from bench.peers import nautilus

        pace = nautilus(10_000)["bars_per_s"] / 10_000
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"sweep: nautilus_trader is not here: {error}", file=sys.stderr)
    else:
        found.append(_small("nautilus_trader, one strategy", rates[10_000], pace))
    return found


def _small(peer: str, mine: float, theirs: float) -> dict[str, Any]:
    return {
        "bench": f"sweep_small_{peer.split(maxsplit=1)[0].split('.', maxsplit=1)[0].split('_', maxsplit=1)[0]}",
        "ours": round(mine),
        "unit": "combinations/s",
        "peer": peer,
        "theirs": round(theirs, 2),
        "ratio": round(mine / theirs, 1),
    }


if __name__ == "__main__":
    what, *words = sys.argv[1:] or ["all"]
    numbers = [int(word) for word in words]
    if what == "ours":
        print(json.dumps(ours(*numbers)))
    elif what == "theirs":
        print(json.dumps(theirs(*numbers)))
    elif what == "backtesting":
        print(json.dumps({"rate": backtesting_py(*numbers)}))
    else:
        for result in run():
            print(json.dumps(result))
