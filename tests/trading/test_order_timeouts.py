"""Orders that work too long: entries cancelled, exits sent to the market, people told (§13)."""

from qmworkbench.domain.events.control import AlertRaised
from qmworkbench.domain.orders import Leg, OrderStyle, OrdStatus, OrdType, TimeInForce
from qmworkbench.domain.sessions import Priority
from tests.trading.test_kernel_rules import entry, events, held, intents, opened
from tests.trading.world import World

SLOW_ENTRY = OrderStyle(
    entry_type=OrdType.LIMIT, entry_time_in_force=TimeInForce.DAY, entry_timeout_s=90, entry_offset_bps=0
)
SLOW_EXIT = OrderStyle(exit_type=OrdType.LIMIT, exit_offset_bps=0, exit_timeout_s=90)


def alarms(world: World) -> list[tuple[str, Priority]]:
    return [(e.alert.kind, e.alert.priority) for e in events(world, AlertRaised)]


def away(world: World, symbol: str = "AAA") -> dict[str, tuple[float, float, float, float]]:
    """A bar well above the market: no buying limit fills, and no stop."""
    px = world.px[symbol] + 1.0
    return {symbol: (px, px, px, px)}


def test_an_entry_that_does_not_fill_in_time_is_cancelled() -> None:
    world = opened(style=SLOW_ENTRY)
    entry(world)
    order = world.state.orders[intents(world, Leg.ENTRY)[0].request.cl_ord_id]
    world.boundary(3, [], away(world))
    assert order.status is OrdStatus.ACCEPTED, "a minute is less than ninety seconds"
    world.tick(31)
    assert order.status is OrdStatus.CANCELED
    assert [o for o in world.exchange.open_orders() if o.leg is Leg.ENTRY] == []


def test_an_entry_without_a_timeout_waits_for_its_time_in_force() -> None:
    world = opened(style=OrderStyle(entry_type=OrdType.LIMIT, entry_time_in_force=TimeInForce.DAY))
    entry(world)
    for number in range(3, 20):
        world.boundary(number, [], away(world))
    assert world.state.orders[intents(world, Leg.ENTRY)[0].request.cl_ord_id].status is OrdStatus.ACCEPTED


def test_a_limit_exit_that_does_not_fill_becomes_an_emergency_exit() -> None:
    world = held(style=SLOW_EXIT)
    qty = world.state.net_qty("AAA")
    world.boundary(4, [world.row("AAA", exit_long=True)])
    assert intents(world, Leg.EXIT)[0].request.ord_type is OrdType.LIMIT
    below = world.px["AAA"] - 0.5
    world.boundary(5, [], {"AAA": (below, below, below, below)})
    assert world.state.net_qty("AAA") == qty, "nobody pays the limit"
    world.tick(31)
    first, second = intents(world, Leg.EXIT)
    assert (second.request.ord_type, second.request.order_qty) == (OrdType.MARKET, qty)
    assert second.attempt == 2
    assert ("emergency_exit", Priority.P1) in alarms(world)
    assert world.state.orders[first.request.cl_ord_id].status is OrdStatus.CANCELED, "never two exits at once"
    world.boundary(6, [])
    assert world.state.net_qty("AAA") == 0
    assert not [a for a in world.state.alerts.values() if a.kind == "emergency_exit"], "it has had its answer"


def test_a_market_exit_that_does_not_fill_in_time_is_told_to_a_person() -> None:
    world = held(style=OrderStyle(exit_timeout_s=30))
    world.boundary(4, [world.row("AAA", exit_long=True)])
    world.tick(31)
    assert ("exit_timeout", Priority.P1) in alarms(world)
    assert len(intents(world, Leg.EXIT)) == 1, "there is nothing faster behind a market order"


def test_time_that_stands_still_times_nothing_out() -> None:
    world = held(style=SLOW_EXIT)
    world.boundary(4, [world.row("AAA", exit_long=True)])
    for _ in range(5):
        world.tick(0)
    assert len(intents(world, Leg.EXIT)) == 1
    assert "emergency_exit" not in [kind for kind, _ in alarms(world)]
