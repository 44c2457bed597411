"""Stops with a limit: touched they are limit orders; entries, exits and legs, gaps, and a plain loop to agree with."""

import random
from decimal import Decimal as D

import pytest

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.orders import OrdType, Side, TimeInForce
from qmworkbench.venue.orders import OrderRefused
from tests.venue.reference import Resting, rested
from tests.venue.test_reference import TICKS, random_bars
from tests.venue.worlds import World, bracket, terms, ticked

DAY = TimeInForce.DAY
FLAT = (100, 100, 100, 100)


@pytest.fixture
def world() -> World:
    world = World()
    world.bars(FLAT)
    return world


class TestEntries:
    @pytest.mark.parametrize(
        ("bar", "filled"),
        [
            ((100, 102, 100, 101), "101"),  # touched within the bar: at the stop's level
            ((101, 101, 101, 101), "101"),  # touched by the open
            ((101.5, 102, 101.4, 102), "101.5"),  # gap through the stop, within the limit
            ((103, 104, 101.8, 103), "102"),  # gap beyond the limit: rests, and the bar comes back to it
            ((103, 104, 102.5, 103), None),  # gap beyond the limit: rests
            ((100, 100.9, 99, 100), None),  # not touched
        ],
    )
    def test_a_buy(self, world: World, bar: tuple[float, ...], filled: str | None) -> None:
        world.buy("in", 100, stop=101, limit=102, tif=DAY)
        world.bars(bar)
        assert [px for _, _, px in world.fills()] == ([] if filled is None else [filled])

    def test_it_stays_a_limit_order_once_touched(self, world: World) -> None:
        world.buy("in", 100, stop=101, limit=102, tif=DAY)
        world.bars((103, 104, 102.5, 103), (102.5, 103, 101.9, 102))
        assert world.fills() == [(2, "+100", "102")]

    def test_touched_it_may_fill_below_its_stop(self, world: World) -> None:
        world.buy("in", 100, stop=101, limit=102, tif=DAY)
        world.bars((103, 104, 102.5, 103), (99, 99, 98, 99))
        assert world.fills() == [(2, "+100", "99")]

    def test_a_limit_short_of_the_stop_waits_for_the_market_to_come_back(self, world: World) -> None:
        world.buy("in", 100, stop=102, limit=101, tif=DAY)
        world.bars((100, 103, 100, 102))  # was low before or after the stop? Nobody knows
        assert world.fills() == []
        world.bars((102, 102, 100.5, 101))
        assert world.fills() == [(2, "+100", "101")]

    def test_unless_the_close_shows_that_it_has(self, world: World) -> None:
        world.buy("in", 100, stop=102, limit=101, tif=DAY)
        world.bars((100, 103, 100, 101))
        assert world.fills() == [(1, "+100", "101")]

    def test_costs_never_exceed_the_limit(self) -> None:
        world = World(model=terms(slippage_bps=D(100)))
        world.bars(FLAT)
        world.buy("in", 100, stop=101, limit="101.50", tif=DAY)
        world.bars((100, 102, 100, 101))
        assert world.fills() == [(1, "+100", "101.5")]

    def test_touched_at_the_stop_its_target_counts_on_the_same_bar(self, world: World) -> None:
        world.buy("in", 100, stop=101, limit=101, tif=DAY, legs=bracket("in", target=102))
        world.bars((100, 103, 100, 102))
        assert world.fills() == [(1, "+100", "101"), (1, "-100", "102")]

    def test_come_back_to_its_target_does_not(self, world: World) -> None:
        world.buy("in", 100, stop=102, limit=101, tif=DAY, legs=bracket("in", target=102.5))
        world.bars((100, 103, 100, 101))
        assert world.fills() == [(1, "+100", "101")]

    def test_immediate_or_cancel_has_one_open(self, world: World) -> None:
        world.buy("in", 100, stop=101, limit=102, tif=TimeInForce.IOC)
        world.bars((100, 102, 100, 101))
        assert (world.fills(), world.why("in")) == ([], "not_marketable")
        world.buy("in2", 100, stop=101, limit=102, tif=TimeInForce.IOC)
        world.bars((101.5, 102, 100, 101))
        assert world.fills() == [(2, "+100", "101.5")]


class TestExits:
    @pytest.mark.parametrize(
        ("bar", "filled"),
        [
            ((99, 99, 94, 95), "95"),
            ((94.5, 95, 94, 95), "94.5"),
            ((93, 94.2, 93, 94), "94"),  # gap beyond the limit: met on the way back
            ((93, 93.9, 93, 93), None),  # gap beyond the limit: the position is still there
        ],
    )
    def test_a_leg(self, world: World, bar: tuple[float, ...], filled: str | None) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95, stop_limit=94, target=110))
        world.bars(FLAT, bar)
        assert [px for _, _, px in world.fills()[1:]] == ([] if filled is None else [filled])
        assert world.qty() == (100 if filled is None else 0)
        assert len(world.exchange.open_orders()) == (2 if filled is None else 0)

    def test_a_leg_that_rests_beyond_the_market_cancels_nothing_else(self, world: World) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95, stop_limit=94))
        world.bars(FLAT)
        world.close_long("out", 100)
        world.bars((93, 93, 92, 92))
        assert world.fills() == [(1, "+100", "100"), (2, "-100", "93")]
        assert world.why("in/stop") == "follows_position"

    def test_its_target_may_still_be_met(self, world: World) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95, stop_limit=94, target=110))
        world.bars(FLAT, (93, 93.5, 92, 93), (111, 111, 111, 111))
        assert world.fills()[-1] == (3, "-100", "111")
        assert world.qty() == 0

    def test_its_level_is_told(self, world: World) -> None:
        world.buy("in", 100, legs=bracket("in", stop=95, stop_limit=94))
        world.bars(FLAT)
        (leg,) = world.exchange.open_orders()
        assert (leg.ord_type, leg.stop_px, leg.limit_px) == (OrdType.STOP_LIMIT, D(95), D(94))

    def test_it_survives_a_restart_touched(self, tmp_path: object) -> None:
        world = World(path=f"{tmp_path}/venue.db")
        world.bars(FLAT)
        world.buy("in", 100, legs=bracket("in", stop=95, stop_limit=94))
        world.bars(FLAT, (93, 93, 92, 92))
        world.restart()
        world.bars((93, 94, 93, 94))
        assert world.fills()[-1] == (3, "-100", "94")
        world.exchange.close()


class TestTheDoor:
    @pytest.mark.parametrize(
        ("prices", "why"),
        [
            ({"stop": 101, "limit": "102.001"}, "price_not_on_tick"),
            ({"stop": "101.001", "limit": 102}, "price_not_on_tick"),
            ({"stop": 101, "limit": 0}, "bad_price"),
            ({"stop": 101, "limit": 102, "trail": 50}, "bad_trail"),
            ({"stop": 101, "limit": 102, "tif": TimeInForce.AT_CLOSE}, "bad_time_in_force"),
        ],
    )
    def test_what_it_refuses(self, world: World, prices: dict[str, object], why: str) -> None:
        with pytest.raises(OrderRefused, match=f"^{why}: "):
            world.buy("in", 100, **prices)

    def test_it_ties_up_its_limit(self, world: World) -> None:
        world.buy("in", 100, stop=101, limit=102, tif=DAY)
        assert world.exchange.account().buying_power == D(1_000_000 - 10_200)


@pytest.mark.parametrize("tick", TICKS)
@pytest.mark.parametrize("seed", range(40))
def test_a_resting_order_agrees_with_the_plain_loop(tick: str, seed: int) -> None:
    """Stops, limits and stops with limits, both sides, as entries and as exits."""
    draw, per_unit = random.Random(f"rest/{tick}/{seed}"), TICKS[tick]
    bars = random_bars(draw, draw.choice([30, 200, 1000]), 25)
    at, way = draw.randrange(1, 6), draw.choice([1, -1])
    near = bars[at][3]
    kind = draw.choice(["stop", "limit", "both", "both"])
    stop = max(1, near + draw.randrange(-2, 9) * way) if kind != "limit" else None
    limit = max(1, (near if stop is None else stop) + draw.randrange(-4, 5) * way) if kind != "stop" else None
    expected = rested(bars, Resting(at, way, stop, limit))
    for exits in (False, True):
        world = World(instruments=[ticked("AAA", tick)], cash="1000000000")
        prices = {"stop": stop and stop / per_unit, "limit": limit and limit / per_unit, "tif": DAY}
        for t, bar in enumerate(bars):
            world.bars(tuple(ticks / per_unit for ticks in bar))
            if exits and t == 0:
                world.send("held", Side.SELL if way > 0 else Side.BUY, 10)
            if t == at:
                close = world.close_short if way > 0 else world.close_long
                close("x", 10, **prices) if exits else world.send("x", Side.BUY if way > 0 else Side.SELL, 10, **prices)
        found = [(bar, round(float(px) * per_unit)) for bar, _, px in world.fills()[exits:]]
        assert found == ([] if expected is None else [expected])
        assert [r.exec_type for r in world.said("x")].count(ExecType.TRADE) == len(found)


def test_the_comparison_sees_something() -> None:
    """Fills at the stop, at the limit and at the open all occur, and so do orders that never fill."""
    kinds = set()
    for tick in TICKS:
        for seed in range(40):
            draw = random.Random(f"rest/{tick}/{seed}")
            bars = random_bars(draw, draw.choice([30, 200, 1000]), 25)
            at, way = draw.randrange(1, 6), draw.choice([1, -1])
            near = bars[at][3]
            kind = draw.choice(["stop", "limit", "both", "both"])
            stop = max(1, near + draw.randrange(-2, 9) * way) if kind != "limit" else None
            limit = max(1, (near if stop is None else stop) + draw.randrange(-4, 5) * way) if kind != "stop" else None
            found = rested(bars, Resting(at, way, stop, limit))
            where = "never" if found is None else {stop: "stop", limit: "limit"}.get(found[1], "open")
            kinds.add((kind, where))
    assert kinds >= {
        *(("both", where) for where in ("stop", "limit", "open", "never")),
        ("stop", "stop"),
        ("limit", "limit"),
    }
