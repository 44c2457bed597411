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
    NoteAdded,
    SymbolBlocked,
    SymbolUnblocked,
)
from qmworkbench.domain.events.market import WatchState
from qmworkbench.domain.events.reconciliation import MONEY_KINDS, Trigger
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import (
    carries,
    emergency,
    order_control,
    reconciliation,
    repairs,
    resuming,
    strategy_control,
    watchlist,
)
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_all, cancel_entries, request_exit
from qmworkbench.trading.refusal import Refused, demand_session
from qmworkbench.trading.state import EXTERNAL


def on_command(decision: Decision, event: CommandReceived) -> None:
    """Carry out a command once; the same command_id again changes nothing."""
    if event.command_id in decision.state.commands:
        return
    decision.emit(event)
    try:
        _demand_reason(event.command)
        effect = ANSWER[type(event.command)](decision, event, event.command)
    except Refused as refusal:
        decision.emit(
            CommandRefused(at=decision.at, command_id=event.command_id, reason=refusal.reason, remedy=refusal.remedy)
        )
        return
    decision.emit(CommandAccepted(at=decision.at, command_id=event.command_id, effect=effect))


def _demand_reason(command: commands.Command) -> None:
    # An emergency without a reason is still an emergency.
    if not command.reason.strip() and not isinstance(command, commands.EmergencyLiquidateAndHalt):
        raise Refused("a reason is required", "say why: it is read in the review")


def _pause(decision: Decision, event: CommandReceived, command: commands.Pause) -> str:
    decision.restrict("book", TradingState.REDUCING, "operator_pause", command.reason, event.operator)
    cancel_entries(decision, "operator pause")
    return f"{decision.state.halt.state.shown}"


def _emergency(decision: Decision, event: CommandReceived, command: commands.EmergencyLiquidateAndHalt) -> str:
    demand_session(decision.state)
    name = emergency.begin(decision, event.operator, command.reason or "no reason given")
    return f"emergency {name}: entries stopped, cancelling and closing until flat"


def _block(decision: Decision, event: CommandReceived, command: commands.BlockSymbol) -> str:
    """§10: never again into scanner or watchlist; an open position keeps its exits."""
    state = decision.state
    known = state.session is None or command.symbol in state.day.instruments
    if not known:
        raise Refused(f"{command.symbol} is not in this session's universe", "check the spelling")
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
        raise Refused(f"{command.symbol} is not blocked", "see the blocked list in `qm status`")
    if decision.state.blocked[command.symbol].by == "limits":
        raise Refused(
            f"{command.symbol} is blocked in the limits file",
            "remove it there; it is lifted at the next session",
        )
    decision.emit(SymbolUnblocked(at=decision.at, symbol=command.symbol, by=event.operator, reason=command.reason))
    return f"{command.symbol} is no longer blocked"


def _drop_candidate(decision: Decision, event: CommandReceived, command: commands.DropCandidate) -> str:
    demand_session(decision.state)
    if not watchlist.is_active(decision.state, command.symbol):
        raise Refused(f"{command.symbol} is not on the active watchlist", "see the watchlist in `qm status`")
    watchlist.let_go(decision, command.symbol, WatchState.CLOSED, f"dropped by {event.operator}: {command.reason}")
    return f"{command.symbol} is off the watchlist"


def _reconcile(decision: Decision, event: CommandReceived, command: commands.Reconcile) -> str:
    demand_session(decision.state)
    under_way = decision.state.reconciliation.pending
    if under_way is not None:
        # The broker is being read this moment: asking twice would answer nothing sooner, and what comes is as fresh.
        return f"{commands.RECONCILE_JOINED} ({under_way.value}); its result is the answer"
    reconciliation.start(decision, Trigger.OPERATOR)
    return "reconciliation started"


def _accept_break(decision: Decision, event: CommandReceived, command: commands.AcceptBreak) -> str:
    """Money alone is a person's to judge: what is held and what works is the broker's to say."""
    demand_session(decision.state)
    item = decision.state.reconciliation.unresolved.get(command.break_id)
    if item is None:
        raise Refused(f"no break {command.break_id} is open", "see the open ones in `qm reconcile`")
    if item.kind not in MONEY_KINDS:
        raise Refused(
            f"break {command.break_id} is about {item.kind.value.replace('_', ' ')}: it follows the broker's books",
            "find its cause there, then `qm reconcile`",
        )
    repairs.accept(decision, item, by=event.operator, reason=command.reason)
    return f"{item.kind.value.replace('_', ' ')} is {item.after} by {event.operator}'s word, no longer {item.before}"


def _decide(decision: Decision, event: CommandReceived, command: commands.Decide) -> str:
    demand_session(decision.state)
    question = decision.state.day.decisions.get(command.decision_id)
    if question is None:
        raise Refused(f"no decision {command.decision_id} is waiting", "see the open decisions in `qm status`")
    if command.choice not in question.options:
        raise Refused(f"{command.choice} is not an option", f"one of: {', '.join(question.options)}")
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
    demand_session(decision.state)
    decision.emit(EntriesHeld(at=decision.at, reason=f"ended early by {event.operator}: {command.reason}"))
    cancel_entries(decision, "session ended early")
    for key in sorted(decision.state.positions):
        held = decision.state.positions[key]
        if held.flat_policy == "at_close" and held.strategy_id != EXTERNAL:
            request_exit(decision, held, "flat", "session ended early")
    return "the session is ending"


ANSWER: Final[dict[type[commands.Command], Callable[[Decision, CommandReceived, Any], str]]] = {
    commands.Pause: _pause,
    commands.Resume: resuming.resume,
    commands.EmergencyLiquidateAndHalt: _emergency,
    commands.BlockSymbol: _block,
    commands.UnblockSymbol: _unblock,
    commands.StopStrategy: strategy_control.stop,
    commands.RestartStrategy: strategy_control.restart,
    commands.CancelOrder: order_control.cancel,
    commands.ReplaceOrder: order_control.replace,
    commands.ClosePosition: order_control.close,
    commands.DropCandidate: _drop_candidate,
    commands.Reconcile: _reconcile,
    commands.AcceptBreak: _accept_break,
    commands.ReleaseEntries: resuming.release,
    commands.Decide: _decide,
    commands.AddNote: _note,
    commands.EndSession: _end_session,
}
