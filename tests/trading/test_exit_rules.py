"""Why a position is left, and each step of leaving it: one decision at a time, at both sides of each edge (§16)."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import AlertRaised
from qmworkbench.domain.events.market import SignalRaised, SignalRow
from qmworkbench.domain.events.orders import CancelRequested, ExitRequested, OrderIntended
from qmworkbench.domain.orders import Leg, Order, OrdStatus, OrdType, Side
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import Phase, Priority, TradingState
from qmworkbench.trading import exits, holdings
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.rejections import RejectCode
from qmworkbench.trading.state import EXTERNAL
from tests.trading.oms_cases import D, Desk, desk, held, legs

KEY = "test-1|AAA"


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def at(built: Desk, seconds: float = 0) -> Decision:
    return Decision(built.state, built.world.at() + timedelta(seconds=seconds))


def position(built: Desk, **changes: Any) -> Position:
    found = built.state.positions[KEY]
    for name, value in changes.items():
        setattr(found, name, value)
    holdings.hold(built.state, found)
    return found


def short(built: Desk) -> Desk:
    """The same position the other way round, its legs with it."""
    position(built, qty=D(-100), cost=D(-2000))
    for leg in legs(built):
        leg.side = Side.BUY
    return built


# --- why it is left ------------------------------------------------------------------------------------------------


def wished(built: Desk, *, minutes_left: float = 60, **says: bool) -> str:
    """The kind of exit that is wished for at a boundary where the strategy says this; "" where none is."""
    built.state.day.closes_at = built.state.clock() + timedelta(minutes=minutes_left)
    rows = {KEY: SignalRow(strategy_id="test-1", symbol="AAA", close=D(20), why="seen", **says)} if says else {}
    decision = at(built)
    exits.exit_rules(decision, rows)
    kinds = [event.kind for event in of(decision.events, SignalRaised)]
    assert len(kinds) == len(of(decision.events, ExitRequested)) <= 1
    return f"{kinds[0]}: {of(decision.events, ExitRequested)[0].reason}" if kinds else ""


@pytest.mark.parametrize(
    ("says", "long", "brief"),
    [
        ({"exit_long": True}, "exit: exit signal", ""),
        ({"exit_short": True}, "", "exit: exit signal"),
        ({"entry_short": True}, "exit: opposite entry signal", ""),
        ({"entry_long": True}, "", "exit: opposite entry signal"),
        ({}, "", ""),
    ],
    ids=str,
)
def test_a_strategy_leaves_by_its_signal_or_by_the_opposite_one(says: dict[str, bool], long: str, brief: str) -> None:
    assert (wished(held(), **says), wished(short(held()), **says)) == (long, brief)


@pytest.mark.parametrize(("bars", "most", "due"), [(4, 5, False), (5, 5, True), (6, 5, True), (99, None, False)])
def test_it_is_held_for_so_many_bars_at_most(bars: int, most: int | None, due: bool) -> None:
    built = held()
    position(built, bars_held=bars, max_hold_bars=most)
    assert wished(built) == (f"time_exit: held {bars} bars, the limit is 5" if due else "")


@pytest.mark.parametrize(
    ("interval_s", "minutes", "due"), [(60, 5.1, False), (60, 5, True), (600, 10, True), (600, 10.1, False)]
)
@pytest.mark.parametrize("policy", ["at_close", "carry"])
def test_it_is_flat_before_the_close_where_nothing_rests_for_it(
    policy: str, interval_s: int, minutes: float, due: bool
) -> None:
    built = held()
    day = built.state.day
    day.window = msgspec.structs.replace(day.window, interval_s=interval_s)
    position(built, flat_policy=policy)
    assert wished(built, minutes_left=minutes) == "", "a closing order rests"
    close = next(leg for leg in legs(built) if leg.leg is Leg.CLOSE)
    close.status = OrdStatus.PENDING_CANCEL
    assert bool(wished(built, minutes_left=minutes)) is (due and policy == "at_close")


def test_what_is_nobodys_or_being_left_already_is_not_asked_about() -> None:
    for changes in ({"strategy_id": EXTERNAL}, {"exit_wanted": "enough"}, {"qty": D(0)}):
        built = held()
        for name, value in changes.items():
            setattr(built.state.positions[KEY], name, value)
        assert wished(built, exit_long=True, exit_short=True) == "", changes
    bare = desk()
    assert wished(bare, exit_long=True) == ""


def test_each_position_is_asked_about_whatever_became_of_the_one_before() -> None:
    built = held()
    for owner, symbol in ((EXTERNAL, "AAA"), ("test-1", "BBB")):
        holdings.hold(built.state, Position(strategy_id=owner, symbol=symbol, qty=D(5), cost=D(100), max_hold_bars=0))
    decision = at(built)
    exits.exit_rules(decision, {})
    assert [event.symbol for event in of(decision.events, ExitRequested)] == ["BBB"]


def test_a_wish_is_on_record_once_with_the_price_it_was_made_at() -> None:
    built = held()
    found = position(built)
    decision = at(built)
    exits.request_exit(decision, found, "flat", "shown", "seen")
    exits.request_exit(decision, found, "flat", "again")
    (signal,), (wish,) = of(decision.events, SignalRaised), of(decision.events, ExitRequested)
    assert (signal.decision_px, signal.why) == (built.state.marks["AAA"].px, "seen")
    assert (wish.reason, wish.signal_id, found.exit_wanted) == ("shown", signal.signal_id, "shown")
    unmarked = held()
    unmarked.state.marks.clear()
    decision = at(unmarked)
    exits.request_exit(decision, position(unmarked), "flat", "shown")
    (signal,) = of(decision.events, SignalRaised)
    assert (signal.decision_px, signal.why) == (20, "shown")


# --- the steps of leaving --------------------------------------------------------------------------------------------


def leaving(*, resting: bool = False) -> Desk:
    """100 AAA are wanted closed; `resting`: their exits still rest at the broker."""
    built = held()
    exits.request_exit(at(built), position(built), "exit", "enough")
    if not resting:
        for leg in legs(built):
            ended(built, leg)
    return built


def ended(built: Desk, order: Order, status: OrdStatus = OrdStatus.CANCELED, **changes: Any) -> Order:
    order.status = status
    for name, value in changes.items():
        setattr(order, name, value)
    holdings.follow_status(built.state, order)
    return order


def stepped(built: Desk, seconds: float = 0) -> list[Event]:
    decision = at(built, seconds)
    exits.progress_exits(decision)
    return decision.events


def sent(events: list[Event]) -> list[tuple[Side, Any]]:
    return [(event.request.side, event.request.order_qty) for event in of(events, OrderIntended)]


def test_what_rests_is_cancelled_first_and_then_the_actual_quantity_closed() -> None:
    built = leaving(resting=True)
    events = stepped(built)
    assert {e.cl_ord_id for e in of(events, CancelRequested)} == {leg.cl_ord_id for leg in legs(built)}
    assert {e.reason for e in of(events, CancelRequested)} == {"exit wanted: enough"}
    assert sent(events) == [], "not beside what may still fill"
    for leg in legs(built)[1:]:
        ended(built, leg)
    assert stepped(built, 1) == []
    ended(built, legs(built)[0])
    position(built, qty=D(70), cost=D(1400))
    assert sent(stepped(built, 2)) == [(Side.SELL, 70)]
    assert stepped(built, 3) == [], "one exit at a time"


def test_a_short_one_is_bought_back() -> None:
    built = short(leaving())
    assert sent(stepped(built)) == [(Side.BUY, 100)]


@pytest.mark.parametrize(
    ("phase", "runs"),
    [
        (Phase.MARKET_SESSION, True),
        (Phase.SHUTDOWN, True),
        (Phase.RECONCILIATION, True),
        (Phase.REVIEW, True),
        (Phase.PRE_MARKET, False),
        (Phase.CLOSED, False),
    ],
)
def test_exits_wait_for_the_market_for_the_broker_and_for_a_book_that_lets_them_pass(phase: Phase, runs: bool) -> None:
    built = leaving()
    built.state.day.phase = phase
    built.state.halt.state = TradingState.HALTED
    assert stepped(built) == [], "liquidation alone passes"
    built.state.halt.state = TradingState.REDUCING
    built.state.connected = False
    assert sent(stepped(built)) == []
    built.state.connected = True
    assert bool(sent(stepped(built))) is runs


@pytest.mark.parametrize(("seconds", "left"), [(-1, False), (0, True), (1, True)])
def test_after_the_close_what_rests_is_left_to_do_its_work(seconds: float, left: bool) -> None:
    built = leaving(resting=True)
    built.state.day.closes_at = built.world.at() - timedelta(seconds=seconds)
    assert (of(stepped(built), CancelRequested) == []) is left
    for leg in legs(built):
        leg.status = OrdStatus.PENDING_CANCEL
        leg.cancel_requested_at = None
    assert of(stepped(built), CancelRequested) != [], "what is being cancelled does no work any more"


def test_after_the_close_an_exit_on_its_way_is_no_order_that_rests() -> None:
    built = leaving()
    stepped(built)
    (way_out,) = [o for o in built.state.working() if o.leg is Leg.EXIT]
    way_out.status = OrdStatus.ACCEPTED
    resting = msgspec.structs.replace(legs(built)[0], cl_ord_id="late", status=OrdStatus.SUBMITTED)
    holdings.admit(built.state, resting)
    built.state.day.closes_at = built.world.at()
    assert [e.cl_ord_id for e in of(stepped(built), CancelRequested)] == ["late"]


def test_a_position_that_is_flat_is_passed_over_and_the_next_one_is_not() -> None:
    built = leaving()
    other = Position(strategy_id="test-1", symbol="BBB", qty=D(5), cost=D(150), exit_wanted="too")
    holdings.hold(built.state, other)
    built.state.positions[KEY].qty = D(0)
    assert sent(stepped(built)) == [(Side.SELL, 5)]


def test_what_ended_exits_may_have_closed_is_not_closed_twice() -> None:
    built = leaving()
    stop = legs(built)[0]
    strangers = {
        "theirs": {"strategy_id": "test-2"},
        "elsewhere": {"symbol": "BBB"},
        "entry": {"side": Side.BUY},
    }
    for name, changes in strangers.items():
        built.state.orders[name] = msgspec.structs.replace(stop, cl_ord_id=name, **changes)
    built.state.unproven = {stop.cl_ord_id: D(30)} | dict.fromkeys(strangers, D(5))
    assert sent(stepped(built)) == [(Side.SELL, 70)]
    for unproven, due in ((100, []), (130, []), (99, [(Side.SELL, 1)])):
        built = leaving()
        built.state.unproven = {legs(built)[0].cl_ord_id: D(unproven)}
        events = stepped(built)
        assert sent(events) == due
        assert bool(events) is bool(due), "nothing is asked to be judged where nothing is left to close"
    brief = short(leaving())
    brief.state.unproven = {legs(brief)[0].cl_ord_id: D(40)}
    assert sent(stepped(brief)) == [(Side.BUY, 60)]


# --- exits that fail -------------------------------------------------------------------------------------------------


def tried(times: int, status: OrdStatus = OrdStatus.REJECTED, **changes: Any) -> Desk:
    """So many exits were sent, each ended so, the last of them at this moment."""
    built = leaving()
    for number in range(times):
        stepped(built, number - times + 1)
        (order,) = built.state.working()
        order.intended_at = built.world.at() + timedelta(seconds=number - times + 1)
        ended(built, order, status, **({"reason": "no"} | changes))
    return built


@pytest.mark.parametrize("status", [OrdStatus.REJECTED, OrdStatus.DENIED, OrdStatus.EXPIRED, OrdStatus.CANCELED])
def test_an_exit_that_failed_is_followed_by_another_but_not_within_the_same_moment(status: OrdStatus) -> None:
    assert sent(stepped(tried(1, status))) == []
    assert sent(stepped(tried(1, status), 1)) == [(Side.SELL, 100)]


@pytest.mark.parametrize(("times", "seconds", "again"), [(4, 1, 1), (5, 1, 0), (5, 59, 0), (5, 60, 1)])
def test_a_row_of_refusals_is_told_and_goes_on_at_a_pace(times: int, seconds: int, again: int) -> None:
    built = tried(times)
    events = stepped(built, seconds)
    assert len(sent(events)) == again
    told = [(e.alert.kind, e.alert.key, e.alert.priority) for e in of(events, AlertRaised)]
    assert told == [("exit_failed", KEY, Priority.P0)] * (times >= 5)
    cancelled = tried(times, OrdStatus.CANCELED)
    assert len(sent(stepped(cancelled, seconds))) == 1, "what was cancelled was not refused"


@pytest.mark.parametrize(
    ("seconds", "traded", "again"), [(59, None, 0), (60, None, 1), (10, 0, 0), (10, 1, 1), (10, -1, 0)]
)
def test_a_market_that_takes_nothing_is_tried_once_it_has_traded_or_after_a_while(
    seconds: int, traded: int | None, again: int
) -> None:
    built = tried(1, reject_code=RejectCode.MARKET_STATE)
    day = built.state.day
    day.boundary_at = None if traded is None else built.world.at() + timedelta(seconds=traded)
    assert len(sent(stepped(built, seconds))) == again
    for changes in ({"reject_code": RejectCode.RISK}, {"status": OrdStatus.EXPIRED}):
        other = tried(1, **({"reject_code": RejectCode.MARKET_STATE} | changes))
        other.state.day.boundary_at = day.boundary_at
        assert len(sent(stepped(other, seconds))) == 1, "anything else is no matter of the market's"


@pytest.mark.parametrize(("seconds", "again"), [(99, 1), (100, 0), (101, 0)])
def test_after_the_close_a_market_takes_nothing_until_it_opens(seconds: int, again: int) -> None:
    built = tried(1, reject_code=RejectCode.MARKET_STATE)
    built.state.day.closes_at = built.world.at() + timedelta(seconds=100)
    assert len(sent(stepped(built, seconds))) == again


# --- cancels ---------------------------------------------------------------------------------------------------------


def cancelled(built: Desk, order: Order, seconds: float = 0) -> list[Event]:
    decision = at(built, seconds)
    exits.cancel_all(decision, [order], "why")
    return decision.events


def test_a_cancel_is_asked_for_once_of_what_is_open() -> None:
    built = desk()
    assert len(of(cancelled(built, built.order), CancelRequested)) == 1
    assert cancelled(built, built.order, 1000) == [], "it has not failed"
    over = desk()
    ended(over, over.order)
    assert cancelled(over, over.order) == []


@pytest.mark.parametrize(("cancels", "pace_s"), [(0, 0), (1, 5), (2, 5), (3, 10), (4, 20), (5, 30), (6, 30), (50, 30)])
def test_one_that_did_not_take_is_asked_for_again_ever_more_slowly_and_told_once(cancels: int, pace_s: int) -> None:
    for seconds, due in ((max(pace_s, 0.1) - 0.1, False), (max(pace_s, 0.1), True)):
        built = desk()
        built.state.alerts.clear()
        order = built.order
        order.cancels, order.cancel_failed, order.cancel_requested_at = cancels, True, built.world.at()
        events = cancelled(built, order, seconds)
        assert len(of(events, CancelRequested)) == due
        told = [(e.alert.kind, e.alert.key, e.alert.priority) for e in of(events, AlertRaised)]
        assert told == [("cancel_fails", order.cl_ord_id, Priority.P1)] * (due and cancels == 5)


def test_every_order_is_asked_about_whatever_the_one_before_was() -> None:
    built = held()
    ended(built, legs(built)[0])
    decision = at(built)
    exits.cancel_all(decision, legs(built), "why")
    assert [e.cl_ord_id for e in of(decision.events, CancelRequested)] == [o.cl_ord_id for o in legs(built)[1:]]


def test_all_entries_of_the_book_and_nothing_else() -> None:
    built = held()
    second = msgspec.structs.replace(built.order, cl_ord_id="second", status=OrdStatus.ACCEPTED, ord_type=OrdType.LIMIT)
    second.cancel_requested_at = None
    holdings.admit(built.state, second)
    decision = at(built)
    exits.cancel_entries(decision, "why")
    assert [(e.cl_ord_id, e.reason) for e in of(decision.events, CancelRequested)] == [("second", "why")]
