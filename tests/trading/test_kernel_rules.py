"""The rules an operator counts on, a day each: halts, losses, blocks, emergencies, false news (§10-§15, §23)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.control import (
    AlertRaised,
    CommandAccepted,
    CommandReceived,
    CommandRefused,
    DecisionRecorded,
    DecisionRequired,
    EmergencyCompleted,
    EntriesReleased,
)
from qmworkbench.domain.events.market import BoundaryClosed, FeedChanged, FeedState, FrameComputed, FrameDropped
from qmworkbench.domain.events.orders import (
    ExecutionReported,
    OrderDenied,
    OrderIntended,
    ReportQuarantined,
    TradeClosed,
)
from qmworkbench.domain.events.reconciliation import (
    BreakFound,
    BreakKind,
    BrokerConnectionChanged,
    ReconciliationResult,
    RepairApplied,
)
from qmworkbench.domain.events.session import HealthObserved
from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Leg, OrdStatus, Side
from qmworkbench.domain.sessions import BlockScope, Phase, Priority, TradingState
from tests.trading.world import World

EARLY = Limits(entry_cutoff_min=1)
UP = {"AAA": (20.0, 20.5, 19.9, 20.2)}


def events(world: World, kind: type[Any]) -> list[Any]:
    return [e for e in map(decode, world.journal) if isinstance(e, kind)]


def opened(**kwargs: Any) -> World:
    """A session that trades, with nothing held yet."""
    world = World(limits=kwargs.pop("limits", EARLY), **kwargs)
    world.open()
    assert world.state.day.phase is Phase.MARKET_SESSION
    world.boundary(1, [])
    return world


def held(**kwargs: Any) -> World:
    """A session that holds AAA long with stop, target and close resting."""
    world = opened(**kwargs)
    px = Decimal(str(world.px["AAA"]))
    world.boundary(2, [world.row("AAA", entry_long=True, stop_px=px - 3, target_px=px + 3)])
    world.boundary(3, [])
    assert world.state.net_qty("AAA") > 0
    return world


def intents(world: World, leg: Leg) -> list[OrderIntended]:
    return [e for e in events(world, OrderIntended) if e.leg is leg]


def entry(world: World, symbol: str = "AAA") -> None:
    """Ask for a long entry at the next boundary."""
    world.boundary(world.state.day.boundary + 1, [world.row(symbol, entry_long=True)])


def test_an_entry_is_never_filled_at_the_bar_it_was_decided_on() -> None:
    world = opened()
    entry(world)
    assert world.state.net_qty("AAA") == 0
    world.boundary(3, [], {"AAA": (21.11, 21.5, 21.0, 21.2)})
    fill = next(r for r in world.exchange.reports(0) if r.exec_type is ExecType.TRADE)
    assert fill.last_px == Decimal("21.11"), "the next bar's open"


def test_a_held_position_has_its_exits_resting_at_the_broker() -> None:
    world = held()
    legs = {o.leg for o in world.state.exit_legs("test-1", "AAA") if o.status is OrdStatus.ACCEPTED}
    assert legs == {Leg.STOP, Leg.TARGET, Leg.CLOSE}


def test_an_exit_cancels_what_rests_and_closes_the_actual_quantity() -> None:
    world = held()
    qty = world.state.net_qty("AAA")
    world.boundary(4, [world.row("AAA", exit_long=True)])
    exits = intents(world, Leg.EXIT)
    assert [e.request.order_qty for e in exits] == [qty]
    assert not [o for o in world.exchange.open_orders() if o.leg in (Leg.STOP, Leg.TARGET)]
    world.boundary(5, [])
    assert world.state.net_qty("AAA") == 0
    assert len(events(world, TradeClosed)) == 1


def test_max_daily_loss_blocks_entries_lets_exits_run_and_asks_a_person() -> None:
    world = held(limits=Limits(entry_cutoff_min=1, max_daily_loss=Decimal(300)), unattended=False)
    world.boundary(4, [], {"AAA": (18.5, 18.6, 18.2, 18.3)})
    assert world.state.halt.state is TradingState.REDUCING
    assert world.state.halt.code == "max_daily_loss"
    assert "exits running" in world.state.halt.state.shown
    assert len(events(world, DecisionRequired)) == 1
    assert not events(world, DecisionRecorded), "nobody decides for a person"
    entry(world, "BBB")
    assert not [e for e in intents(world, Leg.ENTRY) if e.request.symbol == "BBB"]
    denied = events(world, OrderDenied)[-1]
    assert "trading_state" in denied.reason
    assert "max_daily_loss" in denied.reason
    assert world.state.net_qty("AAA") > 0, "never liquidated without a person"
    world.boundary(6, [world.row("AAA", exit_long=True)])
    world.boundary(7, [])
    assert world.state.net_qty("AAA") == 0, "exits pass while reducing"
    question = events(world, DecisionRequired)[0]
    world.command(commands.Decide(reason="flat already", decision_id=question.decision_id, choice="continue_exits"))
    assert not world.state.day.decisions


def test_the_daily_loss_question_grows_louder_until_it_is_answered() -> None:
    world = held(limits=Limits(entry_cutoff_min=1, max_daily_loss=Decimal(300)), unattended=False)
    world.boundary(4, [], {"AAA": (18.5, 18.6, 18.2, 18.3)})
    world.tick(301)
    world.tick(301)
    louder = [e for e in events(world, AlertRaised) if e.alert.kind == "decision_unanswered"]
    assert [e.alert.priority for e in louder] == [Priority.P0, Priority.P0]


def test_a_loss_during_a_pause_still_asks_its_question() -> None:
    world = held(limits=Limits(entry_cutoff_min=1, max_daily_loss=Decimal(300)), unattended=False)
    world.command(commands.Pause(reason="lunch"))
    world.boundary(4, [], {"AAA": (18.5, 18.6, 18.2, 18.3)})
    assert len(events(world, DecisionRequired)) == 1


def test_a_pause_stops_entries_and_a_resume_needs_all_five_lines() -> None:
    world = opened(unattended=False)
    world.command(commands.Pause(reason="odd prints"))
    entry(world)
    assert not intents(world, Leg.ENTRY)
    halfway = commands.Resume(
        reason="go",
        incident="odd prints",
        cause_understood=True,
        internal_state_repaired=False,
        risk_controls_verified=True,
    )
    world.command(halfway)
    assert world.state.halt.state is TradingState.REDUCING
    refused = events(world, CommandRefused)[-1].reason
    assert "internal state repaired" in refused
    assert "no reconciliation has passed since the halt" in refused, "every line that is missing is named"
    whole = commands.Resume(
        reason="go",
        incident="odd prints",
        cause_understood=True,
        internal_state_repaired=True,
        risk_controls_verified=True,
    )
    world.command(whole)
    assert world.state.halt.state is TradingState.ACTIVE
    entry(world)
    assert len(intents(world, Leg.ENTRY)) == 1


def test_the_same_command_counts_once() -> None:
    world = opened()
    world.command(commands.Pause(reason="one"))
    before = len(world.journal)
    world.commands -= 1
    world.command(commands.Pause(reason="one"))
    assert len(world.journal) == before


def test_a_command_without_a_reason_is_refused_but_an_emergency_never_is() -> None:
    world = held()
    world.command(commands.Pause(reason="  "))
    assert world.state.halt.state is TradingState.ACTIVE
    world.command(commands.EmergencyLiquidateAndHalt(reason=""))
    assert world.state.halt.state is TradingState.HALTED


def test_an_emergency_goes_flat_and_stays_halted() -> None:
    world = held()
    entry(world, "BBB")
    world.command(commands.EmergencyLiquidateAndHalt(reason="state looks wrong"))
    assert world.state.halt.state is TradingState.HALTED
    assert not [o for o in world.exchange.open_orders() if o.leg is not Leg.LIQUIDATE and o.symbol == "BBB"]
    world.boundary(5, [world.row("CCC", entry_long=True)])
    world.boundary(6, [])
    assert not world.exchange.positions()
    assert len(events(world, EmergencyCompleted)) == 1
    assert world.state.halt.state is TradingState.HALTED
    closes = intents(world, Leg.LIQUIDATE)
    assert len(closes) == 1, "one close at a time, never more than the broker's position"
    assert not [e for e in intents(world, Leg.ENTRY) if e.request.symbol == "CCC"]
    world.restart()
    assert world.state.halt.state is TradingState.HALTED, "a crash does not end a halt"


def test_an_emergency_with_an_empty_book_still_asks_the_broker() -> None:
    world = opened()
    world.exchange.plant_break("CCC", qty_delta=Decimal(7))
    world.command(commands.EmergencyLiquidateAndHalt(reason="drill"))
    world.boundary(2, [])
    world.boundary(3, [])
    assert not world.exchange.positions()
    assert events(world, EmergencyCompleted)


def test_an_emergency_that_a_crash_interrupts_goes_on() -> None:
    world = held()
    world.command(commands.EmergencyLiquidateAndHalt(reason="drill"))
    world.restart()
    world.boundary(5, [])
    world.boundary(6, [])
    assert not world.exchange.positions()
    assert world.state.halt.state is TradingState.HALTED


def test_a_blocked_symbol_is_not_entered_and_its_position_keeps_its_exits() -> None:
    world = held()
    world.command(commands.BlockSymbol(symbol="AAA", scope=BlockScope.SESSION, reason="news"))
    assert world.state.day.watchlist["AAA"].state == "blocked"
    world.boundary(4, [world.row("AAA", exit_long=True)])
    world.boundary(5, [])
    assert world.state.net_qty("AAA") == 0
    entry(world)
    assert len(intents(world, Leg.ENTRY)) == 1
    assert "AAA" not in world.state.day.owners


def test_blocking_an_unknown_symbol_is_refused() -> None:
    world = opened()
    answered = world.command(commands.BlockSymbol(symbol="ZZZ", reason="typo"))
    assert any(isinstance(e, CommandRefused) for e in answered)


def test_max_trades_counts_intents_and_leaves_exits_alone() -> None:
    world = held(limits=Limits(entry_cutoff_min=1, max_trades_per_day=1))
    entry(world, "BBB")
    assert len(intents(world, Leg.ENTRY)) == 1
    assert "max_trades_per_day" in events(world, OrderDenied)[-1].reason
    world.boundary(5, [world.row("AAA", exit_long=True)])
    assert len(intents(world, Leg.EXIT)) == 1


def test_the_risk_manager_gone_stops_entries_and_never_exits() -> None:
    world = held()
    world.survive(HealthObserved(at=world.at(), critical_down=("risk_manager",)))
    entry(world, "BBB")
    assert "critical_health" in events(world, OrderDenied)[-1].reason
    world.boundary(5, [world.row("AAA", exit_long=True)])
    assert len(intents(world, Leg.EXIT)) == 1


def test_bad_market_data_blocks_entries_by_itself() -> None:
    world = opened()
    world.survive(FeedChanged(at=world.at(), state=FeedState.STALE, detail="no bar for 3 minutes"))
    entry(world)
    assert not intents(world, Leg.ENTRY)
    assert not world.state.day.watchlist.get("DDD") or world.state.feed is FeedState.STALE


def test_a_lost_broker_stops_entries_alarms_and_reconciles_when_back() -> None:
    world = held()
    world.survive(BrokerConnectionChanged(at=world.at(), connected=False, detail="reset by peer"))
    alarm = [e for e in events(world, AlertRaised) if e.alert.kind == "execution_broker_disconnect"]
    assert alarm[0].alert.priority is Priority.P0, "positions are open"
    world.survive(BrokerConnectionChanged(at=world.at(), connected=True, detail=""))
    assert world.state.reconciliation.trigger == "reconnect"
    assert world.state.reconciliation.result is ReconciliationResult.CLEAN


def test_a_late_frame_is_dropped() -> None:
    world = opened()
    at = world.at()
    world.survive(BoundaryClosed(at=at + timedelta(minutes=1), frame_hash="x", rows=0, boundary=2))
    late = FrameComputed(
        at=world.at(),
        as_of=at,
        frame_hash="",
        radar_hash="",
        candidates=(),
        near_misses=(),
        signals=(world.row("AAA", entry_long=True),),
        marks=(),
    )
    world.survive(late)
    assert events(world, FrameDropped)
    assert not intents(world, Leg.ENTRY)


def report_for(world: World, **changes: Any) -> ExecutionReport:
    """A report after the newest one, from a broker that may say anything."""
    base: dict[str, Any] = {
        "cursor": world.state.exec_cursor + 1,
        "exec_id": "odd-1",
        "exec_type": ExecType.TRADE,
        "cl_ord_id": "never-sent",
        "order_id": "b-1",
        "symbol": "AAA",
        "side": Side.BUY,
        "ord_status": OrdStatus.FILLED,
        "order_qty": Decimal(10),
        "cum_qty": Decimal(10),
        "last_qty": Decimal(10),
        "last_px": Decimal(20),
        "transact_time": world.at(),
    }
    return ExecutionReport(**(base | changes))


def test_a_repeated_execution_is_dropped() -> None:
    world = held()
    fill = next(r for r in world.exchange.reports(0) if r.exec_type is ExecType.TRADE)
    before, qty = len(world.journal), world.state.net_qty("AAA")
    world.survive(ExecutionReported(at=world.at(), report=fill))
    assert (len(world.journal), world.state.net_qty("AAA")) == (before, qty)


def test_the_same_execution_id_with_other_content_stops_the_strategy() -> None:
    world = held()
    fill = next(r for r in world.exchange.reports(0) if r.exec_type is ExecType.TRADE)
    other = report_for(world, exec_id=fill.exec_id, cl_ord_id=fill.cl_ord_id, last_qty=Decimal(1))
    qty = world.state.net_qty("AAA")
    world.survive(ExecutionReported(at=world.at(), report=other))
    assert events(world, ReportQuarantined)[-1].kind == "exec_id_reused"
    assert world.state.day.runs["test-1"].state is TradingState.REDUCING
    assert world.state.net_qty("AAA") == qty


def test_an_over_fill_is_held_alarmed_and_stops_the_strategy() -> None:
    world = held()
    sent = intents(world, Leg.ENTRY)[0].request
    world.survive(ExecutionReported(at=world.at(), report=report_for(world, cl_ord_id=sent.cl_ord_id)))
    assert events(world, ReportQuarantined)[0].kind == "over_fill"
    assert world.state.day.runs["test-1"].state is TradingState.REDUCING
    assert any(e.alert.kind == "over_fill" and e.alert.priority is Priority.P0 for e in events(world, AlertRaised))


def test_a_fill_of_an_unknown_order_belongs_outside_and_stops_the_book() -> None:
    world = opened()
    world.survive(ExecutionReported(at=world.at(), report=report_for(world)))
    assert world.state.halt.state is TradingState.REDUCING
    assert events(world, ReportQuarantined)[0].kind == "unknown_order"


def test_a_bust_takes_the_execution_back() -> None:
    world = held()
    fill = next(r for r in world.exchange.reports(0) if r.exec_type is ExecType.TRADE)
    bust = report_for(
        world,
        exec_type=ExecType.TRADE_CANCEL,
        cl_ord_id=fill.cl_ord_id,
        ref_exec_id=fill.exec_id,
        last_qty=fill.last_qty,
        last_px=fill.last_px,
    )
    world.kernel.step(ExecutionReported(at=world.at(), report=bust))
    assert world.state.net_qty("AAA") == 0


@pytest.mark.parametrize("delta", [Decimal(5), Decimal(-5)])
def test_a_planted_position_break_is_found_halts_and_follows_the_broker(delta: Decimal) -> None:
    world = held()
    qty = world.state.net_qty("AAA")
    world.exchange.plant_break("AAA", qty_delta=delta)
    world.command(commands.Reconcile(reason="look"))
    found = [e for e in events(world, BreakFound) if e.kind is BreakKind.POSITION_QTY]
    assert len(found) == 1
    assert found[0].severity is Priority.P0
    assert (found[0].before, found[0].after) == (str(qty), str(qty + delta))
    assert world.state.net_qty("AAA") == qty + delta, "the broker is right about exposure"
    assert [e for e in events(world, RepairApplied) if e.symbol == "AAA"]
    assert world.state.halt.code == "must_halt.position_mismatch"
    assert not intents(world, Leg.LIQUIDATE), "liquidation is a person's command"


def test_a_comparison_asked_for_while_one_is_under_way_is_told_that_it_joins_it() -> None:
    """Found by `qm reconcile` on a platform at speed: its own comparison was swallowed, and it waited for it."""
    world = held()
    told = []
    for nth in (1, 2):
        look = commands.Reconcile(reason="look")
        step = world.kernel.step(
            CommandReceived(at=world.at(), command_id=f"look-{nth}", command=look, operator="ann", origin="test")
        )
        told += [event.effect for event in step if isinstance(event, CommandAccepted)]
    assert told[0] == "reconciliation started"
    assert told[1].startswith(commands.RECONCILE_JOINED)
    assert "operator" in told[1]


def test_an_answer_that_erases_exposure_is_read_twice_before_it_is_believed() -> None:
    world = held()
    world.exchange.plant_break("AAA", qty_delta=-world.state.net_qty("AAA"))
    world.command(commands.Reconcile(reason="look"))
    results = [e for e in map(decode, world.journal) if type(e).__name__ == "ReconciliationCompleted"][-2:]
    assert results[0].result is ReconciliationResult.UNRESOLVED
    assert world.state.net_qty("AAA") == 0


def test_money_that_moves_outside_our_orders_is_a_break_nobody_repairs() -> None:
    world = held()
    world.exchange.plant_break("AAA", cash_delta=Decimal("-12.34"))
    world.command(commands.Reconcile(reason="look"))
    assert [e.kind for e in events(world, BreakFound)] == [BreakKind.CASH]
    assert world.state.reconciliation.result is ReconciliationResult.UNRESOLVED
    entry(world, "BBB")
    assert "reconciled" in events(world, OrderDenied)[-1].reason


def test_unattended_recovery_releases_entries_only_after_a_clean_reconciliation() -> None:
    world = held()
    world.restart()
    assert world.state.day.recovered
    assert not world.state.day.recovering
    assert not world.state.day.entries_held
    assert events(world, EntriesReleased)[-1].by == "policy:unattended"


def test_an_attended_recovery_waits_for_a_person() -> None:
    world = held(unattended=False)
    world.restart()
    assert world.state.day.entries_held
    entry(world, "BBB")
    assert "entries_released" in events(world, OrderDenied)[-1].reason
    answered = world.command(commands.ReleaseEntries(reason="looked at it"))
    assert any(isinstance(e, CommandAccepted) for e in answered)
    entry(world, "BBB")
    assert [e for e in intents(world, Leg.ENTRY) if e.request.symbol == "BBB"]


def test_ending_early_closes_what_must_be_flat() -> None:
    world = held()
    world.command(commands.EndSession(reason="enough"))
    world.boundary(4, [world.row("BBB", entry_long=True)])
    world.boundary(5, [])
    assert not world.exchange.positions()
    world.close()
    assert world.state.day.phase is Phase.CLOSED
