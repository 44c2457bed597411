"""Single rules of order management at their edges: answers to requests, fills, last words, and what follows (§13)."""

from typing import Any

import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import AlertRaised
from qmworkbench.domain.events.orders import (
    CancelObserved,
    CancelRequested,
    ExecutionReported,
    ExitRequested,
    OrderChanged,
    OrderQueryRequested,
    ReportQuarantined,
    SubmitObserved,
)
from qmworkbench.domain.events.reconciliation import ReconciliationStarted
from qmworkbench.domain.execution import ExecType, SubmitOutcome
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, Replacement, Side
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading import busts, oms
from qmworkbench.trading.decision import Decision
from tests.trading.oms_cases import D, Desk, desk, held, legs, submit_answer


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def arcs(events: list[Event]) -> list[Arc]:
    return [event.arc for event in of(events, OrderChanged)]


def alarms(events: list[Event]) -> dict[str, Priority]:
    return {event.alert.kind: event.alert.priority for event in of(events, AlertRaised)}


def doubtful(status: OrdStatus = OrdStatus.INTENDED) -> Desk:
    built = desk(accepted=False)
    built.order.status = status
    built.state.alerts.clear()
    return built


# --- answers to requests -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "outcome", "arc"),
    [
        (OrdStatus.INTENDED, SubmitOutcome.SENT, [Arc.SUBMIT]),
        (OrdStatus.UNKNOWN, SubmitOutcome.SENT, []),
        (OrdStatus.SUBMITTED, SubmitOutcome.SENT, []),
        (OrdStatus.INTENDED, SubmitOutcome.WITHHELD, [Arc.WITHHOLD]),
        (OrdStatus.UNKNOWN, SubmitOutcome.WITHHELD, []),
        (OrdStatus.INTENDED, SubmitOutcome.REFUSED, [Arc.REJECT]),
        (OrdStatus.UNKNOWN, SubmitOutcome.REFUSED, [Arc.REJECT]),
        (OrdStatus.INTENDED, SubmitOutcome.LOST, [Arc.LOSE]),
        (OrdStatus.ACCEPTED, SubmitOutcome.REFUSED, []),
        (OrdStatus.CANCELED, SubmitOutcome.LOST, []),
    ],
)
def test_what_an_answer_to_a_submit_does_to_each_status(
    status: OrdStatus, outcome: SubmitOutcome, arc: list[Arc]
) -> None:
    built = doubtful(status)
    events = submit_answer(built, outcome, "no_locate: none")
    mine = [event.arc for event in of(events, OrderChanged) if event.cl_ord_id == built.order.cl_ord_id]
    assert mine == arc
    lost = outcome is SubmitOutcome.LOST and bool(arc)
    assert alarms(events).get("failed_order_placement") == (Priority.P1 if lost else None)
    refused = outcome is SubmitOutcome.REFUSED and bool(arc)
    assert alarms(events).get("order_rejected") == (Priority.P2 if refused else None)


@pytest.mark.parametrize(
    ("status", "outcome", "said"),
    [
        (OrdStatus.INTENDED, SubmitOutcome.SENT, ("AAA", "test-1")),
        (OrdStatus.UNKNOWN, SubmitOutcome.SENT, ("", "")),
        (OrdStatus.INTENDED, SubmitOutcome.WITHHELD, ("", "")),
        (OrdStatus.INTENDED, SubmitOutcome.LOST, ("", "")),
    ],
)
def test_where_an_order_was_sent_and_nothing_else_happened_that_is_said(
    status: OrdStatus, outcome: SubmitOutcome, said: tuple[str, str]
) -> None:
    built = doubtful(status)
    decision = Decision(built.state, built.world.at())
    oms.on_submit_observed(
        decision, SubmitObserved(at=decision.at, cl_ord_id=built.order.cl_ord_id, outcome=outcome, detail="")
    )
    assert (decision.quiet, decision.quiet_owner) == said


def test_what_was_withheld_says_why() -> None:
    built = doubtful()
    submit_answer(built, SubmitOutcome.WITHHELD, "it was asked to cancel before it was sent")
    assert (built.order.status, built.order.reason) == (
        OrdStatus.CANCELED,
        "it was asked to cancel before it was sent",
    )


@pytest.mark.parametrize(
    ("outcome", "status", "arc", "asks"),
    [
        (SubmitOutcome.SENT, OrdStatus.ACCEPTED, [Arc.CANCEL_REQUEST], 0),
        (SubmitOutcome.SENT, OrdStatus.PENDING_CANCEL, [], 0),
        (SubmitOutcome.LOST, OrdStatus.ACCEPTED, [], 1),
        (SubmitOutcome.REFUSED, OrdStatus.ACCEPTED, [], 1),
        (SubmitOutcome.SENT, OrdStatus.CANCELED, [], 0),
        (SubmitOutcome.LOST, OrdStatus.FILLED, [], 0),
    ],
)
def test_what_an_answer_to_a_cancel_does(outcome: SubmitOutcome, status: OrdStatus, arc: list[Arc], asks: int) -> None:
    built = desk()
    built.order.status = status
    decision = Decision(built.state, built.world.at())
    told = CancelObserved(at=decision.at, cl_ord_id=built.order.broker_id, outcome=outcome, detail="why")
    oms.on_cancel_observed(decision, told)
    assert arcs(decision.events) == arc
    assert len(of(decision.events, OrderQueryRequested)) == asks


def test_a_cancel_under_an_id_that_was_given_up_says_nothing_and_without_the_broker_nothing_is_asked() -> None:
    built = desk()
    built.order.working_id = "later"
    built.state.working_ids["later"] = built.order.cl_ord_id
    for name, asks in ((built.order.cl_ord_id, 0), ("nobody", 0), ("later", 1)):
        decision = Decision(built.state, built.world.at())
        told = CancelObserved(at=decision.at, cl_ord_id=name, outcome=SubmitOutcome.LOST, detail="why")
        oms.on_cancel_observed(decision, told)
        assert len(of(decision.events, OrderQueryRequested)) == asks
    built.state.connected = False
    decision = Decision(built.state, built.world.at())
    oms.on_cancel_observed(
        decision, CancelObserved(at=decision.at, cl_ord_id="later", outcome=SubmitOutcome.LOST, detail="why")
    )
    assert of(decision.events, OrderQueryRequested) == []


def test_an_answer_about_an_order_nobody_knows_is_on_record_alone() -> None:
    built = desk()
    given = SubmitObserved(at=built.world.at(), cl_ord_id="nobody", outcome=SubmitOutcome.LOST, detail="")
    decision = Decision(built.state, built.world.at())
    oms.on_submit_observed(decision, given)
    assert decision.events == [given]


# --- the same news again -----------------------------------------------------------------------------------------


def test_news_said_again_is_kept_only_where_it_moves_the_count() -> None:
    built = desk()
    told = built.report(ExecType.TRADE, last_qty=D(40), last_px=D(20))
    built.step(ExecutionReported(at=built.world.at(), report=told))
    decision = Decision(built.state, built.world.at())
    oms.on_execution(decision, ExecutionReported(at=decision.at, report=told))
    assert decision.events == []
    built.state.exec_cursor -= 1
    oms.on_execution(decision, ExecutionReported(at=decision.at, report=told))
    assert len(decision.events) == 1, "heard up to here"


# --- fills -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("qty", "wrong"), [(100, False), (101, True)])
def test_an_over_fill_is_more_than_the_order(qty: int, wrong: bool) -> None:
    built = desk()
    events = built.fill(qty)
    assert bool(of(events, ReportQuarantined)) is wrong
    assert built.state.net_qty("AAA") == qty, "held all the same"


@pytest.mark.parametrize(("asked", "qty", "wrong"), [(150, 150, False), (150, 151, True), (50, 100, False)])
def test_while_a_replace_is_unanswered_the_larger_quantity_counts(asked: int, qty: int, wrong: bool) -> None:
    built = desk()
    built.order.replacing = Replacement(cl_ord_id="later", order_qty=D(asked))
    assert bool(of(built.fill(qty), ReportQuarantined)) is wrong


@pytest.mark.parametrize(("cum", "wrong", "reads"), [(39, True, True), (40, False, False), (41, False, True)])
def test_the_total_that_comes_with_a_fill_tells_of_others(cum: int, wrong: bool, reads: bool) -> None:
    built = desk()
    decision = Decision(built.state, built.world.at())
    report = built.report(ExecType.TRADE, last_qty=D(40), last_px=D(20), cum_qty=D(cum))
    oms.on_execution(decision, ExecutionReported(at=decision.at, report=report))
    assert bool(of(decision.events, ReportQuarantined)) is wrong
    assert decision.want_reconciliation is reads


@pytest.mark.parametrize("status", [OrdStatus.REJECTED, OrdStatus.DENIED])
def test_a_fill_of_what_was_refused_is_one_contradiction_and_is_held(status: OrdStatus) -> None:
    built = desk()
    built.order.status = status
    built.fill(10)
    assert built.quarantined() == ["over_fill"]
    assert built.state.net_qty("AAA") == 10


def test_what_an_exit_turned_around_is_closed_again() -> None:
    built = held()
    stop = next(order for order in legs(built) if order.leg is Leg.STOP)
    sell = {"cl_ord_id": stop.cl_ord_id, "side": Side.SELL, "order_id": "b-stop"}
    exact = built.fill(100, "17.00", cum_qty=D(100), **sell)
    assert of(exact, ReportQuarantined) == []
    target = next(order for order in legs(built) if order.leg is Leg.TARGET)
    more = built.fill(100, "23.00", cum_qty=D(100), **(sell | {"cl_ord_id": target.cl_ord_id, "order_id": "b-target"}))
    assert [event.kind for event in of(more, ReportQuarantined)] == ["over_exit"]
    assert [event.reason for event in of(more, ExitRequested)] == ["an exit closed more than was held"]


def test_an_entry_that_turns_a_position_is_no_exit() -> None:
    built = desk()
    assert of(built.fill(40), ExitRequested) == []


# --- status --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "cum", "unproven", "reads"),
    [
        (ExecType.CANCELED, 30, 30, True),
        (ExecType.EXPIRED, 30, 30, True),
        (ExecType.CANCELED, 0, 0, False),
        (ExecType.NEW, 30, 0, False),
    ],
)
def test_only_last_words_carry_what_had_filled(said: ExecType, cum: int, unproven: int, reads: bool) -> None:
    built = desk()
    decision = Decision(built.state, built.world.at())
    report = built.report(said, cum_qty=D(cum))
    oms.on_execution(decision, ExecutionReported(at=decision.at, report=report))
    assert built.state.unproven.get(built.order.cl_ord_id, 0) == unproven
    assert decision.want_reconciliation is reads


@pytest.mark.parametrize(
    ("said", "qty", "becomes", "wrong"),
    [
        (ExecType.NEW, 90, 90, False),
        (ExecType.NEW, 100, 100, False),
        (ExecType.NEW, 110, 110, True),
        (ExecType.NEW, 0, 100, False),
        (ExecType.RESTATED, 90, 90, False),
        (ExecType.RESTATED, 110, 110, False),
        (ExecType.CANCEL_REJECTED, 90, 100, False),
    ],
)
def test_a_quantity_is_followed_where_the_broker_states_it(said: ExecType, qty: int, becomes: int, wrong: bool) -> None:
    built = desk()
    events = built.say(said, order_qty=D(qty), cum_qty=D(0))
    assert built.order.order_qty == becomes
    assert [event.kind for event in of(events, ReportQuarantined)] == (["order_qty"] if wrong else [])


def test_a_status_without_meaning_only_asks_where_it_tells_of_fills_we_lack() -> None:
    for cum, reads in ((0, False), (1, True)):
        built = desk()
        decision = Decision(built.state, built.world.at())
        report = built.report(ExecType.ORDER_STATUS, cum_qty=D(cum))
        oms.on_execution(decision, ExecutionReported(at=decision.at, report=report))
        assert decision.want_reconciliation is reads
        assert arcs(decision.events) == []


def test_a_rejection_is_followed_up_once() -> None:
    built = desk()
    assert "order_rejected" in alarms(built.say(ExecType.REJECTED, reason="no_locate: none"))
    built.state.alerts.clear()
    assert "order_rejected" not in alarms(built.say(ExecType.REJECTED, reason="no_locate: none"))


def test_a_refused_cancel_of_what_has_ended_asks_nothing() -> None:
    built = desk()
    assert len(of(built.say(ExecType.CANCEL_REJECTED, reason="late"), OrderQueryRequested)) == 1
    built.fill(100)
    assert of(built.say(ExecType.CANCEL_REJECTED, reason="late", cum_qty=D(100)), OrderQueryRequested) == []


# --- ids that were given up, and ids nobody knows ------------------------------------------------------------------


@pytest.mark.parametrize(("cum", "priority"), [(0, Priority.P1), (5, Priority.P0)])
def test_an_abandoned_order_that_is_live_is_worse_once_it_has_filled(cum: int, priority: Priority) -> None:
    built = desk()
    built.order.abandoned = True
    built.order.cum_qty = D(cum)
    decision = Decision(built.state, built.world.at())
    oms._back_from_the_dead(decision, built.order)
    assert alarms(decision.events) == {"abandoned_order_live": priority}
    assert len(of(decision.events, CancelRequested)) == 1
    assert decision.want_reconciliation
    oms._back_from_the_dead(decision, built.order)
    assert len(of(decision.events, CancelRequested)) == 1, "asked at this moment already"


def test_an_acknowledgement_of_an_abandoned_order_cancels_it_and_other_news_does_not() -> None:
    for said, cancels in ((ExecType.NEW, 1), (ExecType.RESTATED, 0)):
        built = desk()
        built.order.abandoned = True
        assert len(of(built.say(said), CancelRequested)) == cancels


def test_news_of_nobodys_order_is_set_aside_and_only_a_sane_fill_is_held() -> None:
    built = desk()
    strange = {"cl_ord_id": "nobody", "symbol": "BBB", "order_id": "n"}
    built.say(ExecType.NEW, **strange)
    assert (built.quarantined(), built.state.net_qty("BBB")) == (["unknown_order"], 0)
    built.fill(10, "1e9", **strange)
    assert built.quarantined()[-1] == "absurd_px"
    assert built.state.net_qty("BBB") == 0
    px = str(built.state.marks["BBB"].px)
    built.fill(10, px, **strange)
    assert built.quarantined()[-1] == "unknown_order"
    assert built.state.net_qty("BBB") == 10


@pytest.mark.parametrize(
    ("cursor", "said", "replayed", "reads"),
    [
        (0, ExecType.TRADE, False, None),
        (5, ExecType.TRADE, True, True),
        (5, ExecType.NEW, True, False),
        (6, ExecType.TRADE, False, None),
    ],
)
def test_what_is_not_after_the_mornings_count_is_of_an_earlier_session(
    cursor: int, said: ExecType, replayed: bool, reads: bool | None
) -> None:
    built = desk()
    built.state.day.first_cursor = 5
    decision = Decision(built.state, built.world.at())
    report = built.report(said, cursor=cursor, last_qty=D(10), last_px=D(20))
    oms.on_execution(decision, ExecutionReported(at=decision.at, report=report))
    kinds = [event.kind for event in of(decision.events, ReportQuarantined)]
    assert (kinds == ["earlier_session"]) is replayed
    if reads is not None:
        assert decision.want_reconciliation is reads
        assert ("executions_replayed" in alarms(decision.events)) is reads


def test_an_incident_starts_one_comparison() -> None:
    built = desk()
    built.state.reconciliation.pending = None
    assert len(of(built.say(ExecType.CANCELED, cum_qty=D(30)), ReconciliationStarted)) == 1


# --- under which id, and how much there is to think about ------------------------------------------------------------


def test_an_id_nobody_knows_that_names_the_one_before_it_is_that_order() -> None:
    built = desk()
    built.say(ExecType.REPLACED, cl_ord_id="by-hand", orig_cl_ord_id=built.order.cl_ord_id, order_qty=D(90))
    assert (built.order.working_id, built.order.order_qty) == ("by-hand", 90)
    stranger = desk()
    stranger.say(ExecType.REPLACED, cl_ord_id="by-hand", order_qty=D(90))
    assert stranger.quarantined() == ["unknown_order"]
    known = desk()
    known.say(ExecType.NEW, orig_cl_ord_id="nobody", order_qty=D(90))
    assert (known.quarantined(), known.order.order_qty) == ([], 90), "its own id says enough"
    later = desk()
    later.order.working_id = "later"
    later.state.working_ids["later"] = later.order.cl_ord_id
    later.say(ExecType.RESTATED, cl_ord_id="later", orig_cl_ord_id="nobody", order_qty=D(90))
    assert (later.quarantined(), later.order.order_qty) == ([], 90), "and so does the one it goes on under"


def quiet(built: Desk, **changes: Any) -> str:
    decision = Decision(built.state, built.world.at())
    report = built.report(ExecType.TRADE, **({"last_qty": D(10), "last_px": D(20)} | changes))
    oms.on_execution(decision, ExecutionReported(at=decision.at, report=report))
    return decision.quiet


def test_only_a_plain_fill_that_adds_to_a_working_entry_needs_no_second_thought() -> None:
    assert quiet(desk()) == "AAA"
    assert quiet(desk(), last_qty=D(101)) == "", "too much"
    closed = desk()
    closed.order.status = OrdStatus.CANCELED
    assert quiet(closed) == "", "it had ended"
    strangers = desk()
    strangers.order.leg = Leg.LIQUIDATE
    assert quiet(strangers) == "", "no entry"
    turning = held()
    turning.order.status, turning.order.cum_qty = OrdStatus.ACCEPTED, D(0)
    turning.order.side = Side.SELL
    assert quiet(turning, side=Side.SELL) == "", "it made a position smaller"


def test_a_fill_of_an_abandoned_order_cancels_what_is_left_of_it() -> None:
    built = desk()
    built.order.abandoned = True
    events = built.fill(10)
    assert alarms(events)["abandoned_order_live"] is Priority.P0
    assert len(of(events, CancelRequested)) == 1


def test_one_share_too_many_is_too_many() -> None:
    built = held()
    stop = next(order for order in legs(built) if order.leg is Leg.STOP)
    stop.order_qty = D(101)
    sell = {"cl_ord_id": stop.cl_ord_id, "side": Side.SELL, "order_id": "b-stop", "order_qty": D(101)}
    events = built.fill(101, "17.00", cum_qty=D(101), **sell)
    assert "over_exit" in [event.kind for event in of(events, ReportQuarantined)]


# --- what a bust leaves, and quantities of what has ended ----------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "qty", "closes"),
    [(0, 100, True), (40, 100, False), (1, 1, False), (5, -10, True), (-5, 10, True), (-5, -10, False), (5, 0, False)],
)
def test_only_what_a_bust_brought_back_or_turned_around_is_closed(before: int, qty: int, closes: bool) -> None:
    built = held()
    position = built.state.position("test-1", "AAA")
    assert position is not None
    position.qty = D(qty)
    decision = Decision(built.state, built.world.at())
    busts._unprotected(decision, position, D(before))
    assert bool(of(decision.events, ExitRequested)) is closes
    busts._unprotected(decision, None, D(before))


def test_a_bust_of_a_part_leaves_the_rest_to_its_exits() -> None:
    built = desk()
    built.fill(60)
    events = built.fill(40)
    (last,) = [event.exec_id for event in built.events[-len(events) :] if type(event).__name__ == "FillRecorded"]
    taken = built.say(ExecType.TRADE_CANCEL, ref_exec_id=last, last_qty=D(40), last_px=D("20.00"), cum_qty=D(60))
    assert built.state.net_qty("AAA") == 60
    assert of(taken, ExitRequested) == []


def test_an_end_that_tells_of_what_was_heard_leaves_nothing_reserved() -> None:
    built = desk()
    built.fill(40)
    built.say(ExecType.CANCELED, cum_qty=D(40))
    assert built.state.unproven == {}


def test_a_quantity_that_comes_after_the_end_changes_nothing() -> None:
    built = desk()
    built.say(ExecType.CANCELED)
    for said in (ExecType.RESTATED, ExecType.NEW):
        built.say(said, order_qty=D(110), cum_qty=D(0))
        assert (built.order.order_qty, built.quarantined()) == (100, [])


def test_a_leg_is_acknowledged_for_what_its_entry_has_filled() -> None:
    built = desk()
    built.fill(60)
    stop = next(order for order in legs(built) if order.leg is Leg.STOP)
    stop.order_qty = D(50)
    built.say(ExecType.NEW, cl_ord_id=stop.cl_ord_id, side=Side.SELL, order_id="b-stop", order_qty=D(60), cum_qty=D(0))
    assert (stop.order_qty, built.quarantined()) == (60, [])


def test_a_plain_acknowledgement_needs_no_second_thought_either() -> None:
    def heard(built: Desk, said: ExecType, **changes: Any) -> str:
        decision = Decision(built.state, built.world.at())
        oms.on_execution(decision, ExecutionReported(at=decision.at, report=built.report(said, **changes)))
        return decision.quiet

    assert heard(desk(), ExecType.NEW) == "AAA"
    assert heard(desk(), ExecType.RESTATED) == ""
    assert heard(desk(), ExecType.NEW, order_qty=D(110)) == "", "it contradicted"
    over = desk()
    over.order.status = OrdStatus.CANCELED
    assert heard(over, ExecType.NEW) == "", "it had ended"
