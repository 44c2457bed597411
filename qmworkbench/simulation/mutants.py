"""Planted bugs: mistakes that order systems are known for, each of which the simulation has to notice (§13, §19).

A mutant is a small patch, on while a session runs. One that nothing catches means that an invariant, or a trouble that
would bring it out, is missing here.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

import msgspec

from qmworkbench.domain.events.control import EntriesHeld, TradingStateChanged
from qmworkbench.domain.events.orders import (
    CancelObserved,
    ExecutionReported,
    FillReversed,
    OrderIntended,
    OrderQueried,
    RiskDecided,
    RuleVerdict,
    SubmitObserved,
)
from qmworkbench.domain.events.reconciliation import SessionRecovered
from qmworkbench.domain.execution import SubmitOutcome
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, PositionEffect
from qmworkbench.simulation import mutants_past_one_day, process
from qmworkbench.simulation.device import SimJournal
from qmworkbench.simulation.patching import FOLD, RULES, put, replaced
from qmworkbench.simulation.process import Process
from qmworkbench.trading import emergency, exposure, holdings, intents, oms, repairs, risk
from qmworkbench.trading.coming import Coming
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.effects import SubmitOrder
from qmworkbench.trading.state import State

Patch = Callable[[ExitStack], None]


# --- executions ---------------------------------------------------------------------------------------------


def _no_dedupe(stack: ExitStack) -> None:
    def make(applied: Any) -> Any:
        def forgetful(state: State, event: ExecutionReported) -> None:
            applied(state, event)
            state.exec_ids.pop(event.report.exec_id, None)

        return forgetful

    put(stack, FOLD, ExecutionReported, make)


def _forgets_at_restart(stack: ExitStack) -> None:
    def make(applied: Any) -> Any:
        def forgetful(state: State, event: SessionRecovered) -> None:
            applied(state, event)
            state.exec_ids.clear()
            state.exec_cursor = 0

        return forgetful

    put(stack, FOLD, SessionRecovered, make)


def _bust_ignored(stack: ExitStack) -> None:
    put(stack, FOLD, FillReversed, lambda applied: lambda state, event: None)


def _over_fill_ignored(stack: ExitStack) -> None:
    def book(decision: Decision, owner: str, report: Any, order: Any, *rest: Any, **more: Any) -> Any:
        if order is not None and order.cum_qty + report.last_qty > order.order_qty:
            return None
        return booked(decision, owner, report, order, *rest, **more)

    booked = replaced(stack, oms, "book_fill", book)


# --- submits and cancels ------------------------------------------------------------------------------------


def _lost_is_rejected(stack: ExitStack) -> None:
    def make(rule: Any) -> Any:
        def hasty(decision: Decision, event: SubmitObserved) -> None:
            if event.outcome is SubmitOutcome.LOST:
                event = msgspec.structs.replace(event, outcome=SubmitOutcome.REFUSED)
            rule(decision, event)

        return hasty

    put(stack, RULES, SubmitObserved, make)


def _resubmit_new_id(stack: ExitStack) -> None:
    def make(rule: Any) -> Any:
        def eager(decision: Decision, event: SubmitObserved) -> None:
            rule(decision, event)
            first = decision.state.intents.get(event.cl_ord_id)
            if event.outcome is not SubmitOutcome.LOST or first is None or first.attempt > 1:
                return
            request = msgspec.structs.replace(first.request, cl_ord_id=f"{event.cl_ord_id}-again", legs=())
            rules = (RuleVerdict("again", True, "", ""),)
            decision.emit(
                RiskDecided(
                    at=decision.at,
                    cl_ord_id=request.cl_ord_id,
                    strategy_id=first.strategy_id,
                    symbol=request.symbol,
                    leg=first.leg,
                    allowed=True,
                    rules=rules,
                    limits_hash="",
                )
            )
            decision.emit(msgspec.structs.replace(first, at=decision.at, request=request, attempt=first.attempt + 1))

        return eager

    put(stack, RULES, SubmitObserved, make)


def _resend_after_crash(stack: ExitStack) -> None:
    def make(rule: Any) -> Any:
        def resending(decision: Decision, event: SessionRecovered) -> None:
            rule(decision, event)
            for order in decision.state.working():
                first = decision.state.intents.get(order.cl_ord_id)
                if order.is_in_doubt and first is not None:
                    decision.events.append(first)

        return resending

    put(stack, RULES, SessionRecovered, make)


def _404_is_absence(stack: ExitStack) -> None:
    def make(rule: Any) -> Any:
        def hasty(decision: Decision, event: OrderQueried) -> None:
            order = decision.state.orders.get(event.cl_ord_id)
            absent = event.complete and event.found is None
            if order is None or not absent or not order.is_in_doubt:
                rule(decision, event)
                return
            decision.emit(event)
            oms.walk(decision, order, Arc.ABANDON, reason="404")

        return hasty

    put(stack, RULES, OrderQueried, make)


def _cancel_releases_early(stack: ExitStack) -> None:
    def make(applied: Any) -> Any:
        def early(state: State, event: CancelObserved) -> None:
            applied(state, event)
            order = state.orders.get(event.cl_ord_id)
            if order is not None and order.is_open and event.outcome is SubmitOutcome.SENT:
                order.status = OrdStatus.CANCELED
                holdings.follow_status(state, order)

        return early

    put(stack, FOLD, CancelObserved, make)


# --- risk ---------------------------------------------------------------------------------------------------


def _unrealized_ignored(stack: ExitStack) -> None:
    replaced(stack, State, "unrealized_pnl", lambda state: Decimal(0))


def _pending_ignored(stack: ExitStack) -> None:
    replaced(stack, exposure, "may_open", lambda state: [])
    replaced(stack, exposure, "coming", lambda state: Coming())


def _halt_not_asked(stack: ExitStack) -> None:
    kept = tuple(rule for rule in risk.ENTRY_RULES if rule is not risk.trading_state)
    replaced(stack, risk, "ENTRY_RULES", kept)


def _limits_ignored(stack: ExitStack) -> None:
    def lenient(state: State, intent: Any) -> tuple[RuleVerdict, ...]:
        return tuple(msgspec.structs.replace(v, passed=True) for v in judged(state, intent))

    judged = replaced(stack, risk, "judge", lenient)


def _denial_unrecorded(stack: ExitStack) -> None:
    replaced(stack, intents, "_deny", lambda *given, **more: None)


# --- exits --------------------------------------------------------------------------------------------------


def _exit_opens(stack: ExitStack) -> None:
    both = SimpleNamespace(OPEN=PositionEffect.OPEN, CLOSE=PositionEffect.OPEN)
    replaced(stack, intents, "PositionEffect", both)


def _exit_by_intent(stack: ExitStack) -> None:
    def emit(decision: Decision, event: Any) -> None:
        if type(event) is OrderIntended and event.leg is Leg.EXIT:
            held = decision.state.position(event.strategy_id, event.request.symbol)
            entry = decision.state.intents.get(held.entry_order) if held is not None else None
            if entry is not None:
                request = msgspec.structs.replace(event.request, order_qty=entry.request.order_qty)
                event = msgspec.structs.replace(event, request=request)
        emitted(decision, event)

    emitted = replaced(stack, Decision, "emit", emit)


# --- emergency, halts, recovery, reconciliation ---------------------------------------------------------------


def _emergency_without_cancels(stack: ExitStack) -> None:
    replaced(stack, emergency, "cancel_all", lambda *given: None)
    replaced(stack, emergency, "cancel_entries", lambda *given: None)
    replaced(stack, emergency, "_may_fill", lambda orders: Decimal(0))


def _emergency_without_halt(stack: ExitStack) -> None:
    def restrict(decision: Decision, scope: str, state: Any, code: str, *rest: Any, **more: Any) -> bool:
        return False if code == "emergency" else bool(restricted(decision, scope, state, code, *rest, **more))

    restricted = replaced(stack, Decision, "restrict", restrict)


def _halt_not_persisted(stack: ExitStack) -> None:
    def emit(decision: Decision, event: Any) -> None:
        emitted(decision, event)
        if type(event) is TradingStateChanged:
            decision.events.remove(event)

    emitted = replaced(stack, Decision, "emit", emit)


def _recovery_releases(stack: ExitStack) -> None:
    def emit(decision: Decision, event: Any) -> None:
        if type(event) is EntriesHeld and "recovered" in event.reason:
            return
        emitted(decision, event)

    def make(applied: Any) -> Any:
        def at_once(state: State, event: SessionRecovered) -> None:
            applied(state, event)
            state.day.recovering = False

        return at_once

    emitted = replaced(stack, Decision, "emit", emit)
    put(stack, FOLD, SessionRecovered, make)


def _repair_at_first_read(stack: ExitStack) -> None:
    replaced(stack, repairs, "erases", lambda *given: False)


# --- the shell ----------------------------------------------------------------------------------------------


def _not_withheld(stack: ExitStack) -> None:
    replaced(stack, process, "withheld", lambda state, request: "")


def _fsync_skipped(stack: ExitStack) -> None:
    def sync_ends(journal: SimJournal, *, really: bool = True) -> int:
        return int(synced(journal, really=False))

    synced = replaced(stack, SimJournal, "sync_ends", sync_ends)


def _send_before_durable(stack: ExitStack) -> None:
    def pump(process: Process) -> None:
        for name in ("send", "read"):
            lane = process._lanes[name]
            if process.works and lane and not process._busy[name]:
                seq, effect = lane[0]
                if isinstance(effect, SubmitOrder) or process.journal.durable_seq >= seq:
                    lane.popleft()
                    process._busy[name] = True
                    process._carry_out(effect, name)
        pumped(process)

    pumped = replaced(stack, Process, "_pump", pump)


MUTANTS: Final[dict[str, Patch]] = {
    "no dedupe": _no_dedupe,
    "executions forgotten at a restart": _forgets_at_restart,
    "bust ignored": _bust_ignored,
    "over-fill ignored": _over_fill_ignored,
    "lost is rejected": _lost_is_rejected,
    "resubmit with new id": _resubmit_new_id,
    "resend after a crash": _resend_after_crash,
    "404 is absence": _404_is_absence,
    "cancel ack releases exposure early": _cancel_releases_early,
    "daily loss ignores unrealized": _unrealized_ignored,
    "orders on their way not counted": _pending_ignored,
    "halt not asked at entry": _halt_not_asked,
    "limits never deny": _limits_ignored,
    "denial unrecorded": _denial_unrecorded,
    "exit not reduce-only": _exit_opens,
    "partial fill sizes exit by intent": _exit_by_intent,
    "emergency closes without cancelling": _emergency_without_cancels,
    "emergency without halt": _emergency_without_halt,
    "halt not persisted": _halt_not_persisted,
    "recovery releases entries": _recovery_releases,
    "repair without second read": _repair_at_first_read,
    "sent although it is not wanted any more": _not_withheld,
    "fsync skipped": _fsync_skipped,
    "sent before it is durable": _send_before_durable,
    **mutants_past_one_day.MUTANTS,
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The bug is in the code while this is open. Raises KeyError for a name that no mutant has."""
    with ExitStack() as stack:
        MUTANTS[name](stack)
        yield
