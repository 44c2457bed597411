"""The Strategy Allocator: which instances own a candidate, with which budget, and why (§6, §9).

Rules:

1. Eligible is an instance that trades the market, has the symbol on its list if it has one, runs, is not halted, and is
   within its entry window; then capacity counts: its own, and the book's over all that is owned.
2. Where a symbol has one owner at a time, the eligible instance whose window closes soonest takes it, because a later
   one still can; then the one with the most room, in the order of the configuration. Nobody gets what somebody holds.
3. Where symbols are shared, every eligible instance takes it, in the order of the configuration, and each is judged by
   its own capacity.
4. Who holds a symbol from an earlier session owns it again, before anybody else is looked at, whatever the scan says.
5. An owner that can no longer enter, and holds and works nothing there, gives it back.
"""

from decimal import Decimal

from qmworkbench.domain.events.market import AssignmentDeclined, AssignmentEnded, AssignmentMade, WatchState
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import watchlist
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import Run, Session, State

_HUNDRED = Decimal(100)


def _out_of_play(state: State, run: Run) -> str:
    """Why this instance takes no symbol at all now; "" if it might."""
    if run.ended:
        return "its run has ended"
    if state.trading_state(run.spec.strategy_id) is not TradingState.ACTIVE:
        return f"it is {state.trading_state(run.spec.strategy_id)}"
    return f"its entry window closed with bar {run.spec.entry_until_bar}" if _window_closed(state, run) else ""


class _OutOfPlay(dict[str, str]):
    """The same by instance, looked at once for each that is asked about."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def __missing__(self, strategy_id: str) -> str:
        found = self[strategy_id] = _out_of_play(self._state, self._state.day.runs[strategy_id])
        return found


def _why_not(state: State, run: Run, symbol: str, out_of_play: str) -> str:
    """Why this instance cannot take the symbol; "" if it can."""
    spec = run.spec
    if spec.symbols and symbol not in spec.symbols:
        return "the symbol is not on its list"
    if out_of_play:
        return out_of_play
    instrument = state.instrument(symbol)
    if instrument is None or instrument.asset_class not in spec.asset_classes:
        return "it does not trade this market"
    if run.owned >= spec.max_symbols:
        return f"it owns {spec.max_symbols} symbols already"
    return ""


def _window_closed(state: State, run: Run) -> bool:
    until = run.spec.entry_until_bar
    return until is not None and state.day.boundary > until + 1  # bar 0 closes at boundary 1


def give_back(decision: Decision) -> None:
    """Symbols whose owner can no longer enter, and holds nothing there, are free for another."""
    state, day = decision.state, decision.state.day
    over = {name: _enters_no_more(state, run) for name, run in day.runs.items()}
    for owned in list(day.assignments.values()):
        symbol, strategy_id = owned.symbol, owned.strategy_id
        reason = over[strategy_id]
        if not reason and symbol not in day.watchlist:
            reason = "what was carried into the session has been closed"
        if not reason or watchlist.tied(state, strategy_id, symbol):
            continue
        decision.emit(AssignmentEnded(at=decision.at, symbol=symbol, strategy_id=strategy_id, reason=reason))
        if symbol not in day.owners and watchlist.is_active(state, symbol):
            watchlist.step(decision, symbol, WatchState.FOUND, reason)


def _enters_no_more(state: State, run: Run) -> str:
    name = run.spec.strategy_id
    if _window_closed(state, run):
        return f"the entry window of {name} has closed"
    if run.ended:
        return f"the run of {name} has ended"
    return f"{name} is stopped: {run.state_reason}" if run.state is not TradingState.ACTIVE else ""


def _perishable(state: State, run: Run) -> tuple[int, float]:
    """What comes first takes the symbol: the nearest end of the entry window, then the most room."""
    until = run.spec.entry_until_bar
    end = until if until is not None else state.day.window.regular_boundaries
    return end, run.owned / run.spec.max_symbols


def adopt(decision: Decision) -> None:
    """What an instance holds from an earlier session is its own again, beyond any capacity: it is there."""
    state, day = decision.state, decision.state.day
    if day.start_equity is None:
        return
    for key in sorted(key for key in state.positions if key not in day.assignments):
        held = state.positions[key]
        run = day.runs.get(held.strategy_id)
        # Late news may leave an instance with what another owns by now: it keeps its exits, not the symbol.
        another_has_it = held.symbol in day.owners and not day.shared_symbols
        if run is None or run.ended or another_has_it:
            continue
        reason = f"{held.qty} held from an earlier session; "
        if not watchlist.is_active(state, held.symbol) and held.symbol not in state.blocked:
            watchlist.step(decision, held.symbol, WatchState.FOUND, "held from an earlier session")
        _assign(decision, held.symbol, run, reason)


def allocate(decision: Decision) -> None:
    """Give each candidate to those who may have it, best rank first; what nobody takes is declined on record."""
    state, day = decision.state, decision.state.day
    if day.start_equity is None:
        return
    out_of_play = _OutOfPlay(state)
    askers = _askers(state)
    held = {} if day.shared_symbols else {p.symbol: p.strategy_id for p in state.positions.values()}
    for candidate in day.candidates:
        symbol = candidate.symbol
        taken = symbol in day.owners and not day.shared_symbols
        if taken or not watchlist.is_active(state, symbol):
            continue
        if symbol in held:
            _decline(decision, symbol, f"{held[symbol]} holds it, and a symbol has one owner here")
            continue
        full = len(day.assignments) >= day.max_owned
        if full and symbol not in day.owners:
            _decline(decision, symbol, f"the book owns {day.max_owned} symbols, its limit")
            continue
        takers = _takers(day, askers, symbol)
        refusals = {name: _why_not(state, run, symbol, out_of_play[name]) for name, run in takers.items()}
        eligible = [run for name, run in takers.items() if not refusals[name]]
        if not eligible:
            if symbol not in day.owners:
                _decline(decision, symbol, "; ".join(f"{name}: {why}" for name, why in refusals.items()))
            continue
        if not day.shared_symbols:
            # min() keeps the first of equals, so the configuration's order breaks ties.
            eligible = [min(eligible, key=lambda r: _perishable(state, r))]
        for run in eligible:
            if len(day.assignments) >= day.max_owned:
                _decline(decision, symbol, f"the book owns {day.max_owned} symbols, its limit")
                break
            _assign(decision, symbol, run, f"rank {candidate.rank}; ")


def _askers(state: State) -> dict[str, dict[str, Run]]:
    """The runs that list each symbol, in the configuration's order; under "" those that take any. The runs of a session
    are what it was opened with, and so is this: it is kept beside the state as long as they are.
    """
    runs = state.day.runs
    kept: tuple[dict[str, Run], dict[str, dict[str, Run]]] | None = state.__dict__.get("askers")
    if kept is not None and kept[0] is runs:
        return kept[1]
    found: dict[str, dict[str, Run]] = {"": {}}
    for name, run in runs.items():
        for symbol in run.spec.symbols or ("",):
            found.setdefault(symbol, {})[name] = run
    state.__dict__["askers"] = runs, found
    return found


def _takers(day: Session, askers: dict[str, dict[str, Run]], symbol: str) -> dict[str, Run]:
    """A shared symbol is not for those who have it, nor worth a word of those who never could."""
    if not day.shared_symbols:
        return day.runs
    listing, owners = askers.get(symbol, {}), day.owners.get(symbol, ())
    if askers[""]:
        listing = {name: run for name, run in day.runs.items() if name in listing or name in askers[""]}
    return {name: run for name, run in listing.items() if name not in owners}


def _assign(decision: Decision, symbol: str, run: Run, reason: str) -> None:
    day, spec = decision.state.day, run.spec
    equity = day.start_equity or Decimal(0)
    budget = min(
        equity * spec.budget_pct / _HUNDRED,
        equity * day.limits.max_position_equity_pct / _HUNDRED,
        day.limits.max_position_notional,
    )
    reason += (
        f"{spec.strategy_id} has room ({run.owned} of {spec.max_symbols} symbols); "
        f"budget {budget:.2f}: the least of {spec.budget_pct} % of session equity and the position limits"
    )
    decision.emit(
        AssignmentMade(at=decision.at, symbol=symbol, strategy_id=spec.strategy_id, budget=budget, reason=reason)
    )
    item = day.watchlist.get(symbol)
    if item is not None and item.state is not WatchState.ENTERED:
        watchlist.step(decision, symbol, WatchState.ASSIGNED, f"assigned to {spec.strategy_id}")


def _decline(decision: Decision, symbol: str, reason: str) -> None:
    if decision.state.day.declined.get(symbol) != reason:
        decision.emit(AssignmentDeclined(at=decision.at, symbol=symbol, reason=reason))
