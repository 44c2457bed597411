"""Orders in the style of their instance: prices on the grid, inside the collar, budgets kept (§13)."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.instruments import forex_pair, us_equity
from qmworkbench.domain.orders import Leg, OrderStyle, OrdStatus, OrdType, Side, TimeInForce
from qmworkbench.trading.order_styles import entry_terms, exit_terms, problems
from tests.trading.test_kernel_rules import entry, held, intents, opened
from tests.trading.world import World

D = Decimal
AAA = us_equity("AAA")
prices = st.decimals(min_value=D("0.05"), max_value=D(5000), places=4)
types = st.sampled_from([OrdType.LIMIT, OrdType.STOP, OrdType.STOP_LIMIT])


def style(**says: Any) -> OrderStyle:
    return OrderStyle(**({"entry_time_in_force": TimeInForce.DAY} | says))


@given(prices, types, st.integers(0, 2000), st.integers(1, 2000), st.sampled_from(Side), st.booleans())
def test_prices_lie_on_the_grid_on_the_right_side_and_inside_the_collar(
    px: Decimal, kind: OrdType, bps: int, collar: int, side: Side, forex: bool
) -> None:
    instrument = forex_pair("EURUSD") if forex else AAA
    terms = entry_terms(style(entry_type=kind, entry_offset_bps=bps), instrument, side, px, collar)
    for told in (terms.limit_px, terms.stop_px):
        assert told is None or (told > 0 and told % instrument.tick_at(told) == 0)
    assert (terms.limit_px is not None) == (kind in (OrdType.LIMIT, OrdType.STOP_LIMIT))
    assert (terms.stop_px is not None) == (kind in (OrdType.STOP, OrdType.STOP_LIMIT))
    sign, tick = side.sign, instrument.tick_at(px)
    if terms.stop_px is not None:
        assert sign * (terms.stop_px - px) >= 0, "beyond the price"
    if kind is OrdType.LIMIT and terms.limit_px is not None:
        assert sign * (terms.limit_px - px) <= px * min(bps, collar) / D(10_000) or terms.limit_px == tick
        assert sign * (terms.limit_px - px) > -tick, "never further from the market than a tick"
    if kind is OrdType.STOP_LIMIT and terms.limit_px is not None and terms.stop_px is not None:
        assert sign * (terms.limit_px - terms.stop_px) >= 0, "it can fill once it is touched"


@given(prices, st.integers(0, 2000), st.sampled_from(Side))
def test_an_exit_limit_is_on_the_grid_and_on_the_paying_side(px: Decimal, bps: int, side: Side) -> None:
    limits = OrderStyle(exit_type=OrdType.LIMIT, exit_offset_bps=bps, exit_timeout_s=30)
    terms = exit_terms(limits, AAA, side, px, at_once=False)
    assert terms.limit_px is not None
    assert terms.limit_px > 0
    assert terms.limit_px % AAA.tick_at(terms.limit_px) == 0
    assert side.sign * (terms.limit_px - px) >= 0 or terms.limit_px == AAA.tick_at(px)
    assert exit_terms(limits, AAA, side, px, at_once=True).ord_type is OrdType.MARKET
    assert exit_terms(limits, None, side, px, at_once=False).ord_type is OrdType.MARKET


def test_the_default_is_the_market_order_it_always_was() -> None:
    terms = entry_terms(OrderStyle(), AAA, Side.BUY, D("20.123"), 100)
    assert (terms.ord_type, terms.time_in_force) == (OrdType.MARKET, TimeInForce.IOC)
    assert (terms.limit_px, terms.stop_px, terms.worst_px) == (None, None, D("20.123"))
    assert problems(OrderStyle()) == []


@pytest.mark.parametrize(
    ("says", "name"),
    [
        ({"entry_offset_bps": 5}, "entry_offset_bps"),
        ({"entry_type": OrdType.LIMIT, "entry_offset_bps": -1}, "entry_offset_bps"),
        ({"entry_type": OrdType.LIMIT, "entry_offset_bps": 2001}, "entry_offset_bps"),
        ({"entry_type": OrdType.STOP, "entry_offset_bps": 0}, "entry_offset_bps"),
        (
            {"entry_type": OrdType.STOP, "entry_offset_bps": 5, "entry_time_in_force": TimeInForce.IOC},
            "entry_time_in_force",
        ),
        ({"entry_time_in_force": TimeInForce.AT_CLOSE}, "entry_time_in_force"),
        ({"entry_timeout_s": 0}, "entry_timeout_s"),
        ({"exit_type": OrdType.LIMIT}, "exit_timeout_s"),
        ({"exit_type": OrdType.STOP, "exit_timeout_s": 5}, "exit_type"),
        ({"exit_offset_bps": 5}, "exit_offset_bps"),
        ({"exit_timeout_s": -3}, "exit_timeout_s"),
    ],
)
def test_a_style_that_makes_no_sense_is_named_with_value_and_remedy(says: dict[str, Any], name: str) -> None:
    found = problems(style(**says))
    assert [key for key, _, _, _ in found] == [name]
    assert all(problem and remedy for _, _, problem, remedy in found)


def world_of(**says: Any) -> World:
    return opened(style=style(**says))


def test_a_limit_entry_rests_until_its_price_and_never_pays_more() -> None:
    world = world_of(entry_type=OrdType.LIMIT, entry_offset_bps=0)
    px = D(str(world.px["AAA"]))
    world.boundary(2, [world.row("AAA", entry_long=True)])
    (intent,) = intents(world, Leg.ENTRY)
    assert (intent.request.ord_type, intent.request.limit_px) == (OrdType.LIMIT, px)
    high = float(px) + 0.5
    world.boundary(3, [], {"AAA": (high, high, high, high)})
    assert world.state.orders[intent.request.cl_ord_id].status is OrdStatus.ACCEPTED
    low = float(px) - 0.05
    world.boundary(4, [], {"AAA": (high, high, low, high)})
    assert world.state.net_qty("AAA") > 0
    assert world.state.net["AAA"].avg_px <= px


def test_a_stop_entry_waits_for_the_breakout() -> None:
    world = world_of(entry_type=OrdType.STOP, entry_offset_bps=50)
    px = world.px["AAA"]
    world.boundary(2, [world.row("AAA", entry_long=True)])
    (intent,) = intents(world, Leg.ENTRY)
    stop = intent.request.stop_px
    assert stop is not None
    assert stop >= D(str(px)) * D("1.005")
    world.boundary(3, [], {"AAA": (px, px, px, px)})
    assert world.state.net_qty("AAA") == 0
    up = float(stop) + 0.1
    world.boundary(4, [], {"AAA": (px, up, px, up)})
    assert world.state.net_qty("AAA") > 0


def test_the_budget_is_kept_at_the_worst_price_the_order_allows() -> None:
    world = world_of(entry_type=OrdType.LIMIT, entry_offset_bps=500)
    entry(world)
    (intent,) = intents(world, Leg.ENTRY)
    owned = world.state.day.assignment("test-1", "AAA")
    assert owned is not None
    assert intent.request.limit_px is not None
    assert intent.request.order_qty * intent.request.limit_px <= owned.budget
    assert intent.reserve_notional == intent.request.order_qty * intent.request.limit_px


def test_an_entry_limit_never_pays_more_than_the_collar_allows() -> None:
    terms = entry_terms(style(entry_type=OrdType.LIMIT, entry_offset_bps=1500), AAA, Side.BUY, D(20), 100)
    assert terms.limit_px == D("20.20")


def test_a_limit_exit_is_for_signals_and_what_must_be_flat_goes_out_at_the_market() -> None:
    world = held(style=OrderStyle(exit_type=OrdType.LIMIT, exit_offset_bps=10, exit_timeout_s=120))
    world.boundary(4, [world.row("AAA", exit_long=True)])
    assert [e.request.ord_type for e in intents(world, Leg.EXIT)] == [OrdType.LIMIT]
    flat = held(style=OrderStyle(exit_type=OrdType.LIMIT, exit_offset_bps=10, exit_timeout_s=120))
    from qmworkbench.domain import commands

    flat.command(commands.EndSession(reason="early"))
    assert [e.request.ord_type for e in intents(flat, Leg.EXIT)] == [OrdType.MARKET]
