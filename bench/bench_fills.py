"""What a simulation of fills costs, strategy by strategy, beside vectorbt's faster engine on the same decisions.

Both sides are given the decisions of one strategy of the catalog in the form they read, with its stop laid at several
distances, and answer the same figures; fills are held equal first, and figures to nine digits. One thread each. The
physical limit is told beside: looking at every bar's low and high against two levels, and nothing else.
"""

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.bench_sweep import SESSION
from qmworkbench.research.fills.compiled import compiled
from qmworkbench.research.fills.decisions import decide
from qmworkbench.research.fills.equity_path import path_of
from qmworkbench.research.fills.fill_kernel import costs_of, events_of, rows_of, simulate
from qmworkbench.research.fills.fill_walk import Costs, Events
from qmworkbench.research.fills.measure import Figure
from qmworkbench.research.fills.tape import Floats, Tape, Terms
from qmworkbench.research.sweeps.rule_kernels import Priced, Room, room_for
from qmworkbench.research.sweeps.sweep_kernel import PLACES, Market, settled
from qmworkbench.strategies import catalog
from qmworkbench.strategies.bars import BARS_SCHEMA

HEIGHT, VARIANTS, ROUNDS, SEED = 10_140, 64, 3, 5
CASH = 100_000.0
TERMS = Terms(fee_rate=1e-5, slippage_rate=1e-5)
COMPARED = (Figure.TOTAL_RETURN, Figure.SHARPE, Figure.MAX_DRAWDOWN_CLOSES, Figure.TRADES, Figure.WIN_RATE,
            Figure.PROFIT_FACTOR)  # fmt: skip


@compiled
def _many(count: int, market: Market, events: Events, costs: Costs, room: Room, figures: Floats, none: Floats) -> None:
    for _ in range(count):
        settled(market, events, costs, room, figures, none)


@compiled
def _looked(low: Floats, high: Floats, stop: float, target: float) -> int:
    found = 0
    for t in range(len(low)):
        found += (low[t] <= stop) | (high[t] >= target)
    return found


def _lively() -> pl.DataFrame:
    """Sessions of minutes with gaps, half-hour trends, bursts and volume that goes with them: every strategy trades."""
    rng = np.random.default_rng(SEED)
    day, bar = np.arange(HEIGHT) // SESSION, np.arange(HEIGHT) % SESSION
    trend = np.repeat(rng.normal(0, 1.0, HEIGHT // 30), 30)
    loud = 1 + 3 * np.exp(-bar / 40)
    burst = (rng.random(HEIGHT) < 0.01) * rng.integers(-25, 26, HEIGHT)
    gap = np.where(bar == 0, rng.integers(-60, 61, HEIGHT), 0)
    close = np.maximum(np.round(1500 + np.cumsum(trend + rng.normal(0, 2, HEIGHT) * loud + burst)), 200)
    first = np.maximum(np.concatenate([[1500], close[:-1]]) + gap + rng.integers(-1, 2, HEIGHT), 190)
    high = np.maximum(first, close) + rng.integers(0, 4, HEIGHT)
    low = np.minimum(first, close) - rng.integers(0, 4, HEIGHT)
    volume = np.round(1e4 * np.exp(rng.normal(0, 0.5, HEIGHT)) * (1 + np.abs(close - first) / 4) * loud)
    session = np.datetime64("2020-01-01") + day
    stamp = session.astype("datetime64[us]").astype(np.int64) + (870 + bar) * 60_000_000
    columns: dict[str, Any] = {
        "symbol": ["SYN"] * HEIGHT,
        "ts": pl.Series(stamp).cast(pl.Datetime("us", "UTC")),
        "session": session,
        "bar": bar,
        "bars_left": SESSION - 1 - bar,
        **{name: px / 100 for name, px in (("open", first), ("high", high), ("low", low), ("close", close))},
        "volume": volume,
        "tick": np.full(HEIGHT, 0.01),
    }
    return pl.DataFrame(columns).cast(BARS_SCHEMA)  # type: ignore[arg-type]


def _variants(strategy_id: str) -> tuple[Tape, list[Any]]:
    """The strategy's decisions with its stop laid further and further away."""
    definition = catalog.get(strategy_id)
    told = decide(definition, _lively(), {}, budget=25_000.0).symbols["SYN"]
    side = np.where(told.decisions.entry_long, 1, -1)
    ticks = np.round(told.decisions.stop * 100)
    stops = [(ticks - side * step) / 100 for step in range(VARIANTS)]
    return told.tape, [replace(told.decisions, stop=stop) for stop in stops]


def _ours(tape: Tape, variants: list[Any]) -> tuple[float, Floats]:
    """As the sweep does it, but for the signals: events, fills, figures."""
    none = np.empty(0)
    priced = Priced(tape.close, none, tape.tick)
    market = Market(rows_of(tape), path_of(tape, np.empty(0, np.int64)), priced, 0, np.empty(0, np.int8), CASH)
    room = room_for(len(tape), len(tape))
    figures = np.empty((VARIANTS, PLACES))
    ready = [(events_of(tape, each), costs_of(TERMS, each)) for each in variants]
    repeats, took = 10, []
    for round_ in range(ROUNDS + 1):
        began = time.process_time()
        for k, (events, costs) in enumerate(ready):
            _many(repeats if round_ else 1, market, events, costs, room, figures[k], none)
        took.append((time.process_time() - began) / repeats)
    return VARIANTS / min(took[1:]), figures


def _theirs(tape: Tape, variants: list[Any]) -> tuple[float, Floats, float]:
    """vectorbt's two rows a bar and the figures of the portfolio on the real bars; ours between is not counted."""
    from qmworkbench.research.fills import two_rows as rows_a_bar
    from qmworkbench.research.fills.real_bars import figures_of, portfolio_of
    from qmworkbench.research.fills.two_row_records import fills_of_records

    columns = [rows_a_bar.Column(tape, each, TERMS) for each in variants]
    prepared = [rows_a_bar._Prepared(column, rows_a_bar.BIAS) for column in columns]
    engine = "numba" if any(each.needs_callback for each in prepared) else "rust"
    took, figures, wrong = [], np.empty(0), 0.0
    for _ in range(ROUNDS):
        asked = rows_a_bar._arguments(prepared, rows_a_bar.USUAL)
        asked["init_cash"] = np.array([each.ample_cash for each in prepared])
        if engine == "numba":
            asked |= rows_a_bar._callbacks(prepared)
        began = time.process_time()
        portfolio = rows_a_bar._simulated(asked, engine)
        simulated_s = time.process_time() - began
        fills = fills_of_records(portfolio.order_records, columns)
        names = [str(k) for k in range(VARIANTS)]
        began = time.process_time()
        figures = figures_of(portfolio_of([tape] * VARIANTS, fills, CASH, interval_s=60, names=names), COMPARED)
        took.append(simulated_s + time.process_time() - began)
    for each, done in zip(variants, fills, strict=True):
        mine = simulate(tape, each, TERMS)
        if not (np.array_equal(mine.at, done.at) and np.array_equal(mine.qty, done.qty)):
            raise SystemExit("the fills differ: no rate is told")
        wrong = max(wrong, float(np.abs(mine.px - done.px).max(initial=0.0)))
    return VARIANTS / min(took), figures, wrong


def _limit(tape: Tape) -> float:
    _looked(tape.low, tape.high, 0.0, 1e9)
    took = []
    for _ in range(5):
        began = time.process_time()
        for k in range(100):
            _looked(tape.low, tape.high, 1.0 + k, 1e9)
        took.append(time.process_time() - began)
    return 100 / min(took)


def run() -> list[dict[str, Any]]:
    """A result for each strategy of the catalog that trades on these bars."""
    mine = {}
    for strategy_id in catalog.ids():
        tape, variants = _variants(strategy_id)
        mine[strategy_id] = (tape, variants, *_ours(tape, variants))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results = []
    for strategy_id, (tape, variants, rate, figures) in mine.items():
        theirs, told, wrong = _theirs(tape, variants)
        places = [int(figure) for figure in COMPARED]
        both = np.isfinite(figures[:, places]) & np.isfinite(told[:, places])
        off = np.abs(np.subtract(figures[:, places], told[:, places], where=both, out=np.zeros(both.shape)))
        alike = both | (figures[:, places] == told[:, places]) | np.isnan(told[:, places])
        if not (alike.all() and (off <= 1e-9).all()):
            raise SystemExit(f"{strategy_id}: the figures differ by {np.nanmax(off)}: no rate is told")
        results.append(
            {
                "bench": f"fills_{strategy_id.replace('-', '_')}",
                "ours": round(rate),
                "unit": f"simulations a second, {HEIGHT:,} bars, one thread",
                "peer": "vectorbt",
                "theirs": round(theirs, 1),
                "ratio": round(rate / theirs, 1),
                "peak_mb": round(peak_mb),
                "max_abs_diff": max(wrong, float(np.nanmax(off))),
                "trades": int(figures[0, Figure.TRADES]),
                "limit": round(_limit(tape)),
            }
        )
    return results
