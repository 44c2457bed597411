"""When an order has worked too long, at both sides of each edge: one look, one decision at a time (§13)."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import AlertCleared, AlertRaised
from qmworkbench.domain.events.orders import CancelRequested
from qmworkbench.domain.orders import Leg, Order, OrderStyle, OrdStatus, OrdType
from qmworkbench.domain.sessions import Phase, Priority
from qmworkbench.trading import holdings, order_timeouts
from qmworkbench.trading.decision import Decision
from tests.trading.oms_cases import Desk, desk, held

KEY = "test-1|AAA"


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def styled(built: Desk, **style: Any) -> Desk:
    run = built.state.day.runs["test-1"]
    run.spec = msgspec.structs.replace(run.spec, order_style=OrderStyle(**style))
    return built


def looked(built: Desk, *, moved: bool = False, still: bool = False) -> Decision:
    """One look a second after the desk's last input; `still`: at the same moment, `moved`: holdings have changed."""
    decision = Decision(built.state, built.world.at() + timedelta(seconds=0 if still else 1))
    decision.exposure_moved = moved
    order_timeouts.watch(decision)
    return decision


def cancels(decision: Decision) -> list[str]:
    return [event.cl_ord_id for event in of(decision.events, CancelRequested)]


def aged(built: Desk, order: Order, seconds: float, *, by: str = "submitted_at") -> None:
    """By the time of the look the order will have worked so long."""
    order.submitted_at = None
    setattr(order, by, built.world.at() + timedelta(seconds=1 - seconds))


def entry(seconds: float, **style: Any) -> Desk:
    built = styled(desk(), **style)
    aged(built, built.order, seconds)
    return built


def leaving(seconds: float, ord_type: OrdType = OrdType.LIMIT, **style: Any) -> tuple[Desk, Order]:
    """A position that is wanted closed, its legs ended, and the exit order that has worked so long."""
    built = styled(held(), **style)
    state = built.state
    for leg in list(state.working()):
        leg.status = OrdStatus.CANCELED
        holdings.follow_status(state, leg)
    return built, added(built, Leg.EXIT, seconds, ord_type)


def added(built: Desk, leg: Leg, seconds: float, ord_type: OrdType) -> Order:
    order = msgspec.structs.replace(
        built.order, cl_ord_id=f"{leg}-{ord_type}", leg=leg, ord_type=ord_type, status=OrdStatus.ACCEPTED
    )
    aged(built, order, seconds)
    holdings.admit(built.state, order)
    position = built.state.positions[KEY]
    position.exit_wanted = "enough"
    holdings.hold(built.state, position)
    return order


@pytest.mark.parametrize(("seconds", "timeout", "due"), [(89.9, 90, 0), (90, 90, 1), (91, 90, 1), (10_000, None, 0)])
def test_an_entry_is_cancelled_once_it_has_worked_as_long_as_its_style_lets_it(
    seconds: float, timeout: int | None, due: int
) -> None:
    built = entry(seconds, entry_timeout_s=timeout)
    assert cancels(looked(built)) == [built.order.cl_ord_id] * due


def test_an_entry_that_was_never_sent_counts_from_its_wish() -> None:
    for seconds, due in ((89, 0), (90, 1)):
        built = entry(0, entry_timeout_s=90)
        aged(built, built.order, seconds, by="intended_at")
        assert len(cancels(looked(built))) == due
        built.order.cancel_requested_at = None
        built.order.submitted_at = built.world.at()
        assert cancels(looked(built)) == [], "once sent, from that"


def test_orders_of_what_no_instance_here_runs_have_no_timeout() -> None:
    built = entry(1000, entry_timeout_s=90)
    assert order_timeouts.style_of(built.state, "test-1") == OrderStyle(entry_timeout_s=90)
    assert order_timeouts.style_of(built.state, "EXTERNAL") is None
    built.order.strategy_id = "gone"
    assert looked(built).events == []
    closing, _ = leaving(1000, exit_timeout_s=60)
    del closing.state.day.runs["test-1"]
    assert looked(closing).events == []


def test_nothing_times_out_after_the_day_without_one_or_while_time_stands_still() -> None:
    built = entry(1000, entry_timeout_s=90)
    assert cancels(looked(built, still=True)) == []
    built.state.day.phase = Phase.CLOSED
    assert cancels(looked(built)) == []
    built.state.day.phase = Phase.MARKET_SESSION
    session, built.state.session = built.state.session, None
    assert cancels(looked(built)) == []
    built.state.session = session
    assert cancels(looked(built)) == [built.order.cl_ord_id]


@pytest.mark.parametrize(("seconds", "timeout", "due"), [(59.9, 60, 0), (60, 60, 1), (1000, None, 0)])
@pytest.mark.parametrize(("ord_type", "kind"), [(OrdType.LIMIT, "emergency_exit"), (OrdType.MARKET, "exit_timeout")])
def test_a_late_limit_exit_makes_way_for_the_market_and_a_late_market_exit_is_told(
    ord_type: OrdType, kind: str, seconds: float, timeout: int | None, due: int
) -> None:
    built, order = leaving(seconds, ord_type, exit_timeout_s=timeout)
    decision = looked(built)
    assert cancels(decision) == [order.cl_ord_id] * (due if ord_type is OrdType.LIMIT else 0)
    told = [(e.alert.kind, e.alert.key, e.alert.priority) for e in of(decision.events, AlertRaised)]
    assert told == [(kind, KEY, Priority.P1)] * due


def test_only_the_exit_itself_is_late_whatever_else_still_works_of_the_position() -> None:
    built, order = leaving(1000, exit_timeout_s=60)
    rests = added(built, Leg.STOP, 1000, OrdType.LIMIT)
    holders = built.state.open_at["AAA"]["test-1"]
    holders[order.cl_ord_id] = holders.pop(order.cl_ord_id)  # the exit comes after it
    assert [o.cl_ord_id for o in built.state.working_for("test-1", "AAA")] == [rests.cl_ord_id, order.cl_ord_id]
    assert cancels(looked(built)) == [order.cl_ord_id]
    position = built.state.positions[KEY]
    position.exit_wanted = ""
    holdings.hold(built.state, position)
    order.cancel_requested_at = None
    assert cancels(looked(built)) == [], "nobody wants it closed any more"


@pytest.mark.parametrize("kind", ["emergency_exit", "exit_timeout", "exit_failed"])
def test_an_alarm_about_an_exit_is_answered_by_the_end_of_its_position(kind: str) -> None:
    built = held()
    built.state.alerts.clear()
    for key, cleared in ((KEY, 0), ("test-1|ZZZ", 1)):
        Decision(built.state, built.world.at()).alarm(kind, key, Priority.P1, "", "")
        assert looked(built, moved=False).events == [], "nothing was closed since"
        assert len(of(looked(built, moved=True).events, AlertCleared)) == cleared
    assert len(built.state.alerts) == 1


def test_an_alarm_about_a_cancel_is_answered_by_the_end_of_its_order_and_others_by_neither() -> None:
    built = held()
    built.state.alerts.clear()
    working = next(iter(built.state.open_orders))
    for kind, key in (("cancel_fails", working), ("cancel_fails", "ended"), ("replace_refused", "ended")):
        Decision(built.state, built.world.at()).alarm(kind, key, Priority.P1, "", "")
    cleared = of(looked(built, moved=True).events, AlertCleared)
    assert len(cleared) == 1
    assert {(a.kind, a.key) for a in built.state.alerts.values()} == {
        ("cancel_fails", working),
        ("replace_refused", "ended"),
    }
