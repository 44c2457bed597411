"""A person's hand on a strategy, an order, a position: what it does, what it is refused for, and that it adds no risk
(§10, §13).
"""

from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.commands import AnyCommand
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import CommandAccepted, CommandReceived, CommandRefused
from qmworkbench.domain.events.market import StrategyFaulted
from qmworkbench.domain.events.orders import CancelRequested, ExecutionReported, OrderIntended, ReplaceRequested
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import control
from tests.trading.halts import Halts, holding, trading
from tests.trading.test_must_halt import stranger
from tests.trading.world import Faults

WHY = {"reason": "as the test says"}


def told(world: Halts, command: AnyCommand) -> str:
    """The effect of a command, or what it was refused for with the remedy."""
    events: list[Event] = world.command(command)
    for event in events:
        if isinstance(event, CommandAccepted):
            return event.effect
        if isinstance(event, CommandRefused):
            return f"refused: {event.reason} / {event.remedy}"
    raise AssertionError("no answer")


def restart(**more: Any) -> commands.RestartStrategy:
    return commands.RestartStrategy(**WHY, strategy_id=more.pop("strategy_id", "test-1"), **more)


def stop() -> commands.StopStrategy:
    return commands.StopStrategy(**WHY, strategy_id="test-1")


def test_every_command_there_is_has_an_answer() -> None:
    assert set(control.ANSWER) == set(AnyCommand.__args__)  # type: ignore[attr-defined]


def test_a_strategy_stops_and_starts_again() -> None:
    world = holding()
    assert told(world, stop()) == "test-1: HALTED – entries blocked, exits running"
    assert told(world, stop()).endswith("already")
    run = world.state.day.runs["test-1"]
    assert (run.state_code, run.state_by, run.state_reason) == ("operator_stop", "tester", "as the test says")
    world.enter("BBB")
    assert len([e for e in world.of(OrderIntended) if e.leg is Leg.ENTRY]) == 1, "no entry while it is stopped"
    assert told(world, restart()) == "test-1: ACTIVE, goes on with AAA"
    world.enter("BBB")
    assert len([e for e in world.of(OrderIntended) if e.leg is Leg.ENTRY]) == 2


def halted(world: Halts) -> None:
    world.command(commands.Pause(**WHY))


def broken(world: Halts) -> None:
    world.survive(StrategyFaulted(at=world.at(), strategy_id="test-1", detail="looked ahead"))


def doubtful(world: Halts) -> None:
    world.command(commands.RestartStrategy(**WHY, strategy_id="test-1"))
    world.faults = Faults(lost_request=1.0, unreachable=1.0)
    world.enter("BBB")
    world.command(stop())


def disowned(world: Halts) -> None:
    world.state.day.assignments.clear()


def unexplained(world: Halts) -> None:
    world.command(restart())
    world.faults = Faults(unreachable=1.0)
    world.survive(ExecutionReported(at=world.at(), report=stranger(world)))
    world.state.halt.causes.clear()
    world.state.halt.state = TradingState.ACTIVE


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (halted, "the book is HALTED – entries blocked, exits running / resume the book first"),
        (broken, "its run has ended (fault: looked ahead) / it runs again in the next session"),
        (doubtful, "in doubt: qm-"),
        (disowned, "it holds AAA, which is not assigned to it any more / reconcile"),
        (unexplained, "nothing has been reconciled since / a comparison was started"),
    ],
)
def test_a_restart_is_refused_while_it_is_unsafe_and_says_why(trouble: Any, said: str) -> None:
    world = holding()
    world.command(stop())
    trouble(world)
    answer = told(world, restart())
    assert answer.startswith("refused: test-1 may not restart: ")
    for part in said.split(" / "):
        assert part in answer


def test_changed_parameters_and_unknown_names_are_refused() -> None:
    world = holding()
    assert "nothing to restart" in told(world, restart())
    assert "one of: test-1" in told(world, restart(strategy_id="nobody"))
    world.command(stop())
    assert "its parameters have changed: approved feed, running" in told(world, restart(params_hash="feed"))
    assert told(world, restart(params_hash="0" * 16)).startswith("test-1: ACTIVE")


def leg(world: Halts, which: Leg) -> str:
    return next(o.cl_ord_id for o in world.state.working() if o.leg is which)


def test_cancelling_a_stop_says_what_is_left_bare() -> None:
    world = holding()
    name = leg(world, Leg.STOP)
    assert "is held without that stop" in told(world, commands.CancelOrder(**WHY, cl_ord_id=name))
    assert "has ended (canceled" in told(world, commands.CancelOrder(**WHY, cl_ord_id=name))
    assert "no order x is in this book" in told(world, commands.CancelOrder(**WHY, cl_ord_id="x"))
    assert name in {event.cl_ord_id for event in world.of(CancelRequested)}


def test_a_replace_moves_an_exit_and_never_adds_risk() -> None:
    world = holding()
    name, qty = leg(world, Leg.STOP), world.state.net_qty("AAA")
    given = {**WHY, "cl_ord_id": name}
    assert "asked to go on with stop 18.50" in told(world, commands.ReplaceOrder(**given, stop_px=Decimal("18.50")))
    assert world.state.orders[name].stop_px == Decimal("18.50")
    assert told(world, commands.ReplaceOrder(**given)).startswith("refused: nothing is to change")
    more = told(world, commands.ReplaceOrder(**given, order_qty=qty * 2))
    assert more.startswith("refused: ")
    assert len(world.of(ReplaceRequested)) == 1


def test_a_position_is_closed_by_its_actual_quantity() -> None:
    world = holding()
    close = commands.ClosePosition(**WHY, strategy_id="test-1", symbol="AAA")
    assert "is being closed" in told(world, close)
    assert "being closed already" in told(world, close)
    world.quiet(2)
    assert not world.exchange.positions()
    assert "test-1 holds no AAA; nobody holds it here" in told(world, close)


def test_what_nobody_here_ordered_can_be_closed_too() -> None:
    world = trading()
    world.exchange.plant_break("CCC", qty_delta=Decimal(7))
    world.command(commands.Reconcile(**WHY))
    assert world.state.position("EXTERNAL", "CCC") is not None
    assert "is held by EXTERNAL" in told(world, commands.ClosePosition(**WHY, strategy_id="test-1", symbol="CCC"))
    assert "7 of EXTERNAL" in told(world, commands.ClosePosition(**WHY, strategy_id="EXTERNAL", symbol="CCC"))
    world.quiet(2)
    assert not world.exchange.positions()


def test_all_of_it_is_on_record_with_who_and_why() -> None:
    world = holding()
    told(world, commands.ClosePosition(reason="enough", strategy_id="test-1", symbol="AAA"))
    given = world.of(CommandReceived)[-1]
    assert (given.operator, given.command.reason) == ("tester", "enough")
    assert "closed by tester: enough" in {event.reason for event in world.of(OrderIntended)}
