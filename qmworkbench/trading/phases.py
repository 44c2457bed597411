"""The session's phases: journaled state, each entered only when its condition holds (§4, §6, §16)."""

from collections.abc import Callable
from typing import Final

from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.events.control import EntriesHeld, EntriesReleased
from qmworkbench.domain.events.reconciliation import (
    ReconciliationResult,
    SessionEquitySet,
    Trigger,
)
from qmworkbench.domain.events.session import (
    HealthObserved,
    PhaseEntered,
    PhaseRefused,
    PreflightRecorded,
    RunEnded,
    RunStarted,
    ServiceReady,
    SessionClosed,
    SessionEnding,
    SessionOpened,
    SessionSummarized,
)
from qmworkbench.domain.sessions import ENTRY_CONDITION, PHASE_ORDER, Phase, Priority, TradingState
from qmworkbench.trading import carries, watchlist
from qmworkbench.trading.decision import UNATTENDED, Decision
from qmworkbench.trading.exits import cancel_entries, request_exit
from qmworkbench.trading.state import EXTERNAL, State, position_key

# §6, in order. The bus is Redis where configured, in process otherwise.
STARTUP_ORDER: Final = (
    "config",
    "store",
    "bus",
    "api",
    "market_data",
    "radar",
    "scanner",
    "allocator",
    "risk_manager",
    "execution",
    "ui",
)
# §16, with radar after scanner and the Risk Manager after execution (DESIGN §5).
STOP_ORDER: Final = (
    "scanner",
    "radar",
    "allocator",
    "entry_logic",
    "exit_logic",
    "market_data",
    "execution",
    "risk_manager",
    "api",
    "ui",
)


class SessionRefused(Exception):
    """A session cannot be opened. The message names the session and the remedy."""


def on_session_opened(decision: Decision, event: SessionOpened) -> None:
    """A new trading day of the book; a closed one never runs again (DESIGN "Identity").

    A session that its pre-start checklist refused has decided nothing yet: it is opened anew, with what was corrected.
    """
    state = decision.state
    if event.session_id in state.closed_sessions:
        raise SessionRefused(f"session {event.session_id} is closed and cannot run again: use --fresh for a new book")
    unfinished = state.session is not None and state.session.session_id not in state.closed_sessions
    refused = unfinished and state.day.session_id == event.session_id and state.day.phase is Phase.PRE_START
    if state.session is not None and unfinished and not refused:
        raise SessionRefused(f"session {state.session.session_id} is still open: resume it before opening another")
    decision.emit(event)
    for run in decision.state.day.runs.values():
        decision.emit(
            RunStarted(
                at=decision.at,
                run_id=run.run_id,
                strategy_id=run.spec.strategy_id,
                params_hash=run.spec.params_hash,
            )
        )
    for strategy_id, reason in sorted(event.left_out.items()):
        decision.alarm(
            "strategy_left_out",
            strategy_id,
            Priority.P1,
            f"{strategy_id} does not run in this session: {reason}",
            "correct it for the next session; the others go on without it",
        )
    carries.on_opened(decision)


def on_preflight(decision: Decision, event: PreflightRecorded) -> None:
    """A preflight's verdict opens the next phase or refuses it on record."""
    decision.emit(event)
    phase = Phase.STARTUP if event.phase == "pre-start" else Phase.MARKET_SESSION
    if event.verdict is not Verdict.GO:
        found = f"{event.phase} preflight said {event.verdict}: {', '.join(event.failed) or 'nothing was looked at'}"
        condition = ENTRY_CONDITION[phase]
        decision.emit(PhaseRefused(at=decision.at, phase=phase, condition=condition, found=found))
        return
    advance(decision)
    if phase is Phase.MARKET_SESSION and decision.state.day.phase is phase and not decision.state.day.recovering:
        by = event.confirmed_by or UNATTENDED
        if decision.state.day.entries_held:
            decision.emit(EntriesReleased(at=decision.at, by=by, reason="the pre-market preflight said GO"))


def on_service_ready(decision: Decision, event: ServiceReady) -> None:
    """A service of the startup order came up; out of order is a defect of the caller."""
    expected = len(decision.state.day.services) + 1
    if event.position != expected and event.service not in decision.state.day.services:
        raise SessionRefused(f"{event.service} reported ready as number {event.position}, number {expected} was due")
    decision.emit(event)


def on_health(decision: Decision, event: HealthObserved) -> None:
    """What health says of the critical components: entries wait while one is down (§7)."""
    decision.emit(event)
    if event.critical_down:
        names = ", ".join(event.critical_down)
        decision.alarm(
            "critical_component_down",
            "health",
            Priority.P1,
            f"critical components are not healthy: {names}",
            "do not proceed to active trading; see `qm status`",
        )
    else:
        decision.all_clear("critical_component_down", "health", "all critical components are healthy")


def on_session_ending(decision: Decision, event: SessionEnding) -> None:
    """§16: no new candidates or entries, open entries cancelled, what must be flat is closed."""
    decision.emit(event)
    decision.emit(EntriesHeld(at=decision.at, reason=f"the session is ending: {event.reason}"))
    cancel_entries(decision, "session ending")
    watchlist.close_all(decision, event.reason)
    for key in sorted(decision.state.positions):
        held = decision.state.positions[key]
        if held.flat_policy == "at_close" and held.strategy_id != EXTERNAL:
            request_exit(decision, held, "flat", "still open when the session ended")
            decision.alarm(
                "position_open_after_close",
                key,
                Priority.P1,
                f"{held.symbol}: {held.qty} still held after the session's end, the policy is flat",
                "the symbol did not trade at the close; decide whether to carry or to close it at the next open",
            )


def on_summary(decision: Decision, event: SessionSummarized) -> None:
    """The summary is on record: the session may close."""
    decision.emit(event)
    decision.summarized = True
    advance(decision)
    if decision.state.day.phase is Phase.CLOSED:
        decision.emit(SessionClosed(at=decision.at, session_id=decision.state.day.session_id))


# --- entry conditions: each answers whether its phase may be entered now ---------------------------------


def _may_start(state: State, decision: Decision) -> bool:
    return state.day.preflight.get("pre-start") == Verdict.GO


def _may_verify_health(state: State, decision: Decision) -> bool:
    return all(service in state.day.services for service in STARTUP_ORDER)


def _may_pre_market(state: State, decision: Decision) -> bool:
    settled = state.reconciliation.result in (ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED)
    # Whatever asked for it: the session's own first comparison was asked for before, and this one came after.
    last = state.reconciliation
    of_today = last.pending is None and last.trigger not in (Trigger.END_OF_SESSION, Trigger.EMERGENCY)
    return not state.day.critical_down and settled and of_today and not last.unresolved


def _may_trade(state: State, decision: Decision) -> bool:
    return state.day.preflight.get("pre-market") == Verdict.GO and state.day.start_equity is not None


def _may_shut_down(state: State, decision: Decision) -> bool:
    return bool(state.day.ending)


def _may_reconcile(state: State, decision: Decision) -> bool:
    """Orders have settled; what should be flat is flat, or its alarm is on record. Orders that rest overnight may
    stay, and so may what nobody here sent: it is not ours to end.
    """
    carried = {key for key, held in state.positions.items() if held.flat_policy == "carry"}
    ours = [o for o in state.working() if o.strategy_id != EXTERNAL]
    unsettled = [o for o in ours if position_key(o.strategy_id, o.symbol) not in carried]
    market_open = state.clock() < state.day.closes_at
    leaving = [p for p in state.positions.values() if p.exit_wanted]
    return not unsettled and not (market_open and leaving)


def _may_review(state: State, decision: Decision) -> bool:
    """A failed reading is no comparison: it is asked again (trading/reconciliation.py)."""
    last = state.reconciliation
    compared = last.trigger is Trigger.END_OF_SESSION and last.pending is None
    return compared and last.result is not ReconciliationResult.INCOMPLETE


def _may_close(state: State, decision: Decision) -> bool:
    return decision.summarized


_MAY_ENTER: Final[dict[Phase, Callable[[State, Decision], bool]]] = {
    Phase.STARTUP: _may_start,
    Phase.HEALTH_VERIFICATION: _may_verify_health,
    Phase.PRE_MARKET: _may_pre_market,
    Phase.MARKET_SESSION: _may_trade,
    Phase.SHUTDOWN: _may_shut_down,
    Phase.RECONCILIATION: _may_reconcile,
    Phase.REVIEW: _may_review,
    Phase.CLOSED: _may_close,
}


def advance(decision: Decision) -> None:
    """Enter the next phases whose conditions hold, one after another."""
    state = decision.state
    day = state.day
    if day.phase is Phase.MARKET_SESSION and not day.ending:
        return  # as after most inputs: only an ending leads out of it
    while state.day.phase is not Phase.CLOSED:
        following = PHASE_ORDER[PHASE_ORDER.index(state.day.phase) + 1]
        # A day that ends before it traded goes straight to its shutdown: never through a session it had no leave for.
        if state.day.ending and following in (
            Phase.STARTUP,
            Phase.HEALTH_VERIFICATION,
            Phase.PRE_MARKET,
            Phase.MARKET_SESSION,
        ):
            following = Phase.SHUTDOWN
        if not _MAY_ENTER[following](state, decision):
            return
        decision.emit(PhaseEntered(at=decision.at, phase=following, condition=ENTRY_CONDITION[following]))
        _on_entered(decision, following)


def _on_entered(decision: Decision, phase: Phase) -> None:
    state = decision.state
    if phase is Phase.HEALTH_VERIFICATION:
        decision.ask_broker(Trigger.STARTUP)
    elif phase is Phase.RECONCILIATION:
        for run in state.day.runs.values():
            if not run.ended:
                decision.emit(
                    RunEnded(
                        at=decision.at,
                        run_id=run.run_id,
                        strategy_id=run.spec.strategy_id,
                        reason="session ended"
                        if run.state is TradingState.ACTIVE
                        else f"{run.state}: {run.state_reason}",
                        trades=run.trades,
                    )
                )
        decision.ask_broker(Trigger.END_OF_SESSION)


def set_equity(decision: Decision) -> None:
    """Session-start equity goes on record once, from the first statement of the account.

    A platform that opens late finds the day's first executions in it (an exit of what was carried fills at the open,
    whoever is there): what they made is the day's, and not what the day began with.
    """
    state = decision.state
    if state.session is None or state.day.start_equity is not None or state.account is None:
        return
    account, day = state.account, state.day
    if day.fills and account.cursor < state.exec_cursor:
        return  # it does not hold all of them; the one that does is on its way
    equity = account.equity - day.net_realized_pnl + day.fees
    decision.emit(
        SessionEquitySet(at=decision.at, equity=equity, cash=account.cash, unrealized_pnl=account.unrealized_pnl)
    )
