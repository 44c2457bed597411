"""Bracket legs: held, woken, sized, cancelled together; and resting orders outside brackets."""

from decimal import Decimal as D

import pytest

from qmworkbench.domain.execution import BrokerOrder
from qmworkbench.domain.orders import Leg, OrdStatus, Side, TimeInForce
from tests.venue.worlds import World, bracket, terms

DAY, GTC = TimeInForce.DAY, TimeInForce.GTC


def lines(world: World, *names: str) -> list[tuple[str, str, str, str]]:
    """What was said of some orders: id, what, order quantity, reason."""
    return [
        (said.cl_ord_id, said.exec_type.value, f"{said.order_qty:f}", said.reason)
        for said in world.said()
        if said.cl_ord_id in names
    ]


def known(world: World, name: str) -> BrokerOrder:
    found, _ = world.exchange.order(name)
    assert found is not None
    return found


@pytest.fixture
def world() -> World:
    world = World()
    world.bars((100, 100, 100, 100))
    return world


class TestTheLifeOfALeg:
    def test_held_legs_are_known_but_not_working(self, world: World) -> None:
        world.buy("in", legs=bracket("in", stop=95, target=110))
        assert [order.cl_ord_id for order in world.exchange.open_orders()] == ["in"]
        stop = known(world, "in/stop")
        assert (stop.ord_status, stop.leaves_qty, stop.parent_id, stop.leg) == (OrdStatus.ACCEPTED, 0, "in", Leg.STOP)

    def test_the_entrys_fill_wakes_them_in_its_size(self, world: World) -> None:
        world.buy("in", legs=bracket("in", stop=95, target=110, close=True))
        world.bars((100, 101, 99, 100))
        assert lines(world, "in", "in/stop", "in/target", "in/close") == [
            ("in", "new", "100", ""),
            ("in", "trade", "100", ""),
            ("in/stop", "new", "100", ""),
            ("in/target", "new", "100", ""),
            ("in/close", "new", "100", ""),
        ]
        assert all(said.parent_id == "in" for said in world.said() if "/" in said.cl_ord_id)
        assert [order.leaves_qty for order in world.exchange.open_orders()] == [D(100)] * 3

    def test_an_unfilled_entry_takes_its_legs_along(self, world: World) -> None:
        world.buy("in", limit=90, tif=DAY, legs=bracket("in", stop=85, target=110))
        world.exchange.cancel("in")
        assert lines(world, "in", "in/stop", "in/target")[1:] == [
            ("in", "canceled", "100", "requested"),
            ("in/stop", "canceled", "100", "entry_not_filled"),
            ("in/target", "canceled", "100", "entry_not_filled"),
        ]

    def test_further_fills_of_the_entry_enlarge_them(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, tif=DAY, legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100, 300), (100, 100, 100, 100, 300))
        assert lines(world, "in/stop") == [
            ("in/stop", "new", "30", ""),
            ("in/stop", "restated", "60", "follows_position"),
        ]

    def test_a_partly_filled_entry_that_is_canceled_keeps_its_legs(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, tif=DAY, legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100, 300))
        world.exchange.cancel("in")
        assert known(world, "in").cum_qty == 30
        world.bars((94, 94, 94, 94))
        assert world.fills() == [(1, "+30", "100"), (2, "-30", "94")]

    def test_an_exit_that_begins_ends_the_rest_of_its_entry(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, tif=DAY, legs=bracket("in", stop=95))
        world.bars((100, 100, 94, 95, 300), (96, 96, 96, 96))
        assert world.fills() == [(1, "+30", "100"), (1, "-30", "95")]
        assert world.why("in") == "exit_started"

    def test_a_partial_exit_shrinks_its_siblings(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, legs=bracket("in", stop=95, target=110))
        world.bars((100, 100, 100, 100, 5000), (100, 111, 100, 109, 400))
        assert known(world, "in/stop").leaves_qty == 60
        world.bars((94, 94, 94, 94, 5000))
        assert world.fills() == [(1, "+100", "100"), (2, "-40", "110"), (3, "-60", "94")]
        assert (known(world, "in/target").cum_qty, world.why("in/target")) == (D(40), "oco")

    def test_one_leg_can_be_canceled_alone(self, world: World) -> None:
        world.buy("in", legs=bracket("in", stop=95, target=110))
        world.bars((100, 100, 100, 100))
        world.exchange.cancel("in/target")
        world.bars((100, 115, 94, 100))
        assert world.fills() == [(1, "+100", "100"), (2, "-100", "95")]

    def test_a_held_leg_that_is_canceled_never_wakes(self, world: World) -> None:
        world.buy("in", legs=bracket("in", stop=95, target=110))
        world.exchange.cancel("in/stop")
        world.bars((100, 100, 94, 100))
        assert [order.cl_ord_id for order in world.exchange.open_orders()] == ["in/target"]

    def test_the_level_of_a_trailing_leg_is_shown_where_it_stands(self, world: World) -> None:
        world.buy("in", legs=bracket("in", trail=500))
        world.bars((100, 120, 100, 120))
        assert known(world, "in/stop").stop_px == D(114)


class TestManualCloses:
    def test_legs_follow_a_partial_close(self, world: World) -> None:
        world.buy("in", legs=bracket("in", stop=95, target=110))
        world.bars((100, 100, 100, 100))
        world.close_long("out", 40)
        world.bars((101, 101, 101, 101))
        assert lines(world, "in/stop")[-1] == ("in/stop", "restated", "60", "follows_position")
        world.bars((94, 94, 94, 94))
        assert world.fills() == [(1, "+100", "100"), (2, "-40", "101"), (3, "-60", "94")]

    def test_flat_cancels_them(self, world: World) -> None:
        world.buy("in", legs=bracket("in", stop=95, target=110))
        world.bars((100, 100, 100, 100))
        world.close_long("out", 100)
        world.bars((101, 101, 101, 101))
        assert list(world.exchange.open_orders()) == []
        assert world.why("in/stop") == world.why("in/target") == "follows_position"

    def test_a_close_ends_an_entry_that_still_works(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100, tif=DAY, legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100, 300))
        world.close_long("out", 30)
        world.bars((101, 101, 101, 101, 5000))
        assert world.qty() == 0
        assert list(world.exchange.open_orders()) == []
        assert world.why("in") == "exit_started"

    def test_the_oldest_entrys_legs_shrink_first(self, world: World) -> None:
        world.buy("one", legs=bracket("one", stop=95))
        world.bars((100, 100, 100, 100))
        world.buy("two", legs=bracket("two", stop=90))
        world.bars((100, 100, 100, 100))
        world.close_long("out", 130)
        world.bars((100, 100, 100, 100))
        assert [(order.cl_ord_id, order.leaves_qty) for order in world.exchange.open_orders()] == [("two/stop", D(70))]

    def test_shares_without_legs_are_closed_before_any_leg_shrinks(self, world: World) -> None:
        world.buy("bare")
        world.buy("in", legs=bracket("in", stop=95))
        world.bars((100, 100, 100, 100))
        world.close_long("out", 100)
        world.bars((100, 100, 100, 100))
        assert [(order.cl_ord_id, order.leaves_qty) for order in world.exchange.open_orders()] == [("in/stop", D(100))]

    def test_two_brackets_exit_each_for_itself(self, world: World) -> None:
        world.buy("one", legs=bracket("one", stop=95))
        world.bars((100, 100, 100, 100))
        world.buy("two", legs=bracket("two", stop=90))
        world.bars((100, 100, 100, 100), (96, 96, 94, 95), (95, 95, 89, 90))
        assert world.fills()[2:] == [(3, "-100", "95"), (4, "-100", "90")]


class TestRestingOrders:
    """Limits and stops outside brackets."""

    @pytest.mark.parametrize(
        ("side", "terms_", "bar", "fill"),
        [
            (Side.BUY, {"limit": 99}, (100, 101, 99, 100), (1, "+100", "99")),
            (Side.BUY, {"limit": 99}, (98, 99, 97, 98), (1, "+100", "98")),
            (Side.BUY, {"limit": 99}, (100, 101, 99.01, 100), None),
            (Side.SELL, {"limit": 101}, (100, 101, 99, 100), (1, "-100", "101")),
            (Side.SELL, {"limit": 101}, (103, 104, 102, 103), (1, "-100", "103")),
            (Side.BUY, {"stop": 101}, (100, 101, 99, 100), (1, "+100", "101")),
            (Side.BUY, {"stop": 101}, (103, 104, 102, 103), (1, "+100", "103")),
            (Side.BUY, {"stop": 101}, (100, 100.99, 99, 100), None),
            (Side.SELL, {"stop": 99}, (100, 101, 99, 100), (1, "-100", "99")),
            (Side.SELL, {"stop": 99}, (98, 99, 97, 98), (1, "-100", "98")),
        ],
    )
    def test_an_entry(
        self,
        world: World,
        side: Side,
        terms_: dict[str, float],
        bar: tuple[float, ...],
        fill: tuple[int, str, str] | None,
    ) -> None:
        world.send("in", side, 100, tif=DAY, **terms_)
        world.bars(bar)
        assert world.fills() == ([] if fill is None else [fill])

    def test_an_exit_stop_and_an_exit_limit(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        world.close_long("stop", stop=95)
        world.close_long("limit", limit=110)
        world.bars((100, 111, 94, 100))
        assert world.fills() == [(1, "+100", "100"), (2, "-100", "95")]
        assert world.why("limit") == "nothing_to_reduce"

    def test_a_trailing_exit_starts_from_the_last_print(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        world.close_long("trail", trail=500)
        world.bars((100, 120, 100, 119), (119, 119, 113, 114))
        assert world.fills() == [(1, "+100", "100"), (3, "-100", "114")]

    def test_good_for_one_match_only(self, world: World) -> None:
        world.buy("in", limit=99)
        world.bars((100, 100, 98, 99))
        assert world.fills() == []
        assert world.why("in") == "not_marketable"

    def test_a_stop_entry_may_be_stopped_out_and_reach_its_target_on_its_bar(self, world: World) -> None:
        world.buy("up", stop=101, tif=DAY, legs=bracket("up", target=110))
        world.bars((100, 111, 100, 105))
        assert world.fills() == [(1, "+100", "101"), (1, "-100", "110")]

    def test_what_the_bar_cannot_tell_is_resolved_against_us(self, world: World) -> None:
        """A limit entry within the bar: its stop counts, its target does not, for the high may have come before."""
        world.buy("dip", limit=98, tif=DAY, legs=bracket("dip", target=105))
        world.bars((100, 106, 97, 104))
        assert world.fills() == [(1, "+100", "98")]
        world.bars((104, 106, 103, 104))
        assert world.fills() == [(1, "+100", "98"), (2, "-100", "105")]

    def test_the_same_dip_further_down(self, world: World) -> None:
        world.buy("dip", limit=98, tif=DAY, legs=bracket("dip", stop=96, target=105))
        world.bars((100, 106, 95, 104))
        assert world.fills() == [(1, "+100", "98"), (1, "-100", "96")]

    def test_a_dip_does_not_raise_its_trailing_stop_with_a_high_that_may_have_come_before(self, world: World) -> None:
        world.buy("dip", limit=98, tif=DAY, legs=bracket("dip", trail=500))
        world.bars((100, 110, 98, 99), (99, 99, 95, 96))
        assert world.fills() == [(1, "+100", "98")]

    def test_levels_on_the_wrong_side_of_a_stop_entry(self, world: World) -> None:
        world.buy("up", stop=101, tif=DAY, legs=bracket("up", stop=101))
        world.bars((100, 102, 100, 102))
        assert world.fills() == []
        assert world.why("up") == "stop_on_wrong_side"

    def test_a_gap_exit_cancels_resting_entries_and_keeps_resting_exits_for_what_is_left(self) -> None:
        world = World(model=terms(participation=D("0.1")))
        world.bars((100, 100, 100, 100))
        world.buy("in", 100)
        world.bars((100, 100, 100, 100, 5000))
        world.close_long("stop", 60, stop=95)
        world.close_long("deep", 40, stop=80)
        world.buy("dip", 10, limit=85, tif=DAY)
        world.bars((94, 94, 94, 94, 300))
        assert [order.cl_ord_id for order in world.exchange.open_orders()] == ["stop", "deep"]
        assert world.why("dip") == "exit_at_open"
        assert world.fills()[1:] == [(2, "-30", "94")]
