"""How peers failed at reconciliation, each row a test here: the first words of a docstring name the thread."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import AlertRaised
from qmworkbench.domain.events.orders import CancelRequested, FillRecorded, OrderChanged, OrderIntended, TradeClosed
from qmworkbench.domain.events.reconciliation import (
    BreakFound,
    BrokerConnectionChanged,
    OrderAdopted,
    ReconciliationCompleted,
    ReconciliationResult,
    RepairApplied,
)
from qmworkbench.domain.execution import BrokerSnapshot, ExecType
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, Side
from qmworkbench.domain.sessions import Phase, TradingState
from qmworkbench.trading.holdings import unsound
from qmworkbench.venue.drill import ForeignFill
from tests.trading.lying_broker import Lying, foreign_order, with_orders
from tests.trading.world import MINUTE, OPEN

EARLY = Limits(entry_cutoff_min=1, max_trades_per_day=100, max_open_positions=20)
LOOK = commands.Reconcile(reason="look")


def opened(**kwargs: Any) -> Lying:
    world = Lying(limits=EARLY, **kwargs)
    world.open()
    world.boundary(1, [])
    return world


def held(symbols: tuple[str, ...] = ("AAA",), legs: bool = True, **kwargs: Any) -> Lying:
    world = opened(**kwargs)
    rows = []
    for symbol in symbols:
        px = Decimal(str(world.px[symbol]))
        resting = {"stop_px": px - 3, "target_px": px + 3} if legs else {}
        rows.append(world.row(symbol, entry_long=True, **resting))
    world.boundary(2, rows)
    world.boundary(3, [])
    assert all(world.state.net_qty(symbol) > 0 for symbol in symbols)
    return world


def test_nautilus_4736_a_restart_adds_no_opposite_fill() -> None:
    """nautilus_trader #4736: after a warm restart an opposite fill was added; the strategy believed it was flat."""
    world = held()
    qty, fills = world.state.net_qty("AAA"), len(world.of(FillRecorded))
    for _ in range(3):
        world.restart()
    assert world.state.net_qty("AAA") == qty
    assert len(world.of(FillRecorded)) == fills
    assert not world.of(RepairApplied)


def test_nautilus_3104_a_position_of_many_days_still_agrees() -> None:
    """nautilus_trader #3104: positions older than ten days failed to reconcile (75 against -65)."""
    world = held(legs=False, flat_policy="carry", boundaries=6)
    qty = world.state.net_qty("AAA")
    for day in range(1, 14):
        world.close()
        assert world.state.day.phase is Phase.CLOSED
        opens = OPEN + timedelta(days=day)
        world.now, world.calm = opens - 10 * MINUTE, False
        world.open(opens)
        world.boundary(1, [])
    assert world.state.net_qty("AAA") == qty
    assert not world.of(BreakFound)
    assert not world.of(RepairApplied)


def test_nautilus_5000_a_list_that_drops_every_working_order_ends_none_of_them() -> None:
    """nautilus_trader #5000: reconciliation dropped working orders. Each is asked for by its id."""
    world = held(("AAA", "BBB", "CCC", "DDD"))
    working = {o.cl_ord_id: o.status for o in world.state.working()}
    assert len(working) >= 8
    world.bend = with_orders(lambda order: None)
    for _ in range(6):
        world.command(LOOK)
        world.tick(20)
    assert {o.cl_ord_id: o.status for o in world.state.working()} == working
    assert world.asked >= len(working)
    assert world.state.reconciliation.result is ReconciliationResult.UNRESOLVED
    world.bend = None
    world.command(LOOK)
    assert world.state.reconciliation.result in (ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED)


def test_nautilus_3878_ids_are_the_same_in_every_run() -> None:
    """nautilus_trader #3878: synthetic ids differed from run to run, so they did not dedupe."""

    def ids() -> tuple[list[str], list[str]]:
        world = held()
        world.exchange.plant_break("AAA", qty_delta=Decimal(5))
        world.exchange.plant_break(
            "BBB", execution=ForeignFill(cl_ord_id="x", side=Side.BUY, qty=Decimal(2), px=Decimal(30))
        )
        world.command(LOOK)
        return [e.exec_id for e in world.of(FillRecorded)], [e.break_id for e in world.of(BreakFound)]

    assert ids() == ids()
    assert all(ids())


def test_nautilus_4958_an_order_whose_answer_was_lost_is_found_by_its_own_id() -> None:
    """nautilus_trader #4958: there was no query by client id, and an orphan position was left."""
    world = opened()
    world.faults.lost_ack = 1.0
    world.boundary(2, [world.row("AAA", entry_long=True)])
    world.faults.lost_ack = 0.0
    world.tick(6)
    world.boundary(3, [])
    (sent,) = [e.request.cl_ord_id for e in world.of(OrderIntended) if e.leg is Leg.ENTRY]
    assert world.state.orders[sent].status is OrdStatus.FILLED
    assert world.state.position("test-1", "AAA") is not None, "the position is its strategy's"
    assert {s: n.qty for s, n in world.state.net.items()} == {p.symbol: p.qty for p in world.exchange.positions()}


@pytest.mark.parametrize("thread", ["3869", "3879"])
def test_nautilus_3869_and_3879_fills_that_never_came_are_no_cancel(thread: str) -> None:
    """nautilus_trader #3869, #3879: fills were never received; a false cancel, and orders stacked up."""
    world = opened()
    world.loses = lambda report: report.exec_type is ExecType.TRADE
    world.boundary(2, [world.row("AAA", entry_long=True)])
    world.boundary(3, [world.row("AAA", entry_long=True)])
    # No second one was sent.
    (name,) = [e.request.cl_ord_id for e in world.of(OrderIntended)]
    world.command(LOOK)
    for _ in range(3):
        world.tick(20)
    assert world.state.orders[name].status is OrdStatus.FILLED
    assert not [e for e in world.of(OrderChanged) if e.cl_ord_id == name and e.arc in (Arc.CANCEL, Arc.ABANDON)]
    assert {s: n.qty for s, n in world.state.net.items()} == {p.symbol: p.qty for p in world.exchange.positions()}
    assert thread


def test_lean_ib_249_fills_during_an_outage_are_booked_when_it_is_over() -> None:
    """Lean IB #249: fills during a broker outage were never recovered."""
    world = opened()
    world.boundary(2, [world.row("AAA", entry_long=True)])
    world.survive(BrokerConnectionChanged(at=world.at(), connected=False, detail="no route"))
    world.faults.unreachable = 1.0
    world.boundary(3, [])
    assert world.exchange.positions()
    assert not world.state.positions
    world.faults.unreachable = 0.0
    world.survive(BrokerConnectionChanged(at=world.at(), connected=True, detail="back"))
    held_now = world.state.position("test-1", "AAA")
    assert held_now is not None
    assert held_now.qty == world.exchange.positions()[0].qty
    assert world.of(ReconciliationCompleted)[-1].result is ReconciliationResult.CLEAN


def test_lean_ib_156_the_brokers_own_liquidation_closes_the_strategys_position() -> None:
    """Lean IB #156: a broker's own liquidation was ignored; the state was wrong for hours."""
    world = held()
    qty = world.state.net_qty("AAA")
    px = Decimal(str(world.px["AAA"]))
    sold = ForeignFill(cl_ord_id="margin-call", side=Side.SELL, qty=qty, px=px)
    world.exchange.plant_break("AAA", execution=sold)
    world.tick(1)
    assert not world.exchange.positions()
    assert world.state.position("test-1", "AAA") is None, "it does not go on believing in it"
    assert not world.state.positions
    assert len(world.of(TradeClosed)) == 1
    assert world.state.halt.state is TradingState.REDUCING
    for number in range(4, 8):
        world.boundary(number, [])
    assert not world.exchange.positions(), "and nothing of it is sold twice"
    assert not [o for o in world.state.working() if o.symbol == "AAA"]
    assert not unsound(world.state)


def test_lean_ib_232_an_order_of_another_session_can_be_seen_and_cancelled() -> None:
    """Lean IB #232: orders of another session could not be cancelled. They are open orders of EXTERNAL here."""
    world = opened()
    stranger = foreign_order(world.at(), "older-7")
    world.bend = lambda read: msgspec.structs.replace(read, open_orders=(*read.open_orders, stranger))
    world.command(LOOK)
    assert [e.order.cl_ord_id for e in world.of(OrderAdopted)] == ["older-7"]
    answered = world.command(commands.CancelOrder(cl_ord_id="older-7", reason="nobody wants it"))
    assert "CommandAccepted" in {type(e).__name__ for e in answered}
    assert "older-7" in {e.cl_ord_id for e in world.of(CancelRequested)}


def test_lean_alpaca_66_a_sync_that_shows_nothing_zeroes_nothing() -> None:
    """Lean Alpaca #66: a sync zeroed the holdings. The account's own total says that they are there."""
    world = held(("AAA", "BBB"))
    before = {key: p.qty for key, p in world.state.positions.items()}

    def emptied(read: BrokerSnapshot) -> BrokerSnapshot:
        return msgspec.structs.replace(read, positions=())

    world.bend = emptied
    for _ in range(6):
        world.command(LOOK)
        world.tick(20)
    assert {key: p.qty for key, p in world.state.positions.items()} == before
    assert world.state.reconciliation.result is ReconciliationResult.UNRESOLVED
    assert world.state.halt.state is TradingState.REDUCING, "entries are blocked until it is clear"
    assert not world.of(RepairApplied)
    assert any(a.alert.kind == "reconciliation_mismatch" for a in world.of(AlertRaised))


def test_freqtrade_10436_a_restart_invents_no_position() -> None:
    """freqtrade #10436: a restart invented a position: an entry had been sent and never filled."""
    world = opened()
    world.faults.lost_request = 1.0
    world.boundary(2, [world.row("AAA", entry_long=True)])
    world.faults.lost_request = 0.0
    world.restart()
    for _ in range(4):
        world.tick(6)
    assert not world.state.positions
    assert not world.exchange.positions()
    (sent,) = [e.request.cl_ord_id for e in world.of(OrderIntended)]
    assert world.state.orders[sent].status is OrdStatus.CANCELED
    assert world.state.day.recovered
    assert not world.state.day.recovering


def test_freqtrade_9128_a_replaced_order_is_one_order_and_leaves_no_ghost() -> None:
    """freqtrade #9128: a ghost position after a replace. The broker knows the order under another id since."""
    world = held()
    (target,) = [o for o in world.state.working() if o.leg is Leg.TARGET]
    order = world.state.orders[target.cl_ord_id]
    order.working_id, order.limit_px = "second-id", (order.limit_px or Decimal(0)) + 1
    world.state.working_ids["second-id"] = order.cl_ord_id

    def renamed(read: BrokerSnapshot) -> BrokerSnapshot:
        there = [
            msgspec.structs.replace(o, cl_ord_id="second-id", orig_cl_ord_id=order.cl_ord_id, limit_px=order.limit_px)
            if o.cl_ord_id == order.cl_ord_id
            else o
            for o in read.open_orders
        ]
        return msgspec.structs.replace(read, open_orders=tuple(there))

    world.bend = renamed
    before = {key: p.qty for key, p in world.state.positions.items()}
    world.command(LOOK)
    assert not world.of(BreakFound)
    assert not world.of(OrderAdopted)
    assert {key: p.qty for key, p in world.state.positions.items()} == before
