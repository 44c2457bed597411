"""Positions over the night: expected, adopted, protected, and never orphaned in silence (§8, §14)."""

from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.control import AlertRaised, DecisionRecorded, DecisionRequired
from qmworkbench.domain.events.market import AssignmentDeclined, AssignmentMade
from qmworkbench.domain.events.orders import TradeClosed
from qmworkbench.domain.events.reconciliation import BreakFound
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.sessions import Phase, Priority
from qmworkbench.trading.holdings import unsound
from tests.trading.test_kernel_world import BUSY, check_exits
from tests.trading.world import World

PAIR = "GBPUSD"


def events(world: World, kind: type[Any]) -> list[Any]:
    return [e for e in map(decode, world.journal) if isinstance(e, kind)]


def carried(*, stop: bool = True, max_hold_bars: int | None = None, **kwargs: Any) -> World:
    """One day at whose end an instance holds the first symbol; nothing has happened since its close."""
    world = World(flat_policy="carry", boundaries=6, limits=kwargs.pop("limits", BUSY), **kwargs)
    world.open()
    world.boundary(1, [])
    symbol = symbol_of(world)
    px = Decimal(str(world.px[symbol]))
    stop_px = round(px * Decimal("0.9"), 2) if stop else None
    wanted = world.row(symbol, entry_long=True, stop_px=stop_px, max_hold_bars=max_hold_bars)
    world.boundary(2, [wanted], still(world))
    for number in range(3, 7):
        world.boundary(number, [], still(world))
    world.close()
    assert world.state.day.phase is Phase.CLOSED
    assert world.state.net_qty(symbol) > 0
    return world


def symbol_of(world: World) -> str:
    return PAIR if world.shared else "AAA"


def still(world: World) -> dict[str, Any]:
    px = world.px[symbol_of(world)]
    return {symbol_of(world): (px, px, px, px)}


@pytest.mark.parametrize("shared", [False, True])
def test_a_carry_is_expected_adopted_and_exits_by_its_own_signal(shared: bool) -> None:
    world = carried(shared=shared)
    symbol, before = symbol_of(world), len(world.journal)
    assert [o.leg for o in world.exchange.open_orders()] == [Leg.STOP], "it rests over the night"
    world.open_again()
    assert not [e for e in map(decode, world.journal[before:]) if isinstance(e, BreakFound | AlertRaised)]
    assert world.state.day.phase is Phase.MARKET_SESSION
    world.boundary(1, [], still(world))
    made = [e for e in map(decode, world.journal[before:]) if isinstance(e, AssignmentMade) and e.symbol == symbol]
    assert [e.strategy_id for e in made] == ["test-1"]
    assert "held from an earlier session" in made[0].reason
    assert world.state.day.watchlist[symbol].state == "entered"
    world.boundary(2, [world.row(symbol, exit_long=True)], still(world))
    world.boundary(3, [], still(world))
    assert world.state.net_qty(symbol) == 0
    assert events(world, TradeClosed)[-1].bars_held == 4 + 2, "bars of both days"
    assert not unsound(world.state)


def test_a_time_limit_counts_on_over_the_night() -> None:
    world = carried(max_hold_bars=6)
    world.open_again()
    world.boundary(1, [], still(world))
    world.boundary(2, [], still(world))
    world.boundary(3, [], still(world))
    assert world.state.net_qty("AAA") == 0
    assert "the limit is 6" in events(world, TradeClosed)[-1].exit_reason


def test_the_stop_of_the_first_day_ends_the_trade_of_the_second() -> None:
    world = carried()
    world.open_again()
    world.boundary(1, [], {"AAA": (15.0, 15.0, 15.0, 15.0)})
    assert [e.exit_reason for e in events(world, TradeClosed)] == ["stop"]
    assert not world.state.positions


def test_an_exit_wanted_at_the_last_bar_waits_protected_for_the_next_open() -> None:
    world = World(flat_policy="carry", boundaries=6, limits=BUSY)
    world.open()
    world.boundary(1, [])
    px = Decimal(str(world.px["AAA"]))
    world.boundary(2, [world.row("AAA", entry_long=True, stop_px=round(px * Decimal("0.9"), 2))], still(world))
    for number in range(3, 6):
        world.boundary(number, [], still(world))
    world.boundary(6, [world.row("AAA", exit_long=True)], still(world))
    assert [o.leg for o in world.exchange.open_orders()] == [Leg.STOP], "no bar is left to get out at"
    world.close()
    assert world.state.position("test-1", "AAA") is not None
    world.open_again()
    assert {o.leg for o in world.exchange.open_orders()} == {Leg.EXIT}
    world.boundary(1, [], still(world))
    assert not world.state.positions
    assert not unsound(world.state)


def test_nobody_else_gets_what_is_carried_where_a_symbol_has_one_owner() -> None:
    world = carried(strategies=("b-first", "test-2"))
    world.strategies = ("a-new", "b-first")
    world.open_again()
    world.boundary(1, [], still(world))
    assert world.state.day.owners["AAA"] == ["b-first"], "the new one comes first in the configuration, and too late"


@pytest.mark.parametrize(("stop", "choice"), [(True, "keep_resting_exits"), (False, "exit_at_open")])
def test_an_orphan_is_loud_and_protected_where_nobody_attends(stop: bool, choice: str) -> None:
    world = carried(stop=stop)
    world.strategies = ("other-1",)
    before = len(world.journal)
    world.open_again()
    said = [decode(line) for line in world.journal[before:]]
    (alert,) = [e.alert for e in said if isinstance(e, AlertRaised)]
    assert (alert.kind, alert.priority, "test-1" in alert.text) == ("orphaned_carry", Priority.P1, True)
    (recorded,) = [e for e in said if isinstance(e, DecisionRecorded)]
    assert (recorded.choice, recorded.by) == (choice, "policy:unattended")
    world.boundary(1, [], still(world))
    assert (world.state.net_qty("AAA") > 0) is stop
    if stop:
        assert "test-1 holds it" in events(world, AssignmentDeclined)[-1].reason
        world.boundary(2, [], {"AAA": (15.0, 15.0, 15.0, 15.0)})
    assert not world.state.positions
    assert events(world, TradeClosed)[-1].exit_reason == (
        "stop" if stop else "orphaned: test-1 is not configured any more"
    )


def test_a_person_decides_about_an_orphan_and_it_is_closed_at_the_open() -> None:
    world = carried()
    world.strategies, world.unattended = ("other-1",), False
    world.open_again()
    (question,) = list(world.state.day.decisions.values())
    assert question.options == ("keep_resting_exits", "exit_at_open")
    assert len(events(world, DecisionRequired)) == 1
    world.boundary(1, [], still(world))
    assert world.state.net_qty("AAA") > 0, "never without the person"
    world.command(commands.Decide(reason="not ours", decision_id=question.decision_id, choice="exit_at_open"))
    world.boundary(2, [], still(world))
    assert not world.state.positions
    assert not world.exchange.open_orders()


@pytest.mark.parametrize("seed", range(4))
def test_days_of_carries_against_each_other_stay_in_balance(seed: int) -> None:
    world = World(seed=seed, shared=True, strategies=("a", "b", "c"), limits=BUSY, boundaries=12, flat_policy="carry")
    world.run()
    overnight = dict(world.state.net)
    assert overnight, "something is carried"
    world.open_again()
    for number in range(1, 13):
        world.boundary(number)
        assert not unsound(world.state)
    world.close()
    check_exits(world)
    assert not events(world, BreakFound)
    assert {p.symbol: p.qty for p in world.exchange.positions()} == {s: n.qty for s, n in world.state.net.items()}
