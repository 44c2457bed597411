"""A strategy's own halt goes into the next session, as the book's does (§10, DESIGN "Order, risk and halt rules")."""

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.market import StrategyFaulted
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import Run, encode_state
from tests.trading.world import World


def next_day(world: World) -> Run:
    """Close the day and open the next one; the run of its first strategy."""
    world.close()
    world.open_again()
    return world.state.day.runs[world.strategies[0]]


def stopped(code: str, *, unattended: bool) -> Run:
    world = World(seed=1, unattended=unattended)
    world.open()
    run = world.state.day.runs[world.strategies[0]]
    run.state, run.state_code, run.state_reason, run.state_by = TradingState.REDUCING, code, "why", "oms"
    return next_day(world)


def test_what_a_person_stopped_stays_stopped_the_next_day_and_the_journal_says_so() -> None:
    world = World(seed=1)
    world.open()
    world.command(commands.StopStrategy(reason="it buys too late", strategy_id=world.strategies[0]))
    run = next_day(world)
    assert (run.state, run.state_code) == (TradingState.REDUCING, "operator_stop")
    assert (run.state_reason, run.state_by, run.ended) == ("it buys too late", "tester", False)
    assert encode_state(fold(decode(line) for line in world.journal)) == encode_state(world.state)


def test_the_next_day_a_person_restarts_it() -> None:
    world = World(seed=1)
    world.open()
    world.command(commands.StopStrategy(reason="it buys too late", strategy_id=world.strategies[0]))
    next_day(world)
    world.command(commands.RestartStrategy(reason="mended", strategy_id=world.strategies[0]))
    assert world.state.day.runs[world.strategies[0]].state is TradingState.ACTIVE


def test_a_fault_ended_with_its_run() -> None:
    world = World(seed=1)
    world.open()
    world.survive(StrategyFaulted(at=world.at(), strategy_id=world.strategies[0], detail="no such column"))
    assert next_day(world).state is TradingState.ACTIVE


@pytest.mark.parametrize(
    ("code", "unattended", "after"),
    [
        ("contradiction.over_fill", True, TradingState.REDUCING),
        ("contradiction.over_fill", False, TradingState.REDUCING),
        ("repeated_rejection", True, TradingState.ACTIVE),
        ("repeated_rejection", False, TradingState.REDUCING),
    ],
)
def test_what_ends_with_the_day_where_nobody_attends(code: str, unattended: bool, after: TradingState) -> None:
    assert stopped(code, unattended=unattended).state is after
