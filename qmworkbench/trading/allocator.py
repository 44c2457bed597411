"""The Strategy Allocator: which instance owns a candidate, with which budget, and why (§6, §9).

Eligibility comes first (market, symbol list, running, not halted, still within its entry window), then capacity
(its own and the book's). Of those left the instance whose window closes soonest takes the symbol, because a later one
still can; then the one with the most room, in the order of the configuration. A symbol has one owner at a time, and an
owner that can no longer enter gives it back.
"""

from decimal import Decimal

from qmworkbench.domain.events.market import AssignmentDeclined, AssignmentEnded, AssignmentMade, WatchState
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import watchlist
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import Run, State

_HUNDRED = Decimal(100)


def owned_by(state: State, strategy_id: str) -> int:
    """How many symbols an instance owns now."""
    return sum(a.strategy_id == strategy_id for a in state.day.assignments.values())


def _why_not(state: State, run: Run, symbol: str) -> str:
    """Why this instance cannot take the symbol; "" if it can."""
    instrument = state.instrument(symbol)
    spec = run.spec
    if run.ended:
        return "its run has ended"
    if state.trading_state(spec.strategy_id) is not TradingState.ACTIVE:
        return f"it is {state.trading_state(spec.strategy_id)}"
    if instrument is None or instrument.asset_class not in spec.asset_classes:
        return "it does not trade this market"
    if spec.symbols and symbol not in spec.symbols:
        return "the symbol is not on its list"
    if _window_closed(state, run):
        return f"its entry window closed with bar {spec.entry_until_bar}"
    if owned_by(state, spec.strategy_id) >= spec.max_symbols:
        return f"it owns {spec.max_symbols} symbols already"
    return ""


def _window_closed(state: State, run: Run) -> bool:
    until = run.spec.entry_until_bar
    return until is not None and state.day.boundary > until + 1  # bar 0 closes at boundary 1


def give_back(decision: Decision) -> None:
    """Symbols whose owner can no longer enter, and holds nothing there, are free for another."""
    state, day = decision.state, decision.state.day
    for symbol, owner in list(day.assignments.items()):
        run = day.runs.get(owner.strategy_id)
        if run is None or not _window_closed(state, run) or watchlist.busy(state, symbol):
            continue
        reason = f"the entry window of {owner.strategy_id} has closed"
        decision.emit(AssignmentEnded(at=decision.at, symbol=symbol, strategy_id=owner.strategy_id, reason=reason))
        if watchlist.is_active(state, symbol):
            watchlist.step(decision, symbol, WatchState.FOUND, reason)


def _perishable(state: State, run: Run) -> tuple[int, float]:
    """What comes first takes the symbol: the nearest end of the entry window, then the most room."""
    until = run.spec.entry_until_bar
    end = until if until is not None else state.day.window.regular_boundaries
    return end, owned_by(state, run.spec.strategy_id) / run.spec.max_symbols


def allocate(decision: Decision) -> None:
    """Give each unassigned candidate to an instance, best rank first; what nobody takes is declined on record."""
    state, day = decision.state, decision.state.day
    if day.start_equity is None:
        return
    for candidate in day.candidates:
        symbol = candidate.symbol
        if symbol in day.assignments or not watchlist.is_active(state, symbol):
            continue
        if len(day.assignments) >= day.max_owned:
            _decline(decision, symbol, f"the book owns {day.max_owned} symbols, its limit")
            continue
        refusals = {name: _why_not(state, run, symbol) for name, run in day.runs.items()}
        eligible = [run for name, run in day.runs.items() if not refusals[name]]
        if not eligible:
            _decline(decision, symbol, "; ".join(f"{name}: {why}" for name, why in refusals.items()))
            continue
        # min() keeps the first of equals, so the configuration's order breaks ties.
        run = min(eligible, key=lambda r: _perishable(state, r))
        _assign(decision, symbol, run, candidate.rank)


def _assign(decision: Decision, symbol: str, run: Run, rank: int) -> None:
    day, spec = decision.state.day, run.spec
    equity = day.start_equity or Decimal(0)
    budget = min(
        equity * spec.budget_pct / _HUNDRED,
        equity * day.limits.max_position_equity_pct / _HUNDRED,
        day.limits.max_position_notional,
    )
    used = owned_by(decision.state, spec.strategy_id)
    reason = (
        f"rank {rank}; {spec.strategy_id} has room ({used} of {spec.max_symbols} symbols); "
        f"budget {budget:.2f}: the least of {spec.budget_pct} % of session equity and the position limits"
    )
    decision.emit(
        AssignmentMade(at=decision.at, symbol=symbol, strategy_id=spec.strategy_id, budget=budget, reason=reason)
    )
    watchlist.step(decision, symbol, WatchState.ASSIGNED, f"assigned to {spec.strategy_id}")


def _decline(decision: Decision, symbol: str, reason: str) -> None:
    if decision.state.day.declined.get(symbol) != reason:
        decision.emit(AssignmentDeclined(at=decision.at, symbol=symbol, reason=reason))
