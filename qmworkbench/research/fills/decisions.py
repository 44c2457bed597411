"""From a catalog strategy, bars and parameters to what a simulation reads: a tape and its decisions (FILLS).

The signals are the strategy's own, each session computed from its own anchor as a live session computes them. Sizes
follow the session's rule: the whole lots that a budget buys at the deciding close.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from qmworkbench.research.fills.tape import Decisions, Floats, Tape
from qmworkbench.research.fills.tape_checks import TapeFault, check_tape
from qmworkbench.strategies.bars import SessionGrid
from qmworkbench.strategies.contract import FLAGS, LEVELS, LIMITS, StrategyFault
from qmworkbench.strategies.definition import FlatPolicy, StrategyDefinition
from qmworkbench.strategies.one_pass import period_signals
from qmworkbench.strategies.parameters import Params

_UNITS = 1e8  # money and prices as the platform's exact numbers have them: eight decimals
_EXACT_BELOW = 9e18


@dataclass(frozen=True, eq=False)
class Decided:
    """What a simulation of one symbol needs."""

    tape: Tape
    decisions: Decisions


@dataclass(frozen=True, eq=False)
class DecidedPeriod:
    """Every symbol of a period, in alphabetical order, and those that cannot be simulated with the reason."""

    symbols: dict[str, Decided]
    failed: dict[str, str]


def decide(
    definition: StrategyDefinition,
    bars: pl.DataFrame,
    params: Params,
    *,
    budget: float,
    first: date | None = None,
    grids: Sequence[SessionGrid] = (),
    lots: Mapping[str, float] | None = None,
    reverse: bool = False,
) -> DecidedPeriod:
    """Decide every close of `bars` (strategies.bars.session_bars) with a strategy's parameters.

    `budget`, in currency, is what one position may cost at its deciding close; `lots` the step of a symbol's
    quantities, 1 where it says nothing. Sessions before `first` are history: they warm up and are not traded. `grids`
    are those `bars` were made with; without them they are told from the bars, which serves unless a session is missing
    altogether. A symbol on which the strategy raises, or whose bars are no bars, fails alone. Raises StrategyFault
    where all do, ParameterError for parameters that do not fit.
    """
    resolved = definition.parameters(params)
    grids = grids or grids_of(bars)
    flat = definition.flat_policy(resolved) is FlatPolicy.AT_CLOSE
    frames, failed = _signalled(definition, bars, grids, resolved)
    decided: dict[str, Decided] = {}
    for symbol, (rows, signals) in frames.items():
        kept = (rows["session"] >= first).to_numpy() if first is not None else np.ones(rows.height, np.bool_)
        try:
            tape = tape_of(symbol, rows.filter(pl.Series(kept)))
        except TapeFault as fault:
            failed[symbol] = str(fault)
            continue
        told = decisions_of(signals.filter(pl.Series(kept)), flat_at_close=flat, reverse=reverse)
        decided[symbol] = Decided(tape, sized(tape, told, budget, (lots or {}).get(symbol, 1.0)))
    return DecidedPeriod(decided, failed)


def tape_of(symbol: str, bars: pl.DataFrame) -> Tape:
    """One symbol's rows of a BARS_SCHEMA frame as a tape, checked. Raises TapeFault.

    A session ends at its last row, though the calendar holds later boundaries: nobody traded there. Only at the end of
    the data is that not known, and the last row ends its session where no boundary is left.
    """
    session = bars["session"].to_physical().to_numpy()
    turns = np.diff(session) != 0
    ends = np.append(turns, bars["bars_left"][-1] == 0) if bars.height else np.empty(0, np.bool_)
    day = np.append(0, np.cumsum(turns)).astype(np.int32)[: bars.height]
    prices = {name: bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    tape = Tape(
        symbol=symbol,
        ts_us=bars["ts"].to_physical().to_numpy(),
        **{name: np.ascontiguousarray(values, np.float64) for name, values in prices.items()},
        day=day,
        bar=bars["bar"].to_numpy().astype(np.int32),
        ends=ends,
        tick=float(bars["tick"][0]) if bars.height else 0.01,
    )
    check_tape(tape)
    return tape


def decisions_of(signals: pl.DataFrame, *, flat_at_close: bool, reverse: bool = False) -> Decisions:
    """One symbol's rows of a SIGNAL_SCHEMA frame as decisions, of one unit each until they are `sized`."""
    long, short, leave_long, leave_short = (signals[name].to_numpy() for name in FLAGS)
    stop, target = (signals[name].fill_null(float("nan")).to_numpy().astype(np.float64) for name in LEVELS)
    trail_bps, max_hold_bars = (signals[name].fill_null(0).to_numpy().astype(np.int32) for name in LIMITS)
    return Decisions(
        entry_long=long,
        entry_short=short,
        exit_long=leave_long,
        exit_short=leave_short,
        stop=stop,
        target=target,
        trail_bps=trail_bps,
        max_hold_bars=max_hold_bars,
        qty=np.ones(signals.height),
        flat_at_close=flat_at_close,
        reverse=reverse,
    )


def sized(tape: Tape, decisions: Decisions, budget: float | Floats, lot: float = 1.0) -> Decisions:
    """The decisions with the whole lots that `budget` (one, or one a row) buys at the deciding close (FILLS §5)."""
    entry = decisions.entry_long | decisions.entry_short
    budgets = np.broadcast_to(np.asarray(budget, np.float64), entry.shape)
    return replace(decisions, qty=np.where(entry, whole_lots(budgets, tape.close, lot), 0.0))


def whole_lots(budget: Floats, px: Floats, lot: float = 1.0) -> Floats:
    """floor(budget / px) in lots, exact as the session's own arithmetic is: 0.3 of 0.1 is 3, not 2."""
    cost = np.round(px * lot * _UNITS)
    have = np.round(np.maximum(budget, 0.0) * _UNITS)
    countable = (have < _EXACT_BELOW) & (cost >= 1) & (np.abs(px * lot * _UNITS - cost) < 1e-3)
    exact = np.where(countable, have, 0).astype(np.int64) // np.where(countable, cost, 1).astype(np.int64)
    near = np.floor(np.maximum(budget, 0.0) / (px * lot) * (1 + 1e-12))
    return np.asarray(np.where(countable, exact, near) * lot, np.float64)


def grids_of(bars: pl.DataFrame) -> list[SessionGrid]:
    """The sessions of a BARS_SCHEMA frame, told from its rows: opening, length of a bar, number of boundaries."""
    if not bars.height:
        return []
    steps = bars.select(
        step=(pl.col("ts").diff() / pl.col("bar").diff()).filter(
            (pl.col("bar").diff() > 0)
            & (pl.col("session") == pl.col("session").shift(1))
            & (pl.col("symbol") == pl.col("symbol").shift(1))
        )
    )["step"]
    interval: timedelta = steps.min() if len(steps) else timedelta(days=1)  # type: ignore[assignment]
    told = bars.group_by("session").agg(
        opens=(pl.col("ts") - pl.col("bar") * pl.lit(interval)).min(),
        boundaries=(pl.col("bar") + pl.col("bars_left") + 1).max(),
    )
    return [
        SessionGrid(session, opens, int(interval.total_seconds()), boundaries)
        for session, opens, boundaries in told.sort("session").iter_rows()
    ]


def _signalled(
    definition: StrategyDefinition, bars: pl.DataFrame, grids: Sequence[SessionGrid], params: Params
) -> tuple[dict[str, tuple[pl.DataFrame, pl.DataFrame]], dict[str, str]]:
    """Bars and signals of every symbol; where the strategy raises, each symbol by itself and what it said of those."""
    by_symbol = _parted(bars)
    try:
        told = _parted(period_signals(definition, bars, grids, params))
        return {symbol: (by_symbol[symbol], told[symbol]) for symbol in sorted(told)}, {}
    except StrategyFault as fault:
        if len(by_symbol) == 1:
            raise
        worst = fault
    frames: dict[str, tuple[pl.DataFrame, pl.DataFrame]] = {}
    failed: dict[str, str] = {}
    for symbol in sorted(by_symbol):
        try:
            frames[symbol] = by_symbol[symbol], period_signals(definition, by_symbol[symbol], grids, params)
        except StrategyFault as fault:
            failed[symbol] = str(fault)
    if not frames:
        raise worst
    return frames, failed


def _parted(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {str(key[0]): rows for key, rows in frame.partition_by("symbol", as_dict=True, maintain_order=True).items()}
