"""Several instances in one symbol, beside and against each other: ownership, exits, close, emergency (§9, §13-§15).

What must hold, whatever the instances do to each other:

1. Every eligible instance owns a candidate, within its own capacity and list; the book's capacity counts all of it.
2. An instance gets in whichever way the others stand, and gets out by exactly what it holds, even where that makes the
   broker's net position larger.
3. Stops, targets and closing orders of one part never touch another part.
4. An emergency ends with nobody holding anything, in the broker's books and in ours, each part a trade on record.
5. The broker's figures are compared with the net of the parts.
"""

from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.control import AlertRaised, EmergencyCompleted
from qmworkbench.domain.events.market import AssignmentDeclined, AssignmentEnded
from qmworkbench.domain.events.orders import (
    ExecutionReported,
    FillRecorded,
    OrderDenied,
    OrderIntended,
    PositionsOffset,
    ReportQuarantined,
    RiskDecided,
    TradeClosed,
)
from qmworkbench.domain.events.reconciliation import BreakFound, BreakKind, RepairApplied
from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.numbers import cents
from qmworkbench.domain.orders import Leg, OrdStatus, PositionEffect, Side
from qmworkbench.domain.sessions import TradingState
from qmworkbench.trading.holdings import unsound
from tests.trading.test_kernel_world import BUSY, check_exits, check_invariants
from tests.trading.world import Faults, World

PAIR = "GBPUSD"
A, B = "a-long", "b-short"
STILL = (1.3, 1.3, 1.3, 1.3)


def events(world: World, kind: type[Any]) -> list[Any]:
    return [e for e in map(decode, world.journal) if isinstance(e, kind)]


def opened(**kwargs: Any) -> World:
    world = World(shared=True, strategies=(A, B), limits=kwargs.pop("limits", BUSY), **kwargs)
    world.open()
    step(world)
    return world


def step(world: World, *rows: Any, bar: tuple[float, float, float, float] = STILL) -> None:
    world.boundary(world.state.day.boundary + 1, list(rows), {PAIR: bar})


def opposed(a_px: float = 1.3, b_px: float = 1.4, **kwargs: Any) -> World:
    """A is long and B is short of the same pair; who entered at the lower price holds more of it."""
    world = opened(**kwargs)
    step(world, bar=(a_px, a_px, a_px, a_px))
    step(world, world.row(PAIR, A, entry_long=True), bar=(a_px, a_px, a_px, a_px))
    step(world, bar=(a_px, a_px, a_px, a_px))
    step(world, bar=(b_px, b_px, b_px, b_px))
    step(world, world.row(PAIR, B, entry_short=True), bar=(b_px, b_px, b_px, b_px))
    step(world, bar=(b_px, b_px, b_px, b_px))
    assert qty(world, A) > 0 > qty(world, B)
    return world


def qty(world: World, strategy_id: str) -> Decimal:
    held = world.state.position(strategy_id, PAIR)
    return held.qty if held is not None else Decimal(0)


def venue_qty(world: World) -> Decimal:
    return next((p.qty for p in world.exchange.positions() if p.symbol == PAIR), Decimal(0))


def reconciled(world: World) -> None:
    before = len(events(world, BreakFound))
    world.command(commands.Reconcile(reason="look"))
    assert len(events(world, BreakFound)) == before
    assert not unsound(world.state)


def test_every_eligible_instance_owns_every_candidate_and_the_book_counts_all_of_it() -> None:
    world = opened()
    assert world.state.day.owners == {symbol: [A, B] for symbol in world.symbols}
    assert len(world.state.day.assignments) == 8
    assert [run.owned for run in world.state.day.runs.values()] == [4, 4]
    assert not events(world, AssignmentDeclined)


def test_a_stopped_instance_gives_back_what_is_its_own_alone() -> None:
    world = opposed()
    world.command(commands.StopStrategy(reason="odd", strategy_id=A))
    step(world)
    assert world.state.day.owners == {symbol: [A, B] if symbol == PAIR else [B] for symbol in world.symbols}
    assert all("stopped" in e.reason for e in events(world, AssignmentEnded))


def test_an_exit_may_enlarge_the_net_position_and_closes_its_own_part_exactly() -> None:
    world = opposed(a_px=1.4, b_px=1.3)
    assert venue_qty(world) == qty(world, A) + qty(world, B) < 0
    mine, others = qty(world, A), qty(world, B)
    step(world, world.row(PAIR, A, exit_long=True))
    step(world)
    assert (qty(world, A), qty(world, B)) == (0, others)
    assert venue_qty(world) == others
    exits = [e.request for e in events(world, OrderIntended) if e.leg is Leg.EXIT]
    assert [(r.side, r.order_qty, r.position_effect, r.netted) for r in exits] == [
        (Side.SELL, mine, PositionEffect.CLOSE, True)
    ]
    reconciled(world)


def test_realized_differs_between_the_parts_and_the_net_until_all_is_flat() -> None:
    world = opposed(b_px=1.4)
    day = world.state.day
    assert day.realized_pnl == 0, "nobody has closed anything"
    assert day.net_realized_pnl == -qty(world, B) * (Decimal("1.4") - Decimal("1.3")), "the broker has"
    fills = events(world, FillRecorded)
    assert [f.net_realized_pnl for f in fills] == [None, day.net_realized_pnl]
    assert world.state.day_pnl() == world.exchange.account().equity - 100_000
    reconciled(world)
    step(world, world.row(PAIR, A, exit_long=True), world.row(PAIR, B, exit_short=True))
    step(world)
    assert not world.state.positions
    assert day.realized_pnl == day.net_realized_pnl == world.exchange.account().realized_pnl
    assert sum(e.gross_pnl for e in events(world, TradeClosed)) == day.realized_pnl
    reconciled(world)


def test_the_stop_of_one_and_the_target_of_the_other_trade_on_the_same_bar() -> None:
    world = opened()
    low, high = Decimal("1.28"), Decimal("1.34")
    step(
        world,
        world.row(PAIR, A, entry_long=True, stop_px=low, target_px=high),
        world.row(PAIR, B, entry_short=True, stop_px=high, target_px=low),
    )
    step(world)
    assert len(world.state.exit_legs(A, PAIR)) == len(world.state.exit_legs(B, PAIR)) == 3
    step(world, bar=(1.3, 1.3, 1.27, 1.27))
    legs = {(e.strategy_id, e.exit_leg) for e in events(world, TradeClosed)}
    assert legs == {(A, Leg.STOP), (B, Leg.TARGET)}
    assert not world.exchange.positions()
    assert not world.exchange.open_orders()
    reconciled(world)


def test_a_gap_that_stops_one_out_neither_cancels_nor_delays_the_other() -> None:
    world = opened()
    step(world, world.row(PAIR, A, entry_long=True, stop_px=Decimal("1.28")))
    step(world)
    step(world, world.row(PAIR, B, entry_short=True, stop_px=Decimal("1.35")))
    step(world, bar=(1.25, 1.25, 1.25, 1.25))
    assert [e.exit_reason for e in events(world, TradeClosed)] == ["stop"]
    assert qty(world, B) < 0, "its entry filled at the open that stopped the other out"
    assert {o.leg for o in world.exchange.open_orders()} == {Leg.STOP, Leg.CLOSE}
    reconciled(world)


def test_the_close_ends_both_parts() -> None:
    world = opposed()
    world.close()
    assert {e.exit_leg for e in events(world, TradeClosed)} == {Leg.CLOSE}
    assert len(events(world, TradeClosed)) == 2
    check_invariants(world)


def test_limits_count_each_direction_at_its_worst() -> None:
    world = opposed(limits=Limits(entry_cutoff_min=1, max_position_notional=Decimal(9_000), max_position_qty=None))
    world.budget_pct = Decimal(5)
    held = qty(world, A)
    worst = held * 2 * Decimal("1.4")
    assert worst > 9_000 > (held + qty(world, B) + held) * Decimal("1.4"), "the net would let it pass"
    step(world, world.row(PAIR, A, exit_long=True))
    step(world)
    world.state.day.assignments[f"{A}|{PAIR}"].budget = Decimal(9_500)
    step(world, world.row(PAIR, A, entry_long=True))
    assert "max_position_notional" in events(world, OrderDenied)[-1].reason


def test_buying_power_is_kept_for_parts_that_may_stand_alone_tomorrow() -> None:
    world = opposed(1.3, 1.3)
    account = world.state.account
    assert account is not None
    assert account.buying_power == world.exchange.account().buying_power, "the broker sees nothing held"
    step(world, world.row("USDJPY", A, entry_long=True))
    judged = next(v for v in events(world, RiskDecided)[-1].rules if v.code == "buying_power")
    hidden = qty(world, A) * Decimal("1.3") * Decimal("0.0333")
    assert hidden > 100
    assert Decimal(judged.limit) == cents(account.buying_power - hidden)


@pytest.mark.parametrize("faults", [Faults(), Faults(lost_ack=0.5), Faults(refused=0.5), Faults(lost_request=0.5)])
@pytest.mark.parametrize(("a_px", "b_px"), [(1.3, 1.4), (1.4, 1.3), (1.3, 1.3)])
def test_an_emergency_ends_with_nobody_holding_anything(a_px: float, b_px: float, faults: Faults) -> None:
    world = opposed(a_px, b_px)
    world.faults = faults
    world.command(commands.EmergencyLiquidateAndHalt(reason="out"))
    for _ in range(12):
        step(world)
        world.tick(6)
    assert not world.state.positions
    assert not world.state.net
    assert not world.exchange.positions()
    assert not world.exchange.open_orders()
    assert world.state.halt.state is TradingState.HALTED
    assert len(events(world, EmergencyCompleted)) == 1
    (offset,) = events(world, PositionsOffset)
    assert set(offset.strategy_ids) == {A, B}
    trades = events(world, TradeClosed)
    assert sorted(e.strategy_id for e in trades) == [A, B]
    assert all("emergency" in e.exit_reason for e in trades)
    assert sum(e.gross_pnl for e in trades) == world.state.day.realized_pnl == world.state.day.net_realized_pnl
    check_exits(world)
    world.faults = Faults()
    reconciled(world)


def test_parts_held_against_each_other_are_nobodys_business_without_an_emergency() -> None:
    world = opposed(1.3, 1.3)
    assert venue_qty(world) == 0
    reconciled(world)
    assert not events(world, PositionsOffset)
    assert qty(world, A) == -qty(world, B) > 0


def test_a_crash_with_opposing_parts_comes_back_to_the_same_books() -> None:
    world = opposed()
    before = (qty(world, A), qty(world, B), world.state.net[PAIR].cost)
    world.restart()
    assert (qty(world, A), qty(world, B), world.state.net[PAIR].cost) == before
    assert not world.state.day.entries_held, "reconciled clean, so released by policy"
    world.close()
    check_invariants(world)


def test_a_break_of_the_net_goes_to_nobody_and_the_net_follows_the_broker() -> None:
    world = opposed()
    parts = (qty(world, A), qty(world, B))
    world.exchange.plant_break(PAIR, qty_delta=Decimal(70))
    world.command(commands.Reconcile(reason="look"))
    assert [e.kind for e in events(world, BreakFound)] == [BreakKind.POSITION_QTY]
    assert [(e.strategy_id, e.qty) for e in events(world, RepairApplied)] == [("EXTERNAL", "70")]
    assert (qty(world, A), qty(world, B)) == parts
    assert world.state.net_qty(PAIR) == venue_qty(world) == sum(parts) + 70
    assert not unsound(world.state)


def test_an_exit_that_closes_more_than_was_held_is_a_contradiction_and_is_closed_again() -> None:
    world = opposed()
    leg = next(o for o in world.state.exit_legs(A, PAIR) if o.leg is Leg.CLOSE)
    step(world, world.row(PAIR, A, exit_long=True))
    step(world)
    assert qty(world, A) == 0
    late = ExecutionReport(
        cursor=world.state.exec_cursor,
        exec_id="late",
        exec_type=ExecType.TRADE,
        cl_ord_id=leg.cl_ord_id,
        order_id="x",
        symbol=PAIR,
        side=Side.SELL,
        ord_status=OrdStatus.FILLED,
        order_qty=leg.order_qty,
        cum_qty=Decimal(100),
        transact_time=world.at(),
        last_qty=Decimal(100),
        last_px=Decimal("1.3"),
    )
    said = world.kernel.step(ExecutionReported(at=world.at(), report=late))
    state = world.state
    assert {e.kind for e in said if isinstance(e, ReportQuarantined)} == {"over_exit"}
    assert [e.alert.priority for e in said if isinstance(e, AlertRaised) and e.alert.kind == "over_exit"] == ["P0"]
    assert qty(world, A) == -100, "the broker is right about exposure"
    assert state.day.runs[A].state is TradingState.REDUCING
    held = state.position(A, PAIR)
    assert held is not None
    assert held.exit_wanted, "and what it opened has no exits of its own"
    assert not unsound(state)
