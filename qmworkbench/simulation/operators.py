"""People at bad moments: every command there is, drawn by boundary (§10, §11, §15, §23)."""

from decimal import Decimal
from typing import Any, Final

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.domain.events.reconciliation import MONEY_KINDS
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.sessions import BlockScope
from qmworkbench.simulation.chance import Chance
from qmworkbench.simulation.process import Process
from qmworkbench.trading.state import State

COMMANDS: Final = (
    "pause",
    "resume",
    "resume",
    "block",
    "unblock",
    "stop_strategy",
    "restart_strategy",
    "cancel_order",
    "cancel_order",
    "replace_order",
    "replace_order",
    "close_position",
    "close_position",
    "drop_candidate",
    "reconcile",
    "reconcile",
    "accept_break",
    "release_entries",
    "release_entries",
    "decide",
    "end_session",
)
WHY: Final = "drill"


def resume() -> commands.Resume:
    """Every line of §23 answered with yes: whether that is so is the platform's to check."""
    return commands.Resume(
        reason=WHY,
        incident="a drill",
        cause_understood=True,
        internal_state_repaired=True,
        risk_controls_verified=True,
    )


def drawn(kind: str, key: str, chance: Chance, state: State) -> commands.AnyCommand | None:
    """A command of this kind about something there is now, None where there is nothing to say it about."""

    def pick(names: list[str]) -> str:
        return names[int(chance.unit(f"command/{kind}", key) * len(names))]

    symbols = sorted(state.day.instruments)
    simple: dict[str, Any] = {
        "pause": commands.Pause(reason=WHY),
        "resume": resume(),
        "block": commands.BlockSymbol(reason=WHY, symbol=pick(symbols), scope=BlockScope.SESSION),
        "unblock": commands.UnblockSymbol(reason=WHY, symbol=pick(sorted(state.blocked) or symbols)),
        "stop_strategy": commands.StopStrategy(reason=WHY, strategy_id=pick(sorted(state.day.runs))),
        "restart_strategy": commands.RestartStrategy(reason=WHY, strategy_id=pick(sorted(state.day.runs))),
        "drop_candidate": commands.DropCandidate(reason=WHY, symbol=pick(symbols)),
        "reconcile": commands.Reconcile(reason=WHY),
        "release_entries": commands.ReleaseEntries(reason=WHY),
        "end_session": commands.EndSession(reason=WHY),
        "emergency": commands.EmergencyLiquidateAndHalt(reason=WHY),
    }
    if kind in simple:
        chosen: commands.AnyCommand = simple[kind]
        return chosen
    return _about_what_is_open(kind, key, chance, state, pick)


def _about_what_is_open(kind: str, key: str, chance: Chance, state: State, pick: Any) -> commands.AnyCommand | None:
    if kind == "decide" and state.day.decisions:
        question = state.day.decisions[pick(sorted(state.day.decisions))]
        return commands.Decide(
            reason=WHY, decision_id=question.decision_id, choice=chance.one_of("choice", key, question.options)
        )
    if kind == "accept_break" and state.reconciliation.unresolved:
        return commands.AcceptBreak(reason=WHY, break_id=pick(sorted(state.reconciliation.unresolved)))
    if kind == "close_position" and state.positions:
        held = state.positions[pick(sorted(state.positions))]
        return commands.ClosePosition(reason=WHY, strategy_id=held.strategy_id, symbol=held.symbol)
    if not state.open_orders:
        return None
    order = state.orders[pick(list(state.open_orders))]
    if kind == "cancel_order":
        return commands.CancelOrder(reason=WHY, cl_ord_id=order.cl_ord_id)
    if kind != "replace_order":
        return None
    moved = Decimal(chance.whole("replace/cents", key, -30, 30)) / 100
    # Mostly what may be asked of such an order: an entry made smaller, an exit at another price. Else anything.
    anything, entry = chance.unit("replace/anything", key) < 0.3, order.leg is Leg.ENTRY
    fewer, other_px = anything or entry, anything or not entry
    return commands.ReplaceOrder(
        reason=WHY,
        cl_ord_id=order.cl_ord_id,
        order_qty=max(Decimal(1), order.order_qty - 1) if fewer else None,
        limit_px=order.limit_px + moved if order.limit_px is not None and other_px else None,
        stop_px=order.stop_px + moved if order.stop_px is not None and other_px else None,
    )


def understood(state: State) -> list[commands.AnyCommand]:
    """What a person says of money that does not agree once its cause is known."""
    found = state.reconciliation.unresolved.values()
    return [commands.AcceptBreak(reason=WHY, break_id=b.break_id) for b in found if b.kind in MONEY_KINDS]


class Operators:
    """Numbers the commands of a session, so that each has an id of its own."""

    def __init__(self) -> None:
        self.given = 0

    def give(self, process: Process, command: commands.AnyCommand) -> None:
        self.given += 1
        process.decide(
            CommandReceived(
                at=process.now(), command_id=f"c{self.given}", command=command, operator="drill", origin="simulation"
            )
        )
