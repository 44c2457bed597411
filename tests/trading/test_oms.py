"""Order management at its edges: news that is late, twice, out of order, lost, or not true (§13, §14)."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.domain.events.market import Mark
from qmworkbench.domain.events.orders import (
    CancelObserved,
    ExecutionReported,
    FillRecorded,
    FillReversed,
    SubmitObserved,
)
from qmworkbench.domain.events.reconciliation import ReconciliationCompleted, ReconciliationResult, Trigger
from qmworkbench.domain.execution import ExecType, SubmitOutcome
from qmworkbench.domain.orders import Leg, OrdStatus, Side
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.effects import CancelOrder, QueryBroker, QueryOrder, SubmitOrder
from qmworkbench.trading.exits import progress_exits, request_exit
from qmworkbench.trading.fold import apply
from qmworkbench.trading.holdings import unsound
from qmworkbench.trading.kernel import Kernel
from tests.trading.oms_cases import D, Desk, asked, changed, desk, held, legs, submit_answer


def qty(built: Desk) -> Decimal:
    return built.state.net_qty("AAA")


# --- late, twice, out of order -----------------------------------------------------------------------------


def test_a_fill_before_the_acknowledgement_counts_and_the_acknowledgement_changes_nothing() -> None:
    built = desk(accepted=False)
    built.fill(40)
    assert (built.order.status, built.order.cum_qty, qty(built)) == (OrdStatus.PARTIALLY_FILLED, 40, 40)
    built.say(ExecType.NEW, cum_qty=D(0))
    assert built.order.status is OrdStatus.PARTIALLY_FILLED
    assert not built.quarantined()


@pytest.mark.parametrize("end", [ExecType.CANCELED, ExecType.EXPIRED])
def test_a_fill_after_the_end_counts_and_reopens_nothing(end: ExecType) -> None:
    built = desk()
    built.say(end)
    assert not built.order.is_open
    built.fill(40)
    assert (built.order.is_open, built.order.cum_qty, qty(built)) == (False, 40, 40)
    assert not built.quarantined()
    assert not unsound(built.state)


def test_a_cancel_that_was_refused_after_the_fill_was_heard_is_no_contradiction() -> None:
    built = desk()
    built.fill(100)
    built.say(ExecType.CANCEL_REJECTED)
    assert built.order.status is OrdStatus.FILLED
    assert not built.quarantined()
    assert not asked(built.events, QueryOrder), "an order that has ended is not asked for"


def test_executions_in_the_wrong_order_add_up() -> None:
    built = desk()
    second = built.report(ExecType.TRADE, last_qty=D(60), last_px=D(20), cum_qty=D(100))
    first = built.report(ExecType.TRADE, last_qty=D(40), last_px=D(20), cum_qty=D(40))
    built.step(ExecutionReported(at=built.world.at(), report=second))
    assert asked(built.events, QueryBroker), "executions before this one are missing: the broker is read"
    built.step(ExecutionReported(at=built.world.at(), report=first))
    assert (built.order.status, qty(built)) == (OrdStatus.FILLED, 100)
    assert not built.quarantined()


def test_the_same_news_twice_is_dropped_and_other_news_under_its_id_is_not() -> None:
    built = desk()
    told = built.report(ExecType.TRADE, last_qty=D(40), last_px=D(20))
    built.step(ExecutionReported(at=built.world.at(), report=told))
    assert built.step(ExecutionReported(at=built.world.at(), report=told)) == []
    other = changed(told, last_qty=D(41))
    heard = built.step(ExecutionReported(at=built.world.at(), report=other))
    assert isinstance(heard[0], ExecutionReported), "what was set aside is on record itself"
    assert qty(built) == 40
    assert built.quarantined() == ["exec_id_reused"]
    assert built.step(ExecutionReported(at=built.world.at(), report=other)) == [], "nor is the contradiction told twice"
    assert built.quarantined() == ["exec_id_reused"]
    later = changed(told, cursor=built.state.exec_cursor + 5)
    assert built.step(ExecutionReported(at=built.world.at(), report=later))
    assert built.state.exec_cursor == later.cursor, "the broker's count has been heard up to here"
    assert qty(built) == 40
    assert built.state.trading_state("test-1") is TradingState.REDUCING


def test_one_end_told_in_two_words_is_one_end() -> None:
    built = desk()
    built.say(ExecType.CANCELED)
    built.say(ExecType.EXPIRED)
    built.say(ExecType.CANCELED)
    assert built.order.status is OrdStatus.CANCELED
    assert not built.quarantined()


# --- lost --------------------------------------------------------------------------------------------------


def test_a_cancel_that_tells_of_more_filled_than_was_heard_keeps_the_gap_reserved() -> None:
    """freqtrade #3647: a "cancelled" order had filled."""
    built = desk()
    built.say(ExecType.CANCELED, cum_qty=D(30))
    assert built.order.status is OrdStatus.CANCELED
    assert built.state.unproven == {built.order.cl_ord_id: D(30)}
    assert asked(built.events, QueryBroker), "the executions are read"
    assert all(leg.is_open for leg in legs(built)), "its exits may be needed yet"
    built.fill(10, cum_qty=D(10))
    assert built.state.unproven == {built.order.cl_ord_id: D(20)}
    built.fill(20, cum_qty=D(30))
    assert built.state.unproven == {}
    assert qty(built) == 30


def test_a_refused_cancel_is_followed_by_a_question_and_never_by_a_storm() -> None:
    """Qubx #434: 14,000 refused cancels in 20 h on an order that had filled."""
    built = desk()
    cancels = 0
    got = built.step(_command(built, commands.Pause(reason="odd")))
    for _ in range(3_600):
        for effect in asked(got, CancelOrder):
            cancels += 1
            assert effect.cl_ord_id == built.order.broker_id
            assert asked(built.say(ExecType.CANCEL_REJECTED, reason="too late"), QueryOrder), "it is asked for"
            built.answer(complete=False)
        got = built.later(1)
    assert 100 < cancels <= 130, "within an hour, one every half minute"
    assert built.alarms().count("cancel_fails") == 1
    built.state.reconciliation.pending = None
    got = built.answer(found=built.as_told(ord_status=OrdStatus.FILLED, cum_qty=D(100), leaves_qty=D(0)))
    assert asked(got, QueryBroker), "it has filled: the executions are read"


def _command(built: Desk, command: Any) -> Any:
    return CommandReceived(at=built.world.at(), **built.world._signed(command))


def test_a_lost_fill_frame_is_found_by_asking_and_nothing_is_sold_twice() -> None:
    """Lean TradeStation #101: one lost fill frame, then a liquidation loop."""
    built = held()
    world = built.world
    world.faults.lost_request = 0.0
    position = built.state.position("test-1", "AAA")
    assert position is not None
    decision = Decision(built.state, world.at())
    request_exit(decision, position, "exit", "exit signal")
    progress_exits(decision)
    for leg in legs(built):
        built.say(ExecType.CANCELED, cl_ord_id=leg.cl_ord_id, side=Side.SELL, cum_qty=D(0))
    sent = [e.request for e in asked(built.events, SubmitOrder)]
    assert [r.order_qty for r in sent] == [D(100)]
    exit_id = sent[0].cl_ord_id
    built.step(SubmitObserved(at=world.at(), cl_ord_id=exit_id, outcome=SubmitOutcome.SENT))
    built.events.clear()
    for _ in range(60):  # the fill's frame is lost
        built.later(60)
    assert not asked(built.events, SubmitOrder), "an exit that may have filled is never sent again"
    assert asked(built.events, QueryOrder), "it is asked for by its id"
    found = built.as_told(
        cl_ord_id=exit_id, side=Side.SELL, ord_status=OrdStatus.FILLED, cum_qty=D(100), leaves_qty=D(0)
    )
    built.events.clear()
    built.answer(cl_ord_id=exit_id, found=found)
    whole = asked(built.events, QueryBroker)
    reading = built.state.reconciliation.pending is not None
    assert reading, "the day's executions are read, from its start"
    assert all(q.after_cursor == built.state.day.first_cursor for q in whole)


def test_a_submit_without_an_answer_is_unknown_and_asked_for_never_rejected() -> None:
    """hummingbot #6901, nautilus_trader #4152: a timeout counted as failed; the order was live."""
    built = desk(accepted=False)
    assert built.order.status is OrdStatus.UNKNOWN
    built.fill(100)
    assert (built.order.status, qty(built)) == (OrdStatus.FILLED, 100)


def test_an_answer_that_knows_the_order_settles_what_silence_left_open() -> None:
    built = desk(accepted=False)
    built.answer(found=built.as_told())
    assert (built.order.status, built.order.order_id) == (OrdStatus.ACCEPTED, "b-order-1")
    built.answer(found=built.as_told(ord_status=OrdStatus.CANCELED, leaves_qty=D(0)))
    assert built.order.status is OrdStatus.CANCELED, "the report of its end was lost"


def test_an_order_the_broker_confirmed_is_never_absent() -> None:
    built = desk()
    for _ in range(5):
        built.later(60)
        built.answer(found=None)
    assert built.order.status is OrdStatus.ACCEPTED


def test_a_duplicate_id_is_no_rejection_the_order_may_be_live() -> None:
    """nautilus_trader #3176, alpaca-py #260: an id is used once; the broker that knows it already has the order."""
    built = desk(accepted=False)
    order = built.order
    order.status = OrdStatus.INTENDED
    submit_answer(built, SubmitOutcome.REFUSED, '{"code":40010001,"message":"client_order_id must be unique"}')
    assert order.status is OrdStatus.UNKNOWN
    assert built.state.day.runs["test-1"].rejections == 0


def test_an_abandoned_id_that_shows_up_is_cancelled_on_sight() -> None:
    built = desk(accepted=False)
    built.later(11)
    built.answer(found=None)
    built.answer(found=None)
    assert (built.order.status, built.order.abandoned) == (OrdStatus.CANCELED, True)
    built.events.clear()
    got = built.say(ExecType.NEW)
    assert [e.cl_ord_id for e in asked(got, CancelOrder)] == [built.order.cl_ord_id]
    assert "abandoned_order_live" in built.alarms()
    built.fill(100)
    assert qty(built) == 100, "what it fills is held all the same"


# --- busts -------------------------------------------------------------------------------------------------


def test_a_bust_takes_one_execution_back_once() -> None:
    built = desk()
    built.fill(60)
    built.fill(40)
    ref = next(e.exec_id for e in built.events if isinstance(e, FillRecorded))
    bust = {"ref_exec_id": ref, "last_qty": D(60), "last_px": D("20.00"), "cum_qty": D(40)}
    built.say(ExecType.TRADE_CANCEL, **bust)
    assert (qty(built), built.order.cum_qty) == (40, 40)
    built.say(ExecType.TRADE_CANCEL, **bust)
    assert qty(built) == 40
    assert built.quarantined() == ["bust_repeated"]
    assert len([e for e in built.events if isinstance(e, FillReversed)]) == 1
    assert not unsound(built.state)


def test_a_correction_is_a_bust_and_the_fill_as_it_should_have_been() -> None:
    built = desk()
    built.fill(100)
    ref = next(e.exec_id for e in built.events if isinstance(e, FillRecorded))
    built.say(ExecType.TRADE_CANCEL, ref_exec_id=ref, last_qty=D(100), last_px=D("20.00"), cum_qty=D(0))
    assert qty(built) == 0
    built.fill(100, "20.10")
    assert (qty(built), built.order.status) == (100, OrdStatus.FILLED)
    assert built.state.net["AAA"].cost == D("2010.00")
    assert not built.quarantined()


def busted(built: Desk, of: int = 0, **changes: Any) -> None:
    """The broker takes back the execution that came as number `of`, whole."""
    taken = [e for e in built.events if isinstance(e, FillRecorded)][of]
    base: dict[str, Any] = {"last_qty": taken.last_qty, "last_px": taken.last_px, "cum_qty": D(0)}
    built.say(ExecType.TRADE_CANCEL, ref_exec_id=taken.exec_id, **(base | changes))


def test_what_a_bust_took_from_an_ended_entry_may_be_corrected_and_stays_reserved() -> None:
    built = desk()
    built.fill(100)
    assert built.order.status is OrdStatus.FILLED
    busted(built)
    assert (qty(built), built.state.unproven) == (0, {built.order.cl_ord_id: D(100)})
    built.fill(60, "20.10", cum_qty=D(60))
    assert built.state.unproven == {built.order.cl_ord_id: D(40)}
    built.fill(40, "20.10", cum_qty=D(100))
    assert (qty(built), built.state.unproven) == (100, {})


def test_a_bust_of_what_still_works_reserves_nothing_beside_the_order_itself() -> None:
    built = desk()
    built.fill(60)
    busted(built)
    assert built.order.is_open
    assert built.state.unproven == {}


def test_two_busts_of_an_ended_entry_add_up_and_one_of_an_exit_reserves_nothing() -> None:
    built = desk()
    built.fill(60)
    built.fill(40)
    busted(built, 0, cum_qty=D(40))
    busted(built, 1)
    assert built.state.unproven == {built.order.cl_ord_id: D(100)}
    out = held()
    stop = next(o for o in legs(out) if o.leg is Leg.STOP)
    sell = {"cl_ord_id": stop.cl_ord_id, "side": Side.SELL, "order_id": "b-stop"}
    out.fill(100, "17.00", cum_qty=D(100), **sell)
    busted(out, -1, **sell)
    assert out.state.unproven == {}, "what came back must be closed, and is held"


@pytest.mark.parametrize(
    ("trigger", "result", "left"),
    [
        (Trigger.CONTINUOUS, ReconciliationResult.CLEAN, 100),
        (Trigger.ORDER_INCIDENT, ReconciliationResult.UNRESOLVED, 100),
        (Trigger.ORDER_INCIDENT, ReconciliationResult.INCOMPLETE, 100),
        (Trigger.ORDER_INCIDENT, ReconciliationResult.CLEAN, None),
        (Trigger.RECONNECT, ReconciliationResult.REPAIRED, None),
        (Trigger.RECOVERY, ReconciliationResult.CLEAN, None),
        (Trigger.END_OF_SESSION, ReconciliationResult.CLEAN, None),
    ],
)
def test_only_a_passed_comparison_of_the_whole_day_settles_what_is_unproven(
    trigger: Trigger, result: ReconciliationResult, left: int | None
) -> None:
    built = desk()
    built.fill(100)
    busted(built)
    apply(
        built.state, ReconciliationCompleted(at=built.world.at(), trigger=trigger, result=result, breaks=0, repaired=0)
    )
    assert built.state.unproven.get(built.order.cl_ord_id) == left


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"ref_exec_id": "never-seen"}, "bust_of_unknown"),
        ({"ref_exec_id": None}, "bust_of_unknown"),
        ({"last_qty": D(61)}, "bust_differs"),
        ({"last_px": D(19)}, "bust_differs"),
    ],
)
def test_a_bust_of_something_else_takes_nothing_back(changes: dict[str, Any], kind: str) -> None:
    built = desk()
    built.fill(60)
    ref = next(e.exec_id for e in built.events if isinstance(e, FillRecorded))
    base = {"ref_exec_id": ref, "last_qty": D(60), "last_px": D("20.00"), "cum_qty": D(0)}
    built.say(ExecType.TRADE_CANCEL, **(base | changes))
    assert qty(built) == 60
    assert built.quarantined() == [kind]


def test_what_a_bust_brings_back_without_exits_is_closed_again() -> None:
    built = held()
    stop = next(o for o in legs(built) if o.leg is Leg.STOP)
    sell = {"cl_ord_id": stop.cl_ord_id, "side": Side.SELL, "order_id": "b-stop"}
    built.fill(100, "17.00", cum_qty=D(100), **sell)
    ref = next(e.exec_id for e in built.events if isinstance(e, FillRecorded))
    assert qty(built) == 0
    built.say(ExecType.TRADE_CANCEL, ref_exec_id=ref, last_qty=D(100), last_px=D("17.00"), cum_qty=D(0), **sell)
    position = built.state.position("test-1", "AAA")
    assert position is not None
    assert (position.qty, position.exit_wanted) == (100, "an execution was taken back")


# --- bad input at the door -----------------------------------------------------------------------------------

NAN, INF = D("NaN"), D("Infinity")


@pytest.mark.parametrize(
    "changes",
    [
        {"last_px": D(0)},
        {"last_px": D(-1)},
        {"last_px": D("1e12")},
        {"last_px": NAN},
        {"last_px": INF},
        {"last_px": D("sNaN")},
        {"last_px": D("1e-400")},
        {"last_qty": D(0)},
        {"last_qty": D(-5)},
        {"last_qty": D("1e12")},
        {"last_qty": NAN},
        {"cum_qty": NAN},
        {"cum_qty": D(-1)},
        {"order_qty": INF},
        {"avg_px": D("-Infinity")},
        {"fee": NAN},
        {"fee": D(10) ** 9},
        {"conversion_rate": D(0)},
        {"conversion_rate": NAN},
        {"exec_id": ""},
        {"symbol": "BBB"},
        {"symbol": "NEVER"},
        {"side": Side.SELL},
        {"transact_time": datetime(2026, 3, 2, 15, 0)},  # noqa: DTZ001
    ],
    ids=str,
)
def test_a_report_that_cannot_be_true_is_set_aside_on_record_and_alarmed(changes: dict[str, Any]) -> None:
    built = desk()
    built.state.marks["AAA"] = Mark(symbol="AAA", px=D(20), at=built.world.at())
    got = built.say(ExecType.TRADE, **({"last_qty": D(10), "last_px": D(20), "cum_qty": D(10)} | changes))
    assert isinstance(got[0], ExecutionReported), "on record as it came"
    assert len(built.quarantined()) == 1
    assert built.alarms()
    assert qty(built) == 0, "never booked"
    assert built.state.trading_state("test-1") is TradingState.REDUCING
    assert asked(got, QueryBroker), "the broker's books decide"


@pytest.mark.parametrize("reached", [50, 1_772_463_600 * 10**9])
def test_a_number_far_ahead_of_the_newest_does_not_hide_what_comes_after_it(reached: int) -> None:
    built = desk()
    built.state.exec_cursor = reached
    built.fill(10, cursor=10**19)
    assert built.quarantined() == ["absurd_cursor"]
    assert built.state.exec_cursor == reached
    built.fill(10, cursor=reached + 1)
    assert (qty(built), built.state.exec_cursor) == (10, reached + 1)


def test_an_over_fill_is_held_alarmed_and_stops_the_strategy() -> None:
    built = desk()
    built.fill(100)
    built.fill(10)
    assert qty(built) == 110, "the broker is right about exposure"
    assert built.quarantined() == ["over_fill"]
    assert built.state.trading_state("test-1") is TradingState.REDUCING


def test_a_fill_of_a_symbol_and_order_nobody_knows_is_external_and_stops_the_book() -> None:
    built = desk()
    built.fill(10, cl_ord_id="strange", symbol="ZZZ", order_id="x", cum_qty=D(10), order_qty=D(10))
    assert built.state.position("EXTERNAL", "ZZZ") is not None
    assert built.state.halt.state is TradingState.REDUCING


@pytest.mark.parametrize("kind", list(ExecType))
def test_a_report_of_an_order_we_denied_is_set_aside(kind: ExecType) -> None:
    built = desk()
    built.order.status = OrdStatus.DENIED
    built.state.open_orders.pop(built.order.cl_ord_id)
    built.say(kind, last_qty=D(1), last_px=D(20))
    if kind not in (ExecType.ORDER_STATUS, ExecType.TRADE_CANCEL):
        assert built.quarantined()
    assert built.order.status is OrdStatus.DENIED


def test_what_an_adapter_could_not_read_is_alarmed_and_never_dropped() -> None:
    built = desk()
    built.say(ExecType.ORDER_STATUS, reason="quarantined: status 'held_for_orbit' is not known", order_qty=D(0))
    assert built.quarantined() == ["unreadable_report"]


def test_an_acknowledgement_for_more_than_was_asked_is_a_contradiction_and_counts() -> None:
    built = desk(accepted=False)
    built.say(ExecType.NEW, order_qty=D(500))
    assert built.quarantined() == ["order_qty"]
    assert built.order.leaves_qty == 500, "what may fill is counted"


def test_answers_about_orders_nobody_knows_are_on_record_and_change_nothing() -> None:
    built = desk()
    for given in (
        SubmitObserved(at=built.world.at(), cl_ord_id="strange", outcome=SubmitOutcome.REFUSED, detail="?"),
        CancelObserved(at=built.world.at(), cl_ord_id="strange", outcome=SubmitOutcome.LOST, detail="?"),
    ):
        assert built.step(given)[0] is given
    built.answer(cl_ord_id="strange", found=built.as_told(cl_ord_id="strange"))
    assert built.order.status is OrdStatus.ACCEPTED


@pytest.mark.parametrize(
    "changes",
    [{"symbol": "BBB"}, {"side": Side.SELL}, {"cum_qty": NAN}, {"leaves_qty": D(-1)}, {"order_qty": INF}],
    ids=str,
)
def test_an_answer_that_contradicts_the_order_is_set_aside(changes: dict[str, Any]) -> None:
    built = desk(accepted=False)
    built.answer(found=built.as_told(**changes))
    assert built.order.status is OrdStatus.UNKNOWN
    assert built.quarantined() == ["query_contradicts"]


# --- another session's news ------------------------------------------------------------------------------------


def test_executions_of_an_earlier_session_are_never_booked_again() -> None:
    """nautilus_trader #3046, #3176: fills replayed, duplicate trade ids, on every restart."""
    built = desk()
    built.fill(100)
    told = [e.report for e in built.events if isinstance(e, ExecutionReported)]
    # The next morning: the ids of yesterday are forgotten, the number reached is not.
    built.state.exec_ids, built.state.fills = {}, {}
    built.state.day.first_cursor = built.state.exec_cursor
    built.events.clear()
    for report in told:
        got = built.step(ExecutionReported(at=built.world.at(), report=report))
        assert isinstance(got[0], ExecutionReported), "on record"
    assert qty(built) == 100
    assert built.quarantined() == ["earlier_session"]
    assert built.alarms() == ["executions_replayed"]
    assert built.state.trading_state("test-1") is TradingState.ACTIVE, "a broker repeating itself stops nobody"


# --- legs ----------------------------------------------------------------------------------------------------


def test_legs_under_ids_of_the_brokers_own_are_adopted_through_their_entry() -> None:
    built = desk()
    built.fill(100)
    stop = next(o for o in legs(built) if o.leg is Leg.STOP)
    theirs = {"side": Side.SELL, "cum_qty": D(0), "parent_id": built.order.cl_ord_id, "order_id": "b-9"}
    built.say(ExecType.NEW, cl_ord_id="brokers-own-1", leg=Leg.STOP, **theirs)
    assert (stop.status, stop.broker_id) == (OrdStatus.ACCEPTED, "brokers-own-1")
    assert not built.quarantined()
    built.fill(100, "17.00", **(theirs | {"cl_ord_id": "brokers-own-1", "cum_qty": D(100)}))
    assert (stop.status, qty(built)) == (OrdStatus.FILLED, 0)
    assert not built.quarantined()


def test_a_leg_that_fits_none_of_the_entry_is_nobodys_order() -> None:
    built = desk()
    built.fill(100)
    theirs = {"side": Side.SELL, "cum_qty": D(0), "parent_id": built.order.cl_ord_id, "order_id": "b-9"}
    built.say(ExecType.NEW, cl_ord_id="brokers-own-1", **theirs)
    assert built.quarantined() == ["unknown_order"], "which of three legs it is, was not told"
    built.say(ExecType.NEW, cl_ord_id="brokers-own-2", leg=Leg.STOP, **(theirs | {"side": Side.BUY}))
    assert built.quarantined() == ["unknown_order", "unknown_order"]


def test_nothing_is_decided_before_a_session_is_open() -> None:
    built = desk()
    fresh = Kernel()
    got = fresh.step(ExecutionReported(at=built.world.at(), report=built.report(ExecType.TRADE)))
    assert len(got) == 1
