"""What events about orders leave in the state, one event at a time (§13)."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events.orders import (
    CancelObserved,
    CancelRequested,
    ExecutionReported,
    ExitRequested,
    OrderChanged,
    OrderDenied,
    OrderIntended,
    OrderQueryRequested,
    ReplaceRequested,
)
from qmworkbench.domain.execution import LegRequest, OrderRequest, ReplaceRequest, SubmitOutcome
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, OrdType, PositionEffect, Replacement, Side, TimeInForce
from qmworkbench.trading.fold import apply
from qmworkbench.trading.fold_orders import executed, report_digest, runs_ahead
from qmworkbench.trading.state import State
from tests.trading.oms_cases import D, Desk, desk, held

# --- wishes ----------------------------------------------------------------------------------------------------------


def intended(built: Desk, *, seconds: float = 0, **changes: Any) -> OrderIntended:
    """A stop-limit entry of 10 BBB with two exits, or what `changes` make of its request."""
    at = built.world.at() + timedelta(seconds=seconds)
    legs = (
        LegRequest(
            cl_ord_id="n-stop",
            leg=Leg.STOP,
            ord_type=OrdType.STOP,
            time_in_force=TimeInForce.GTC,
            stop_px=D(25),
            trail_bps=50,
        ),
        LegRequest(
            cl_ord_id="n-target", leg=Leg.TARGET, ord_type=OrdType.LIMIT, time_in_force=TimeInForce.DAY, limit_px=D(40)
        ),
        LegRequest(cl_ord_id="n-close", leg=Leg.CLOSE, ord_type=OrdType.MARKET, time_in_force=TimeInForce.AT_CLOSE),
    )
    base: dict[str, Any] = {
        "cl_ord_id": "n",
        "symbol": "BBB",
        "side": Side.BUY,
        "position_effect": PositionEffect.OPEN,
        "ord_type": OrdType.STOP_LIMIT,
        "order_qty": D(10),
        "time_in_force": TimeInForce.DAY,
        "decided_at": at,
        "limit_px": D(31),
        "stop_px": D(30),
        "legs": legs,
    }
    leg = changes.pop("leg", Leg.ENTRY)
    return OrderIntended(
        at=at,
        request=OrderRequest(**(base | changes)),
        strategy_id="test-1",
        leg=leg,
        signal_id="signal",
        attempt=3,
        decision_px=D("30.5"),
        reserve_notional=D(310),
        reason="why",
    )


def test_a_wish_is_an_order_with_its_exits_and_counts() -> None:
    built = desk()
    day = built.state.day
    before = day.orders, day.entries_intended
    event = intended(built)
    apply(built.state, event)
    order = built.state.orders["n"]
    assert (order.status, order.attempt, order.reserve_notional, order.decision_px) == (
        OrdStatus.INTENDED,
        3,
        310,
        D("30.5"),
    )
    assert (order.limit_px, order.stop_px, order.intended_at, order.last_at) == (31, 30, event.at, event.at)
    assert (order.signal_id, order.reason, order.leg, order.parent_id) == ("signal", "why", Leg.ENTRY, None)
    stop, target, close = (built.state.orders[name] for name in ("n-stop", "n-target", "n-close"))
    for leg in (stop, target, close):
        assert (leg.side, leg.position_effect, leg.order_qty) == (Side.SELL, PositionEffect.CLOSE, 10)
        assert (leg.parent_id, leg.signal_id, leg.intended_at, leg.strategy_id) == ("n", "signal", event.at, "test-1")
        assert leg.reserve_notional == 0
    assert (stop.stop_px, stop.trail_bps, stop.decision_px, stop.time_in_force) == (25, 50, 25, TimeInForce.GTC)
    assert (target.limit_px, target.decision_px, target.ord_type) == (40, 40, OrdType.LIMIT)
    assert close.decision_px == 0
    assert built.state.intents["n"] is event
    assert (day.orders, day.entries_intended) == (before[0] + 4, before[1] + 1)
    assert {"n", "n-stop", "n-target", "n-close"} <= set(built.state.open_orders)
    apply(built.state, intended(built, cl_ord_id="x", position_effect=PositionEffect.CLOSE, leg=Leg.EXIT, legs=()))
    assert (day.orders, day.entries_intended) == (before[0] + 5, before[1] + 1), "an exit is no entry"


def test_only_the_last_minute_of_submits_is_remembered() -> None:
    built = desk()
    day, now = built.state.day, built.world.at()
    day.submits[:] = [now - timedelta(seconds=s) for s in (61, 60, 59.9, 1)]
    apply(built.state, intended(built))
    assert day.submits == [now - timedelta(seconds=59.9), now - timedelta(seconds=1), now]


def test_what_was_denied_is_known_and_never_open() -> None:
    built = desk()
    event = intended(built)
    denied = OrderDenied(
        at=event.at,
        request=event.request,
        strategy_id="test-1",
        leg=Leg.ENTRY,
        signal_id="signal",
        decision_px=D(30),
        reason="no",
    )
    apply(built.state, denied)
    order = built.state.orders["n"]
    assert (order.status, order.reason, order.reserve_notional) == (OrdStatus.DENIED, "no", 0)
    assert "n" not in built.state.open_orders


def test_a_wish_to_be_out_stands_at_the_position() -> None:
    built = held()
    base = {"at": built.world.at(), "strategy_id": "test-1", "reason": "enough", "signal_id": "s"}
    apply(built.state, ExitRequested(symbol="BBB", **base))
    assert built.state.leaving == {}
    apply(built.state, ExitRequested(symbol="AAA", **base))
    position = built.state.positions["test-1|AAA"]
    assert (position.exit_wanted, position.exit_signal_id) == ("enough", "s")
    assert list(built.state.leaving) == ["test-1|AAA"]


# --- requests and what became of them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("working", "named", "counts"),
    [("", "", True), ("later", "later", True), ("later", "", False), ("", "later", False)],
)
def test_a_cancel_counts_for_the_id_that_the_broker_has_it_under(working: str, named: str, counts: bool) -> None:
    built = desk()
    order = built.order
    order.working_id, order.cancel_failed = working, True
    event = CancelRequested(at=built.world.at(), cl_ord_id=order.cl_ord_id, reason="", working_id=named)
    for times in (1, 2):
        apply(built.state, event)
        assert order.cancels == (times if counts else 0)
    assert order.cancel_requested_at == (event.at if counts else None)
    assert order.cancel_failed is not counts
    apply(built.state, msgspec.structs.replace(event, cl_ord_id="nobody"))


@pytest.mark.parametrize(
    ("outcome", "failed"), [(SubmitOutcome.SENT, False), (SubmitOutcome.REFUSED, True), (SubmitOutcome.LOST, True)]
)
def test_a_cancel_that_was_not_sent_has_failed(outcome: SubmitOutcome, failed: bool) -> None:
    for name, ours in (("", True), ("nobody", False), ("later", False)):
        built = desk()
        built.state.working_ids["later"] = built.order.cl_ord_id
        named = name or built.order.cl_ord_id
        apply(built.state, CancelObserved(at=built.world.at(), cl_ord_id=named, outcome=outcome, detail=""))
        assert built.order.cancel_failed is (failed and ours)


def test_a_replace_is_known_under_both_ids_from_then_on() -> None:
    built = desk()
    name = built.order.cl_ord_id
    request = ReplaceRequest(cl_ord_id="later", orig_cl_ord_id=name, order_qty=D(60), limit_px=D(21), stop_px=D(19))
    for order in ("nobody", name):
        apply(built.state, ReplaceRequested(at=built.world.at(), order=order, request=request, reason=""))
    assert built.order.replacing == Replacement(cl_ord_id="later", order_qty=D(60), limit_px=D(21), stop_px=D(19))
    assert built.state.working_ids == {"later": name}


def test_when_it_was_asked_for_is_known() -> None:
    built = desk()
    for name in ("nobody", built.order.cl_ord_id):
        apply(built.state, OrderQueryRequested(at=built.world.at(), cl_ord_id=name, reason=""))
    assert built.order.queried_at == built.world.at()


# --- reports -------------------------------------------------------------------------------------------------------


def test_the_newest_number_and_the_first_telling_count() -> None:
    built = desk()
    state = built.state
    state.exec_cursor = 1000
    first = built.report(cursor=1001, exec_id="e")
    for report, newest in (
        (first, 1001),
        (built.report(cursor=900, exec_id="old"), 1001),
        (built.report(cursor=10**9, exec_id="far"), 1001),
        (msgspec.structs.replace(first, cursor=1002), 1002),
    ):
        apply(state, ExecutionReported(at=built.world.at(), report=report))
        assert state.exec_cursor == newest
    assert state.exec_ids["e"] == report_digest(first)
    assert [name for name in state.exec_ids if name.startswith("e ")] == [], "the same news again"
    other = msgspec.structs.replace(first, cum_qty=D(7))
    apply(state, ExecutionReported(at=built.world.at(), report=other))
    assert state.exec_ids["e"] == report_digest(first) != report_digest(other)
    assert state.exec_ids[f"e {report_digest(other)}"] == report_digest(other)


A_TIME = 10**17


@pytest.mark.parametrize(
    ("newest", "cursor", "far"),
    [
        (1000, 1000 + 10**6, False),
        (1000, 1001 + 10**6, True),
        (0, 10**15, False),
        (A_TIME - 1, A_TIME + 10**9, True),
    ],
)
def test_numbers_count_up_by_ones(newest: int, cursor: int, far: bool) -> None:
    assert runs_ahead(State(exec_cursor=newest, now=desk().world.at()), cursor) is far


def test_where_times_stand_for_numbers_they_are_about_now() -> None:
    now = desk().world.at()
    state = State(exec_cursor=A_TIME, now=now)
    latest = int((now + timedelta(days=2)).timestamp()) * 10**9
    assert not runs_ahead(state, latest)
    assert runs_ahead(state, latest + 1)
    assert runs_ahead(State(exec_cursor=A_TIME, now=None), latest), "without a clock nothing is about now"


def test_an_execution_is_read_back_from_the_books() -> None:
    state = State(fills={"e": "AAA sell 2.5 at 20.01"})
    assert executed(state, "e") == (D("2.5"), D("20.01"))
    assert executed(state, "other") is None


# --- arcs ------------------------------------------------------------------------------------------------------------


def changed(built: Desk, arc: Arc, **changes: Any) -> None:
    order = built.order
    base: dict[str, Any] = {
        "at": built.world.at() + timedelta(seconds=9),
        "cl_ord_id": order.cl_ord_id,
        "arc": arc,
        "status": order.status,
        "cum_qty": order.cum_qty,
        "order_qty": order.order_qty,
    }
    apply(built.state, OrderChanged(**(base | changes)))


def test_every_change_leaves_its_numbers_and_keeps_what_it_does_not_say() -> None:
    built = desk()
    order = built.order
    order.reserve_notional, order.order_id, order.reason = D(2000), "theirs", "before"
    before = built.world.at()
    changed(built, Arc.RESTATE, order_qty=D(50), cum_qty=D(5), status=OrdStatus.PARTIALLY_FILLED)
    assert (order.order_qty, order.cum_qty, order.status) == (50, 5, OrdStatus.PARTIALLY_FILLED)
    assert (order.reserve_notional, order.order_id, order.reason) == (1000, "theirs", "before")
    assert order.last_at == before + timedelta(seconds=9)
    changed(built, Arc.ACK, order_id="another", reason="after")
    assert (order.order_id, order.reason, order.reserve_notional) == ("another", "after", 1000)


def test_an_end_leaves_the_open_orders_and_a_step_between_does_not() -> None:
    built = desk()
    name = built.order.cl_ord_id
    changed(built, Arc.CANCEL_REQUEST, status=OrdStatus.PENDING_CANCEL)
    assert name in built.state.open_orders
    assert name in built.state.unsettled
    changed(built, Arc.CANCEL, status=OrdStatus.CANCELED)
    assert name not in built.state.open_orders
    assert name not in built.state.unsettled


@pytest.mark.parametrize(
    ("arc", "leg", "status", "owner", "row"),
    [
        (Arc.REJECT, Leg.ENTRY, OrdStatus.ACCEPTED, "test-1", 3),
        (Arc.REJECT, Leg.ENTRY, OrdStatus.REJECTED, "test-1", 2),
        (Arc.REJECT, Leg.EXIT, OrdStatus.ACCEPTED, "test-1", 2),
        (Arc.REJECT, Leg.ENTRY, OrdStatus.ACCEPTED, "nobody", 2),
        (Arc.CANCEL, Leg.ENTRY, OrdStatus.ACCEPTED, "test-1", 2),
        (Arc.FILL, Leg.ENTRY, OrdStatus.ACCEPTED, "test-1", 0),
        (Arc.FILL, Leg.EXIT, OrdStatus.ACCEPTED, "test-1", 2),
        (Arc.FILL, Leg.ENTRY, OrdStatus.ACCEPTED, "nobody", 2),
    ],
)
def test_entries_rejected_in_a_row_are_counted_once_each_until_one_fills(
    arc: Arc, leg: Leg, status: OrdStatus, owner: str, row: int
) -> None:
    built = desk()
    state, order = built.state, built.order
    state.day.runs["test-1"].rejections, state.day.boundary = 2, 7
    order.status, order.leg = status, leg
    if owner != "test-1":
        del state.day.runs["test-1"]
        changed(built, arc, status=OrdStatus.ACCEPTED)
        assert state.day.rejected_at == {}
        return
    changed(built, arc, status=OrdStatus.ACCEPTED)
    assert state.day.runs["test-1"].rejections == row
    assert state.day.rejected_at == ({"test-1|AAA": 7} if row == 3 else {})


@pytest.mark.parametrize(("filled", "left"), [(20, 10), (30, None), (40, None)])
def test_what_reaches_us_is_unproven_no_more(filled: int, left: int | None) -> None:
    built = desk()
    name = built.order.cl_ord_id
    built.order.cum_qty = D(5)
    built.state.unproven = {name: D(30), "other": D(1)}
    changed(built, Arc.ACK, cum_qty=D(5 + filled))
    assert built.state.unproven[name] == 30, "only fills prove it"
    built.order.cum_qty = D(5)
    changed(built, Arc.FILL, cum_qty=D(5 + filled))
    assert built.state.unproven == ({"other": D(1)} if left is None else {name: D(left), "other": D(1)})


@pytest.mark.parametrize(
    ("status", "unproven", "kept"),
    [(OrdStatus.CANCELED, 5, 5), (OrdStatus.CANCELED, 0, None), (OrdStatus.ACCEPTED, 5, None)],
)
def test_what_an_end_leaves_unproven_stays_reserved(status: OrdStatus, unproven: int, kept: int | None) -> None:
    built = desk()
    changed(built, Arc.CANCEL, status=status, unproven_qty=D(unproven))
    assert built.state.unproven.get(built.order.cl_ord_id) == kept


@pytest.mark.parametrize("arc", [Arc.REPLACE_REJECT, Arc.RESTATE, Arc.CANCEL_REJECT, Arc.SUBMIT, Arc.ABANDON])
def test_single_arcs_leave_their_own_mark(arc: Arc) -> None:
    built = desk()
    order = built.order
    order.replacing, order.submitted_at = Replacement(cl_ord_id="later", order_qty=D(60)), None
    changed(built, arc)
    assert order.cancel_failed is (arc is Arc.CANCEL_REJECT)
    assert (order.submitted_at is not None) is (arc is Arc.SUBMIT)
    assert order.abandoned is (arc is Arc.ABANDON)
    assert (order.replacing is None) is (arc is Arc.REPLACE_REJECT)


def test_an_end_answers_a_replace_too() -> None:
    built = desk()
    built.order.replacing = Replacement(cl_ord_id="later", order_qty=D(60))
    changed(built, Arc.CANCEL, status=OrdStatus.CANCELED)
    assert built.order.replacing is None


def test_prices_and_codes_follow_where_they_are_told() -> None:
    built = desk()
    order = built.order
    order.limit_px, order.stop_px, order.reject_code = D(20), D(19), "before"
    changed(built, Arc.RESTATE)
    assert (order.limit_px, order.stop_px, order.reject_code) == (20, 19, "before")
    changed(built, Arc.RESTATE, limit_px=D(21), stop_px=D(18), reject_code="risk")
    assert (order.limit_px, order.stop_px, order.reject_code) == (21, 18, "risk")


@pytest.mark.parametrize("arc", [Arc.ACK, Arc.FILL, Arc.REPLACE])
@pytest.mark.parametrize(("asked", "answered"), [("later", True), ("other", False)])
def test_it_goes_on_under_another_id(arc: Arc, asked: str, answered: bool) -> None:
    built = desk()
    order = built.order
    order.replacing = Replacement(cl_ord_id=asked, order_qty=D(60))
    changed(built, arc, working_id="later")
    assert (order.working_id, order.broker_id) == ("later", "later")
    assert built.state.working_ids["later"] == order.cl_ord_id
    assert (order.replacing is None) is answered
    assert not order.cancel_failed
    changed(built, arc)
    assert order.working_id == "later"


@pytest.mark.parametrize(("asked", "ends", "again"), [(True, False, True), (True, True, False), (False, False, False)])
def test_a_cancel_under_an_id_that_was_given_up_has_to_be_asked_for_again(asked: bool, ends: bool, again: bool) -> None:
    built = desk()
    built.order.cancel_requested_at = built.world.at() if asked else None
    status = OrdStatus.CANCELED if ends else OrdStatus.ACCEPTED
    changed(built, Arc.REPLACE, working_id="later", status=status)
    assert built.order.cancel_failed is again
