"""Planted bugs past the kernel's day: an emergency while the database fails, nights, other currencies (§13, §19)."""

from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from typing import Any, Final

import msgspec

from qmworkbench.domain.events.overnight import PositionRestated
from qmworkbench.domain.events.reconciliation import Trigger
from qmworkbench.service import recovery
from qmworkbench.service.direct_executor import Executor
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.simulation import fallback
from qmworkbench.simulation.patching import FOLD, put, replaced
from qmworkbench.simulation.process import Process
from qmworkbench.trading import emergency, fold, fold_imports, reconciliation
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.session_state import Run
from qmworkbench.trading.state import State

Patch = Callable[[ExitStack], None]


def _on_after_failure(stack: ExitStack) -> None:
    """The journal refused a decision, and the process goes on as though nothing had been."""
    replaced(stack, Process, "_poisoned", lambda process, why: None)


def _direct_unrecorded(stack: ExitStack) -> None:
    replaced(stack, DirectRecord, "close_intended", lambda *given: None)


def _direct_too_much(stack: ExitStack) -> None:
    def larger(*given: Any) -> Any:
        request = asked(*given)
        return msgspec.structs.replace(request, order_qty=2 * request.order_qty)

    asked = replaced(stack, Executor, "_request", larger)


def _log_forgotten(stack: ExitStack) -> None:
    replaced(stack, fallback, "to_take_over", lambda *given: iter(()))


def _log_twice(stack: ExitStack) -> None:
    replaced(stack, recovery, "_imported_before", lambda journal: set())


def _left_unfinished(stack: ExitStack) -> None:
    replaced(stack, fold_imports, "_AS_IF_HERE", {})


def _read_without_pause(stack: ExitStack) -> None:
    replaced(stack, reconciliation, "_look_again", reconciliation.start)


def _emergency_without_pause(stack: ExitStack) -> None:
    def read(decision: Decision) -> None:
        if decision.state.reconciliation.pending is None:
            decision.ask_broker(Trigger.EMERGENCY)

    replaced(stack, emergency, "_read", read)


def _stop_ends_with_the_day(stack: ExitStack) -> None:
    def fresh(state: State, event: Any, spec: Any) -> Run:
        return Run(run_id=f"{event.session_id}/{spec.strategy_id}", spec=spec)

    replaced(stack, fold, "_run", fresh)


def _split_ignored(stack: ExitStack) -> None:
    put(stack, FOLD, PositionRestated, lambda applied: lambda state, event: None)


def _converted_twice(stack: ExitStack) -> None:
    def squared(state: State, currency: str) -> Decimal | None:
        once = rate(state, currency)
        return None if once is None else once * once

    rate = replaced(stack, State, "rate", squared)


MUTANTS: Final[dict[str, Patch]] = {
    "goes on after a failed append": _on_after_failure,
    "direct close before its record": _direct_unrecorded,
    "direct close larger than what is held": _direct_too_much,
    "fallback log forgotten": _log_forgotten,
    "fallback log taken over twice": _log_twice,
    "direct emergency left unfinished": _left_unfinished,
    "compares without a pause": _read_without_pause,
    "emergency reads without a pause": _emergency_without_pause,
    "a strategy's stop ends with the day": _stop_ends_with_the_day,
    "split ignored": _split_ignored,
    "converted twice": _converted_twice,
}
