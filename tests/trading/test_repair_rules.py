"""Each repair by itself: what is believed, what is asked again, what is left alone, on both sides of each edge."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.orders import CancelRequested, OrderChanged, OrderQueryRequested
from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind, OrderAdopted, RepairApplied
from qmworkbench.domain.execution import BrokerPosition, BrokerSnapshot, ExecType
from qmworkbench.domain.orders import Arc, Leg, Order, OrdStatus, OrdType
from qmworkbench.domain.positions import NetPosition, Position
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading import holdings, repairs
from qmworkbench.trading.book_state import Asked
from qmworkbench.trading.comparison import Tolerances
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.state import EXTERNAL
from tests.trading.oms_cases import D, Desk, desk, held, legs

TOLERANCES = Tolerances()


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def item(built: Desk, kind: BreakKind, before: str = "1", after: str = "2", symbol: str = "AAA") -> BreakFound:
    return BreakFound(
        at=built.world.at(),
        break_id=f"b-{kind}",
        kind=kind,
        symbol=symbol,
        severity=Priority.P1,
        before=before,
        after=after,
        cause="as it was found",
        authority="broker",
    )


def there(symbol: str = "AAA", qty: int = 100, avg_px: int = 20, worth: int = 2000) -> BrokerPosition:
    numbers = {"market_px": D(20), "market_value": D(worth), "unrealized_pnl": D(0)}
    return BrokerPosition(symbol=symbol, qty=D(qty), avg_px=D(avg_px), **numbers)


def books(built: Desk, *positions: BrokerPosition, total: Decimal | None = None, **changes: Any) -> BrokerSnapshot:
    """The broker's books; the account's own total is the value of the positions where none is given."""
    account = built.state.account
    assert account is not None
    worth = sum((p.market_value for p in positions), D(0)) if total is None else total
    base: dict[str, Any] = {
        "complete": True,
        "cursor": built.state.heard_cursor,
        "as_of": built.world.at(),
        "positions": positions,
        "account": msgspec.structs.replace(account, positions_value=worth),
    }
    return BrokerSnapshot(**(base | changes))


def repaired(
    built: Desk, found: BreakFound, seen: BrokerSnapshot, *, again: bool = True, seconds: float = 0
) -> tuple[bool, list[Event]]:
    """Whether the break is settled, and what was decided; `again`: an earlier reading had it too."""
    decision = Decision(built.state, built.world.at() + timedelta(seconds=seconds))
    settled = repairs.repair(decision, found, seen, TOLERANCES, seen_before=again)
    assert len(of(decision.events, RepairApplied)) == settled, "what is settled is on record, and nothing else is"
    return settled, decision.events


def leg(built: Desk, which: Leg) -> Order:
    return next(order for order in legs(built) if order.leg is which)


# --- positions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("again", "off", "settled"),
    [(False, 0, False), (True, 0, True), (True, "0.01", True), (True, "0.02", False), (True, "-0.02", False)],
)
def test_exposure_vanishes_only_when_read_twice_and_by_the_accounts_own_total(
    again: bool, off: str, settled: bool
) -> None:
    built = held()
    seen = books(built, there(qty=60, worth=1200), total=1200 + D(off))
    found = item(built, BreakKind.POSITION_QTY, "100", "60")
    assert repaired(built, found, seen, again=again)[0] is settled
    assert built.state.net_qty("AAA") == (60 if settled else 100)
    assert repaired(held(), found, msgspec.structs.replace(seen, account=None))[0] is False


def test_more_exposure_is_believed_at_once_whatever_the_total_says() -> None:
    built = held()
    found = item(built, BreakKind.POSITION_QTY, "100", "130")
    settled, events = repaired(built, found, books(built, there(qty=130), total=D(1)), again=False)
    (note,) = of(events, RepairApplied)
    assert (settled, note.strategy_id, note.qty, note.avg_px) == (True, "test-1", "130", "20")
    assert (note.before, note.after, note.cause) == ("100", "130", "as it was found")


def test_a_position_that_is_gone_is_none_at_no_price_and_its_exits_with_it() -> None:
    built = held()
    _, events = repaired(built, item(built, BreakKind.POSITION_QTY, "100", "0"), books(built, there("BBB")))
    (note,) = of(events, RepairApplied)
    assert (note.qty, note.avg_px) == ("0", "0")
    assert len(of(events, CancelRequested)) == 3


@pytest.mark.parametrize(
    ("kind", "after", "qty", "cancels"),
    [
        (BreakKind.POSITION_QTY, "60", 60, 0),
        (BreakKind.POSITION_SIDE, "-60", -60, 3),
        (BreakKind.AVG_PX, "21", 100, 0),
    ],
)
def test_exits_go_where_what_they_close_is_gone_or_turned(kind: BreakKind, after: str, qty: int, cancels: int) -> None:
    built = held()
    settled, events = repaired(built, item(built, kind, "100", after), books(built, there(qty=qty)))
    assert (settled, len(of(events, CancelRequested))) == (True, cancels)
    assert built.state.net_qty("AAA") == qty


def test_an_average_price_releases_nothing_of_externals_though_it_holds_none_of_it() -> None:
    built = held()
    state = built.state
    holdings.hold(state, Position(strategy_id="test-2", symbol="AAA", qty=D(30), cost=D(600)))
    state.net["AAA"] = NetPosition(qty=D(130), cost=D(2600))
    strange = msgspec.structs.replace(leg(built, Leg.STOP), cl_ord_id="by-hand", strategy_id=EXTERNAL)
    holdings.admit(state, strange)
    _, events = repaired(built, item(built, BreakKind.AVG_PX, "20", "21"), books(built, there(qty=130, avg_px=21)))
    (note,) = of(events, RepairApplied)
    assert (note.strategy_id, note.qty, of(events, CancelRequested)) == (EXTERNAL, "0", [])


def test_where_several_hold_it_theirs_stay_and_the_rest_is_held_outside() -> None:
    built = held()
    state = built.state
    for owner, qty in (("test-2", 30), (EXTERNAL, 7)):
        holdings.hold(state, Position(strategy_id=owner, symbol="AAA", qty=D(qty), cost=D(20 * qty)))
    state.net["AAA"] = NetPosition(qty=D(137), cost=D(2740))
    found = item(built, BreakKind.POSITION_QTY, "137", "150")
    (note,) = of(repaired(built, found, books(built, there(qty=150)))[1], RepairApplied)
    assert (note.strategy_id, note.qty) == (EXTERNAL, "20")
    gone = item(built, BreakKind.POSITION_QTY, "150", "0")
    (note,) = of(repaired(built, gone, books(built))[1], RepairApplied)
    assert (note.strategy_id, note.qty) == (EXTERNAL, "-130")


def test_what_nobody_holds_here_is_held_outside() -> None:
    built = held()
    found = item(built, BreakKind.POSITION_QTY, "0", "9", symbol="CCC")
    (note,) = of(repaired(built, found, books(built, there("AAA"), there("CCC", 9)))[1], RepairApplied)
    assert (note.strategy_id, note.symbol, note.qty) == (EXTERNAL, "CCC", "9")


# --- executions and money ------------------------------------------------------------------------------------------


def test_an_execution_is_settled_once_it_is_booked_with_the_brokers_content() -> None:
    built = held()
    (name, content), *_ = built.state.fills.items()
    for before, after, settled in (
        (f"{name} absent", content, True),
        (f"{name} absent", "AAA buy 1 at 1", False),
        ("never absent", content, False),
    ):
        found = item(built, BreakKind.EXECUTION_MISSING_HERE, before, after)
        assert repaired(built, found, books(built))[0] is settled


@pytest.mark.parametrize("kind", [BreakKind.CASH, BreakKind.EXECUTION_MISSING_AT_BROKER, BreakKind.REALIZED_PNL])
def test_some_breaks_are_never_settled_by_themselves(kind: BreakKind) -> None:
    built = held()
    assert repaired(built, item(built, kind), books(built, there())) == (False, [])


@pytest.mark.parametrize(
    ("kinds", "again", "executions", "settled"),
    [
        ([BreakKind.REALIZED_PNL], True, True, True),
        ([BreakKind.REALIZED_PNL], False, True, False),
        ([BreakKind.REALIZED_PNL], True, False, False),
        ([BreakKind.REALIZED_PNL, BreakKind.CASH], True, True, False),
        ([BreakKind.CASH], True, True, False),
        ([], True, True, False),
    ],
)
def test_what_was_realized_follows_the_broker_where_all_else_agrees_twice(
    kinds: list[BreakKind], again: bool, executions: bool, settled: bool
) -> None:
    built = held()
    seen = books(built, there())
    if executions:
        fill = built.report(ExecType.TRADE, exec_id=next(iter(built.state.fills)), last_qty=D(100), last_px=D("20.00"))
        seen = msgspec.structs.replace(seen, executions=(fill,))
    found = [item(built, kind, "0", "9") for kind in kinds]
    decision = Decision(built.state, built.world.at())
    before = {one.break_id for one in found} if again else set()
    assert repairs.realized(decision, found, seen, before) is settled
    notes = [(note.kind, note.after, note.cause) for note in of(decision.events, RepairApplied)]
    why = "booked in another order; positions, executions and cash agree"
    assert notes == [(BreakKind.REALIZED_PNL, "9", why)] * settled


# --- orders that are missing ---------------------------------------------------------------------------------------


def missing(built: Desk, order: Order) -> BreakFound:
    return item(built, BreakKind.ORDER_MISSING_AT_BROKER, order.cl_ord_id, "absent")


def queries(events: list[Event]) -> list[str]:
    return [event.cl_ord_id for event in of(events, OrderQueryRequested)]


def test_a_missing_order_is_asked_for_first_once_a_moment_and_only_while_it_is_open() -> None:
    built = held()
    stop = leg(built, Leg.STOP)
    found, seen = missing(built, stop), books(built, there())
    settled, events = repaired(built, found, seen, again=False)
    assert (settled, queries(events)) == (False, [stop.cl_ord_id])
    assert queries(repaired(built, found, seen, again=False)[1]) == [], "it was asked for at this moment"
    assert queries(repaired(built, found, seen, again=False, seconds=1)[1]) == [stop.cl_ord_id]
    stop.status = OrdStatus.CANCELED
    assert queries(repaired(built, found, seen, again=False, seconds=2)[1]) == []
    unknown = item(built, BreakKind.ORDER_MISSING_AT_BROKER, "nobody", "absent")
    assert repaired(built, unknown, seen, again=False) == (False, [])


def test_a_missing_order_that_has_ended_meanwhile_is_settled() -> None:
    built = held()
    stop = leg(built, Leg.STOP)
    found = missing(built, stop)
    stop.status = OrdStatus.CANCELED
    (note,) = of(repaired(built, found, books(built, there()))[1], RepairApplied)
    assert note.after == "ended in our books"
    unknown = item(built, BreakKind.ORDER_MISSING_AT_BROKER, "nobody", "absent")
    assert repaired(built, unknown, books(built, there()))[0]


@pytest.mark.parametrize(
    ("told", "cum", "ends"),
    [
        (OrdStatus.CANCELED, 0, Arc.CANCEL),
        (OrdStatus.EXPIRED, 0, Arc.EXPIRE),
        (OrdStatus.REJECTED, 0, Arc.REJECT),
        (OrdStatus.CANCELED, 1, None),
        (OrdStatus.ACCEPTED, 0, None),
        (OrdStatus.FILLED, 0, None),
    ],
)
def test_a_missing_order_ends_as_the_broker_says_where_it_filled_what_we_know(
    told: OrdStatus, cum: int, ends: Arc | None
) -> None:
    built = held()
    stop = leg(built, Leg.STOP)
    at = built.world.at()
    built.state.reconciliation.asked[stop.cl_ord_id] = Asked(at=at, status=told, cum_qty=D(cum))
    settled, events = repaired(built, missing(built, stop), books(built, there()))
    assert settled is (ends is not None)
    assert [event.arc for event in of(events, OrderChanged)] == [ends] * settled
    assert queries(events) == [stop.cl_ord_id] * (not settled)
    if settled:
        (note,), (change,) = of(events, RepairApplied), of(events, OrderChanged)
        assert note.after == f"{told} in our books"
        assert change.reason == f"the broker has it as {told}"


@pytest.mark.parametrize(
    ("answers", "seconds", "settled"), [(1, 10, True), (2, 11, True), (0, 10, False), (1, 9, False)]
)
def test_a_missing_order_is_gone_once_asked_often_enough_and_the_grace_is_over(
    answers: int, seconds: int, settled: bool
) -> None:
    built = held()
    stop, now = leg(built, Leg.STOP), built.state.clock()
    built.state.reconciliation.asked[stop.cl_ord_id] = Asked(at=now, absent=answers)
    found = missing(built, stop)
    first = msgspec.structs.replace(found, at=now - timedelta(seconds=seconds))
    built.state.reconciliation.unresolved[found.break_id] = first
    done, events = repaired(built, found, books(built, there()))
    assert done is settled
    assert queries(events) == [stop.cl_ord_id] * (not settled)
    assert [(e.arc, e.cl_ord_id) for e in of(events, OrderChanged)] == [(Arc.CANCEL, stop.cl_ord_id)] * settled
    if settled:
        assert of(events, RepairApplied)[0].after == "canceled in our books"


def test_without_an_answer_about_it_a_missing_order_is_asked_for_again() -> None:
    built = held()
    stop = leg(built, Leg.STOP)
    settled, events = repaired(built, missing(built, stop), books(built, there()), seconds=99)
    assert (settled, queries(events)) == (False, [stop.cl_ord_id])


# --- orders that only the broker has open ----------------------------------------------------------------------------


def unknown(built: Desk, name: str) -> BreakFound:
    return item(built, BreakKind.ORDER_UNKNOWN_TO_US, "absent", name)


def test_a_strangers_order_is_taken_into_externals_books() -> None:
    built = desk()
    theirs = built.as_told(cl_ord_id="by-hand")
    settled, events = repaired(built, unknown(built, "by-hand"), books(built, open_orders=(built.as_told(), theirs)))
    (note,), (adopted,) = of(events, RepairApplied), of(events, OrderAdopted)
    assert (settled, adopted.order.cl_ord_id, note.strategy_id) == (True, "by-hand", EXTERNAL)
    assert note.after == f"by-hand, an open order of {EXTERNAL}"
    ended = built.as_told(cl_ord_id="other", leaves_qty=D(0))
    assert repaired(built, unknown(built, "other"), books(built, open_orders=(ended,)))[0] is False
    assert repaired(built, unknown(built, "gone"), books(built, open_orders=(theirs,))) == (False, [])


@pytest.mark.parametrize(("asked", "cancels"), [(None, 1), (4.9, 0), (5, 1)])
@pytest.mark.parametrize("renamed", [False, True])
def test_one_of_ours_that_has_ended_here_is_cancelled_there_at_a_pace(
    asked: float | None, cancels: int, renamed: bool
) -> None:
    built = desk()
    built.order.status = OrdStatus.CANCELED
    built.order.cancel_requested_at = None if asked is None else built.world.at() - timedelta(seconds=asked)
    name = "later" if renamed else built.order.cl_ord_id
    if renamed:
        built.state.working_ids["later"] = built.order.cl_ord_id
    theirs = built.as_told(cl_ord_id=name)
    settled, events = repaired(built, unknown(built, name), books(built, open_orders=(theirs,)))
    assert (settled, len(of(events, CancelRequested)), of(events, OrderAdopted)) == (False, cancels, [])


# --- quantities and prices of orders ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BreakKind.ORDER_QTY, BreakKind.ORDER_PX])
def test_an_orders_terms_follow_the_brokers_under_whichever_id_it_has_it(kind: BreakKind) -> None:
    for renamed in (False, True):
        built = desk()
        order = built.order
        order.working_id = "later" if renamed else ""
        theirs = built.as_told(order_qty=D(90), limit_px=D(21), stop_px=D(3))
        other = built.as_told(cl_ord_id="other", order_qty=D(1))
        found = item(built, kind, f"{order.cl_ord_id} 0/100", f"{order.cl_ord_id} 0/90")
        settled, events = repaired(built, found, books(built, open_orders=(other, theirs)), again=False)
        (change,) = of(events, OrderChanged)
        assert (settled, change.arc, change.reason) == (True, Arc.RESTATE, "as the broker has it")
        assert (order.order_qty, order.limit_px, order.stop_px) == (90, 21, 3)


def test_a_trailing_stop_keeps_its_own_level() -> None:
    for trail, level in ((None, 3), (50, 17)):
        built = desk()
        built.order.ord_type, built.order.stop_px, built.order.trail_bps = OrdType.STOP, D(17), trail
        theirs = built.as_told(order_qty=D(90), stop_px=D(3))
        found = item(built, BreakKind.ORDER_QTY, f"{built.order.cl_ord_id} 0/100", "x")
        repaired(built, found, books(built, open_orders=(theirs,)))
        assert built.order.stop_px == level


def test_terms_follow_nothing_while_fills_are_missing_or_the_order_is_on_neither_side() -> None:
    built = desk()
    name = built.order.cl_ord_id
    found = item(built, BreakKind.ORDER_QTY, f"{name} 0/100", f"{name} 1/100")
    for orders in ((built.as_told(cum_qty=D(1)),), (), (built.as_told(cl_ord_id="other"),)):
        assert repaired(built, found, books(built, open_orders=orders)) == (False, [])
    gone = item(built, BreakKind.ORDER_QTY, "nobody 0/100", "x")
    assert repaired(built, gone, books(built, open_orders=(built.as_told(),))) == (False, [])
