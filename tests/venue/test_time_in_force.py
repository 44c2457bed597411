"""How long orders work, by type and time in force; and the least an order may be for."""

from datetime import timedelta
from decimal import Decimal as D

import msgspec
import pytest

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.instruments import us_equity
from qmworkbench.domain.orders import TimeInForce
from qmworkbench.venue.orders import OrderRefused
from tests.venue.worlds import OPEN, World, terms

DAY, GTC, IOC = TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC
FLAT = (100, 100, 100, 100)
# Prices by type: what rests below the market for a buyer, and a bar that sets it off.
TYPES: dict[str, tuple[dict[str, float], tuple[float, ...]]] = {
    "market": ({}, FLAT),
    "limit": ({"limit": 95}, (95, 95, 95, 95)),
    "stop": ({"stop": 105}, (105, 105, 105, 105)),
    "stop_limit": ({"stop": 105, "limit": 106}, (105, 105, 105, 105)),
}
RESTING = [kind for kind in TYPES if kind != "market"]


@pytest.fixture
def world() -> World:
    world = World()
    world.bars(FLAT)
    return world


def next_session(world: World) -> None:
    world.end()
    world.minute += 24 * 60
    world.exchange.open_session("next", OPEN + timedelta(minutes=world.minute))


@pytest.mark.parametrize("kind", RESTING)
@pytest.mark.parametrize("exits", [False, True])
def test_day_orders_end_with_the_session(world: World, kind: str, exits: bool) -> None:
    prices, bar = TYPES[kind]
    if exits:
        world.sell("held", 100)
    world.bars(FLAT)
    (world.close_short if exits else world.buy)("x", 100, **{**prices, "tif": DAY})
    world.bars(FLAT)
    next_session(world)
    assert (world.said("x")[-1].exec_type, world.why("x")) == (ExecType.EXPIRED, "session_over")
    world.bars(bar)
    assert world.qty() == (-100 if exits else 0)


@pytest.mark.parametrize("kind", RESTING)
@pytest.mark.parametrize("exits", [False, True])
def test_orders_good_till_cancelled_go_on_in_the_next(world: World, kind: str, exits: bool) -> None:
    prices, bar = TYPES[kind]
    if exits:
        world.sell("held", 100)
    world.bars(FLAT)
    (world.close_short if exits else world.buy)("x", 100, **{**prices, "tif": GTC})
    world.bars(FLAT)
    next_session(world)
    world.bars(bar)
    assert world.qty() == (0 if exits else 100)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("exits", [False, True])
def test_immediate_or_cancel_has_the_next_open_and_no_more(world: World, kind: str, exits: bool) -> None:
    prices, bar = TYPES[kind]
    if exits:
        world.sell("held", 200)
    world.bars(FLAT)
    close = world.close_short if exits else world.buy
    close("now", 100, **{**prices, "tif": IOC})
    world.bars(bar)
    assert world.said("now")[-1].exec_type is ExecType.TRADE
    if kind != "market":
        close("later", 100, **{**prices, "tif": IOC})
        world.bars((100, 106, 94, 100))  # its level lies in the range, and the open is all it has
        assert world.why("later") == "not_marketable"


@pytest.mark.parametrize("kind", TYPES)
def test_what_the_cap_leaves_of_it_is_dropped(kind: str) -> None:
    world = World(model=terms(participation=D("0.1")))
    world.bars(FLAT)
    prices, bar = TYPES[kind]
    world.buy("now", 100, tif=IOC, **prices)
    world.bars((*bar, 300))
    assert (world.qty(), world.why("now")) == (D(30), "unfilled_remainder")
    assert world.exchange.open_orders() == []


class TestTheLeast:
    WORTH = msgspec.structs.replace(us_equity("AAA"), min_notional=D(500))

    def test_an_entry_is_worth(self) -> None:
        world = World(instruments=[self.WORTH])
        world.bars(FLAT)
        with pytest.raises(
            OrderRefused, match=r"^notional_below_minimum: 4 AAA at 100\.0* is 400\.0* USD: at least 500"
        ):
            world.buy("a", 4)
        with pytest.raises(OrderRefused, match="notional_below_minimum"):
            world.buy("a", 5, limit=99, tif=DAY)
        world.buy("a", 5)
        world.bars(FLAT)
        assert world.replace("b", "a", 4).reason == "already_ended"

    def test_a_replacement_too(self) -> None:
        world = World(instruments=[self.WORTH])
        world.bars(FLAT)
        world.buy("a", 10, limit=90, tif=DAY)
        assert world.replace("b", "a", 5).reason == "notional_below_minimum"

    def test_an_exit_may_be_for_less(self) -> None:
        world = World(instruments=[self.WORTH])
        world.bars(FLAT)
        world.buy("a", 5)
        world.bars(FLAT)
        world.close_long("out", 1)
        world.bars(FLAT)
        assert world.qty() == D(4)
