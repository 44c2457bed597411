"""A symbol's whole session in paragraphs: its trades, or how near it came and what was missing (§17, §18; `qm why`)."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import msgspec
import polars as pl

from qmworkbench.analytics.explanations import explain_trade
from qmworkbench.analytics.nearest_entry import NearestEntry, nearest_entry
from qmworkbench.analytics.session_record import record_of
from qmworkbench.analytics.symbol_day import SymbolDay, symbol_day
from qmworkbench.analytics.trades import trades_of
from qmworkbench.analytics.untraded import NearestScan, Untraded, explain_untraded
from qmworkbench.domain.candidates import FilterVerdict
from qmworkbench.domain.events.market import BoundaryClosed, FrameComputed
from qmworkbench.domain.events.session import RunSpec
from qmworkbench.service.ground import Ground, load_ground
from qmworkbench.service.runs import instance_of
from qmworkbench.service.why_session import AskedSession
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.strategies.bars import RAW_SCHEMA, anchored, prepared, session_bars
from qmworkbench.strategies.expression_tree import Unreadable
from qmworkbench.strategies.one_pass import reached
from qmworkbench.strategies.rules import RuleBook
from qmworkbench.trading.fold import apply
from qmworkbench.trading.frame_computer import request_for
from qmworkbench.trading.scanner import ScanSettings, explain
from qmworkbench.trading.state import decode_state, encode_state

_UNKNOWN: Final = 1.0


def tell_the_whole_day(paths: BookPaths, session: AskedSession, symbol: str) -> tuple[list[str], dict[str, Any]]:
    """The paragraphs of a symbol of the session's universe, and what they were made from."""
    day = symbol_day(session.events, symbol)
    store = BarStore(paths.session(session.opened.session_id).bars)
    try:
        bars: pl.DataFrame | None = _bars(store, symbol)
    except StorageRefused:
        bars = None  # removed by retention: what the record says stays true
    if day.traded:
        return _traded(session, day, bars)
    untraded = _untraded(store, session, day, bars)
    return [untraded.why], {"stage": untraded.stage, "condition": untraded.condition}


def _bars(store: BarStore, symbol: str) -> pl.DataFrame:
    bars = store.bars().filter((pl.col("symbol") == symbol) & ~pl.col("extended"))
    return bars.select(list(RAW_SCHEMA))


def _traded(session: AskedSession, day: SymbolDay, bars: pl.DataFrame | None) -> tuple[list[str], dict[str, Any]]:
    record = record_of(session.events)
    known = bars if bars is not None else pl.DataFrame(schema=RAW_SCHEMA)
    trades = trades_of(record, known, zone=session.zone.key).filter(pl.col("symbol") == day.symbol)
    currency = session.opened.account_currency
    told = [explain_trade(row, day, session.local, currency) for row in trades.iter_rows(named=True)]
    last = day.fills[-1]
    if last.position_qty != 0:
        since = session.local(last.transact_time)
        told.append(f"{last.strategy_id} holds {last.position_qty} {day.symbol} since {since}.")
    return told, {"stage": "traded", "trades": trades["trade_id"].to_list()}


def _untraded(store: BarStore, session: AskedSession, day: SymbolDay, bars: pl.DataFrame | None) -> Untraded:
    if bars is None:
        return explain_untraded(day, session.local)
    ground = load_ground(store)
    entries = list(_nearest_entries(ground, session, day, bars)) if day.owned else []
    scan = None if day.owned or day.found else nearest_scan(store, ground, session, day.symbol)
    return explain_untraded(day, session.local, bars=bars.height, scan=scan, entries=entries)


# --- where the scan came nearest ------------------------------------------------------------------------------------


def nearest_scan(store: BarStore, ground: Ground, session: AskedSession, symbol: str) -> NearestScan | None:
    """The boundary at which the fewest filters kept the symbol out, then by the smallest distance, then the earliest.

    Radar and filters are computed again as they were, boundary by boundary; None where nothing was ever decided.
    """
    settings = msgspec.convert(session.opened.scan_settings, ScanSettings)
    state = decode_state(encode_state(session.began))
    radar, frames = ground.radar(), store.frames()
    snapshot, best, passed, judged = None, None, 0, 0
    for event in session.events:
        if isinstance(event, BoundaryClosed):
            frame = next(frames)
            snapshot = radar.advance(frame, ground.spread_bps(frame.as_of))
        elif isinstance(event, FrameComputed) and snapshot is not None and snapshot.as_of == event.as_of:
            extended = state.session is None or state.day.boundary == 0
            verdicts = () if extended else explain(snapshot, settings, request_for(state).conditions, symbol)
            if verdicts:
                judged += 1
                failed = [verdict for verdict in verdicts if not verdict.passed]
                passed += not failed
                near = (len(failed), sum(_distance(verdict) for verdict in failed))
                if best is None or near < best[0]:
                    best = (near, event.as_of, snapshot.row(symbol), verdicts)
        apply(state, event)
    if best is None:
        return None
    _, at, row, verdicts = best
    rank = row.rank if row.last is not None else None
    return NearestScan(at=at, rank=rank, verdicts=verdicts, passed=passed, judged=judged)


def _distance(verdict: FilterVerdict) -> float:
    """How far a filter is from passing, as a share of its limit; 1 where either is no number."""
    if verdict.value is None or not isinstance(verdict.limit, int | float):
        return _UNKNOWN
    return min(_UNKNOWN, abs(verdict.value - verdict.limit) / max(abs(verdict.limit), 1e-12))


# --- where its owners' rules came nearest ---------------------------------------------------------------------------


def _nearest_entries(
    ground: Ground, session: AskedSession, day: SymbolDay, bars: pl.DataFrame
) -> Iterator[tuple[str, NearestEntry]]:
    """For each instance that owned the symbol: where its entry came nearest meanwhile."""
    ticks = {i.symbol: float(i.tick_size) for i in session.opened.instruments if i.symbol == day.symbol}
    history = ground.history
    mine = history.filter(pl.col("symbol") == day.symbol) if history is not None else bars.clear()
    table = session_bars(pl.concat([mine, bars]), ground.grids, ticks)
    interval = timedelta(seconds=ground.grid.interval_s)
    specs = {spec.strategy_id: spec for spec in session.opened.runs}
    for strategy_id in dict.fromkeys(owned.strategy_id for owned in day.owned):
        spans = [
            # What was given at a boundary is asked from the next one on.
            (pl.col("ts") + interval > owned.since)
            & (pl.lit(True) if owned.until is None else pl.col("ts") + interval <= owned.until)
            for owned in day.owned
            if owned.strategy_id == strategy_id
        ]
        within = (pl.col("session") == ground.grid.session) & pl.any_horizontal(spans)
        found = _nearest_of(specs[strategy_id], ground, table, within, interval) if strategy_id in specs else None
        if found is not None:
            yield strategy_id, found


def _nearest_of(
    spec: RunSpec, ground: Ground, table: pl.DataFrame, within: pl.Expr, interval: timedelta
) -> NearestEntry | None:
    rules = RuleBook([instance_of(spec)]).rules[spec.strategy_id]
    bars = prepared(anchored(table, reached(rules.anchor, ground.grids), rules.anchor.bars))
    try:
        return nearest_entry(rules.program, bars, within, pl.lit(interval))
    except Unreadable:
        return None  # its entry is no expression of conditions: that it gave none is all there is to say
