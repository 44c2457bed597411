"""A person's hand on one order or position, at the edges of what is allowed: one command, one decision (§10, §13)."""

from datetime import timedelta
from typing import Any

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.domain.events.orders import CancelRequested, ExitRequested, ReplaceRequested
from qmworkbench.domain.orders import Leg, Order, OrdStatus
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading import emergency, order_control
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.refusal import Refused
from qmworkbench.trading.state import EXTERNAL
from tests.trading.oms_cases import D, Desk, desk, held, legs

DO = {
    commands.CancelOrder: order_control.cancel,
    commands.ReplaceOrder: order_control.replace,
    commands.ClosePosition: order_control.close,
}


def given(built: Desk, command: Any, *, later: timedelta = timedelta(0)) -> tuple[str, Decision]:
    """What the command says it did, or why not (behind "refused: "), and the decision."""
    decision = Decision(built.state, built.world.at() + later)
    event = CommandReceived(at=decision.at, command_id="c", command=command, operator="op", origin="cli")
    try:
        return DO[type(command)](decision, event, command), decision
    except Refused as no:
        assert decision.events == [], "nothing is changed by what is refused"
        return f"refused: {no.reason}; {no.remedy}", decision


def told(built: Desk, command: Any) -> str:
    return given(built, command)[0]


def cancel(order: Order) -> commands.CancelOrder:
    return commands.CancelOrder(reason="r", cl_ord_id=order.cl_ord_id)


def replace(order: Order, **terms: Any) -> commands.ReplaceOrder:
    return commands.ReplaceOrder(reason="r", cl_ord_id=order.cl_ord_id, **terms)


def close(strategy_id: str = "test-1", symbol: str = "AAA") -> commands.ClosePosition:
    return commands.ClosePosition(reason="r", strategy_id=strategy_id, symbol=symbol)


def leg(built: Desk, which: Leg) -> Order:
    return next(order for order in legs(built) if order.leg is which)


def under_way(built: Desk) -> None:
    emergency.begin(Decision(built.state, built.world.at()), "op", "drill")
    for order in built.state.working():
        order.cancel_requested_at = None


def test_only_the_emergencys_own_closes_may_not_be_cancelled_and_only_while_it_runs() -> None:
    built = held()
    stop = leg(built, Leg.STOP)
    stop.leg = Leg.LIQUIDATE
    assert "asked to cancel" in told(built, cancel(stop))
    under_way(built)
    assert "the emergency's own close of AAA" in told(built, cancel(stop))
    assert "asked to cancel" in told(built, cancel(leg(built, Leg.TARGET)))


@pytest.mark.parametrize(("asked", "failed", "may"), [(False, False, True), (True, False, False), (True, True, True)])
def test_a_cancel_is_asked_for_once_until_it_did_not_take(asked: bool, failed: bool, may: bool) -> None:
    built = desk()
    built.order.cancel_requested_at = built.world.at() - timedelta(minutes=5) if asked else None
    built.order.cancel_failed = failed
    said, decision = given(built, cancel(built.order))
    assert said.startswith("refused: ") is not may
    if may:
        (event,) = decision.events
        assert isinstance(event, CancelRequested)
        assert event.reason == "op: r"


def test_what_is_left_bare_is_said_of_a_stop_of_something_held() -> None:
    built = held()
    assert told(built, cancel(leg(built, Leg.TARGET))).endswith("asked to cancel")
    assert told(built, cancel(leg(built, Leg.STOP))).endswith("; AAA 100 is held without that stop")
    flat = held()
    flat.state.positions.clear()
    assert told(flat, cancel(leg(flat, Leg.STOP))).endswith("asked to cancel")
    assert told(desk(), cancel(desk().order)).endswith("asked to cancel")


def test_no_order_is_touched_without_a_session_without_a_name_or_after_its_end() -> None:
    built = desk()
    gone = commands.CancelOrder(reason="r", cl_ord_id="x")
    assert "no order x is in this book" in told(built, gone)
    built.order.status, built.order.reason = OrdStatus.CANCELED, "by hand"
    assert "has ended (canceled: by hand)" in told(built, cancel(built.order))
    built.order.status, built.order.cum_qty = OrdStatus.FILLED, D(100)
    assert "has ended (filled 100)" in told(built, cancel(built.order))
    built.order.status = OrdStatus.ACCEPTED
    built.state.working_ids["later"] = built.order.cl_ord_id
    assert "asked to cancel" in told(built, commands.CancelOrder(reason="r", cl_ord_id="later"))
    built.state.session = None
    assert "no session is open" in told(built, cancel(built.order))
    assert "no session is open" in told(built, close())


@pytest.mark.parametrize(
    ("which", "terms", "said"),
    [
        (Leg.STOP, {"stop_px": D("18.50")}, "asked to go on with stop 18.50"),
        (Leg.TARGET, {"limit_px": D("21.50")}, "asked to go on with limit 21.50"),
        (Leg.ENTRY, {"order_qty": D(60)}, "asked to go on with quantity 60"),
        (Leg.ENTRY, {}, "refused: nothing is to change"),
        (Leg.STOP, {"stop_px": D("0.01")}, "looser"),
    ],
)
def test_each_term_is_enough_to_go_on_otherwise(which: Leg, terms: dict[str, Any], said: str) -> None:
    built = desk() if which is Leg.ENTRY else held()
    order = built.order if which is Leg.ENTRY else leg(built, which)
    answer, decision = given(built, replace(order, **terms))
    assert said in answer
    if "refused" not in answer:
        (asked,) = [event for event in decision.events if isinstance(event, ReplaceRequested)]
        assert asked.reason == "op: r"


def test_nothing_is_replaced_during_an_emergency_in_doubt_or_where_entries_are_blocked() -> None:
    doubt = desk(accepted=False)
    assert "not known yet" in told(doubt, replace(doubt.order, order_qty=D(60)))
    stopped = desk()
    stopped.state.day.runs["test-1"].state = TradingState.REDUCING
    assert "entries are blocked" in told(stopped, replace(stopped.order, order_qty=D(60)))
    exits = held()
    exits.state.day.runs["test-1"].state = TradingState.REDUCING
    assert "asked to go on" in told(exits, replace(leg(exits, Leg.STOP), stop_px=D("18.50")))
    burning = held()
    under_way(burning)
    assert "an emergency is closing everything" in told(burning, replace(leg(burning, Leg.STOP), stop_px=D("18.50")))


def test_a_position_is_closed_once_and_not_by_hand_while_only_liquidation_passes() -> None:
    built = held()
    built.state.halt.state = TradingState.HALTED
    assert told(built, close()).startswith("refused: the book is ")
    built.state.halt.state = TradingState.REDUCING
    said, decision = given(built, close())
    assert said == "AAA: 100 of test-1 is being closed"
    (wish,) = [event for event in decision.events if isinstance(event, ExitRequested)]
    assert wish.reason == "closed by op: r"
    assert "is being closed already: closed by op: r" in told(built, close())


def test_after_the_close_of_the_market_a_close_waits_and_says_so() -> None:
    for seconds, waits in ((-1, False), (0, True), (1, True)):
        built = held()
        left = built.state.day.closes_at - built.world.at()
        said, _ = given(built, close(), later=left + timedelta(seconds=seconds))
        assert ("it waits for the next session" in said) is waits


def test_what_is_not_held_cannot_be_closed_and_is_told_by_whom_it_is() -> None:
    built = held()
    assert "test-1 holds no BBB; nobody holds it here" in told(built, close(symbol="BBB"))
    assert f"{EXTERNAL} holds no AAA; it is held by test-1" in told(built, close(EXTERNAL))
    assert "no strategy test-9 runs in this session; it is held by test-1" in told(built, close("test-9"))
    built.state.positions["test-1|BBB"] = Position(strategy_id="test-1", symbol="BBB", qty=D(1), cost=D(5))
    assert told(built, close(symbol="BBB")) == "BBB: 1 of test-1 is being closed"
