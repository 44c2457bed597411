"""apply(state, event): the one place where state changes (§19, DESIGN "Kernel").

Facts are taken as they are; every judgement was made before the event was written. So folding a journal never
fails on a rule, and a replayed journal gives the live state bit for bit.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, TypeVar

from qmworkbench.domain.events import DECISION_TYPES, Event, analytics, control, market, orders, session
from qmworkbench.domain.events.market import WatchState
from qmworkbench.domain.sessions import BlockScope, TradingState
from qmworkbench.trading import (
    fold_control,
    fold_fills,
    fold_imports,
    fold_orders,
    fold_overnight,
    fold_reconciliation,
)
from qmworkbench.trading.coming import KEPT
from qmworkbench.trading.state import (
    Assignment,
    Block,
    Run,
    Session,
    State,
    WatchItem,
    position_key,
)

E = TypeVar("E", bound=Event)
_APPLY: dict[type[Event], Callable[[State, Any], None]] = {
    **fold_orders.APPLY,
    **fold_fills.APPLY,
    **fold_imports.APPLY,
    **fold_control.APPLY,
    **fold_overnight.APPLY,
    **fold_reconciliation.APPLY,
}

# Facts that matter to readers and reports but change nothing that a rule looks at.
INERT: frozenset[type[Event]] = frozenset(
    {
        analytics.AnalyticsObserved,
        control.CommandAccepted,
        control.CommandRefused,
        control.NoteAdded,
        control.ClockTicked,
        control.RiskViolated,
        market.BarsQuarantined,
        market.StrategyFaulted,
        market.FrameDropped,
        market.SignalRaised,
        market.SignalIgnored,
        orders.RiskDecided,
        orders.ReplaceObserved,
        session.AuditRecorded,
        session.PhaseRefused,
        session.ServiceStopped,
        session.SessionSummarized,
    }
)

_OVER: Final = frozenset({WatchState.CLOSED, WatchState.EXPIRED, WatchState.BLOCKED})
# The sums of what is on its way (coming.py) follow the one by themselves; the other concerns no order yet.
_ADDS_OR_KEEPS: Final = frozenset({orders.OrderIntended, orders.ExecutionReported})


def apply(state: State, event: Event) -> None:
    """Fold one event into the state."""
    if state.now is None or event.at > state.now:
        state.now = event.at
    kind = type(event)
    change = _APPLY.get(kind)
    if change is not None:
        change(state, event)
        if kind not in _ADDS_OR_KEEPS:
            state.__dict__.pop(KEPT, None)


def fold(events: Iterable[Event], state: State | None = None) -> State:
    """The state after `events`, from `state` or from nothing."""
    folded = State() if state is None else state
    for event in events:
        apply(folded, event)
    return folded


def _on(kind: type[E]) -> Callable[[Callable[[State, E], None]], Callable[[State, E], None]]:
    def register(change: Callable[[State, E], None]) -> Callable[[State, E], None]:
        _APPLY[kind] = change
        return change

    return register


def _run(state: State, event: session.SessionOpened, spec: session.RunSpec) -> Run:
    """The instance's run of the new session. What stopped it in the last one stops it still, until a person restarts
    it. A fault ended with its run; where nobody attends, refusals of the broker end with the day.
    """
    run = Run(run_id=f"{event.session_id}/{spec.strategy_id}", spec=spec)
    before = state.session.runs.get(spec.strategy_id) if state.session is not None else None
    if before is None or before.state is TradingState.ACTIVE or before.state_code == "strategy_fault":
        return run
    if event.unattended and before.state_code == "repeated_rejection":
        return run
    run.state, run.state_code, run.state_by = before.state, before.state_code, before.state_by
    run.state_reason, run.state_since = before.state_reason.removeprefix(f"{before.state}: "), before.state_since
    return run


@_on(session.SessionOpened)
def _session_opened(state: State, event: session.SessionOpened) -> None:
    state.book = event.book
    window = event.window
    state.session = Session(
        session_id=event.session_id,
        environment=event.environment,
        window=window,
        limits=event.limits,
        limits_hash=event.limits_hash,
        opens_at=datetime.fromisoformat(window.opens_at),
        closes_at=datetime.fromisoformat(window.closes_at),
        unattended=event.unattended,
        account_currency=event.account_currency,
        max_candidates=event.max_candidates,
        max_owned=event.max_owned,
        shared_symbols=event.shared_symbols,
        scan_settings=event.scan_settings,
        instruments={instrument.symbol: instrument for instrument in event.instruments},
        runs={spec.strategy_id: _run(state, event, spec) for spec in event.runs},
        reconciliation=event.reconciliation,
        halt_policies=event.halt_policies,
        halt_settings=event.halt_settings,
    )
    # A block for the session ends with it; a permanent one, a halt and what is held stay.
    state.blocked = {s: block for s, block in state.blocked.items() if block.scope is BlockScope.PERMANENT}
    state.orders = {cl_ord_id: state.orders[cl_ord_id] for cl_ord_id in state.open_orders}
    state.intents = {cl_ord_id: i for cl_ord_id, i in state.intents.items() if cl_ord_id in state.open_orders}
    state.working_ids = {name: order for name, order in state.working_ids.items() if order in state.open_orders}
    state.exec_ids = {}
    state.activity_ids = {}
    state.fills = {}
    state.foreign_fills = {}
    state.reversed_ids = {}
    state.unproven = {}
    state.day.first_cursor = state.exec_cursor
    state.marks = {}
    state.revalued()
    state.alerts = {}
    state.commands = {}
    if state.emergency is not None and not state.emergency.running:
        state.emergency = None
    for symbol in event.limits.blocked_symbols:
        block = Block(scope=BlockScope.PERMANENT, by="limits", reason="blocked in the limits file", at=event.at)
        state.blocked.setdefault(symbol, block)


@_on(session.PhaseEntered)
def _phase_entered(state: State, event: session.PhaseEntered) -> None:
    state.day.phase = event.phase


@_on(session.PreflightRecorded)
def _preflight_recorded(state: State, event: session.PreflightRecorded) -> None:
    state.day.preflight[event.phase] = event.verdict


@_on(session.ServiceReady)
def _service_ready(state: State, event: session.ServiceReady) -> None:
    state.day.services[event.service] = event.position


@_on(session.HealthObserved)
def _health_observed(state: State, event: session.HealthObserved) -> None:
    state.day.critical_down = event.critical_down
    state.day.clock_skew_ms = event.clock_skew_ms


@_on(session.RunStarted)
def _run_started(state: State, event: session.RunStarted) -> None:
    state.day.runs[event.strategy_id].ended = False


@_on(session.RunEnded)
def _run_ended(state: State, event: session.RunEnded) -> None:
    run = state.day.runs[event.strategy_id]
    run.ended = True
    run.state_reason = event.reason


@_on(session.SessionEnding)
def _session_ending(state: State, event: session.SessionEnding) -> None:
    state.day.ending = event.reason


@_on(session.SessionClosed)
def _session_closed(state: State, event: session.SessionClosed) -> None:
    state.closed_sessions.append(event.session_id)


@_on(market.FeedChanged)
def _feed_changed(state: State, event: market.FeedChanged) -> None:
    # Trouble that turns into other trouble has lasted since the first of it.
    good = market.FeedState.GOOD
    if event.state is good:
        state.feed_since = None
    elif state.feed_since is None:
        state.feed_since = event.at
    if event.state is not market.FeedState.CROSSED:
        state.untrusted_since = None
    elif state.untrusted_since is None:
        state.untrusted_since = event.at
    state.feed, state.feed_detail = event.state, event.detail


@_on(market.BoundaryClosed)
def _boundary_closed(state: State, event: market.BoundaryClosed) -> None:
    day = state.day
    day.boundary, day.boundary_at, day.boundary_hash = event.boundary, event.at, event.frame_hash
    if not event.extended:
        for held in state.positions.values():
            held.bars_held += 1


@_on(market.PreOpenScanned)
def _pre_open_scanned(state: State, event: market.PreOpenScanned) -> None:
    state.day.pre_open = event


@_on(market.FrameComputed)
def _frame_computed(state: State, event: market.FrameComputed) -> None:
    day = state.day
    if event.as_of != day.boundary_at:
        return
    day.frame_at, day.silenced, day.candidates = event.as_of, event.silenced, event.candidates
    # What cannot be believed marks nothing: a loss made of it would halt or liquidate for no reason.
    if state.feed is not market.FeedState.CROSSED:
        state.marks.update([(mark.symbol, mark) for mark in event.marks])
        state.revalued()
    for run in day.runs.values():
        if not run.ended:
            run.last_boundary_at = event.as_of
    found = {candidate.symbol: candidate.rank for candidate in event.candidates}
    for item in day.watchlist.values():
        item.missed_boundaries = 0 if item.symbol in found else item.missed_boundaries + 1
        item.rank = found.get(item.symbol, item.rank)


@_on(market.WatchlistChanged)
def _watchlist_changed(state: State, event: market.WatchlistChanged) -> None:
    item = state.day.watchlist.get(event.symbol)
    over = item is not None and item.state in _OVER
    if item is None or (over and event.state is WatchState.FOUND):
        item = WatchItem(symbol=event.symbol, state=event.state)
        state.day.watchlist[event.symbol] = item
    item.state, item.reason = event.state, event.reason
    item.times[event.state] = event.at
    if event.rank is not None:
        item.rank = event.rank


@_on(market.NearMissSeen)
def _near_miss(state: State, event: market.NearMissSeen) -> None:
    state.day.near_misses[event.symbol] = ",".join(verdict.code for verdict in event.failed)


@_on(market.AssignmentMade)
def _assignment_made(state: State, event: market.AssignmentMade) -> None:
    day = state.day
    day.assignments[position_key(event.strategy_id, event.symbol)] = Assignment(
        symbol=event.symbol, strategy_id=event.strategy_id, budget=event.budget, at=event.at
    )
    day.owners.setdefault(event.symbol, []).append(event.strategy_id)
    if event.strategy_id in day.runs:
        day.runs[event.strategy_id].owned += 1
    day.declined.pop(event.symbol, None)
    item = day.watchlist.get(event.symbol)
    if item is not None and event.strategy_id not in item.given_to:
        item.given_to.append(event.strategy_id)


@_on(market.AssignmentDeclined)
def _assignment_declined(state: State, event: market.AssignmentDeclined) -> None:
    state.day.declined[event.symbol] = event.reason


@_on(market.AssignmentEnded)
def _assignment_ended(state: State, event: market.AssignmentEnded) -> None:
    day = state.day
    if day.assignments.pop(position_key(event.strategy_id, event.symbol), None) is None:
        return
    owners = day.owners[event.symbol]
    owners.remove(event.strategy_id)
    if not owners:
        del day.owners[event.symbol]
    if event.strategy_id in day.runs:
        day.runs[event.strategy_id].owned -= 1


# What changes the state, by type of event: for the one loop that folds without a call for each (fold_records.py).
HANDLERS: Final = _APPLY


def unhandled() -> list[type[Event]]:
    """Event types that are neither folded nor declared inert: must be empty (held by a test)."""
    return [kind for kind in DECISION_TYPES if kind not in _APPLY and kind not in INERT]
