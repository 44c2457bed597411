"""From a strategy and bars to what may trade: signals by symbol, tapes, decisions, and what is in the way (§2)."""

from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from qmworkbench.research.backtests.allocation import Prospect, turnover_rank
from qmworkbench.research.backtests.backtest_options import Rank
from qmworkbench.research.backtests.period_bars import PeriodBars
from qmworkbench.research.fills.decisions import Decided, decide
from qmworkbench.research.fills.tape import Decisions, Ints, Tape
from qmworkbench.strategies.definition import FlatPolicy, StrategyDefinition
from qmworkbench.strategies.exits import Entries, ExitPlan
from qmworkbench.strategies.parameters import Params

_FEW: Final = 2  # bars after the warm-up below which nothing could be decided and filled


class BacktestRefused(ValueError):
    """A backtest cannot be made as it was asked for. The message says what and why, `remedy` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def without_stops(definition: StrategyDefinition) -> StrategyDefinition:
    """The strategy with its stop, target, trail and time limit left out: it ends positions by its signals alone."""

    def no_plan(entries: Entries, params: Params) -> ExitPlan:
        none = np.full(len(entries.close), np.nan)
        return ExitPlan(stop=none, target=none.copy())

    return msgspec.structs.replace(definition, plan=no_plan)


def demand_fitting(definition: StrategyDefinition, params: Params, bars: PeriodBars) -> None:
    """Refuse bars that the strategy cannot be run on: daily ones, where it is flat at each session's close."""
    if not bars.one_session or definition.flat_policy(params) is FlatPolicy.CARRY:
        return
    name = definition.exits.flat
    spec = next((spec for spec in definition.parameter_specs if spec.name == name), None)
    message = (
        f"strategy {definition.strategy_id} sells at each session's close, and these are daily bars: "
        "every bar would be its session's last, at which nothing is entered"
    )
    if spec is not None and FlatPolicy.CARRY.value in spec.choices:
        raise BacktestRefused(message, f"let it carry positions with {name}=carry, or give minute or hourly bars")
    raise BacktestRefused(message, "give minute or hourly bars")


def decided(
    definition: StrategyDefinition, params: Params, bars: PeriodBars, *, reverse: bool
) -> tuple[dict[str, Decided], dict[str, str]]:
    """Tape and decisions of each symbol in the period; and why some symbols have none.

    Raises BacktestRefused where every symbol has too few bars, StrategyFault where the strategy fails on every one.
    """
    needed = definition.warmup_bars(params) + _FEW
    counted = dict(bars.bars.group_by("symbol").agg(pl.len()).rows())
    failed = {
        symbol: f"{counted.get(symbol, 0):,} bars; it takes {needed:,} until the first can be traded"
        for symbol in bars.symbols
        if counted.get(symbol, 0) < needed
    }
    enough = bars.bars.filter(~pl.col("symbol").is_in(list(failed))) if failed else bars.bars
    if enough.is_empty():
        most = max(counted.values(), default=0)
        raise BacktestRefused(
            f"too few bars: {bars.source} has at most {most:,} of a symbol from {bars.dates[0]} to {bars.last}, and "
            f"strategy {definition.strategy_id} with these parameters takes {needed:,} until the first can be traded",
            "give a longer period, shorter windows, or bars of a shorter interval",
        )
    found = decide(definition, enough, params, budget=1.0, grids=bars.grids, reverse=reverse)
    failed |= found.failed
    kept: dict[str, Decided] = {}
    for symbol, one in found.symbols.items():
        tape, decisions = _in_period(one.tape, one.decisions, bars)
        if len(tape):
            kept[symbol] = Decided(tape, decisions)
        else:
            failed[symbol] = f"no bar from {bars.first} to {bars.last}"
    if not kept:
        raise BacktestRefused(
            f"no symbol can be traded: {'; '.join(f'{name}: {why}' for name, why in sorted(failed.items())[:5])}",
            "choose other symbols or a longer period",
        )
    return kept, dict(sorted(failed.items()))


def _in_period(tape: Tape, decisions: Decisions, bars: PeriodBars) -> tuple[Tape, Decisions]:
    """Without the history; the last session ends with its last bar where some symbol's bars reach its close."""
    start = int(np.searchsorted(tape.ts_us, bars.first_us))
    columns = ("ts_us", "open", "high", "low", "close", "volume", "day", "bar", "ends")
    cut: dict[str, Any] = {name: getattr(tape, name)[start:] for name in columns}
    if len(cut["day"]):
        cut["day"] = cut["day"] - cut["day"][0]
        over = bars.complete or bars.number_of(tape.ts_us[-1:])[0] < len(bars.dates) - 1
        cut["ends"] = np.append(cut["ends"][:-1], over)
    names = tuple(name for name in decisions.__dataclass_fields__ if isinstance(getattr(decisions, name), np.ndarray))
    told: dict[str, Any] = {name: getattr(decisions, name)[start:] for name in names}
    return replace(tape, **cut), replace(decisions, **told)


def prospect(bars: PeriodBars, one: Decided, rank: Rank) -> Prospect:
    """One symbol that may trade, and what its instrument asks for."""
    instrument = bars.instruments[one.tape.symbol]
    return Prospect(
        tape=one.tape,
        decisions=one.decisions,
        rank=turnover_rank(one.tape) if rank == "turnover" else np.zeros(len(one.tape)),
        base_us=_base_us(bars, one.tape),
        lot=float(instrument.lot_size),
        least=float(instrument.min_qty),
        margin_rate=float(instrument.margin_rate),
    )


def _base_us(bars: PeriodBars, tape: Tape) -> Ints:
    """The start of the day whose starting equity sizes an entry: of daily bars, the day at whose open it is filled."""
    if bars.one_session:
        return np.append(tape.ts_us[1:], tape.ts_us[-1])
    return bars.starts_us[bars.number_of(tape.ts_us)]


def ended(decisions: Decisions) -> Decisions:
    """The decisions, and at the last close but one that nothing is entered and everything left."""
    before = np.zeros(len(decisions.qty), np.bool_)
    before[-2:-1] = True
    flags: dict[str, Any] = {name: getattr(decisions, name) & ~before for name in ("entry_long", "entry_short")}
    flags |= {name: getattr(decisions, name) | before for name in ("exit_long", "exit_short")}
    return replace(decisions, **flags)
