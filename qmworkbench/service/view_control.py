"""What screens and commands are told of halts and strategies: why, since when, what stands in the way (§10, §23)."""

from typing import Any

from qmworkbench.domain.safety import MUST_HALT, MustHalt
from qmworkbench.trading import must_halt, resuming, strategy_control
from qmworkbench.trading.state import Run, State


def trading_state(state: State) -> dict[str, Any]:
    """The book's state with every cause since it last was ACTIVE, the newest first."""
    halt = state.halt
    causes = sorted(halt.causes.items(), key=lambda item: item[1].since, reverse=True)
    return {
        "state": halt.state,
        "shown": halt.state.shown,
        "code": halt.code,
        "reason": halt.reason,
        "by": halt.by,
        "since": halt.since,
        "compared": halt.compared,
        "causes": [
            {
                "code": code,
                "condition": _condition(code),
                "remedy": must_halt.REMEDY[MustHalt(code)] if code in MUST_HALT else "",
                "reason": cause.reason,
                "by": cause.by,
                "since": cause.since,
            }
            for code, cause in causes
        ],
    }


def _condition(code: str) -> str:
    """The line of §23 in words, "" for what is none."""
    return must_halt.SHOWN[MustHalt(code)] if code in MUST_HALT else ""


def resume_lines(state: State) -> list[dict[str, Any]]:
    """§23 Safe To Resume, line by line, with what the platform finds against each."""
    return [line._asdict() for line in resuming.readiness(state)]


def feed(state: State) -> dict[str, Any]:
    """Market data's quality, since when it is not good, and after how many seconds that halts the book."""
    day = state.day
    return {
        "state": state.feed,
        "detail": state.feed_detail,
        "since": state.feed_since,
        "halts_after_s": day.halt_settings.data_degraded_after_s,
        "boundary": day.boundary,
        "boundaries": day.window.regular_boundaries,
        "boundary_at": day.boundary_at,
    }


def run_row(state: State, run: Run) -> dict[str, Any]:
    """One strategy instance: what it last evaluated, holds, owns and works, why it is in its state, and what speaks
    against restarting it. `params_hash` is what it runs; whether another set is approved by now is asked at a restart.
    """
    name = run.spec.strategy_id
    working = [order for order in state.working() if order.strategy_id == name]
    return {
        "run_id": run.run_id,
        "strategy_id": name,
        "owner": run.spec.owner,
        "definition": f"{run.spec.definition_id} {run.spec.version}",
        "params_hash": run.spec.params_hash,
        "state": run.state,
        "shown": run.state.shown,
        "code": run.state_code,
        "why": run.state_reason,
        "by": run.state_by,
        "since": run.state_since,
        "trades": run.trades,
        "ended": run.ended,
        "last_boundary_at": run.last_boundary_at,
        "owns": sorted(a.symbol for a in state.day.assignments.values() if a.strategy_id == name),
        "holds": [
            {"symbol": p.symbol, "qty": p.qty, "owned": state.day.assignment(name, p.symbol) is not None}
            for p in state.positions.values()
            if p.strategy_id == name
        ],
        "working": len(working),
        "in_doubt": [order.cl_ord_id for order in working if order.is_in_doubt and not order.parent_id],
        "against_restart": [
            {"reason": reason, "remedy": remedy} for reason, remedy in strategy_control.unsafe(state, run)
        ],
    }
