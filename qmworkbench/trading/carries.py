"""What is carried into a session: whose it is, and what becomes of a position that nobody runs any more (§8, §14).

Rules:

1. An instance that runs again goes on with what it holds: its exits rest at the broker, its signals and its time limit
   count on (the allocator gives it the symbol back).
2. A position whose instance is not configured any more is an orphan: P1, and a person decides whether its resting
   exits go on alone or it is closed at the open. Until then they protect it.
3. Where nobody attends, an orphan with a stop at the broker keeps it; one without is closed at the open, because
   nothing and nobody would stop its loss.
"""

from typing import Final

from qmworkbench.domain.events.control import DecisionRecorded, DecisionRequired
from qmworkbench.domain.ids import content_id
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading.decision import UNATTENDED, Decision
from qmworkbench.trading.exits import request_exit
from qmworkbench.trading.state import EXTERNAL, State, position_key

KEEP: Final = "keep_resting_exits"
CLOSE: Final = "exit_at_open"


def orphans(state: State) -> list[Position]:
    """Positions of instances that do not run in this session, by key; what was never ours is not among them."""
    runs = state.day.runs
    held = [state.positions[key] for key in sorted(state.positions)]
    return [position for position in held if position.strategy_id not in runs and position.strategy_id != EXTERNAL]


def on_opened(decision: Decision) -> None:
    """Every orphan of the night becomes an alert and a question."""
    for held in orphans(decision.state):
        resting = sorted({str(o.leg) for o in decision.state.exit_legs(held.strategy_id, held.symbol)})
        text = f"{held.symbol}: {held.qty} of {held.strategy_id}, which is not configured any more"
        exits = f"its {' and '.join(resting)} rest at the broker" if resting else "no exit rests at the broker"
        decision.alarm(
            "orphaned_carry",
            position_key(held.strategy_id, held.symbol),
            Priority.P1,
            f"{text}; {exits}",
            f"decide: {KEEP} or {CLOSE}; to have it managed again, configure {held.strategy_id} for the next session",
        )
        question = f"{text}; {exits}. Leave it to them, or close it at the open?"
        decision.emit(
            DecisionRequired(
                at=decision.at, decision_id=_question(decision.state, held), question=question, options=(KEEP, CLOSE)
            )
        )
        if decision.state.day.unattended:
            _by_policy(decision, held)


def _question(state: State, held: Position) -> str:
    return content_id(state.day.session_id, "orphan", held.strategy_id, held.symbol)


def _by_policy(decision: Decision, held: Position) -> None:
    stopped = any(o.leg is Leg.STOP for o in decision.state.exit_legs(held.strategy_id, held.symbol))
    name = _question(decision.state, held)
    decision.emit(
        DecisionRecorded(
            at=decision.at,
            decision_id=name,
            choice=KEEP if stopped else CLOSE,
            by=UNATTENDED,
            reason="nobody attends; its stop rests at the broker"
            if stopped
            else "nobody attends, and nothing stops it",
        )
    )
    decided(decision, name, KEEP if stopped else CLOSE)


def decided(decision: Decision, decision_id: str, choice: str) -> None:
    """Carry out an answer about an orphan; any other decision is not ours."""
    if choice != CLOSE:
        return
    for held in orphans(decision.state):
        if _question(decision.state, held) == decision_id:
            request_exit(decision, held, "flat", f"orphaned: {held.strategy_id} is not configured any more")
