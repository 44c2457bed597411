"""Faults as data: each one hits exactly the call the plan names."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from qmworkbench.brokers.faulty import Call, Fault, FaultPlan, FaultyBroker, PlannedFault
from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown, RequestRefused
from tests.venue.test_door import good
from tests.venue.worlds import OPEN, World


def faulty(*faults: PlannedFault) -> tuple[World, FaultyBroker]:
    world = World()
    world.bars((100, 100, 100, 100))
    return world, FaultyBroker(SimulatedBroker(world.exchange), FaultPlan(faults))


def test_a_dropped_request_has_no_effect_and_no_answer() -> None:
    world, broker = faulty(PlannedFault(call=Call.SUBMIT, fault=Fault.DROP_REQUEST))
    with pytest.raises(OutcomeUnknown, match="no answer to submit a"):
        broker.submit(good())
    assert world.exchange.order("a")[0] is None
    broker.submit(good())
    assert world.exchange.order("a")[0] is not None


def test_a_lost_answer_looks_the_same_and_has_the_effect() -> None:
    world, broker = faulty(PlannedFault(call=Call.SUBMIT, fault=Fault.LOSE_ACK))
    with pytest.raises(OutcomeUnknown, match="no answer to submit a"):
        broker.submit(good())
    assert world.exchange.order("a")[0] is not None


def test_a_refusal_whose_answer_is_lost_is_still_a_refusal() -> None:
    """The broker said no and nothing took effect; that it said so is what came through here."""
    _, broker = faulty(PlannedFault(call=Call.SUBMIT, fault=Fault.LOSE_ACK))
    with pytest.raises(RequestRefused, match="unknown_symbol"):
        broker.submit(good(symbol="ZZZ"))


def test_a_refusal_is_definite() -> None:
    world, broker = faulty(PlannedFault(call=Call.SUBMIT, fault=Fault.REFUSE, first=2))
    broker.submit(good())
    with pytest.raises(RequestRefused, match="submit b is refused"):
        broker.submit(good(cl_ord_id="b"))
    assert world.exchange.order("b")[0] is None


def test_a_cancel_is_lost_like_a_submit() -> None:
    world, broker = faulty(
        PlannedFault(call=Call.CANCEL, fault=Fault.DROP_REQUEST),
        PlannedFault(call=Call.CANCEL, fault=Fault.LOSE_ACK, first=2),
    )
    broker.submit(good())
    with pytest.raises(OutcomeUnknown):
        broker.cancel("a")
    assert len(world.exchange.open_orders()) == 1
    with pytest.raises(OutcomeUnknown):
        broker.cancel("a")
    assert len(world.exchange.open_orders()) == 0


@pytest.mark.parametrize("call", [Call.REPORTS, Call.ORDER, Call.OPEN_ORDERS, Call.POSITIONS, Call.ACCOUNT])
def test_an_outage_is_never_an_empty_answer(call: Call) -> None:
    _, broker = faulty(PlannedFault(call=call, fault=Fault.UNREACHABLE, first=2, times=2))
    reads = {
        Call.REPORTS: lambda: broker.reports(0),
        Call.ORDER: lambda: broker.order("a"),
        Call.OPEN_ORDERS: broker.open_orders,
        Call.POSITIONS: broker.positions,
        Call.ACCOUNT: broker.account,
    }
    reads[call]()
    for _ in range(2):
        with pytest.raises(BrokerUnreachable, match=f"{call.value} is unreachable"):
            reads[call]()
    reads[call]()
    assert broker.calls[call] == 4


def test_reports_can_come_again_or_late() -> None:
    _, broker = faulty(
        PlannedFault(call=Call.REPORTS, fault=Fault.HOLD_REPORTS),
        PlannedFault(call=Call.REPORTS, fault=Fault.REPEAT_REPORTS, first=3),
    )
    broker.submit(good())
    assert list(broker.reports(0)) == []
    (said,) = broker.reports(0)
    assert list(broker.reports(said.cursor)) == [said]
    assert list(broker.reports(said.cursor)) == []


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (Call.ACCOUNT, Fault.DROP_REQUEST),
        (Call.SUBMIT, Fault.UNREACHABLE),
        (Call.ORDER, Fault.REPEAT_REPORTS),
        (Call.REPORTS, Fault.REFUSE),
    ],
)
def test_a_fault_that_cannot_strike_its_call_is_refused(call: Call, fault: Fault) -> None:
    with pytest.raises(ValueError, match=f"fault {fault.value} cannot strike {call.value}"):
        PlannedFault(call=call, fault=fault)


def test_numbers_start_at_one() -> None:
    with pytest.raises(ValueError, match="first 0, times 1; give 1 or more"):
        PlannedFault(call=Call.SUBMIT, fault=Fault.REFUSE, first=0)


def test_activities_can_come_again_late_or_not_at_all() -> None:
    world = World(open_now=False)
    world.exchange.open_session("friday", OPEN, day=date(2018, 3, 2))
    world.bars((100, 100, 100, 100))
    world.buy("in")
    world.bars((100, 100, 100, 100))
    world.end()
    monday = date(2018, 3, 5)
    split = CorporateAction(symbol="AAA", ex_date=monday, kind=ActivityKind.SPLIT, ratio=Decimal(2))
    world.exchange.open_session("monday", OPEN + timedelta(days=3), day=monday, actions=[split])
    plan = (
        PlannedFault(call=Call.ACTIVITIES, fault=Fault.HOLD_REPORTS),
        PlannedFault(call=Call.ACTIVITIES, fault=Fault.UNREACHABLE, first=2),
        PlannedFault(call=Call.ACTIVITIES, fault=Fault.REPEAT_REPORTS, first=4),
    )
    broker = FaultyBroker(SimulatedBroker(world.exchange), FaultPlan(plan))
    assert list(broker.activities(0)) == []
    with pytest.raises(BrokerUnreachable, match="activities is unreachable"):
        broker.activities(0)
    (told,) = broker.activities(0)
    assert list(broker.activities(told.cursor)) == [told]
    assert list(broker.activities(told.cursor)) == []
    assert broker.calls[Call.ACTIVITIES] == 5
