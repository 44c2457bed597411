"""Repairs, break by break: what is believed at once, what is read twice, what is never done (§14)."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from qmworkbench.domain.events.orders import CancelRequested, OrderQueryRequested
from qmworkbench.domain.events.reconciliation import (
    BreakFound,
    BreakKind,
    OrderAdopted,
    ReconciliationResult,
    RepairApplied,
)
from qmworkbench.domain.execution import BrokerOrder, BrokerSnapshot
from qmworkbench.domain.orders import Leg, Order, OrdStatus
from qmworkbench.domain.sessions import Priority
from qmworkbench.trading.comparison import Tolerances
from qmworkbench.trading.repairs import erases, needs_second_look, value_agrees
from qmworkbench.trading.state import EXTERNAL
from tests.trading.lying_broker import Lying, foreign_order, with_orders, with_position
from tests.trading.test_reconciliation import held, look


def item(kind: BreakKind, before: str = "x", after: str = "y") -> BreakFound:
    return BreakFound(
        at=datetime(2026, 3, 2, 15, tzinfo=UTC),
        break_id="b",
        kind=kind,
        symbol="AAA",
        severity=Priority.P0,
        before=before,
        after=after,
        cause="",
        authority="broker",
    )


@pytest.mark.parametrize(
    ("kind", "before", "after", "does"),
    [
        (BreakKind.POSITION_QTY, "100", "99", True),
        (BreakKind.POSITION_QTY, "100", "0", True),
        (BreakKind.POSITION_QTY, "-100", "-99", True),
        (BreakKind.POSITION_QTY, "100", "101", False),
        (BreakKind.POSITION_QTY, "-100", "-101", False),
        (BreakKind.POSITION_QTY, "0", "5", False),
        (BreakKind.POSITION_SIDE, "75", "-65", True),
        (BreakKind.POSITION_SIDE, "75", "-75", True),
        (BreakKind.POSITION_SIDE, "75", "-90", True),
        (BreakKind.ORDER_MISSING_AT_BROKER, "qm-1", "absent", True),
        (BreakKind.AVG_PX, "10", "9", False),
        (BreakKind.CASH, "10", "9", False),
        (BreakKind.ORDER_UNKNOWN_TO_US, "absent", "x", False),
    ],
)
def test_what_makes_exposure_vanish(kind: BreakKind, before: str, after: str, does: bool) -> None:
    assert erases(item(kind, before, after)) is does
    assert needs_second_look(item(kind, before, after)) is does


def test_realized_pnl_is_looked_at_twice_though_nothing_vanishes() -> None:
    assert needs_second_look(item(BreakKind.REALIZED_PNL, "1", "2"))
    assert not erases(item(BreakKind.REALIZED_PNL, "1", "2"))


@pytest.mark.parametrize(("off", "agrees"), [("0", True), ("0.01", True), ("-0.01", True), ("0.02", False)])
def test_the_accounts_own_total_must_be_the_value_of_its_positions(off: str, agrees: bool) -> None:
    read = held().read_now()
    assert read.account is not None
    total = read.account.positions_value + Decimal(off)
    other = msgspec.structs.replace(read, account=msgspec.structs.replace(read.account, positions_value=total))
    assert value_agrees(other, Tolerances()) is agrees
    assert not value_agrees(msgspec.structs.replace(read, account=None), Tolerances())


# --- exposure that vanishes ------------------------------------------------------------------------------------------


def disagreeing(world: Lying, qty: Decimal) -> None:
    """The position is listed with `qty`, and the account still counts the whole of it."""
    whole = world.read_now().account
    assert whole is not None
    shorter = with_position("AAA", qty=qty)

    def bend(read: BrokerSnapshot) -> BrokerSnapshot:
        assert whole is not None
        return msgspec.structs.replace(shorter(read), account=whole)

    world.bend = bend


@pytest.mark.parametrize("left", [Decimal(0), Decimal(1)])
def test_exposure_never_vanishes_against_the_accounts_own_total(left: Decimal) -> None:
    world = held()
    qty = world.state.net_qty("AAA")
    disagreeing(world, left)
    for _ in range(5):
        look(world)
        world.tick(30)
    assert world.state.net_qty("AAA") == qty
    assert world.state.reconciliation.result is ReconciliationResult.UNRESOLVED


def test_a_position_that_is_gone_takes_its_resting_exits_with_it() -> None:
    world = held()
    exits = {o.cl_ord_id for o in world.state.working() if o.symbol == "AAA" and not o.is_in_doubt}
    assert exits
    world.bend = with_position("AAA", qty=Decimal(0))
    look(world)
    assert world.state.position("test-1", "AAA") is None
    assert exits <= {event.cl_ord_id for event in world.of(CancelRequested)}


def test_a_position_that_shrank_keeps_its_exits() -> None:
    world = held()
    world.bend = with_position("AAA", qty=world.state.net_qty("AAA") - 1)
    look(world)
    assert not world.of(CancelRequested)


def test_a_difference_nobody_holds_yet_is_external() -> None:
    world = held()
    world.exchange.plant_break("CCC", qty_delta=Decimal(9))
    look(world)
    assert [(e.symbol, e.strategy_id, e.qty) for e in world.of(RepairApplied)] == [("CCC", EXTERNAL, "9")]
    assert world.state.position(EXTERNAL, "CCC") is not None


# --- orders that are missing ---------------------------------------------------------------------------------------


def stop_of(world: Lying) -> Order:
    return next(o for o in world.state.working() if o.leg is Leg.STOP)


def dropped(world: Lying, name: str) -> None:
    world.bend = with_orders(lambda order: None if order.cl_ord_id == name else order)


@pytest.mark.parametrize(
    ("status", "ends_as"),
    [
        (OrdStatus.CANCELED, OrdStatus.CANCELED),
        (OrdStatus.EXPIRED, OrdStatus.EXPIRED),
        (OrdStatus.REJECTED, OrdStatus.REJECTED),
        (OrdStatus.ACCEPTED, OrdStatus.ACCEPTED),
        (OrdStatus.FILLED, OrdStatus.ACCEPTED),
    ],
)
def test_a_missing_order_follows_what_its_id_tells(status: OrdStatus, ends_as: OrdStatus) -> None:
    world = held()
    stop = stop_of(world)
    dropped(world, stop.cl_ord_id)

    def told(found: BrokerOrder | None) -> BrokerOrder | None:
        assert found is not None
        return msgspec.structs.replace(found, ord_status=status)

    world.find = told
    for _ in range(4):
        look(world)
        world.tick(20)
    assert world.state.orders[stop.cl_ord_id].status is ends_as
    assert {e.cl_ord_id for e in world.of(OrderQueryRequested)} == {stop.cl_ord_id}


def test_an_order_ended_there_with_fills_we_lack_keeps_what_they_may_be_reserved() -> None:
    world = held()
    stop = stop_of(world)
    dropped(world, stop.cl_ord_id)

    def filled(found: BrokerOrder | None) -> BrokerOrder | None:
        assert found is not None
        return msgspec.structs.replace(found, ord_status=OrdStatus.CANCELED, cum_qty=Decimal(1))

    world.find = filled
    look(world)
    order = world.state.orders[stop.cl_ord_id]
    assert order.is_open or world.state.unproven[stop.cl_ord_id] == 1
    assert world.state.net_qty("AAA") > 0, "a fill is booked by its report alone"


def test_a_missing_order_does_not_end_while_the_account_contradicts_the_list() -> None:
    world = held()
    stop = stop_of(world)
    gone = with_orders(lambda order: None if order.cl_ord_id == stop.cl_ord_id else order)

    def bend(read: BrokerSnapshot) -> BrokerSnapshot:
        assert read.account is not None
        other = msgspec.structs.replace(read.account, positions_value=read.account.positions_value + 1)
        return msgspec.structs.replace(gone(read), account=other)

    world.bend, world.find = bend, lambda found: None
    for _ in range(4):
        look(world)
        world.tick(20)
    assert world.state.orders[stop.cl_ord_id].is_open


# --- orders that nobody here has open ------------------------------------------------------------------------------


def test_one_of_ours_that_had_ended_is_cancelled_on_sight_and_not_in_a_storm() -> None:
    world = held()
    stop = stop_of(world)
    world.find = lambda found: None
    dropped(world, stop.cl_ord_id)
    for _ in range(4):
        look(world)
        world.tick(20)
    assert not world.state.orders[stop.cl_ord_id].is_open
    world.bend = world.find = None
    world.calm = True
    asked = len([e for e in world.of(CancelRequested) if e.cl_ord_id == stop.cl_ord_id])
    world.faults.unreachable = 0.0
    look(world)
    sent = [e for e in world.of(CancelRequested) if e.cl_ord_id == stop.cl_ord_id]
    assert len(sent) == asked + 1
    assert "works at the broker" in sent[-1].reason
    assert not world.of(OrderAdopted), "it is ours, not a stranger's"


def test_a_strangers_order_that_has_ended_is_not_taken_in() -> None:
    world = held()
    over = foreign_order(world.at(), ord_status=OrdStatus.CANCELED, leaves_qty=Decimal(0))
    world.bend = lambda read: msgspec.structs.replace(read, open_orders=(*read.open_orders, over))
    look(world)
    assert not world.of(OrderAdopted)
    assert world.state.reconciliation.result is ReconciliationResult.UNRESOLVED


def test_quantities_follow_only_while_the_filled_part_agrees() -> None:
    world = held()
    stop = stop_of(world)
    qty = stop.order_qty
    world.bend = with_orders(
        lambda o: (
            msgspec.structs.replace(o, order_qty=qty - 1, cum_qty=Decimal(1)) if o.cl_ord_id == stop.cl_ord_id else o
        )
    )
    look(world)
    assert world.state.orders[stop.cl_ord_id].order_qty == qty
    assert not world.of(RepairApplied)
    world.bend = with_orders(
        lambda o: msgspec.structs.replace(o, order_qty=qty - 1) if o.cl_ord_id == stop.cl_ord_id else o
    )
    look(world)
    assert world.state.orders[stop.cl_ord_id].order_qty == qty - 1
