"""Emergency Liquidate & Halt: its order of steps, and the ways in which others' have failed (§15, DESIGN §3)."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import (
    AlertCleared,
    AlertRaised,
    CommandRefused,
    EmergencyCompleted,
    EmergencyStarted,
    EmergencyStepTaken,
    TradingStateChanged,
)
from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.events.orders import CancelRequested, ExecutionReported, OrderIntended
from qmworkbench.domain.events.reconciliation import BrokerConnectionChanged
from qmworkbench.domain.execution import ExecType, OrderRequest, SubmitOutcome
from qmworkbench.domain.orders import Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading import emergency, holdings
from qmworkbench.trading.sending import withheld
from tests.trading.halts import Halts, entries_after_an_emergency, holding, trading
from tests.trading.world import Crash, Faults


def to_flat(world: Halts, boundaries: int = 12) -> None:
    """Bars and seconds until the emergency says that it is over."""
    for _ in range(boundaries):
        if world.of(EmergencyCompleted) and not emergency.running(world.state):
            return
        world.quiet()
        for _ in range(4):
            world.tick(10)


def demand_over(world: Halts) -> None:
    assert world.of(EmergencyCompleted)
    assert not world.exchange.positions()
    assert not world.exchange.open_orders()
    assert not world.state.net
    assert world.state.halt.state is TradingState.HALTED, "and still halted"
    assert not entries_after_an_emergency(world.record())


def closes(world: Halts) -> list[OrderIntended]:
    return [event for event in world.of(OrderIntended) if event.leg is Leg.LIQUIDATE]


def steps(world: Halts, symbol: str) -> list[str]:
    return [event.step for event in world.of(EmergencyStepTaken) if event.symbol == symbol]


def test_the_steps_come_in_their_order() -> None:
    world = holding()
    world.enter("BBB")
    world.emergency("state looks wrong")
    kinds = [type(event) for event in world.record()]
    begun, halted = kinds.index(EmergencyStarted), kinds.index(TradingStateChanged)
    assert begun < halted < kinds.index(CancelRequested), "on record and halted before anything is sent"
    to_flat(world)
    demand_over(world)
    assert steps(world, "AAA") == ["exits_canceled", "close_sent", "flat"]
    assert len(closes(world)) == 1


def test_one_lost_fill_frame_starts_no_liquidation_loop() -> None:
    """Lean TradeStation #101: one lost fill frame, then a liquidation loop."""
    world = holding()
    world.enter("BBB")
    world.quiet()
    world.emergency()
    close = next(event.request.cl_ord_id for event in closes(world) if event.request.symbol == "AAA")
    world.now += timedelta(minutes=1)
    frame = world.bar({symbol: (world.px[symbol],) * 4 for symbol in world.symbols})
    world.exchange.on_frame(frame, world.universe)
    fill = next(r for r in world.exchange.reports(0) if r.cl_ord_id == close and r.exec_type is ExecType.TRADE)
    world.loses.add(fill.exec_id)
    assert not world.exchange.positions(), "the broker is flat, and of one fill we have not heard"
    for _ in range(12):
        world.tick(10)
    assert world.state.exec_cursor > fill.cursor, "the news has gone past it"
    assert len(closes(world)) == 2, "what the broker does not hold is not closed again"
    assert steps(world, "AAA")[-1] == "flat"
    assert world.state.net_qty("AAA") == 0, "the lost execution is read in the end"
    demand_over(world)


def test_nothing_is_bought_while_everything_is_sold() -> None:
    """freqtrade #228: re-bought while selling everything."""
    world = holding()
    world.emergency()
    for _ in range(4):
        rows = [world.row(symbol, entry_long=True) for symbol in world.symbols]
        world.boundary(world.state.day.boundary + 1, rows)
        world.tick(5)
    to_flat(world)
    demand_over(world)


@pytest.mark.parametrize("nth", range(12))
def test_a_kill_switch_that_crashes_goes_on_where_it_was(nth: int) -> None:
    """hummingbot #2534: the kill switch crashed and orders went on."""
    world = holding()
    world.enter("BBB")
    count = 0
    original = world.strikes

    def strikes(rate: float) -> bool:
        nonlocal count
        count += 1
        return count == nth + 1 or original(rate)

    world.strikes = strikes  # type: ignore[method-assign]
    world.command(commands.EmergencyLiquidateAndHalt(reason="drill"))
    if not world.of(EmergencyStarted):
        world.emergency()  # the crash came before it was on record: the person asks again
    to_flat(world)
    demand_over(world)


def test_what_waits_to_be_sent_is_not_sent_after_it() -> None:
    """hummingbot #1508: orders after stop."""
    world = trading()
    sent: list[OrderRequest] = []
    world._look_at = sent.append  # type: ignore[assignment,method-assign]
    world.enter()
    assert withheld(world.state, sent[0]) == "", "an entry may go"
    order = world.state.orders[sent[0].cl_ord_id]
    order.status, world.state.open_orders[order.cl_ord_id] = OrdStatus.INTENDED, None
    world.state.halt = msgspec.structs.replace(world.state.halt, state=TradingState.HALTED, reason="drill")
    assert "only liquidation may pass: drill" in withheld(world.state, sent[0])
    order.cancel_requested_at = world.at()
    assert withheld(world.state, sent[0]) == "it was asked to cancel before it was sent"


def test_an_order_in_doubt_keeps_it_open_until_the_broker_has_spoken() -> None:
    world = trading()
    world.faults = Faults(lost_ack=1.0, unreachable=1.0)
    world.enter()
    assert world.state.working()[0].status is OrdStatus.UNKNOWN
    world.emergency()
    world.tick(10)
    assert not world.of(EmergencyCompleted), "it may fill yet"
    world.faults = Faults()
    to_flat(world)
    demand_over(world)


def test_a_fill_that_comes_after_flat_is_closed_too() -> None:
    world = holding()
    entry = next(e for e in world.of(OrderIntended) if e.leg is Leg.ENTRY).request
    world.emergency()
    to_flat(world)
    assert world.of(EmergencyCompleted)
    late = world.last_trade("AAA")
    world.exchange.plant_break("AAA", qty_delta=Decimal(10))
    report = msgspec.structs.replace(
        late, cursor=world.state.exec_cursor, exec_id="late", cl_ord_id=entry.cl_ord_id, side=Side.BUY,
        order_qty=entry.order_qty, cum_qty=entry.order_qty + 10, last_qty=Decimal(10), transact_time=world.at(),
    )  # fmt: skip
    world.survive(ExecutionReported(at=world.at(), report=report))
    assert "late_fill" in steps(world, "AAA")
    for _ in range(3):
        world.quiet()
        for _ in range(4):
            world.tick(10)
    assert not world.exchange.positions()
    assert len(world.of(EmergencyCompleted)) == 2
    assert world.state.halt.state is TradingState.HALTED


def test_a_report_with_a_number_out_of_this_world_does_not_keep_a_position_open() -> None:
    world = holding()
    report = msgspec.structs.replace(
        world.last_trade("AAA"), exec_type=ExecType.ORDER_STATUS, exec_id="hostile", cursor=10**9, last_qty=Decimal(0)
    )
    world.survive(ExecutionReported(at=world.at(), report=report))
    world.emergency()
    for _ in range(8):
        world.quiet()
        for _ in range(4):
            world.tick(10)
    assert not world.exchange.positions()
    assert world.state.halt.state is TradingState.HALTED


def test_orders_that_nobody_here_sent_are_cancelled_too() -> None:
    world = holding()
    world.exchange.submit(
        OrderRequest(
            cl_ord_id="by-hand",
            symbol="CCC",
            side=Side.BUY,
            position_effect=PositionEffect.OPEN,
            ord_type=OrdType.LIMIT,
            order_qty=Decimal(5),
            time_in_force=TimeInForce.DAY,
            decided_at=world.at(),
            limit_px=Decimal(1),
        )
    )
    world.emergency()
    to_flat(world)
    demand_over(world)
    assert "by-hand" in {event.cl_ord_id for event in world.of(CancelRequested)}


def deaf_to_cancels(world: Halts) -> list[str]:
    """A broker that takes cancels and does nothing about them; the list fills with what it was asked."""
    asked: list[str] = []
    world.broker.cancel = asked.append  # type: ignore[method-assign]
    return asked


def test_a_cancel_without_effect_is_never_closed_past() -> None:
    """freqtrade #3647: a "cancelled" order had filled."""
    world = holding()
    cancel = world.broker.cancel
    heard = deaf_to_cancels(world)
    world.emergency()
    for _ in range(6):
        world.tick(5)
    assert heard, "the exits were asked to cancel"
    assert not closes(world), "what they may still close is not closed a second time"
    assert steps(world, "AAA")[-1] == "waiting"
    world.broker.cancel = cancel  # type: ignore[method-assign]
    to_flat(world)
    demand_over(world)


def test_it_is_not_over_while_anything_works_at_the_broker() -> None:
    world = trading()
    world.px["AAA"] = 20.0
    order = OrderRequest(
        cl_ord_id="by-hand",
        symbol="AAA",
        side=Side.BUY,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.LIMIT,
        order_qty=Decimal(5),
        time_in_force=TimeInForce.DAY,
        decided_at=world.at(),
        limit_px=Decimal(1),
    )
    world.exchange.submit(order)
    cancel = world.broker.cancel
    deaf_to_cancels(world)
    world.emergency()
    for _ in range(6):
        world.tick(10)
    assert not world.exchange.positions()
    assert not world.of(EmergencyCompleted)
    world.broker.cancel = cancel  # type: ignore[method-assign]
    for _ in range(8):
        world.tick(10)
    demand_over(world)


def test_an_order_that_we_hold_ended_and_the_broker_works_is_cancelled() -> None:
    world = holding()
    stop = next(o for o in world.state.working() if o.leg is Leg.STOP)
    stop.status = OrdStatus.CANCELED
    holdings.follow_status(world.state, stop)
    world.emergency()
    to_flat(world)
    assert "stranger_canceled" in steps(world, "AAA")
    assert not world.exchange.positions()
    assert not world.exchange.open_orders()


def test_a_replace_in_flight_is_cancelled_under_whatever_id_it_has_by_then() -> None:
    """nautilus_trader #4564: a modify during an outage left two live orders; the survivor flipped the position."""
    world = holding()
    stop = next(o for o in world.state.working() if o.leg is Leg.STOP)
    world.faults = Faults(lost_ack=1.0)
    world.command(commands.ReplaceOrder(reason="tighter", cl_ord_id=stop.cl_ord_id, stop_px=Decimal("18.50")))
    world.faults = Faults()
    world.emergency()
    to_flat(world)
    demand_over(world)


def test_a_broker_that_refuses_the_close_is_asked_at_a_pace_and_told_of() -> None:
    world = holding()
    refuses = True
    original = world._request

    def request(send: object) -> object:
        asked = world.sends[-1] if world.sends else None
        last = asked is not None and world.state.orders[asked.cl_ord_id].leg is Leg.LIQUIDATE
        if refuses and last and world.state.orders[asked.cl_ord_id].status is OrdStatus.INTENDED:
            return SubmitOutcome.REFUSED, "halted: no orders are taken"
        return original(send)

    world._request = request  # type: ignore[assignment,method-assign]
    world.emergency()
    for _ in range(60):
        world.tick(1)
    assert 1 < len(closes(world)) <= 4, "paced, not a storm"
    alerts = {event.alert.kind: event.alert for event in world.of(AlertRaised)}
    assert alerts["emergency_close_queued"].priority is Priority.P0
    assert "no orders are taken" in alerts["emergency_close_queued"].text
    for _ in range(5):
        world.tick(30)
    assert "emergency_halt_failure" in {event.alert.kind for event in world.of(AlertRaised)}
    refuses = False
    to_flat(world)
    demand_over(world)


def test_a_market_that_stands_still_queues_the_close_and_says_so() -> None:
    world = holding()
    world.emergency()
    for _ in range(13):
        world.tick(10)
    assert steps(world, "AAA")[-1] == "queued"
    assert len(closes(world)) == 1, "one order at a time: it rests where it is"
    to_flat(world)
    demand_over(world)


def test_it_needs_no_market_data() -> None:
    world = holding()
    world.feed_is(FeedState.DISCONNECTED)
    world.emergency()
    to_flat(world)
    demand_over(world)


def test_it_waits_out_a_broker_that_does_not_answer() -> None:
    world = holding()
    world.faults = Faults(unreachable=1.0)
    world.survive(BrokerConnectionChanged(at=world.at(), connected=False, detail="down"))
    world.emergency()
    for _ in range(20):
        world.tick(10)
    assert not world.of(EmergencyCompleted)
    assert "emergency_halt_failure" in {event.alert.kind for event in world.of(AlertRaised)}
    world.faults = Faults()
    world.survive(BrokerConnectionChanged(at=world.at(), connected=True, detail=""))
    to_flat(world)
    demand_over(world)


def test_while_it_runs_nobody_may_interfere_with_it() -> None:
    world = holding()
    world.emergency()
    close = closes(world)[0].request.cl_ord_id
    world.command(commands.CancelOrder(reason="stop that", cl_ord_id=close))
    assert "the emergency's own close" in world.of(CommandRefused)[-1].reason
    world.resume()
    assert "not flat yet" in world.of(CommandRefused)[-1].reason
    world.command(commands.ClosePosition(reason="me too", strategy_id="test-1", symbol="AAA"))
    assert "only liquidation may pass" in world.of(CommandRefused)[-1].reason
    before = len(world.of(EmergencyStarted))
    world.emergency("again")
    assert len(world.of(EmergencyStarted)) == before, "a second one joins the first"


def test_its_alarm_stands_until_a_person_resumes() -> None:
    """It said "do not resume before reconciliation" for the rest of a day that was traded on."""
    world = holding()
    world.emergency()
    to_flat(world)
    world.command(commands.Reconcile(reason="look"))
    alarms = [alert.kind for alert in world.state.alerts.values() if alert.kind.startswith("emergency")]
    assert alarms == ["emergency_halt"]
    world.resume()
    assert world.state.halt.state is TradingState.ACTIVE
    assert not [alert for alert in world.state.alerts.values() if alert.kind.startswith("emergency")]
    assert world.of(AlertCleared)[-1].reason == "resumed by tester"


def test_a_crash_is_a_crash_of_this_test() -> None:
    """The world's crashes are what the parametrized test above counts on."""
    world = trading()
    world.faults = Faults(crash=1.0)
    with pytest.raises(Crash):
        world.feed(BrokerConnectionChanged(at=world.at(), connected=True, detail=""))
