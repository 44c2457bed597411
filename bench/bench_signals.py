"""What strategies cost: a boundary late in a session, a day of many symbols, years of currency pairs in one pass.

The peer of a boundary is each strategy as its own lazy polars query over the same bars, asked anew at the boundary;
both must say the same, or there is no result. The peer of a period is the same period session by session.
"""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.market.bars import SessionData
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.demo import demo_session
from qmworkbench.service.frames import raw_bars
from qmworkbench.strategies.bars import RAW_SCHEMA, SessionGrid, anchored, prepared, session_bars
from qmworkbench.strategies.catalog import MAJOR_PAIRS, catalog, default_instances
from qmworkbench.strategies.definition import StrategyInstance
from qmworkbench.strategies.frames import SignalEngine
from qmworkbench.strategies.one_pass import SessionSignals, reached
from qmworkbench.strategies.period import PeriodSignals
from qmworkbench.trading.frames import BarFrame

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FOREX = SHARED / "forex_hourly_9pairs_2015_2018.parquet"
DAY = date(2024, 3, 8)
SYMBOLS = 200
LAST = 40  # boundaries measured, the session's last
PEER_ROUNDS = 5
PEER_SESSIONS = 25


def _instances() -> list[StrategyInstance]:
    """Every strategy that trades shares, as approved."""
    return [
        StrategyInstance(
            instance_id=name,
            strategy_id=name,
            asset_class=AssetClass.EQUITY,
            capital_fraction=Decimal("0.1"),
            max_symbols=200,
        )
        for name, definition in catalog().items()
        if AssetClass.EQUITY in definition.asset_classes
    ]


def _ticks(data: SessionData) -> dict[str, float]:
    return {symbol: float(one.tick_size) for symbol, one in data.instruments.items()}


def _boundary(data: SessionData, instances: Sequence[StrategyInstance], owned: int) -> dict[str, Any]:
    """Milliseconds a boundary at the end of a session, every strategy on every owned symbol.

    The first boundary asked about takes the session up in its middle, as after a restart; it is told apart.
    """
    symbols, grids, ticks = data.universe.symbols, data.grids(), _ticks(data)
    history = data.warmup.select(list(RAW_SCHEMA))
    engine = SignalEngine(
        instances, symbols=symbols, ticks=np.array([ticks[s] for s in symbols]), grids=grids, history=history
    )
    mine = symbols[:owned]
    asked = [(one.instance_id, mine) for one in instances]
    ours = []
    for bar, frame in enumerate(data.regular_frames):
        engine.append(frame)
        if bar >= len(data.regular_frames) - LAST:
            began = perf_counter()
            batch = engine.signals(asked)
            ours.append((perf_counter() - began) * 1e3)
    taken_up = ours.pop(0)
    bars = session_bars(pl.concat([history, raw_bars(data)]), grids, ticks).filter(pl.col("symbol").is_in(list(mine)))
    theirs = []
    for _ in range(PEER_ROUNDS):
        began = perf_counter()
        told = [_peer(one, bars, grids) for one in instances]
        theirs.append((perf_counter() - began) * 1e3)
    for run, flags in zip(sorted(batch.runs, key=lambda run: run.instance_id), told, strict=True):
        if run.answers.exit_long.tolist() != flags["exit_long"].to_list():
            raise RuntimeError(f"{run.instance_id} and its peer differ: the timing would mean nothing")
    return {
        "bench": f"signals_{len(instances)}_strategies_{owned}_symbols",
        "ours": round(median(ours), 3),
        "unit": "ms a boundary",
        "peer": f"polars {pl.__version__}, a lazy query for each strategy",
        "theirs": round(median(theirs), 3),
        "ratio": round(median(theirs) / median(ours), 2),
        "note": f"boundary {len(data.regular_frames)}, quickest {min(ours):.2f} ms; "
        f"taken up {LAST} boundaries before in {taken_up:.0f} ms",
    }


def _peer(instance: StrategyInstance, bars: pl.DataFrame, grids: Sequence[SessionGrid]) -> pl.DataFrame:
    """One strategy over its bars as a plain query: everything for every bar, then the last of each symbol."""
    definition = catalog()[instance.strategy_id]
    params = definition.parameters(instance.params)
    anchor = definition.anchor(params)
    query = prepared(anchored(bars, reached(anchor, grids), anchor.bars)).lazy()
    for stage in definition.signals(params):
        query = query.with_columns(stage)
    table = query.collect(engine="in-memory")
    return table.filter(pl.col("ts") == bars["ts"].max())


def _one_pass(data: SessionData, instances: Sequence[StrategyInstance]) -> dict[str, Any]:
    """Seconds a session of many symbols in one pass, against the incremental way at every tenth of its boundaries."""
    symbols, grids, ticks = data.universe.symbols, data.grids(), _ticks(data)
    bars = pl.concat([data.warmup.select(list(RAW_SCHEMA)), raw_bars(data)])
    asked = [(one.instance_id, symbols) for one in instances]
    began = perf_counter()
    signals = PeriodSignals(instances, bars=bars, grids=grids, ticks=ticks).session(grids[-1].session, symbols)
    for frame in data.regular_frames:
        signals.append(frame)
        signals.signals(asked)
    ours = perf_counter() - began
    engine = SignalEngine(
        instances,
        symbols=symbols,
        ticks=np.array([ticks[s] for s in symbols]),
        grids=grids,
        history=data.warmup.select(list(RAW_SCHEMA)),
    )
    theirs = 0.0
    for bar, frame in enumerate(data.regular_frames):
        began = perf_counter()
        engine.append(frame)
        if bar % 10 == 0:
            engine.signals(asked)
            theirs += 10 * (perf_counter() - began)
    return {
        "bench": f"signals_one_pass_{len(instances)}_strategies_{len(symbols)}_symbols",
        "ours": round(ours, 3),
        "unit": "s a session",
        "peer": "boundary by boundary",
        "theirs": round(theirs, 2),
        "ratio": round(theirs / ours, 1),
    }


def _forex_grids(bars: pl.DataFrame) -> list[SessionGrid]:
    calendar = SessionCalendar("FX")
    first, last = bars["ts"].min(), bars["ts"].max()
    assert first is not None
    assert last is not None
    days = calendar.sessions_between(first.date() + timedelta(days=1), last.date())  # type: ignore[union-attr]
    windows = [calendar.session_window(day) for day in days]
    return [
        SessionGrid(
            session=window.date,
            opens_at=window.opens_at,
            interval_s=3600,
            boundaries=round((window.closes_at - window.opens_at) / timedelta(hours=1)),
        )
        for window in windows
    ]


def _first_frame(rows: pl.DataFrame, grid: SessionGrid) -> BarFrame:
    rows = rows.sort("symbol")
    index = np.searchsorted(np.array(MAJOR_PAIRS), rows["symbol"].to_numpy()).astype(np.int32)
    prices = {name: rows[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    return BarFrame(as_of=grid.opens_at + timedelta(seconds=grid.interval_s), index=index, **prices)


def _period() -> dict[str, Any]:
    """Seconds for the signals of 36 instances over four years of hours, every boundary asked."""
    bars = pl.read_parquet(FOREX)
    grids, instances = _forex_grids(bars), default_instances(AssetClass.FOREX)
    bars = bars.filter(pl.col("ts") >= grids[0].opens_at)
    ticks = {pair: 0.001 if pair.endswith("JPY") else 0.00001 for pair in MAJOR_PAIRS}
    began = perf_counter()
    period = PeriodSignals(instances, bars=bars, grids=grids, ticks=ticks, history_sessions=10)
    for grid in grids:
        period.session(grid.session, MAJOR_PAIRS)
    ours = perf_counter() - began
    theirs, asked = 0.0, [(one.instance_id, one.symbols) for one in instances]
    for at in range(100, 100 + PEER_SESSIONS):
        within, ts = grids[at - 10 : at + 1], pl.col("ts")
        rows = bars.filter(ts.is_between(within[0].opens_at, within[-1].closes_at, closed="left"))
        today = ts >= within[-1].opens_at
        began = perf_counter()
        source = SessionSignals(
            instances,
            symbols=MAJOR_PAIRS,
            ticks=np.array([ticks[pair] for pair in MAJOR_PAIRS]),
            grids=within,
            bars=rows.filter(today),
            history=rows.filter(~today),
        )
        source.append(_first_frame(rows.filter(ts == within[-1].opens_at), within[-1]))
        source.signals(asked)
        theirs += perf_counter() - began
    theirs *= len(grids) / PEER_SESSIONS
    return {
        "bench": "signals_forex_period",
        "ours": round(ours, 2),
        "unit": "s",
        "peer": "the same, session by session",
        "theirs": round(theirs, 2),
        "ratio": round(theirs / ours, 1),
        "note": f"{len(instances)} instances, {bars.height:,} bars, {len(grids):,} sessions",
    }


def run() -> list[dict[str, Any]]:
    """Boundary, session and period."""
    data, instances = demo_session(DAY, 7, SYMBOLS, history_days=2), _instances()
    found = [_boundary(data, instances, owned) for owned in (20, SYMBOLS)]
    found.append(_one_pass(data, instances))
    if FOREX.exists():
        found.append(_period())
    return found


if __name__ == "__main__":
    for result in run():
        print(json.dumps(result))
