"""Orders and fills that nobody here sent: whose they are, what is said, and what they make needless."""

from typing import Any

import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import AlertCleared, AlertRaised, TradingStateChanged
from qmworkbench.domain.events.orders import CancelRequested, FillRecorded
from qmworkbench.domain.events.reconciliation import OrderAdopted
from qmworkbench.domain.execution import BrokerOrder
from qmworkbench.domain.orders import Leg, OrdStatus, Side
from qmworkbench.domain.positions import Position
from qmworkbench.domain.safety import MustHalt
from qmworkbench.domain.sessions import Environment, Priority, TradingState
from qmworkbench.trading import foreign, holdings
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.session_state import position_key
from qmworkbench.trading.state import EXTERNAL
from tests.trading.oms_cases import D, Desk, desk, held, legs


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def deciding(built: Desk) -> Decision:
    return Decision(built.state, built.world.at())


# --- whose a fill is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("qty", "side", "filled", "owner"),
    [
        (100, Side.SELL, 100, "test-1"),
        (100, Side.SELL, 101, EXTERNAL),
        (100, Side.BUY, 10, EXTERNAL),
        (-100, Side.BUY, 40, "test-1"),
        (-100, Side.SELL, 40, EXTERNAL),
    ],
)
def test_what_only_makes_a_position_smaller_is_its_owners(qty: int, side: Side, filled: int, owner: str) -> None:
    built = held()
    built.state.positions[position_key("test-1", "AAA")].qty = D(qty)
    assert foreign.owner_of(built.state, built.report(side=side, last_qty=D(filled))) == owner


@pytest.mark.parametrize(("side", "owner"), [(Side.SELL, "test-1"), (Side.BUY, EXTERNAL)])
def test_less_than_a_share_shrinks_like_any_other(side: Side, owner: str) -> None:
    built = held()
    built.state.positions[position_key("test-1", "AAA")].qty = D("0.5")
    assert foreign.owner_of(built.state, built.report(side=side, last_qty=D("0.5"))) == owner


def test_where_nobody_or_several_hold_it_is_nobodys() -> None:
    built = desk()
    assert foreign.owner_of(built.state, built.report(side=Side.SELL, last_qty=D(1))) == EXTERNAL
    several = held()
    other = Position(strategy_id="test-2", symbol="AAA", qty=D(5), cost=D(100))
    several.state.positions[position_key("test-2", "AAA")] = other
    assert foreign.owner_of(several.state, several.report(side=Side.SELL, last_qty=D(1))) == EXTERNAL


# --- orders --------------------------------------------------------------------------------------------------------


def theirs(built: Desk, **changes: Any) -> BrokerOrder:
    base: dict[str, Any] = {"cl_ord_id": "by-hand", "order_qty": D(9), "leaves_qty": D(9), "cum_qty": D(0)}
    return built.as_told(**(base | changes))


@pytest.mark.parametrize(
    ("changes", "reserve"),
    [
        ({"limit_px": D(10), "stop_px": D(11)}, 90),
        ({"stop_px": D(11)}, 99),
        ({}, None),
        ({"leaves_qty": D(4), "limit_px": D(10)}, 40),
        ({"leaves_qty": D(1), "limit_px": D(10)}, 10),
        ({"symbol": "nowhere"}, 0),
    ],
)
def test_an_order_is_adopted_with_what_it_may_cost(changes: dict[str, Any], reserve: int | None) -> None:
    built = desk()
    decision = deciding(built)
    assert foreign.adopt(decision, theirs(built, **changes))
    (told,) = of(decision.events, OrderAdopted)
    at_the_mark = 9 * built.state.marks["AAA"].px
    assert (told.strategy_id, told.reserve_notional) == (EXTERNAL, at_the_mark if reserve is None else reserve)
    (alarm,) = of(decision.events, AlertRaised)
    assert (alarm.alert.kind, alarm.alert.priority) == ("foreign_order", Priority.P1)


def test_on_a_live_account_it_is_the_worst_there_is() -> None:
    built = desk()
    built.state.day.environment = Environment.LIVE
    decision = deciding(built)
    foreign.adopt(decision, theirs(built))
    assert of(decision.events, AlertRaised)[0].alert.priority is Priority.P0


@pytest.mark.parametrize("changes", [{"leaves_qty": D(0)}, {"ord_status": OrdStatus.FILLED}])
def test_what_has_ended_or_is_ours_is_not_adopted(changes: dict[str, Any]) -> None:
    built = desk()
    for order in (theirs(built, **changes), theirs(built, cl_ord_id=built.order.cl_ord_id)):
        decision = deciding(built)
        assert not foreign.adopt(decision, order)
        assert decision.events == []


def test_the_alarm_ends_with_the_order() -> None:
    built = desk()
    decision = deciding(built)
    foreign.adopt(decision, theirs(built))
    decision.alarm("another", "by-hand", Priority.P1, "", "")
    foreign.all_clear(decision)
    assert of(decision.events, AlertCleared) == []
    order = built.state.orders["by-hand"]
    order.status = OrdStatus.CANCELED
    holdings.follow_status(built.state, order)
    foreign.all_clear(decision)
    assert len(of(decision.events, AlertCleared)) == 1


# --- fills ---------------------------------------------------------------------------------------------------------


def fill(built: Desk, **changes: Any) -> FillRecorded:
    base: dict[str, Any] = {
        "at": built.world.at(),
        "exec_id": "x-1",
        "cl_ord_id": "nobody",
        "strategy_id": EXTERNAL,
        "symbol": "AAA",
        "side": Side.SELL,
        "last_qty": D(100),
        "last_px": D(20),
        "fee": D(0),
        "conversion_rate": D(1),
        "transact_time": built.world.at(),
        "position_qty": D(0),
        "position_cost": D(0),
        "realized_pnl": D(0),
        "adopted": True,
    }
    fields = set(FillRecorded.__struct_fields__)
    return FillRecorded(**{name: value for name, value in (base | changes).items() if name in fields})


def watched(built: Desk, *events: Event) -> list[Event]:
    decision = deciding(built)
    decision.events = list(events)
    foreign.watch(decision)
    return decision.events[len(events) :]


def test_a_fill_that_nobody_here_ordered_halts_the_book_and_is_said_once() -> None:
    built = held()
    events = watched(built, fill(built, strategy_id="test-1"))
    (alarm,) = of(events, AlertRaised)
    assert (alarm.alert.kind, alarm.alert.priority) == ("foreign_fill", Priority.P0)
    (halt,) = of(events, TradingStateChanged)
    assert (halt.after, halt.code) == (TradingState.REDUCING, MustHalt.POSITION_MISMATCH.value)
    assert of(events, CancelRequested) == [], "what its exits are for is still held"
    assert watched(built, fill(built, strategy_id="test-1")) == []


def test_a_fill_that_was_told_does_not_halt_a_book_that_was_resumed_since() -> None:
    built = held()
    watched(built, fill(built, strategy_id="test-1"))
    built.state.halt.state = TradingState.ACTIVE
    built.state.halt.causes.clear()
    assert watched(built, fill(built, strategy_id="test-1")) == []


def test_exits_of_what_it_closed_are_not_needed_any_more() -> None:
    built = held()
    built.state.positions.clear()
    doubtful = legs(built)[0]
    doubtful.status = OrdStatus.UNKNOWN
    events = watched(built, fill(built, strategy_id="test-1"))
    asked = {event.cl_ord_id for event in of(events, CancelRequested)}
    assert asked == {leg.cl_ord_id for leg in legs(built)} - {doubtful.cl_ord_id}, "what is in doubt is asked for first"


@pytest.mark.parametrize(
    ("owner", "leg", "told"), [(EXTERNAL, Leg.ENTRY, 1), (EXTERNAL, Leg.LIQUIDATE, 0), ("test-1", Leg.ENTRY, 0)]
)
def test_a_fill_of_an_order_we_know_is_foreign_where_the_order_is(owner: str, leg: Leg, told: int) -> None:
    built = held()
    built.order.strategy_id, built.order.leg = owner, leg
    events = watched(built, fill(built, cl_ord_id=built.order.cl_ord_id, strategy_id=owner, adopted=False))
    assert len(of(events, AlertRaised)) == told


def test_a_fill_of_an_order_forgotten_since_is_foreign_only_if_it_was_adopted() -> None:
    built = held()
    assert watched(built, fill(built, adopted=False)) == []
    assert len(of(watched(built, fill(built, adopted=True)), AlertRaised)) == 1
