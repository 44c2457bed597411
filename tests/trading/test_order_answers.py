"""What the broker's answers about single orders come to, legs that go with their entry, and orders that work twice."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import AlertCleared, AlertRaised
from qmworkbench.domain.events.orders import CancelRequested, OrderChanged, OrderQueried, ReportQuarantined
from qmworkbench.domain.execution import BrokerOrder, BrokerSnapshot, ExecType
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, Replacement, Side
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading import duplicates, holdings, order_queries
from qmworkbench.trading.book_state import Asked
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.leg_adoption import leg_of
from qmworkbench.trading.order_life import walk
from tests.trading.oms_cases import D, Desk, desk, held, legs


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def arcs(built: Desk, events: list[Event]) -> list[Arc]:
    return [event.arc for event in of(events, OrderChanged) if event.cl_ord_id == built.order.cl_ord_id]


def answered(built: Desk, **how: Any) -> Decision:
    """One answer about the order, in a decision of its own."""
    decision = Decision(built.state, built.world.at())
    base: dict[str, Any] = {"cl_ord_id": built.order.broker_id, "complete": True, "found": None}
    told = OrderQueried(at=decision.at, cursor=built.state.heard_cursor, **(base | how))
    order_queries.on_query_answer(decision, told)
    return decision


def unanswered(status: OrdStatus = OrdStatus.UNKNOWN, *, seconds: int = 60, order_id: str | None = None) -> Desk:
    """An order of which the broker has said nothing, sent so long ago; one answer that does not know it is enough."""
    built = desk(accepted=False)
    built.order.status, built.order.order_id = status, order_id
    built.order.last_at = built.world.at() - timedelta(seconds=seconds)
    built.state.reconciliation.asked.clear()
    return built


# --- it does not know the order ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "arc"),
    [
        (OrdStatus.UNKNOWN, [Arc.ABANDON]),
        (OrdStatus.PENDING_CANCEL, [Arc.CANCEL]),
        (OrdStatus.ACCEPTED, []),
        (OrdStatus.CANCELED, []),
    ],
)
def test_what_proven_absence_does_to_each_status(status: OrdStatus, arc: list[Arc]) -> None:
    built = unanswered(status)
    decision = answered(built)
    assert arcs(built, decision.events) == arc
    assert bool(of(decision.events, AlertCleared)) is bool(arc), "that it was not answered is settled"


def test_what_the_broker_has_confirmed_or_may_still_get_is_not_absent() -> None:
    assert arcs(unanswered(), answered(unanswered(order_id="b-1")).events) == []
    early = unanswered(seconds=1)
    assert arcs(early, answered(early).events) == []
    failed = unanswered()
    assert arcs(failed, answered(failed, complete=False).events) == []


# --- it knows the order --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"symbol": "BBB"}, "in BBB there"),
        ({"side": Side.SELL}, "it is a sell"),
        ({"order_qty": D("NaN")}, "is no quantity"),
        ({"cum_qty": D(-1)}, "-1 is no quantity"),
        ({"leaves_qty": D("Infinity")}, "is no quantity"),
    ],
)
def test_an_answer_about_another_order_is_set_aside(changes: dict[str, Any], said: str) -> None:
    built = desk()
    decision = answered(built, found=built.as_told(**changes))
    (odd,) = of(decision.events, ReportQuarantined)
    assert odd.kind == "query_contradicts"
    assert said in odd.detail
    assert arcs(built, decision.events) == []
    fine = answered(desk(), found=desk().as_told(cum_qty=D(0), leaves_qty=D(0)))
    assert of(fine.events, ReportQuarantined) == []


@pytest.mark.parametrize(
    ("status", "theirs", "cum", "arc"),
    [
        (OrdStatus.UNKNOWN, OrdStatus.ACCEPTED, 0, [Arc.ACK]),
        (OrdStatus.UNKNOWN, OrdStatus.PARTIALLY_FILLED, 5, []),
        (OrdStatus.ACCEPTED, OrdStatus.ACCEPTED, 0, []),
        (OrdStatus.PENDING_CANCEL, OrdStatus.ACCEPTED, 0, [Arc.CANCEL_REJECT]),
        (OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_CANCEL, 0, [Arc.CANCEL_REJECT]),
        (OrdStatus.ACCEPTED, OrdStatus.CANCELED, 0, [Arc.CANCEL]),
        (OrdStatus.ACCEPTED, OrdStatus.EXPIRED, 0, [Arc.EXPIRE]),
        (OrdStatus.ACCEPTED, OrdStatus.REJECTED, 0, [Arc.REJECT]),
        (OrdStatus.ACCEPTED, OrdStatus.FILLED, 100, []),
        (OrdStatus.ACCEPTED, OrdStatus.CANCELED, 30, [Arc.CANCEL]),
    ],
)
def test_what_an_answer_that_knows_it_does(status: OrdStatus, theirs: OrdStatus, cum: int, arc: list[Arc]) -> None:
    built = desk()
    built.order.status = status
    decision = answered(built, found=built.as_told(ord_status=theirs, cum_qty=D(cum), leaves_qty=D(100 - cum)))
    assert arcs(built, decision.events) == arc
    assert decision.want_reconciliation is bool(cum), "fills come through their reports"
    kept = cum if arc == [Arc.CANCEL] else 0
    assert built.state.unproven.get(built.order.cl_ord_id, 0) == kept


def test_a_cancel_that_is_done_with_is_not_called_refused() -> None:
    built = desk()
    built.order.status = OrdStatus.PENDING_CANCEL
    decision = answered(built, found=built.as_told(leaves_qty=D(0)))
    assert arcs(built, decision.events) == []


def test_an_order_that_filled_what_had_filled_was_cut_down_to_that() -> None:
    built = desk()
    built.fill(40)
    decision = answered(built, found=built.as_told(ord_status=OrdStatus.FILLED, cum_qty=D(40), leaves_qty=D(0)))
    assert arcs(built, decision.events) == [Arc.RESTATE]
    assert (built.order.order_qty, built.order.status) == (40, OrdStatus.FILLED)


def test_why_it_ended_is_kept_where_it_is_known() -> None:
    for reason, kept in (("by hand", "by hand"), ("", "found ended at the broker")):
        built = desk()
        built.order.reason = reason
        answered(built, found=built.as_told(ord_status=OrdStatus.CANCELED))
        assert built.order.reason == kept


@pytest.mark.parametrize(
    ("recovering", "abandoned", "asked", "failed", "cancels"),
    [
        (False, False, False, False, 0),
        (True, False, False, False, 1),
        (False, True, False, False, 1),
        (True, False, True, False, 0),
        (True, False, True, True, 1),
    ],
)
def test_a_stale_entry_that_is_found_is_cancelled(
    recovering: bool, abandoned: bool, asked: bool, failed: bool, cancels: int
) -> None:
    built = desk()
    built.state.day.recovering = recovering
    built.order.abandoned, built.order.cancel_failed = abandoned, failed
    built.order.cancel_requested_at = built.world.at() if asked else None
    assert len(of(answered(built, found=built.as_told()).events, CancelRequested)) == cancels
    exit_order = held()
    exit_order.state.day.recovering = True
    stop = next(order for order in legs(exit_order) if order.leg is Leg.STOP)
    exit_order.order = stop
    told = exit_order.as_told(symbol=stop.symbol, side=stop.side)
    assert of(answered(exit_order, found=told).events, CancelRequested) == [], "an exit is wanted as ever"


def test_an_abandoned_id_that_has_ended_here_and_works_there_is_cancelled_once_a_moment() -> None:
    built = desk()
    built.order.status, built.order.abandoned = OrdStatus.CANCELED, True
    found = built.as_told(leaves_qty=D(100))
    assert len(of(answered(built, found=found).events, CancelRequested)) == 1
    assert of(answered(built, found=found).events, CancelRequested) == []
    built.order.cancel_requested_at = None
    assert of(answered(built, found=built.as_told(leaves_qty=D(0))).events, CancelRequested) == []
    built.order.abandoned = False
    assert of(answered(built, found=found).events, CancelRequested) == []


# --- legs go with their entry --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cum", "unproven", "go"), [(0, 0, True), (30, 0, False), (0, 30, False)])
def test_legs_that_never_came_alive_end_with_an_entry_that_filled_nothing(cum: int, unproven: int, go: bool) -> None:
    built = desk()
    if cum:
        built.fill(cum)
    events = built.say(ExecType.CANCELED, cum_qty=D(cum + unproven))
    ended = [e.cl_ord_id for e in of(events, OrderChanged) if e.arc is Arc.ABANDON]
    assert (sorted(ended) == sorted(leg.cl_ord_id for leg in legs(built))) is go
    assert bool(ended) is go


def test_legs_that_the_broker_works_end_by_its_own_word() -> None:
    built = desk()
    alive = next(leg for leg in legs(built) if leg.leg is Leg.STOP)
    built.say(ExecType.NEW, cl_ord_id=alive.cl_ord_id, side=Side.SELL, cum_qty=D(0), order_id="b-stop")
    events = built.say(ExecType.CANCELED, cum_qty=D(0))
    ended = {e.cl_ord_id for e in of(events, OrderChanged) if e.arc is Arc.ABANDON}
    assert ended == {leg.cl_ord_id for leg in legs(built)} - {alive.cl_ord_id}


def test_an_entry_takes_its_own_legs_along_and_no_other_order_in_doubt() -> None:
    built = desk()
    other = msgspec.structs.replace(built.order)
    other.cl_ord_id, other.leg, other.status, other.parent_id = "way-out", Leg.EXIT, OrdStatus.UNKNOWN, None
    holdings.admit(built.state, other)
    events = built.say(ExecType.CANCELED, cum_qty=D(0))
    ended = {e.cl_ord_id for e in of(events, OrderChanged) if e.arc is Arc.ABANDON}
    assert ended == {leg.cl_ord_id for leg in legs(built)}


# --- legs under names of the broker's own --------------------------------------------------------------------------


def leg_report(built: Desk, **changes: Any) -> Any:
    base: dict[str, Any] = {
        "cl_ord_id": "theirs",
        "side": Side.SELL,
        "parent_id": built.order.cl_ord_id,
        "leg": Leg.STOP,
        "cum_qty": D(0),
    }
    return built.report(ExecType.NEW, **(base | changes))


def test_a_leg_is_known_by_its_entry_and_what_it_does() -> None:
    built = desk()
    found = leg_of(built.state, leg_report(built))
    assert found is not None
    assert found.leg is Leg.STOP
    for changes in (
        {"parent_id": None},
        {"parent_id": "nobody"},
        {"side": Side.BUY},
        {"symbol": "BBB"},
        {"leg": None},
        {"leg": Leg.EXIT},
    ):
        assert leg_of(built.state, leg_report(built, **changes)) is None, changes


def test_a_leg_that_has_its_name_already_is_not_the_one() -> None:
    for name, value in (("order_id", "b-1"), ("working_id", "later"), ("status", OrdStatus.DENIED)):
        built = desk()
        stop = next(order for order in legs(built) if order.leg is Leg.STOP)
        setattr(stop, name, value)
        assert leg_of(built.state, leg_report(built)) is None, name
    last = desk()
    for order in legs(last):
        if order.leg is not Leg.TARGET:
            order.order_id = "b-1"
    only = leg_of(last.state, leg_report(last, leg=None))
    assert only is not None, "one is left, whatever the broker calls it"
    assert only.leg is Leg.TARGET
    forgotten = desk()
    forgotten.state.intents.clear()
    assert leg_of(forgotten.state, leg_report(forgotten)) is None


# --- orders that work twice ----------------------------------------------------------------------------------------


def looked(built: Desk, *orders: BrokerOrder, complete: bool = True) -> list[Event]:
    decision = Decision(built.state, built.world.at())
    seen = BrokerSnapshot(complete=complete, cursor=1, as_of=decision.at, open_orders=orders)
    duplicates.look(decision, seen)
    return decision.events


def test_of_two_that_work_for_one_order_the_one_we_know_stays() -> None:
    built = desk()
    ours = built.as_told()
    second = built.as_told(cl_ord_id="a-second", orig_cl_ord_id=built.order.cl_ord_id)
    for orders in ((ours, second), (second, ours)):
        built.state.alerts.clear()
        events = looked(built, *orders)
        assert [event.cl_ord_id for event in of(events, CancelRequested)] == ["a-second"]
    renamed = built.as_told(orig_cl_ord_id="nobody")
    assert len(of(looked(built, renamed, second), CancelRequested)) == 1, "known by its own id, whatever it replaced"
    for orders in ((ours, second), (second, ours)):
        built.state.alerts.clear()
        events = looked(built, *orders)
        assert len(of(events, ReportQuarantined)) == 1
        assert len(of(events, AlertRaised)) >= 1
    again = looked(built, ours, second)
    assert of(again, ReportQuarantined) == [], "told already"
    assert len(of(again, CancelRequested)) == 1, "and still not wanted"


def test_one_order_twice_in_a_list_one_by_another_id_or_a_strangers_is_no_duplicate() -> None:
    built = desk()
    ours = built.as_told()
    assert looked(built, ours) == []
    assert looked(built, ours, built.as_told(cl_ord_id="by-hand")) == []
    assert looked(built, built.as_told(cl_ord_id="a-second", orig_cl_ord_id=built.order.cl_ord_id)) == []
    second = built.as_told(cl_ord_id="a-second", orig_cl_ord_id=built.order.cl_ord_id)
    assert looked(built, ours, second, complete=False) == []


def test_two_entries_of_one_signal_are_one_too_many_and_exits_are_counted_by_themselves() -> None:
    built = desk()
    twin = msgspec.structs.replace(built.order)
    twin.cl_ord_id = "twin"
    built.state.orders["twin"] = twin
    told = built.as_told(), built.as_told(cl_ord_id="twin")
    assert len(of(looked(built, *told), CancelRequested)) == 1
    twin.signal_id = "another"
    assert of(looked(built, *told), CancelRequested) == []
    twin.signal_id, twin.leg = built.order.signal_id, Leg.EXIT
    assert of(looked(built, *told), CancelRequested) == []
    twin.leg = Leg.ENTRY
    twin.signal_id = built.order.signal_id = ""
    assert of(looked(built, *told), CancelRequested) == [], "without a signal each is its own"


# --- answers under other ids, and what they settle -------------------------------------------------------------------


def test_an_answer_under_the_id_it_goes_on_under_is_recorded_under_ours() -> None:
    built = desk()
    built.order.working_id = "later"
    built.state.working_ids["later"] = built.order.cl_ord_id
    for name, recorded in (("later", built.order.cl_ord_id), (built.order.cl_ord_id, built.order.cl_ord_id)):
        (told,) = of(answered(built, cl_ord_id=name, complete=False).events, OrderQueried)
        assert told.cl_ord_id == recorded


def test_an_answer_that_failed_is_followed_by_nothing_whatever_it_holds() -> None:
    built = desk()
    decision = answered(built, complete=False, found=built.as_told(ord_status=OrdStatus.CANCELED))
    assert arcs(built, decision.events) == []


def test_an_answer_that_knows_the_order_answers_the_alarm() -> None:
    built = desk()
    decision = Decision(built.state, built.world.at())
    decision.alarm("failed_order_placement", built.order.cl_ord_id, Priority.P1, "", "")
    assert len(of(answered(built, found=built.as_told()).events, AlertCleared)) == 1


def test_an_order_in_doubt_that_the_broker_does_not_work_is_not_acknowledged() -> None:
    built = desk()
    built.order.status = OrdStatus.UNKNOWN
    decision = answered(built, found=built.as_told(ord_status=OrdStatus.SUBMITTED))
    assert arcs(built, decision.events) == []


def test_an_abandoned_order_that_the_broker_ended_is_not_cancelled_again() -> None:
    built = desk()
    built.order.abandoned = True
    found = built.as_told(ord_status=OrdStatus.CANCELED, leaves_qty=D(0))
    assert of(answered(built, found=found).events, CancelRequested) == []


def test_the_quantity_stays_where_an_order_ended_with_a_part_of_it_filled() -> None:
    built = desk()
    built.fill(40)
    answered(built, found=built.as_told(ord_status=OrdStatus.CANCELED, cum_qty=D(40), leaves_qty=D(0)))
    assert (built.order.status, built.order.order_qty) == (OrdStatus.CANCELED, 100)


def test_an_answer_about_another_order_stops_its_owner_and_is_told() -> None:
    built = desk()
    built.state.alerts.clear()
    decision = answered(built, found=built.as_told(symbol="BBB"))
    assert [(e.alert.kind, e.alert.key) for e in of(decision.events, AlertRaised)] == [
        ("query_contradicts", built.order.cl_ord_id)
    ]
    assert built.state.trading_state("test-1") is TradingState.REDUCING


def test_an_order_that_has_ended_is_settled_by_no_absence() -> None:
    built = unanswered(OrdStatus.CANCELED)
    holdings.follow_status(built.state, built.order)
    built.state.reconciliation.asked[built.order.cl_ord_id] = Asked(at=built.state.clock(), absent=9)
    Decision(built.state, built.world.at()).alarm("failed_order_placement", built.order.cl_ord_id, Priority.P1, "", "")
    assert [type(event) for event in answered(built).events] == [OrderQueried]


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (40, 60), (0, 100), (60, 40)])
def test_filled_is_no_end_while_the_fills_are_not_here(ours: int, theirs: int) -> None:
    built = desk()
    if ours:
        built.fill(ours)
    found = built.as_told(ord_status=OrdStatus.FILLED, cum_qty=D(theirs), leaves_qty=D(0))
    decision = answered(built, found=found)
    assert arcs(built, decision.events) == []
    assert of(decision.events, ReportQuarantined) == []
    assert built.order.is_open


def test_an_end_that_cannot_be_is_set_aside() -> None:
    """It was asked to go on as 60, which have filled: under that id it cannot have been cancelled."""
    built = desk()
    built.order.replacing = Replacement(cl_ord_id="later", order_qty=D(60))
    built.fill(60)
    found = built.as_told(cl_ord_id="later", ord_status=OrdStatus.CANCELED, order_qty=D(60), leaves_qty=D(0))
    decision = answered(built, found=found)
    assert (built.order.status, arcs(built, decision.events)) == (OrdStatus.FILLED, [Arc.REPLACE])
    (odd,) = of(decision.events, ReportQuarantined)
    assert odd.kind == "query_contradicts"


def test_late_news_of_an_order_that_has_ended_ends_no_leg() -> None:
    for ended in (True, False):
        built = desk()
        stop = legs(built)[0]
        stop.status = OrdStatus.UNKNOWN
        if ended:
            built.order.status = OrdStatus.CANCELED
        decision = Decision(built.state, built.world.at())
        walk(decision, built.order, Arc.CANCEL)
        assert (stop.cl_ord_id in [e.cl_ord_id for e in of(decision.events, OrderChanged)]) is not ended


def test_a_strangers_order_hides_no_duplicate_and_before_a_session_nobody_decides() -> None:
    built = desk()
    second = built.as_told(cl_ord_id="a-second", orig_cl_ord_id=built.order.cl_ord_id)
    strange = built.as_told(cl_ord_id="0-by-hand")
    assert [event.cl_ord_id for event in of(looked(built, strange, built.as_told(), second), CancelRequested)] == [
        "a-second"
    ]
    built.state.alerts.clear()
    built.state.session = None
    assert looked(built, built.as_told(), second) == []
