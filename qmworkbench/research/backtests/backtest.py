"""A catalog strategy over bars of any source: decided at a close, filled at the next open, told in full (§2, FILLS).

Nothing here can reach a broker: a backtest reads bars and answers tables.
"""

import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Final

import numpy as np

from qmworkbench.market.schema import BarSource
from qmworkbench.research.backtests.allocation import Prospect, Refusal, Simulate, Sizing, allocate
from qmworkbench.research.backtests.backtest_inputs import (
    BacktestRefused,
    decided,
    demand_fitting,
    ended,
    prospect,
    without_stops,
)
from qmworkbench.research.backtests.backtest_options import Options
from qmworkbench.research.backtests.backtest_result import Backtest
from qmworkbench.research.backtests.period_bars import EVERYTHING, Period, PeriodBars, boundaries_of, read_period
from qmworkbench.research.fills.signal_close import folded, folded_decisions, unfolded
from qmworkbench.research.fills.tape import Decisions, Fills, Terms
from qmworkbench.strategies import catalog
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import Params

__all__ = ["Backtest", "BacktestRefused", "Options", "Sizing", "Terms", "backtest"]


USUAL: Final = Options()
IDEAL: Final = Terms()
USUAL_SIZE: Final = Sizing()


def backtest(
    strategy: str | StrategyDefinition,
    bars: BarSource | PeriodBars,
    params: Params | None = None,
    *,
    symbols: Sequence[str] = (),
    period: Period = EVERYTHING,
    terms: Terms = IDEAL,
    sizing: Sizing = USUAL_SIZE,
    cash: float = 100_000.0,
    options: Options = USUAL,
) -> Backtest:
    """Run a strategy, by its id in the catalog or a definition of one's own, over bars.

    `params` are laid over the approved ones; `symbols` empty takes all there are, which share `cash`, in the currency
    they are quoted in; `period` are the first and the last session, None for an open end. Sessions before it warm the
    strategy up. Of a PeriodBars, symbols and period are its own.

    Raises UnknownStrategy, ParameterError, DataRefused (symbols, period, bars, unadjusted splits) and BacktestRefused;
    StrategyFault where the strategy breaks its contract on every symbol.
    """
    if not (np.isfinite(cash) and cash > 0):
        raise BacktestRefused(f"cash is {cash}", "give more than 0")
    _demand_terms(terms)
    definition = catalog.get(strategy) if isinstance(strategy, str) else strategy
    whole_set = definition.parameters(dict(params or {}))
    held = bars if isinstance(bars, PeriodBars) else _read(definition, whole_set, bars, symbols, period, options)
    _ = held.currency  # one account counts in one currency
    demand_fitting(definition, whole_set, held)
    asked = definition if options.stops else without_stops(definition)
    found, failed = decided(asked, whole_set, held, reverse=options.reverse)
    prospects = [prospect(held, found[symbol], options.rank) for symbol in sorted(found)]
    if options.end == "last_open":
        prospects = [replace(one, decisions=ended(one.decisions)) for one in prospects]
    decisions, fills, refused = _filled(prospects, sizing, cash, terms, options)
    return Backtest(
        definition=definition,
        params=whole_set,
        bars=held,
        terms=terms,
        sizing_rule=sizing,
        cash=cash,
        options=options,
        engine=_engine(options.engine),
        tapes=tuple(one.tape for one in prospects),
        decisions=decisions,
        fills=fills,
        refused=refused,
        failed=failed,
    )


def _read(
    definition: StrategyDefinition,
    params: Params,
    source: BarSource,
    symbols: Sequence[str],
    period: Period,
    options: Options,
) -> PeriodBars:
    """The period and the history that the strategy looks back to."""
    before = definition.history_sessions(params, boundaries_of(source, period))
    return read_period(
        source,
        symbols=symbols,
        period=period,
        history_sessions=before,
        actions=options.actions,
        as_printed=options.as_printed,
    )


def _filled(
    prospects: Sequence[Prospect], sizing: Sizing, cash: float, terms: Terms, options: Options
) -> tuple[tuple[Decisions, ...], tuple[Fills, ...], tuple[Refusal, ...]]:
    """Decisions with their sizes, and the fills they lead to on one account."""
    simulate = engine_of(options.engine)
    if options.fill == "next_open":
        done = allocate(prospects, sizing, cash, terms, simulate)
        return done.decisions, done.fills, done.refused
    done = allocate([_finer(one) for one in prospects], sizing, cash, terms, simulate)
    return (
        tuple(folded_decisions(one.decisions, sized) for one, sized in zip(prospects, done.decisions, strict=True)),
        tuple(folded(fills) for fills in done.fills),
        tuple(replace(refusal, row=refusal.row // 2) for refusal in done.refused),
    )


def _finer(one: Prospect) -> Prospect:
    tape, decisions = unfolded(one.tape, one.decisions)
    return replace(one, tape=tape, decisions=decisions, rank=np.repeat(one.rank, 2), base_us=np.repeat(one.base_us, 2))


def engine_of(name: str) -> Simulate:
    """What simulates fills. vectorbt is loaded only where it is asked for."""
    if name == "kernel":
        from qmworkbench.research.fills.fill_kernel import simulate

        return simulate
    if name in ("vectorbt-rust", "vectorbt-numba"):
        from functools import partial

        from qmworkbench.research.fills.two_rows import fills_of

        return partial(fills_of, engine="rust" if name == "vectorbt-rust" else "numba")
    raise BacktestRefused(f"engine {name!r} is none", "take kernel, vectorbt-rust or vectorbt-numba")


def _engine(name: str) -> dict[str, str]:
    """What computed a result, with versions: engines differ on ties."""
    told = {"fills": name, "python": platform.python_version()}
    return told | {package: version(package) for package in ("numba", "numpy", "polars", "vectorbt")}


def _demand_terms(terms: Terms) -> None:
    if trouble := terms.trouble():
        raise BacktestRefused(*trouble)
