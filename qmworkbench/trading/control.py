"""A person's commands: accepted or refused on record, always with who and why (§10, §11, §15, §23)."""

from collections.abc import Callable
from typing import Any, Final

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import (
    CommandAccepted,
    CommandReceived,
    CommandRefused,
    DecisionRecorded,
    EntriesHeld,
    EntriesReleased,
    NoteAdded,
    SymbolBlocked,
    SymbolUnblocked,
    TradingStateChanged,
)
from qmworkbench.domain.events.market import WatchState
from qmworkbench.domain.events.reconciliation import ReconciliationResult, Trigger
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import carries, emergency, reconciliation, watchlist
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_all, cancel_entries, request_exit
from qmworkbench.trading.state import EXTERNAL


class _Refused(Exception):
    """A command that may not be carried out: reason and remedy."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


def on_command(decision: Decision, event: CommandReceived) -> None:
    """Carry out a command once; the same command_id again changes nothing."""
    if event.command_id in decision.state.commands:
        return
    decision.emit(event)
    try:
        _demand_reason(event.command)
        effect = ANSWER[type(event.command)](decision, event, event.command)
    except _Refused as refusal:
        decision.emit(
            CommandRefused(at=decision.at, command_id=event.command_id, reason=refusal.reason, remedy=refusal.remedy)
        )
        return
    decision.emit(CommandAccepted(at=decision.at, command_id=event.command_id, effect=effect))


def _demand_reason(command: commands.Command) -> None:
    # An emergency without a reason is still an emergency.
    if not command.reason.strip() and not isinstance(command, commands.EmergencyLiquidateAndHalt):
        raise _Refused("a reason is required", "say why: it is read in the review")


def _demand_session(decision: Decision) -> None:
    state = decision.state
    if state.session is None or state.session.session_id in state.closed_sessions:
        raise _Refused("no session is open in this book", "start one with `qm day`")


def _pause(decision: Decision, event: CommandReceived, command: commands.Pause) -> str:
    decision.restrict("book", TradingState.REDUCING, "operator_pause", command.reason, event.operator)
    cancel_entries(decision, "operator pause")
    return f"{decision.state.halt.state.shown}"


def _resume(decision: Decision, event: CommandReceived, command: commands.Resume) -> str:
    """§23 Safe To Resume: five lines, and the reconciliation that a machine can check is checked by it."""
    state = decision.state
    if state.halt.state is TradingState.ACTIVE:
        raise _Refused(
            "the book is ACTIVE already", "nothing to resume; held entries are released with release_entries"
        )
    answers = {
        "incident cause understood": command.cause_understood,
        "internal state repaired": command.internal_state_repaired,
        "risk controls verified": command.risk_controls_verified,
        "the incident is named": bool(command.incident.strip()),
    }
    missing = [line for line, answer in answers.items() if not answer]
    if missing:
        raise _Refused(f"not safe to resume: {'; '.join(missing)}", "answer every line of §23 Safe To Resume")
    if emergency.running(state):
        raise _Refused("the emergency is not flat yet", "wait until every position is zero")
    _demand_reconciled(decision)
    pnl = state.day_pnl() if state.session is not None else None
    if pnl is not None and pnl <= -state.day.limits.max_daily_loss:
        raise _Refused("the daily loss is still beyond its limit", "the next session begins with a new limit")
    decision.emit(
        TradingStateChanged(
            at=decision.at,
            scope="book",
            before=state.halt.state,
            after=TradingState.ACTIVE,
            code="resume",
            reason=f"{command.reason} (incident: {command.incident})",
            by=event.operator,
        )
    )
    return "ACTIVE"


def _demand_reconciled(decision: Decision) -> None:
    """A reconciliation must have passed after the halt began."""
    last, since = decision.state.reconciliation, decision.state.halt.since
    fresh = last.completed_at is not None and (since is None or last.completed_at >= since)
    passed = last.result in (ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED) and not last.unresolved
    if not (fresh and passed):
        reconciliation.start(decision, Trigger.OPERATOR)
        raise _Refused(
            "no reconciliation has passed since the halt",
            "one was started now: look at its result, then resume again",
        )


def _emergency(decision: Decision, event: CommandReceived, command: commands.EmergencyLiquidateAndHalt) -> str:
    _demand_session(decision)
    name = emergency.begin(decision, event.operator, command.reason or "no reason given")
    return f"emergency {name}: entries stopped, cancelling and closing until flat"


def _block(decision: Decision, event: CommandReceived, command: commands.BlockSymbol) -> str:
    """§10: never again into scanner or watchlist; an open position keeps its exits."""
    state = decision.state
    known = state.session is None or command.symbol in state.day.instruments
    if not known:
        raise _Refused(f"{command.symbol} is not in this session's universe", "check the spelling")
    decision.emit(
        SymbolBlocked(
            at=decision.at,
            symbol=command.symbol,
            scope=command.scope,
            by=event.operator,
            reason=command.reason,
        )
    )
    if state.session is not None:
        entries = [o for o in state.working_entries() if o.symbol == command.symbol]
        cancel_all(decision, entries, "symbol blocked")
        watchlist.let_go(decision, command.symbol, WatchState.BLOCKED, f"blocked by {event.operator}: {command.reason}")
    return f"{command.symbol} is blocked ({command.scope})"


def _unblock(decision: Decision, event: CommandReceived, command: commands.UnblockSymbol) -> str:
    if command.symbol not in decision.state.blocked:
        raise _Refused(f"{command.symbol} is not blocked", "see the blocked list in `qm status`")
    if decision.state.blocked[command.symbol].by == "limits":
        raise _Refused(
            f"{command.symbol} is blocked in the limits file",
            "remove it there; it is lifted at the next session",
        )
    decision.emit(SymbolUnblocked(at=decision.at, symbol=command.symbol, by=event.operator, reason=command.reason))
    return f"{command.symbol} is no longer blocked"


def _stop_strategy(decision: Decision, event: CommandReceived, command: commands.StopStrategy) -> str:
    _demand_session(decision)
    run = decision.state.day.runs.get(command.strategy_id)
    if run is None:
        names = ", ".join(decision.state.day.runs)
        raise _Refused(f"no strategy {command.strategy_id} runs in this session", f"one of: {names}")
    decision.restrict(command.strategy_id, TradingState.REDUCING, "operator_stop", command.reason, event.operator)
    return f"{command.strategy_id}: {run.state.shown}"


def _drop_candidate(decision: Decision, event: CommandReceived, command: commands.DropCandidate) -> str:
    _demand_session(decision)
    if not watchlist.is_active(decision.state, command.symbol):
        raise _Refused(f"{command.symbol} is not on the active watchlist", "see the watchlist in `qm status`")
    watchlist.let_go(decision, command.symbol, WatchState.CLOSED, f"dropped by {event.operator}: {command.reason}")
    return f"{command.symbol} is off the watchlist"


def _reconcile(decision: Decision, event: CommandReceived, command: commands.Reconcile) -> str:
    _demand_session(decision)
    reconciliation.start(decision, Trigger.OPERATOR)
    return "reconciliation started"


def _release(decision: Decision, event: CommandReceived, command: commands.ReleaseEntries) -> str:
    """§19: entries only after the recovery has reconciled."""
    _demand_session(decision)
    state = decision.state
    if state.day.recovering or state.reconciliation.unresolved:
        raise _Refused("reconciliation has not passed", "resolve the breaks first (qm reconcile)")
    if not state.day.entries_held or state.day.ending:
        raise _Refused("no entries are held, or the session is ending", "nothing to release")
    decision.emit(EntriesReleased(at=decision.at, by=event.operator, reason=command.reason))
    return "entries are released"


def _decide(decision: Decision, event: CommandReceived, command: commands.Decide) -> str:
    _demand_session(decision)
    question = decision.state.day.decisions.get(command.decision_id)
    if question is None:
        raise _Refused(f"no decision {command.decision_id} is waiting", "see the open decisions in `qm status`")
    if command.choice not in question.options:
        raise _Refused(f"{command.choice} is not an option", f"one of: {', '.join(question.options)}")
    decision.emit(
        DecisionRecorded(
            at=decision.at,
            decision_id=command.decision_id,
            choice=command.choice,
            by=event.operator,
            reason=command.reason,
        )
    )
    if command.choice == "liquidate":
        emergency.begin(decision, event.operator, f"decided: liquidate ({command.reason})")
    carries.decided(decision, command.decision_id, command.choice)
    return f"decided: {command.choice}"


def _note(decision: Decision, event: CommandReceived, command: commands.AddNote) -> str:
    name = content_id(event.command_id, command.kind, command.reason)
    decision.emit(NoteAdded(at=decision.at, note_id=name, kind=command.kind, text=command.reason, by=event.operator))
    return f"note {name} added"


def _end_session(decision: Decision, event: CommandReceived, command: commands.EndSession) -> str:
    """Entries stop and what must be flat is closed; the shell then begins §16."""
    _demand_session(decision)
    decision.emit(EntriesHeld(at=decision.at, reason=f"ended early by {event.operator}: {command.reason}"))
    cancel_entries(decision, "session ended early")
    for key in sorted(decision.state.positions):
        held = decision.state.positions[key]
        if held.flat_policy == "at_close" and held.strategy_id != EXTERNAL:
            request_exit(decision, held, "flat", "session ended early")
    return "the session is ending"


ANSWER: Final[dict[type[commands.Command], Callable[[Decision, CommandReceived, Any], str]]] = {
    commands.Pause: _pause,
    commands.Resume: _resume,
    commands.EmergencyLiquidateAndHalt: _emergency,
    commands.BlockSymbol: _block,
    commands.UnblockSymbol: _unblock,
    commands.StopStrategy: _stop_strategy,
    commands.DropCandidate: _drop_candidate,
    commands.Reconcile: _reconcile,
    commands.ReleaseEntries: _release,
    commands.Decide: _decide,
    commands.AddNote: _note,
    commands.EndSession: _end_session,
}
