"""A strategy that breaks its contract ends with its reason, and takes nobody along (§9, M: a run reaches RUN_ENDED)."""

from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.control import AlertRaised
from qmworkbench.domain.events.market import AssignmentEnded, StrategyFaulted
from qmworkbench.domain.events.orders import CancelRequested, OrderIntended, TradeClosed
from qmworkbench.domain.events.session import RunEnded
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.frame_computer import request_for
from qmworkbench.trading.holdings import unsound
from tests.trading.test_kernel_world import BUSY, check_exits, check_invariants
from tests.trading.world import Faults, World

BAD, GOOD = "a-bad", "b-good"
PROBLEMS = [
    "raised ZeroDivisionError: division by zero",
    "entry_long is null in 3 of 9 rows",
    "answered 8 rows for 9",
    "answered for GME, which it does not own",
    "range_bars = 0: give a whole number from 1 to 120",
]


def events(world: World, kind: type[Any]) -> list[Any]:
    return [e for e in map(decode, world.journal) if isinstance(e, kind)]


def symbol_of(world: World) -> str:
    return "GBPUSD" if world.shared else "AAA"


def trading(shared: bool, policy: str = "at_close") -> World:
    """Both hold something; the bad one has an entry under way as well."""
    world = World(shared=shared, strategies=(BAD, GOOD), limits=BUSY, flat_policy=policy, boundaries=12)
    world.open()
    world.boundary(1, [])
    owners = world.state.day.owners
    for name in (BAD, GOOD):
        mine = next(s for s in world.symbols if name in owners[s])
        world.boundary(world.state.day.boundary + 1, [world.row(mine, name, entry_long=True)])
    pending = [s for s in world.symbols if BAD in owners[s]][1]
    world.boundary(world.state.day.boundary + 1, [world.row(pending, BAD, entry_long=True)])
    assert world.state.open_entries
    return world


def fault(world: World, detail: str = PROBLEMS[0]) -> None:
    world.survive(StrategyFaulted(at=world.at(), strategy_id=BAD, detail=detail))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_its_run_ends_with_the_reason_and_the_others_go_on(shared: bool, problem: str) -> None:
    world = trading(shared)
    held = [p.symbol for p in world.state.positions.values() if p.strategy_id == BAD]
    fault(world, problem)
    (ended,) = events(world, RunEnded)
    assert (ended.strategy_id, ended.reason) == (BAD, f"fault: {problem}")
    assert not world.state.open_entries, "its entries are cancelled"
    assert {"entries are blocked"} == {e.reason for e in events(world, CancelRequested)}
    legs = [o.leg for s in held for o in world.state.exit_legs(BAD, s)]
    assert held
    assert set(legs) == {Leg.CLOSE}, "its position keeps what rests at the broker"
    (alert,) = [e.alert for e in events(world, AlertRaised)]
    assert (alert.kind, alert.priority) == ("strategy_fault", Priority.P1)
    assert problem in alert.text
    assert not [pair for pair in request_for(world.state).owned if pair[0] == BAD], "it is not asked again"
    world.boundary(world.state.day.boundary + 1, [])
    free = [s for s in world.symbols if BAD not in world.state.day.owners.get(s, [])]
    assert set(free) == set(world.symbols) - set(held), "what it does not hold is for others"
    before = len(events(world, OrderIntended))
    another = next(s for s in free if world.state.position(GOOD, s) is None)
    world.boundary(world.state.day.boundary + 1, [world.row(another, GOOD, entry_long=True)])
    assert len(events(world, OrderIntended)) == before + 1, "the other one enters"
    world.close()
    check_invariants(world)
    assert not world.state.positions, "flat by policy"
    assert {e.exit_leg for e in events(world, TradeClosed) if e.strategy_id == BAD} == {Leg.CLOSE}
    assert sorted(e.strategy_id for e in events(world, RunEnded)) == [BAD, GOOD]


def test_where_a_symbol_has_one_owner_the_next_instance_gets_it() -> None:
    world = trading(shared=False)
    lost = [s for s, names in world.state.day.owners.items() if names == [BAD]]
    held = [p.symbol for p in world.state.positions.values() if p.strategy_id == BAD]
    fault(world)
    world.boundary(world.state.day.boundary + 1, [])
    assert [world.state.day.owners[s] for s in lost if s not in held] == [[GOOD]] * (len(lost) - len(held))
    assert all("has ended" in e.reason for e in events(world, AssignmentEnded))


def test_a_fault_twice_or_of_nobody_is_one_fault() -> None:
    world = trading(shared=True)
    fault(world)
    fault(world)
    world.survive(StrategyFaulted(at=world.at(), strategy_id="nobody", detail="?"))
    assert len(events(world, RunEnded)) == 1


@pytest.mark.parametrize("seed", range(10))
def test_days_on_which_everything_goes_wrong_keep_every_invariant(seed: int) -> None:
    """Opposing instances with crashes and lost answers; one breaks its contract, one is stopped; now and then an
    emergency. Two days, one book.
    """
    faults = Faults(lost_request=0.03, lost_ack=0.03, refused=0.03, unreachable=0.03, crash=0.005)
    world = World(
        seed=3000 + seed, shared=True, strategies=("a", "b", "c", "d"), limits=BUSY, boundaries=14, faults=faults
    )
    for day in range(2):
        world.open() if day == 0 else world.open_again()
        for number in range(1, world.boundaries + 1):
            world.boundary(number)
            world.tick(6)
            assert not unsound(world.state)
            if number == 5:
                world.survive(StrategyFaulted(at=world.at(), strategy_id="a", detail=PROBLEMS[seed % 5]))
            if number == 8:
                world.command(commands.StopStrategy(reason="odd", strategy_id="b"))
            if number == 10 and day == 1 and seed % 2:
                world.command(commands.EmergencyLiquidateAndHalt(reason="out"))
        world.close()
    if seed % 2:
        assert world.state.halt.state is TradingState.HALTED
        assert not world.state.positions
        assert not world.exchange.positions()
    runs = [(e.run_id, e.strategy_id) for e in events(world, RunEnded)]
    assert len(runs) == len(set(runs)) == 8
    assert {p.symbol: p.qty for p in world.exchange.positions()} == {s: n.qty for s, n in world.state.net.items()}
    assert abs(world.exchange.account().realized_pnl - world.state.day.net_realized_pnl) < Decimal("0.01")
    check_exits(world)
    intended = [e.request.cl_ord_id for e in events(world, OrderIntended)]
    assert len(intended) == len(set(intended)), "nothing is intended twice"
