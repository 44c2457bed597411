"""News that contradicts what is known: whom it stops, how loudly it is said, and under which name."""

from typing import Any

import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import AlertRaised, TradingStateChanged
from qmworkbench.domain.events.orders import ReportQuarantined
from qmworkbench.domain.events.reconciliation import Trigger
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading import contradictions
from qmworkbench.trading.decision import Decision
from tests.trading.oms_cases import Desk, desk


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def answered(built: Desk, owner: str = "test-1", kind: str = "wrong_side", name: str = "qm-1") -> Decision:
    built.state.reconciliation.pending = None
    decision = Decision(built.state, built.world.at())
    contradictions.answer(decision, owner, name, kind, "text", of="AAA")
    return decision


@pytest.mark.parametrize(("owner", "scope"), [("test-1", "test-1"), ("", "book"), ("gone", "book")])
def test_it_stops_its_owner_or_the_book_where_none_runs(owner: str, scope: str) -> None:
    (stopped,) = of(answered(desk(), owner).events, TradingStateChanged)
    assert (stopped.scope, stopped.after, stopped.code) == (scope, TradingState.REDUCING, "contradiction.wrong_side")


@pytest.mark.parametrize(
    ("owner", "kind", "priority"),
    [
        ("test-1", "wrong_side", Priority.P1),
        ("", "wrong_side", Priority.P0),
        ("test-1", "over_fill", Priority.P0),
        ("test-1", "over_exit", Priority.P0),
        ("test-1", "two_live_orders", Priority.P0),
    ],
)
def test_what_may_change_exposure_or_concerns_the_book_is_the_worst(owner: str, kind: str, priority: Priority) -> None:
    (alarm,) = of(answered(desk(), owner, kind).events, AlertRaised)
    assert (alarm.alert.kind, alarm.alert.priority, alarm.alert.key) == (kind, priority, "qm-1")


def test_what_names_no_order_is_said_of_its_symbol() -> None:
    (alarm,) = of(answered(desk(), name="").events, AlertRaised)
    assert alarm.alert.key == "AAA"


def test_the_books_are_compared_unless_they_are_being() -> None:
    assert answered(desk()).want_reconciliation
    built = desk()
    built.state.reconciliation.pending = Trigger.OPERATOR
    decision = Decision(built.state, built.world.at())
    contradictions.answer(decision, "test-1", "qm-1", "wrong_side", "text", of="AAA")
    assert not decision.want_reconciliation


def test_a_report_is_told_of_under_our_name_for_its_order() -> None:
    built = desk()
    order = built.order
    built.state.working_ids["later"] = order.cl_ord_id
    for said, key, scope in (("later", order.cl_ord_id, "test-1"), ("nobody", "nobody", "book")):
        decision = Decision(built.state, built.world.at())
        contradictions.contradicts(decision, built.report(cl_ord_id=said), "wrong_side", "detail")
        assert [event.alert.key for event in of(decision.events, AlertRaised)] == [key]
        assert [event.scope for event in of(decision.events, TradingStateChanged)] == [scope]
        (odd,) = of(decision.events, ReportQuarantined)
        assert (odd.cl_ord_id, odd.kind, odd.detail) == (said, "wrong_side", "detail")
