"""Who gets a candidate: eligibility, the nearest end of a window, room, and giving back (§9)."""

from decimal import Decimal
from typing import Any

import msgspec

from qmworkbench.domain.events import decode
from qmworkbench.domain.events.market import AssignmentDeclined, AssignmentEnded, AssignmentMade
from qmworkbench.domain.events.session import SessionOpened
from qmworkbench.domain.limits import Limits
from tests.trading.world import World


def world_with(*runs: dict[str, Any], boundaries: int = 30) -> World:
    """A trading session with these instances, each a variation of the test strategy."""
    world = World(boundaries=boundaries, limits=Limits(entry_cutoff_min=1))
    feed = world.feed

    def with_runs(given: Any) -> Any:
        if isinstance(given, SessionOpened):
            spec = given.runs[0]
            given = msgspec.structs.replace(given, runs=tuple(msgspec.structs.replace(spec, **r) for r in runs))
        return feed(given)

    world.feed = with_runs  # type: ignore[method-assign]
    world.open()
    return world


def owners(world: World) -> dict[str, str]:
    return {symbol: ", ".join(names) for symbol, names in world.state.day.owners.items()}


def events(world: World, kind: type[Any]) -> list[Any]:
    return [e for e in map(decode, world.journal) if isinstance(e, kind)]


def test_the_window_that_closes_soonest_is_served_first() -> None:
    world = world_with(
        {"strategy_id": "a-all-day"}, {"strategy_id": "b-morning", "entry_until_bar": 5, "max_symbols": 2}
    )
    world.boundary(1, [])
    assert owners(world) == {"AAA": "b-morning", "BBB": "b-morning", "CCC": "a-all-day", "DDD": "a-all-day"}
    assert "room" in events(world, AssignmentMade)[0].reason


def test_an_owner_whose_window_has_closed_gives_back_what_it_does_not_hold() -> None:
    world = world_with(
        {"strategy_id": "a-all-day", "max_symbols": 3}, {"strategy_id": "b-morning", "entry_until_bar": 2}
    )
    world.boundary(1, [])
    row = msgspec.structs.replace(world.row("AAA", entry_long=True), strategy_id="b-morning")
    world.boundary(2, [row])
    world.boundary(3, [])
    assert set(owners(world).values()) == {"b-morning"}, "bar 2 closes at boundary 3: it may still enter"
    world.boundary(4, [])
    assert owners(world)["AAA"] == "b-morning", "held, so it keeps its exits"
    assert {s: o for s, o in owners(world).items() if s != "AAA"} == dict.fromkeys(("BBB", "CCC", "DDD"), "a-all-day")
    assert all("window" in e.reason for e in events(world, AssignmentEnded))


def test_what_nobody_can_take_is_declined_once_with_every_reason() -> None:
    world = world_with({"strategy_id": "a", "max_symbols": 1}, {"strategy_id": "b", "symbols": ("AAA",)})
    world.boundary(1, [])
    world.boundary(2, [])
    declined = events(world, AssignmentDeclined)
    assert sorted(e.symbol for e in declined) == ["BBB", "CCC", "DDD"], "once each, not every minute"
    assert all("a: it owns 1 symbols already" in e.reason for e in declined)
    assert all("not on its list" in e.reason for e in declined)


def test_a_budget_is_the_least_of_share_and_limits() -> None:
    world = world_with({"strategy_id": "a", "budget_pct": Decimal(50)})
    world.boundary(1, [])
    assert world.state.day.assignments["a|AAA"].budget == Decimal(10_000), "max_position_notional is the least here"
