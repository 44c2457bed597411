"""Replacing a resting order: what may be asked, what the answers do, and what a lost answer leaves open (§13)."""

from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain.events.orders import ReplaceObserved, ReplaceRequested, RiskDecided
from qmworkbench.domain.execution import BrokerSnapshot, ExecType, SubmitOutcome
from qmworkbench.domain.orders import Leg, Order, OrdStatus, Side
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.duplicates import look
from qmworkbench.trading.effects import CancelOrder, QueryOrder, ReplaceOrder
from qmworkbench.trading.replacing import request_replace
from tests.trading.oms_cases import D, Desk, asked, desk, held, legs
from tests.trading.test_kernel_rules import held as held_world


def ask(built: Desk, order: Order | None = None, **wanted: Decimal) -> str:
    decision = Decision(built.state, built.world.at())
    why_not = request_replace(
        decision,
        order or built.order,
        order_qty=wanted.get("order_qty"),
        limit_px=wanted.get("limit_px"),
        stop_px=wanted.get("stop_px"),
        reason="tester: smaller",
    )
    built.events += decision.events
    assert bool(decision.events) != bool(why_not), "nothing is on record of what is refused"
    return why_not


def leg(built: Desk, kind: Leg) -> Order:
    return next(o for o in legs(built) if o.leg is kind)


def observed(built: Desk, outcome: SubmitOutcome, detail: str = "") -> None:
    asked_for = built.order.replacing
    assert asked_for is not None
    built.step(
        ReplaceObserved(
            at=built.world.at(),
            order=built.order.cl_ord_id,
            cl_ord_id=asked_for.cl_ord_id,
            outcome=outcome,
            detail=detail,
        )
    )


def replaced(built: Desk, **changes: Any) -> str:
    """The broker confirms; returns the id it goes on under."""
    wanted = built.order.replacing
    assert wanted is not None
    told = {
        "cl_ord_id": wanted.cl_ord_id,
        "orig_cl_ord_id": built.order.broker_id,
        "order_qty": wanted.order_qty,
        "cum_qty": built.order.cum_qty,
    }
    built.say(ExecType.REPLACED, **(told | changes))
    return wanted.cl_ord_id


def test_a_smaller_entry_is_asked_for_and_both_quantities_are_reserved_until_the_answer() -> None:
    built = desk()
    assert ask(built, order_qty=D(60)) == ""
    order = built.order
    assert order.status is OrdStatus.PENDING_REPLACE
    assert order.leaves_qty == 100, "the larger counts"
    (request,) = [e.request for e in asked(built.events, ReplaceOrder)]
    assert (request.orig_cl_ord_id, request.order_qty) == (order.cl_ord_id, 60)
    decided = [e for e in built.events if isinstance(e, RiskDecided)]
    assert [(e.cl_ord_id, e.allowed) for e in decided] == [(request.cl_ord_id, True)], "what is sent was decided"
    new_id = replaced(built)
    assert (order.status, order.order_qty, order.leaves_qty) == (OrdStatus.ACCEPTED, 60, 60)
    assert (order.cl_ord_id != new_id, order.broker_id, order.replacing) == (True, new_id, None)
    assert built.state.order_named(new_id) is order


def test_what_it_ties_up_shrinks_with_it() -> None:
    built = desk()
    before = built.order.reserve_notional
    ask(built, order_qty=D(50))
    assert built.order.reserve_notional == before, "not before the broker has confirmed"
    replaced(built)
    assert built.order.reserve_notional == before / 2


def test_a_late_fill_under_the_old_id_belongs_to_the_same_order() -> None:
    """freqtrade #9128: a ghost position after a replace."""
    built = desk()
    old = built.order.broker_id
    ask(built, order_qty=D(60))
    new = replaced(built)
    built.fill(10, cl_ord_id=old, cum_qty=D(10), order_qty=D(100))
    built.fill(50, cl_ord_id=new, cum_qty=D(60))
    assert (built.order.status, built.order.cum_qty, built.state.net_qty("AAA")) == (OrdStatus.FILLED, 60, 60)
    assert len([o for o in built.state.orders.values() if o.leg is Leg.ENTRY]) == 1
    assert not built.quarantined()


def test_fills_while_the_answer_is_due_count_and_may_exhaust_the_smaller_quantity() -> None:
    built = desk()
    ask(built, order_qty=D(60))
    built.fill(60)
    assert built.order.status is OrdStatus.PENDING_REPLACE
    replaced(built, cum_qty=D(60))
    assert built.order.status is OrdStatus.FILLED, "nothing is left of it"


def test_a_refused_replace_leaves_the_order_as_it_was() -> None:
    built = desk()
    ask(built, order_qty=D(60))
    observed(built, SubmitOutcome.REFUSED, "too late")
    assert (built.order.status, built.order.order_qty, built.order.replacing) == (OrdStatus.ACCEPTED, 100, None)
    ask(built, order_qty=D(70))
    wanted = built.order.replacing
    assert wanted is not None
    got = built.say(ExecType.REPLACE_REJECTED, cl_ord_id=wanted.cl_ord_id, orig_cl_ord_id=built.order.broker_id)
    assert (built.order.status, built.order.order_qty) == (OrdStatus.ACCEPTED, 100)
    assert asked(got, QueryOrder), "refused because it changed, mostly: it is asked for"
    assert ask(built, order_qty=D(70)) == ""
    ids = [e.request.cl_ord_id for e in built.events if isinstance(e, ReplaceRequested)]
    assert len(ids) == len(set(ids)) == 3, "an id is never used twice"


def test_a_lost_replace_is_unknown_and_either_answer_settles_it() -> None:
    built = desk()
    ask(built, order_qty=D(60))
    observed(built, SubmitOutcome.LOST, "timed out")
    assert built.order.status is OrdStatus.UNKNOWN
    assert built.order.leaves_qty == 100
    assert asked(built.events, QueryOrder), "the broker is asked which"
    built.answer(found=None)
    assert built.order.status is OrdStatus.UNKNOWN, "an order that was confirmed is never absent"
    twin = built.again()
    twin.answer(found=twin.as_told())
    assert (twin.order.status, twin.order.order_qty, twin.order.replacing) == (OrdStatus.ACCEPTED, 100, None)
    wanted = built.order.replacing
    assert wanted is not None
    built.answer(found=built.as_told(cl_ord_id=wanted.cl_ord_id, order_qty=D(60), leaves_qty=D(60)))
    assert (built.order.status, built.order.order_qty) == (OrdStatus.ACCEPTED, 60)
    assert built.order.broker_id == wanted.cl_ord_id


def test_news_under_the_new_id_proves_a_replace_whose_confirmation_was_lost() -> None:
    built = desk()
    ask(built, order_qty=D(60))
    wanted = built.order.replacing
    assert wanted is not None
    built.fill(60, cl_ord_id=wanted.cl_ord_id, order_qty=D(60), cum_qty=D(60))
    assert (built.order.status, built.order.broker_id) == (OrdStatus.FILLED, wanted.cl_ord_id)
    assert not built.quarantined()


def test_the_end_of_an_id_that_was_given_up_is_not_the_end_of_the_order() -> None:
    built = desk()
    old = built.order.broker_id
    ask(built, order_qty=D(60))
    replaced(built)
    got = built.say(ExecType.CANCELED, cl_ord_id=old, cum_qty=D(0), reason="replaced")
    assert built.order.status is OrdStatus.ACCEPTED
    assert asked(got, QueryOrder)


def test_cancels_and_queries_name_the_id_it_works_under() -> None:
    built = desk()
    ask(built, order_qty=D(60))
    new = replaced(built)
    decision = Decision(built.state, built.world.at())
    decision.cancel(built.order, "test")
    decision.query(built.order, "test")
    assert [e.cl_ord_id for e in asked(decision.events, CancelOrder)] == [new]
    assert [e.cl_ord_id for e in asked(decision.events, QueryOrder)] == [new]
    built.say(ExecType.CANCELED, cl_ord_id=new)
    assert built.order.status is OrdStatus.CANCELED


def test_a_cancel_overtaken_by_a_replace_is_asked_again_under_the_new_id() -> None:
    built = desk()
    ask(built, order_qty=D(60))
    decision = Decision(built.state, built.world.at())
    decision.cancel(built.order, "halt")
    decision.restrict("book", TradingState.REDUCING, "test", "test", "test")
    new = replaced(built)
    built.events.clear()
    for _ in range(3):
        built.later(3)
    assert [e.cl_ord_id for e in asked(built.events, CancelOrder)] == [new]


def test_two_live_orders_for_one_of_ours_are_proven_and_the_surplus_is_cancelled() -> None:
    """nautilus_trader #4564: a modify during an outage left two live orders; the survivor flipped the position."""
    built = desk()
    ask(built, order_qty=D(60))
    observed(built, SubmitOutcome.LOST, "connection reset")
    wanted = built.order.replacing
    assert wanted is not None
    old = built.as_told()
    new = built.as_told(cl_ord_id=wanted.cl_ord_id, order_id="b-2", order_qty=D(60), leaves_qty=D(60))
    snapshot = BrokerSnapshot(complete=True, cursor=1, as_of=built.world.at(), open_orders=(new, old))
    decision = Decision(built.state, built.world.at())
    look(decision, snapshot)
    assert [e.cl_ord_id for e in asked(decision.events, CancelOrder)] == [wanted.cl_ord_id]
    assert built.state.trading_state("test-1") is TradingState.REDUCING
    assert built.order.is_open, "the one we know goes on"
    once = Decision(built.state, built.world.at())
    look(once, BrokerSnapshot(complete=True, cursor=1, as_of=built.world.at(), open_orders=(old,)))
    assert not once.events


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"order_qty": D(101)}, "more than"),
        ({"order_qty": D(0)}, "lot"),
        ({"order_qty": D("NaN")}, "lot"),
        ({"order_qty": D("10.5")}, "lot"),
        ({"order_qty": D(100)}, "nothing is to change"),
        ({"limit_px": D(20)}, "price of an entry"),
        ({"stop_px": D(19)}, "without a fixed stop"),
        ({}, "nothing is to change"),
    ],
    ids=str,
)
def test_what_adds_risk_or_makes_no_sense_of_an_entry_is_refused(wanted: dict[str, Decimal], why: str) -> None:
    assert why in ask(desk(), **wanted)


@pytest.mark.parametrize(
    ("kind", "wanted", "why"),
    [
        (Leg.STOP, {"stop_px": D("16.90")}, "looser"),
        (Leg.STOP, {"stop_px": D("30.00")}, "trigger at once"),
        (Leg.STOP, {"stop_px": D("18.001")}, "tick"),
        (Leg.STOP, {"stop_px": D("NaN")}, "not a price"),
        (Leg.STOP, {"stop_px": D(-1)}, "not a price"),
        (Leg.STOP, {"limit_px": D(18)}, "has no limit"),
        (Leg.STOP, {"order_qty": D(50)}, "follows the position"),
        (Leg.TARGET, {"limit_px": D("22.001")}, "tick"),
        (Leg.TARGET, {"stop_px": D(19)}, "without a fixed stop"),
        (Leg.CLOSE, {"limit_px": D(22)}, "has no limit"),
    ],
    ids=str,
)
def test_what_adds_risk_or_makes_no_sense_of_an_exit_is_refused(
    kind: Leg, wanted: dict[str, Decimal], why: str
) -> None:
    built = held()
    leg(built, Leg.STOP).stop_px = D("17.00")
    assert why in ask(built, leg(built, kind), **wanted)


def test_a_stop_may_be_tightened_and_a_target_moved() -> None:
    built = held()
    stop, target = leg(built, Leg.STOP), leg(built, Leg.TARGET)
    stop.stop_px = D("17.00")
    assert ask(built, stop, stop_px=D("18.00")) == ""
    assert ask(built, target, limit_px=D("21.50")) == ""
    for order in (stop, target):
        wanted = order.replacing
        assert wanted is not None
        built.say(
            ExecType.REPLACED,
            cl_ord_id=wanted.cl_ord_id,
            orig_cl_ord_id=order.cl_ord_id,
            side=Side.SELL,
            cum_qty=D(0),
        )
    assert (stop.stop_px, target.limit_px) == (D("18.00"), D("21.50"))


@pytest.mark.parametrize("status", sorted(set(OrdStatus) - {OrdStatus.ACCEPTED, OrdStatus.PARTIALLY_FILLED}))
def test_only_an_order_the_broker_is_known_to_work_is_replaced(status: OrdStatus) -> None:
    built = desk()
    built.order.status = status
    assert "only an order the broker is known to work" in ask(built, order_qty=D(50))


def test_a_second_replace_waits_for_the_answer_to_the_first() -> None:
    built = desk()
    ask(built, order_qty=D(60))
    assert "not been answered" in ask(built, order_qty=D(50))


def test_nothing_is_replaced_while_only_liquidation_may_pass_or_the_broker_is_away() -> None:
    built = desk()
    built.state.connected = False
    assert "does not answer" in ask(built, order_qty=D(50))
    built.state.connected = True
    built.state.halt.state = TradingState.HALTED
    assert "only liquidation" in ask(built, order_qty=D(50))


def test_a_stop_is_tightened_at_the_venue_and_fires_there() -> None:
    """The whole way: command, venue, confirmation, and the tighter stop ends the position."""
    from qmworkbench.domain import commands

    world = held_world()
    stop = next(o for o in world.state.exit_legs("test-1", "AAA") if o.leg is Leg.STOP)
    assert stop.stop_px is not None
    tighter = stop.stop_px + D("1.00")
    world.command(commands.ReplaceOrder(reason="protect the gain", cl_ord_id=stop.cl_ord_id, stop_px=tighter))
    assert (stop.stop_px, stop.status) == (tighter, OrdStatus.ACCEPTED)
    assert stop.broker_id != stop.cl_ord_id
    resting = next(o for o in world.exchange.open_orders() if o.leg is Leg.STOP)
    assert (resting.stop_px, resting.cl_ord_id) == (tighter, stop.broker_id)
    low = float(tighter) - 0.05
    world.boundary(4, [], {"AAA": (low + 0.2, low + 0.3, low, low)})
    assert world.state.net_qty("AAA") == 0
    assert stop.status is OrdStatus.FILLED
