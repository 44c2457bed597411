"""Stopping a strategy instance, and letting it enter again where that is safe (§10 "If a strategy is stuck").

A stop is safe at any time: entries end, positions keep their exits. A restart is not, and says everything that speaks
against it at once, each with its remedy: the book is halted, the contract was broken, orders are in doubt, a position
is no longer surely the instance's own, the books differ from the broker's there, or its parameters are others by now.
"""

from typing import Any, Final

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import CommandReceived, TradingStateChanged
from qmworkbench.domain.events.reconciliation import ReconciliationResult, Trigger
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import reconciliation
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.refusal import Refused, demand_session
from qmworkbench.trading.state import EXTERNAL, Run, State

# Stops that came from news nobody could explain: the broker's books must have been compared since.
_UNEXPLAINED: Final = ("contradiction.", "must_halt.")
_SHOWN_AT_MOST: Final = 3


def stop(decision: Decision, event: CommandReceived, command: commands.StopStrategy) -> str:
    """No more entries by one instance; asked again it changes nothing and says so."""
    run = _run(decision.state, command.strategy_id)
    if run.ended:
        raise Refused(f"{command.strategy_id} has ended its run: {run.state_reason}", "nothing of it is left to stop")
    before = run.state
    decision.restrict(command.strategy_id, TradingState.REDUCING, "operator_stop", command.reason, event.operator)
    again = "" if run.state is not before else " already"
    return f"{command.strategy_id}: {run.state.shown}{again}"


def restart(decision: Decision, event: CommandReceived, command: commands.RestartStrategy) -> str:
    """Entries of the instance may pass again. Raises Refused with all that speaks against it."""
    state, name = decision.state, command.strategy_id
    run = _run(state, name)
    if run.state is TradingState.ACTIVE and not run.ended:
        raise Refused(
            f"{name} is ACTIVE: there is nothing to restart",
            "if it is stuck, stop it first (`qm strategy stop`), see what it waits for, then restart it",
        )
    against = unsafe(state, run, command.params_hash)
    if against:
        if _wants_comparison(state, run):
            reconciliation.start(decision, Trigger.OPERATOR)
        raise Refused(
            f"{name} may not restart: " + "; ".join(reason for reason, _ in against),
            "; ".join(dict.fromkeys(remedy for _, remedy in against)),
        )
    decision.emit(
        TradingStateChanged(
            at=decision.at,
            scope=name,
            before=run.state,
            after=TradingState.ACTIVE,
            code="restart",
            reason=command.reason,
            by=event.operator,
        )
    )
    held = ", ".join(sorted(p.symbol for p in state.positions.values() if p.strategy_id == name))
    return f"{name}: ACTIVE" + (f", goes on with {held}" if held else "")


def unsafe(state: State, run: Run, params_hash: str = "") -> list[tuple[str, str]]:
    """What speaks against a restart, (reason, remedy) each; empty where it is safe.

    `params_hash` names the set that is approved now, "" where nobody looked it up.
    """
    name, day = run.spec.strategy_id, state.day
    found: list[tuple[str, str]] = []
    if state.halt.state is not TradingState.ACTIVE:
        found.append((f"the book is {state.halt.state.shown}", "resume the book first (`qm resume`)"))
    if run.ended:
        found.append((f"its run has ended ({run.state_reason})", "it runs again in the next session, once corrected"))
    if day.recovering:
        found.append(("the session is being recovered", "wait until the recovery has reconciled (`qm status`)"))
    doubtful = [o.cl_ord_id for o in state.working() if o.strategy_id == name and o.is_in_doubt and not o.parent_id]
    if doubtful:
        found.append((f"in doubt: {_some(doubtful)}", "the broker is being asked: wait, or `qm order inspect ID`"))
    found += [(text, "reconcile (`qm reconcile`), then see whose position it is") for text in _ownership(state, name)]
    if _wants_comparison(state, run):
        remedy = "a comparison was started: look at its result, then restart again"
        found.append((f"it was stopped by {run.state_code} and nothing has been reconciled since", remedy))
    if params_hash and params_hash != run.spec.params_hash:
        text = f"its parameters have changed: approved {params_hash}, running {run.spec.params_hash}"
        found.append((text, "approved changes begin with the next session; revert the change, or wait for it"))
    return found


def _ownership(state: State, name: str) -> list[str]:
    """Positions of the instance that are not surely its own alone."""
    found: list[str] = []
    broken = {b.symbol for b in state.reconciliation.unresolved.values()}
    for held in state.positions.values():
        if held.strategy_id != name:
            continue
        if state.day.assignment(name, held.symbol) is None:
            found.append(f"it holds {held.symbol}, which is not assigned to it any more")
        if state.position(EXTERNAL, held.symbol) is not None:
            found.append(f"part of {held.symbol} is held by nobody here")
        if held.symbol in broken:
            found.append(f"our {held.symbol} differs from the broker's")
    return sorted(found)


def _wants_comparison(state: State, run: Run) -> bool:
    if not run.state_code.startswith(_UNEXPLAINED) or run.state_since is None:
        return False
    last = state.reconciliation
    passed = last.result in (ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED)
    return not (passed and last.completed_at is not None and last.completed_at > run.state_since)


def _run(state: State, strategy_id: str) -> Run:
    demand_session(state)
    run = state.day.runs.get(strategy_id)
    if run is None:
        names = ", ".join(state.day.runs)
        raise Refused(f"no strategy {strategy_id} runs in this session", f"one of: {names}")
    return run


def _some(names: list[Any]) -> str:
    more = len(names) - _SHOWN_AT_MOST
    return ", ".join(names[:_SHOWN_AT_MOST]) + (f" and {more} more" if more > 0 else "")
