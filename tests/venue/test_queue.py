"""A limit order in the queue: a bar that touches its price serves those before it, one that goes through serves all."""

from decimal import Decimal as D

import pytest

from qmworkbench.domain.orders import TimeInForce
from qmworkbench.venue.costs import CostSchedule
from qmworkbench.venue.invalid import ModelInvalid
from tests.venue.worlds import World, bracket, terms

DAY = TimeInForce.DAY


def world(queue: str | None, **more: object) -> World:
    made = World(model=terms(queue=None if queue is None else D(queue), **more))
    made.bars((100, 100, 100, 100, 1000))
    return made


def touch(volume: float, px: float = 99) -> tuple[float, ...]:
    """A bar whose low is just the price."""
    return (px + 1, px + 1, px, px + 1, volume)


def test_without_a_queue_touching_is_enough() -> None:
    alone = world(None)
    alone.buy("a", 100, limit=99, tif=DAY)
    alone.bars(touch(10))
    assert alone.fills() == [(1, "+100", "99")]


def test_it_waits_until_the_volume_ahead_has_traded() -> None:
    line = world("2")
    line.buy("a", 100, limit=99, tif=DAY)
    line.bars((100, 100, 99.5, 100, 1000))  # it comes to rest behind 2,000
    line.bars(touch(1500))
    assert line.fills() == []
    line.bars(touch(540), touch(30), touch(1000))
    assert line.fills() == [(3, "+40", "99"), (4, "+30", "99"), (5, "+30", "99")]


def test_half_a_bar_on_the_bar_it_comes_to_rest_on() -> None:
    line = world("0.5")
    line.buy("a", 100, limit=99, tif=DAY)
    line.bars(touch(120))
    assert line.fills() == [(1, "+60", "99")]


def test_a_market_that_goes_through_has_taken_all_that_stood_there() -> None:
    line = world("50")
    line.buy("a", 100, limit=99, tif=DAY)
    line.bars((100, 100, 98.99, 100, 10))
    assert line.fills() == [(1, "+100", "99")]


def test_an_open_beyond_it_fills_there_an_open_at_it_is_a_touch() -> None:
    line = world("50")
    line.buy("a", 100, limit=99, tif=DAY)
    line.bars((100, 100, 99.5, 100, 1000), (99, 100, 99, 100, 1000))
    assert line.fills() == []
    line.bars((98, 98, 98, 98, 1000))
    assert line.fills() == [(3, "+100", "98")]


def test_what_is_marketable_when_it_comes_does_not_queue() -> None:
    line = world("50")
    line.buy("a", 100, limit=100, tif=DAY)
    line.bars((100, 100, 100, 100, 1000))
    assert line.fills() == [(1, "+100", "100")]


def test_the_cap_still_counts() -> None:
    line = world("0.5", participation=D("0.1"))
    line.buy("a", 100, limit=99, tif=DAY)
    line.bars(touch(400))
    assert line.fills() == [(1, "+40", "99")]


def test_a_target_queues_a_stop_does_not() -> None:
    line = world("50")
    line.buy("in", 100, legs=bracket("in", stop=95, target=105))
    line.bars((100, 100, 100, 100, 1000), (104, 105, 104, 104, 1000))
    assert line.fills() == [(1, "+100", "100")]
    line.bars((100, 100, 95, 96, 1000))
    assert line.fills()[-1] == (3, "-100", "95")


def test_another_price_or_a_larger_quantity_goes_to_the_back() -> None:
    line = world("1")
    line.buy("a", 100, limit=99, tif=DAY)
    line.bars((100, 100, 99.5, 100, 1000), touch(1000))
    line.replace("b", "a", 90)
    line.replace("c", "b", 95)
    line.bars(touch(500))  # begins to rest again, behind 500
    assert line.fills() == []
    line.bars(touch(700))
    assert line.fills() == [(4, "+95", "99")]


def test_its_place_survives_a_restart(tmp_path: object) -> None:
    line = World(model=terms(queue=D(2)), path=f"{tmp_path}/venue.db")
    line.bars((100, 100, 100, 100, 1000))
    line.buy("a", 100, limit=99, tif=DAY)
    line.bars((100, 100, 99.5, 100, 1000), touch(1500))
    line.restart()
    line.bars(touch(600))
    assert line.fills() == [(3, "+100", "99")]
    line.exchange.close()


@pytest.mark.parametrize("queue", ["-1", "NaN", "Infinity"])
def test_numbers_that_make_no_sense(queue: str) -> None:
    with pytest.raises(ModelInvalid, match=r"venue\.queue = .* makes no sense: give the volume ahead"):
        CostSchedule(queue=D(queue))
