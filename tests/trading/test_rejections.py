"""Refusals in classes, and what follows: nothing resubmitted blindly, a strategy stopped, exits never (§13)."""

import pytest

from qmworkbench.domain.events.control import AlertRaised
from qmworkbench.domain.events.market import SignalIgnored
from qmworkbench.domain.events.orders import OrderChanged
from qmworkbench.domain.orders import Arc, Leg, OrdStatus
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.rejections import RejectCode, after_rejection, classify, resting
from qmworkbench.venue.orders import Refusal
from tests.trading.oms_cases import desk
from tests.trading.test_kernel_rules import entry, events, held, intents, opened
from tests.trading.world import Faults, World

ALPACA = {
    '{"code":40010001,"message":"client_order_id must be unique"}': RejectCode.DUPLICATE_ID,
    '{"code":40310000,"message":"insufficient buying power"}': RejectCode.RISK,
    '{"code":40310000,"message":"insufficient qty available for order (requested: 10, available: 0)"}': RejectCode.RISK,
    '{"code":40310000,"message":"account is not allowed to short"}': RejectCode.BROKER_RULE,
    '{"code":40310100,"message":"trade denied due to pattern day trading protection"}': RejectCode.BROKER_RULE,
    '{"code":42910000,"message":"too many requests."}': RejectCode.BROKER_RULE,
    '{"code":42210000,"message":"qty must be > 0"}': RejectCode.INVALID_SIZE,
    '{"code":42210000,"message":"limit price must be > 0"}': RejectCode.INVALID_SIZE,
    '{"code":42210000,"message":"invalid limit_price 10.001. sub-penny increment does not fulfill minimum pricing"}': (
        RejectCode.INVALID_SIZE
    ),
    '{"code":42210000,"message":"asset \\"ZZZZ\\" not found"}': RejectCode.BROKER_RULE,
    '{"code":40310000,"message":"market is closed"}': RejectCode.MARKET_STATE,
    "opening of positions in XYZ is restricted; symbol is halted": RejectCode.BROKER_RULE,
    "code 40310000": RejectCode.RISK,
    "rejected: insufficient buying power": RejectCode.RISK,
    "something nobody has seen before": RejectCode.UNKNOWN,
    "": RejectCode.UNKNOWN,
}


@pytest.mark.parametrize(("text", "code"), ALPACA.items())
def test_a_brokers_words_are_reduced_to_a_class(text: str, code: RejectCode) -> None:
    assert classify(text) is code


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_of_our_own_venue_has_a_class(refusal: Refusal) -> None:
    code = classify(f"{refusal.value}: whatever the sentence says of price, margin and duplicate orders")
    assert code is not RejectCode.UNKNOWN
    assert (code is RejectCode.DUPLICATE_ID) == (refusal is Refusal.DUPLICATE_CL_ORD_ID)


def test_a_rejection_is_on_record_with_its_class() -> None:
    world = opened()
    world.exchange.halt("AAA")
    entry(world)
    (change,) = [e for e in events(world, OrderChanged) if e.arc is Arc.REJECT]
    assert change.reject_code == RejectCode.MARKET_STATE
    order = world.state.orders[change.cl_ord_id]
    assert (order.status, order.reject_code) == (OrdStatus.REJECTED, "market_state")
    (alert,) = [e.alert for e in events(world, AlertRaised) if e.alert.kind == "order_rejected"]
    assert alert.priority is Priority.P2
    assert "halted" in alert.text


def test_the_same_instance_leaves_the_symbol_alone_until_a_whole_boundary_has_gone_by() -> None:
    world = opened()
    world.exchange.halt("AAA")
    entry(world)
    world.exchange.resume("AAA")
    entry(world)
    assert len(intents(world, Leg.ENTRY)) == 1, "the next boundary is too soon"
    assert "rejected an entry here" in events(world, SignalIgnored)[-1].reason
    entry(world, "BBB")
    assert [e.request.symbol for e in intents(world, Leg.ENTRY)] == ["AAA", "BBB"], "other symbols are free"
    entry(world)
    assert len(intents(world, Leg.ENTRY)) == 3


def test_entries_rejected_in_a_row_stop_the_instance() -> None:
    world = opened()
    world.faults = Faults(refused=1.0)
    for symbol in ("AAA", "BBB", "CCC", "DDD"):
        entry(world, symbol)
    assert len(intents(world, Leg.ENTRY)) == 3, "three in a row are the limit"
    assert world.state.trading_state("test-1") is TradingState.REDUCING
    assert "repeated_rejection" in [e.alert.kind for e in events(world, AlertRaised)]


def test_rejected_exits_neither_stop_the_instance_nor_end_the_wish_to_be_out() -> None:
    world = held()
    world.boundary(4, [world.row("AAA", exit_long=True)])
    assert world.state.positions["test-1|AAA"].exit_wanted
    first = intents(world, Leg.EXIT)[-1].request.cl_ord_id
    world.exchange.cancel(first)
    world.faults = Faults(refused=1.0)
    for number in range(5, 14):
        world.boundary(number, [])
    assert len(intents(world, Leg.EXIT)) >= 8, "tried again and again"
    assert world.state.day.runs["test-1"].rejections == 0
    assert world.state.trading_state("test-1") is TradingState.ACTIVE
    assert "exit_failed" in [e.alert.kind for e in events(world, AlertRaised)]
    world.faults = Faults()
    world.boundary(14, [])
    world.boundary(15, [])
    assert world.state.net_qty("AAA") == 0
    assert not [a for a in world.state.alerts.values() if a.kind == "exit_failed"], "it has had its answer"


def test_an_exit_that_is_refused_all_the_time_is_tried_at_a_pace() -> None:
    world = held()
    world.boundary(4, [world.row("AAA", exit_long=True)])
    world.exchange.cancel(intents(world, Leg.EXIT)[-1].request.cl_ord_id)
    world.faults = Faults(refused=1.0)
    for _ in range(300):
        world.tick(1)
    assert 5 <= len(intents(world, Leg.EXIT)) <= 12, "five at once, then one a minute"


def wanted_out_of_a_halted_symbol() -> World:
    world = held()
    world.exchange.halt("AAA")
    world.boundary(4, [world.row("AAA", exit_long=True)])
    assert [e.reject_code for e in events(world, OrderChanged) if e.arc is Arc.REJECT] == [RejectCode.MARKET_STATE]
    return world


def test_an_exit_that_the_market_does_not_take_waits_for_it_to_trade() -> None:
    world = wanted_out_of_a_halted_symbol()
    for _ in range(8):
        world.tick(5)
    assert len(intents(world, Leg.EXIT)) == 1, "nothing has traded since"
    world.boundary(5, [])
    assert len(intents(world, Leg.EXIT)) == 2, "it may be open again"
    world.exchange.resume("AAA")
    world.boundary(6, [])
    world.boundary(7, [])
    assert len(intents(world, Leg.EXIT)) == 3
    assert world.state.net_qty("AAA") == 0


def test_where_no_bars_come_it_is_tried_after_a_while() -> None:
    world = wanted_out_of_a_halted_symbol()
    world.tick(59)
    assert len(intents(world, Leg.EXIT)) == 1
    world.tick(2)
    assert len(intents(world, Leg.EXIT)) == 2


def test_after_the_close_it_waits_for_the_next_open() -> None:
    world = wanted_out_of_a_halted_symbol()
    world.exchange.close_session(world.state.day.closes_at)
    world.now = world.state.day.closes_at
    for _ in range(10):
        world.tick(61)
    assert len(intents(world, Leg.EXIT)) == 1
    assert world.state.positions["test-1|AAA"].exit_wanted, "the wish stands"


@pytest.mark.parametrize(("boundary", "rests"), [(5, True), (6, True), (7, False)])
def test_the_symbol_rests_for_one_whole_boundary(boundary: int, rests: bool) -> None:
    state = desk().state
    state.day.rejected_at, state.day.boundary = {"test-1|AAA": 5}, boundary
    assert bool(resting(state, "test-1", "AAA")) is rests
    assert resting(state, "test-1", "BBB") == resting(state, "test-2", "AAA") == ""


@pytest.mark.parametrize(
    ("leg", "owner", "row", "priority", "stopped"),
    [
        (Leg.ENTRY, "test-1", 2, Priority.P2, False),
        (Leg.ENTRY, "test-1", 3, Priority.P2, True),
        (Leg.EXIT, "test-1", 9, Priority.P1, False),
        (Leg.ENTRY, "EXTERNAL", 0, Priority.P2, False),
    ],
)
def test_what_a_rejection_comes_to(leg: Leg, owner: str, row: int, priority: Priority, stopped: bool) -> None:
    built = desk()
    built.state.day.runs["test-1"].rejections = row
    built.order.leg, built.order.strategy_id = leg, owner
    decision = Decision(built.state, built.world.at())
    after_rejection(decision, built.order, RejectCode.RISK, "why")
    raised = {event.alert.kind: event.alert.priority for event in decision.events if isinstance(event, AlertRaised)}
    assert raised == {"order_rejected": priority} | ({"repeated_rejection": Priority.P1} if stopped else {})
    assert (built.state.trading_state("test-1") is TradingState.REDUCING) is stopped
