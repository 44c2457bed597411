"""Orders for a part of a net position: the net neither forbids nor caps them, nobody else's exits follow them (§13).

A says 100 long, B 150 short, and the account holds 50 short. The same orders without `netted` are the control: there
the net position rules.
"""

import msgspec
import pytest

from qmworkbench.domain.execution import OrderRequest
from qmworkbench.domain.orders import PositionEffect, Side, TimeInForce
from qmworkbench.venue.exchange import OrderRefused
from tests.venue.worlds import World, bracket, dec

FLAT = (100, 101, 99, 100)


class Netted(World):
    """A world in which every order is for a part of the position."""

    netted = True

    def send(self, name: str, side: Side, qty: float | str, **more: object) -> OrderRequest:  # type: ignore[override]
        submit = self.exchange.submit

        def as_part(request: OrderRequest) -> None:
            submit(msgspec.structs.replace(request, netted=self.netted))

        self.exchange.submit = as_part  # type: ignore[method-assign]
        try:
            return super().send(name, side, qty, **more)  # type: ignore[arg-type]
        finally:
            self.exchange.submit = submit  # type: ignore[method-assign]


def opposed(world: World, **legs: object) -> World:
    world.bars(FLAT)
    world.buy("A", 100, legs=bracket("A", **(legs or {"stop": 90, "target": 110, "close": True})))  # type: ignore[arg-type]
    world.bars(FLAT)
    world.sell("B", 150, legs=bracket("B", stop=115, target=95, close=True))
    world.bars(FLAT)
    return world


def open_orders(world: World) -> dict[str, str]:
    return {order.cl_ord_id: str(order.leaves_qty) for order in world.exchange.open_orders()}


def test_a_part_is_opened_against_the_net_and_keeps_its_own_exits() -> None:
    world = opposed(Netted())
    assert world.qty() == -50
    assert open_orders(world) == {
        "A/stop": "100",
        "A/target": "100",
        "A/close": "100",
        "B/stop": "150",
        "B/target": "150",
        "B/close": "150",
    }
    control = opposed(World())
    assert control.qty() == 100, "without it the net position forbids the other side"


def test_an_exit_may_enlarge_the_net_and_a_reduce_only_one_may_not() -> None:
    world = opposed(Netted(), stop=90)
    world.exchange.cancel("A/stop")
    world.close_long("A/exit")
    world.bars(FLAT)
    assert world.qty() == -150
    assert set(open_orders(world)) == {"B/stop", "B/target", "B/close"}
    world.netted = False
    with pytest.raises(OrderRefused, match="would reduce, but the position is"):
        world.close_long("over", 10)
    world.close_short("liquidate", 400)
    world.bars(FLAT)
    assert world.qty() == 0, "the emergency's close is capped by the net, whatever it asks for"


def test_legs_take_from_their_own_siblings_and_from_nobody_else() -> None:
    world = opposed(Netted())
    world.bars((100, 100, 89, 90))
    assert world.fills()[2:] == [(3, "-100", "90"), (3, "+150", "95")], "A's stop and B's target, each in full"
    assert world.qty() == 0
    assert not open_orders(world)


def test_a_gap_exit_leaves_what_waits_for_the_open_to_the_others() -> None:
    world = Netted()
    world.bars(FLAT)
    world.buy("A", 100, legs=bracket("A", stop=90))
    world.bars(FLAT)
    world.sell("B", 150, legs=bracket("B", stop=115))
    world.bars((85, 86, 84, 85))
    assert world.fills()[1:] == [(2, "-100", "85"), (2, "-150", "85")]
    assert set(open_orders(world)) == {"B/stop"}
    control = World()
    control.bars(FLAT)
    control.buy("A", 100, legs=bracket("A", stop=90))
    control.bars(FLAT)
    control.sell("B", 150)
    control.bars((85, 86, 84, 85))
    assert control.why("B") == "exit_at_open"


def test_the_close_trades_each_part_in_full() -> None:
    world = opposed(Netted())
    world.end()
    assert world.qty() == 0
    assert [qty for _, qty, _ in world.fills()[2:]] == ["-100", "+150"]


def test_netted_orders_survive_the_venues_restart(tmp_path: object) -> None:
    world = opposed(Netted(path=f"{tmp_path}/venue.db"))
    world.restart()
    world.bars((100, 100, 89, 90))
    assert world.qty() == 0


def test_a_netted_order_is_checked_like_any_other() -> None:
    world = Netted()
    world.bars(FLAT)
    with pytest.raises(OrderRefused, match="quantity"):
        world.close_long("none", "0")
    with pytest.raises(OrderRefused, match="multiple"):
        world.send("half", Side.SELL, "0.5", effect=PositionEffect.CLOSE, tif=TimeInForce.DAY)
    assert world.qty() == dec(0)
