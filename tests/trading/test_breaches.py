"""What follows when a limit is reached, to the letter of the runbook, and when the Risk Manager itself fails (§11)."""

from decimal import Decimal as D

import msgspec
import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import (
    AlertRaised,
    DecisionEscalated,
    DecisionRecorded,
    DecisionRequired,
    EmergencyStarted,
    RiskViolated,
    TradingStateChanged,
)
from qmworkbench.domain.events.market import FrameComputed, Mark
from qmworkbench.domain.events.orders import CancelRequested, OrderDenied, OrderIntended, RiskDecided
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.breaches import BLOCKED, DAILY_LOSS_OPTIONS, HALTED
from qmworkbench.trading.risk import RULE_FAILED
from tests.trading.test_kernel_rules import entry, events, held, intents, opened
from tests.trading.test_kernel_world import SHARED
from tests.trading.world import World

SMALL_LOSS = Limits(entry_cutoff_min=1, max_daily_loss=D(300))
FALL = {"AAA": (18.5, 18.6, 18.2, 18.3)}


def alerts(world: World, kind: str) -> list[AlertRaised]:
    return [e for e in events(world, AlertRaised) if e.alert.kind == kind]


def violations(world: World, code: str) -> list[RiskViolated]:
    return [e for e in events(world, RiskViolated) if e.code == code]


def lost(limits: Limits = SMALL_LOSS, *, unattended: bool = False) -> World:
    """A day that has lost more than it may."""
    world = held(limits=limits, unattended=unattended)
    world.boundary(4, [], FALL)
    return world


# --- max daily loss --------------------------------------------------------------------------------------


def test_max_daily_loss_halts_blocks_logs_shows_and_asks() -> None:
    world = lost()
    state = world.state
    assert state.halt.state is TradingState.REDUCING
    assert (state.halt.code, state.halt.by) == ("max_daily_loss", "risk_manager")
    assert "entries blocked, exits running" in state.halt.state.shown
    (violation,) = violations(world, "max_daily_loss")
    assert (violation.scope, violation.limit, violation.effect) == ("book", "-300", HALTED)
    assert D(violation.value) <= -300
    assert violation.limits_hash == state.day.limits_hash
    (alarm,) = alerts(world, "max_daily_loss")
    assert alarm.alert.priority is Priority.P1
    (question,) = events(world, DecisionRequired)
    assert question.options == DAILY_LOSS_OPTIONS == ("continue_exits", "liquidate")
    entry(world, "BBB")
    assert "max_daily_loss" in events(world, OrderDenied)[-1].reason
    assert "trading_state" in events(world, OrderDenied)[-1].reason


def test_a_loss_is_a_violation_once_however_long_it_lasts() -> None:
    world = lost()
    world.boundary(5, [], {"AAA": (18.3, 18.4, 18.0, 18.1)})
    world.restart()
    world.boundary(6, [], {"AAA": (18.1, 18.2, 17.9, 18.0)})
    assert len(violations(world, "max_daily_loss")) == len(alerts(world, "max_daily_loss")) == 1
    assert len(events(world, DecisionRequired)) == 1
    assert world.state.halt.state is TradingState.REDUCING, "a crash does not end a halt"


@pytest.mark.parametrize(("pct", "halts"), [("0.3", True), ("50", False)])
def test_a_share_of_the_days_first_equity_halts_before_the_amount_does(pct: str, halts: bool) -> None:
    world = lost(Limits(entry_cutoff_min=1, max_daily_loss=D(50_000), max_daily_loss_pct=D(pct)))
    assert (world.state.halt.state is TradingState.REDUCING) is halts
    assert [v.limit for v in violations(world, "max_daily_loss")] == (["-300.0"] if halts else [])


def test_a_loss_exactly_at_its_limit_halts_and_a_cent_less_does_not() -> None:
    for amount, halts in ((300, True), (D("300.01"), False)):
        world = held(limits=Limits(entry_cutoff_min=1, max_daily_loss=D(amount)), unattended=False)
        qty, cost = world.state.net["AAA"].qty, world.state.net["AAA"].cost
        day = world.state.day
        day.net_realized_pnl = -300 - (qty * D("20.50") - cost) + day.fees
        world.boundary(4, [], {"AAA": (20.5, 20.5, 20.5, 20.5)})
        assert world.state.day_pnl() == -300
        assert (world.state.halt.state is TradingState.REDUCING) is halts


def test_liquidation_is_a_persons_answer_and_silence_grows_louder() -> None:
    world = lost()
    question = events(world, DecisionRequired)[0]
    world.tick(301)
    world.tick(301)
    assert [e.waited_s for e in events(world, DecisionEscalated)] == [301, 602]
    assert not events(world, EmergencyStarted)
    world.command(commands.Decide(reason="enough", decision_id=question.decision_id, choice="liquidate"))
    assert events(world, EmergencyStarted)
    assert world.state.halt.state is TradingState.HALTED


def test_nobody_attends_and_exits_go_on_by_policy() -> None:
    world = lost(unattended=True)
    (answer,) = events(world, DecisionRecorded)
    assert (answer.choice, answer.by) == ("continue_exits", "policy:unattended")
    assert not events(world, EmergencyStarted)


def test_what_rests_to_enter_is_called_off_by_the_halt() -> None:
    world = held(limits=SMALL_LOSS, unattended=False)
    world.statements = False
    entry(world, "BBB")
    waiting = [o.cl_ord_id for o in world.state.working_entries()]
    assert waiting
    frame = FrameComputed(
        at=world.at(),
        as_of=world.state.day.boundary_at,
        frame_hash="",
        radar_hash="",
        candidates=(),
        near_misses=(),
        signals=(),
        marks=(Mark(symbol="AAA", px=D(15), at=world.at()),),
    )
    world.kernel.step(frame)
    asked = world.state.orders[waiting[0]].cancel_requested_at
    assert asked is not None
    assert world.state.halt.code == "max_daily_loss"


# --- max position size ------------------------------------------------------------------------------------


def oversized() -> World:
    """An allocation gone wrong: the budget of each symbol is twenty times what a position may be."""
    world = opened(limits=Limits(entry_cutoff_min=1, max_position_notional=D(1000), max_position_equity_pct=D(1)))
    misallocate(world, "test-1")
    entry(world)
    return world


def misallocate(world: World, strategy_id: str) -> None:
    for assignment in world.state.day.assignments.values():
        if assignment.strategy_id == strategy_id:
            assignment.budget = D(20_000)


def test_an_oversized_order_never_leaves_its_reason_is_kept_and_somebody_is_told() -> None:
    world = oversized()
    assert not world.sent
    assert not intents(world, Leg.ENTRY)
    found = [e for e in events(world, RiskViolated)]
    assert [v.code for v in found] == ["max_position_notional", "max_position_equity_pct"]
    denied = events(world, OrderDenied)[-1]
    for violation in found:
        assert (violation.scope, violation.symbol, violation.effect) == ("test-1", "AAA", BLOCKED)
        assert violation.cl_ord_id == denied.request.cl_ord_id
        assert violation.code in denied.reason
    (alarm,) = alerts(world, "position_size_violation")
    assert (alarm.alert.priority, alarm.alert.key) == (Priority.P2, "test-1")
    assert "AAA" in alarm.alert.text
    entry(world, "CCC")
    assert len(violations(world, "max_position_notional")) == 2, "each is on record"
    assert len(alerts(world, "position_size_violation")) == 1, "the alarm stands"
    assert world.state.halt.state is TradingState.ACTIVE


def test_a_symbol_that_others_have_filled_up_is_no_fault_of_the_sizing() -> None:
    world = World(**{**SHARED, "seed": 0})
    world.run()
    assert violations(world, "max_position_equity_pct") or violations(world, "max_position_notional")
    assert not alerts(world, "position_size_violation")


def test_an_order_too_large_by_itself_is_one_beside_others_too() -> None:
    world = opened(shared=True, strategies=("one", "two"), limits=Limits(entry_cutoff_min=1, max_position_qty=None))
    misallocate(world, "two")
    world.boundary(2, [world.row("USDCHF", "one", entry_long=True)])
    world.boundary(3, [])
    assert [p.strategy_id for p in world.state.holders("USDCHF")] == ["one"]
    world.boundary(4, [world.row("USDCHF", "two", entry_long=True)])
    assert [e.alert.key for e in alerts(world, "position_size_violation")] == ["two"]


# --- max trades per day -----------------------------------------------------------------------------------


def test_max_trades_blocks_entries_tells_once_and_leaves_positions_to_their_exits() -> None:
    world = held(limits=Limits(entry_cutoff_min=1, max_trades_per_day=1))
    entry(world, "BBB")
    entry(world, "CCC")
    assert len(intents(world, Leg.ENTRY)) == 1
    (violation,) = violations(world, "max_trades_per_day")
    assert (violation.value, violation.limit, violation.scope) == ("1", "1", "book")
    (alarm,) = alerts(world, "max_trades_reached")
    assert alarm.alert.priority is Priority.P2
    assert world.state.halt.state is TradingState.ACTIVE, "the cap blocks entries by itself"
    world.boundary(world.state.day.boundary + 1, [world.row("AAA", exit_long=True)])
    assert len(intents(world, Leg.EXIT)) == 1


# --- the Risk Manager fails ------------------------------------------------------------------------------


def test_a_rule_that_raises_denies_alarms_and_halts_and_exits_go_on() -> None:
    world = held()
    world.state.day.submits = None  # type: ignore[assignment]
    entry(world, "BBB")
    decided = events(world, RiskDecided)[-1]
    assert not decided.allowed
    assert RULE_FAILED in [v.code for v in decided.failed]
    assert "submit_rate" in events(world, OrderDenied)[-1].reason
    (alarm,) = alerts(world, "risk_manager_failed")
    assert (alarm.alert.priority, alarm.alert.key) == (Priority.P0, "submit_rate")
    assert len(violations(world, RULE_FAILED)) == 1
    assert world.state.halt.code == "must_halt.risk_manager_unavailable"
    world.state.day.submits = []
    world.boundary(world.state.day.boundary + 1, [world.row("AAA", exit_long=True)])
    assert len(intents(world, Leg.EXIT)) == 1
    entry(world, "CCC")
    assert len(violations(world, RULE_FAILED)) == 1, "once for each rule that fails"


def test_hummingbot_2534_and_1508_a_kill_switch_that_fails_still_stops_the_orders() -> None:
    """hummingbot #2534, #1508: the kill switch crashed, and orders went on; orders were sent after the stop."""
    world = held()
    entry(world, "BBB")
    waiting = [o.cl_ord_id for o in world.state.working_entries()]
    frame = FrameComputed(
        at=world.at(),
        as_of=world.state.day.boundary_at,
        frame_hash="",
        radar_hash="",
        candidates=(),
        near_misses=(),
        signals=(world.row("CCC", entry_long=True),),
        marks=(Mark(symbol="AAA", px=D("NaN"), at=world.at()),),
    )
    told = world.kernel.step(frame)
    assert [e.after for e in told if isinstance(e, TradingStateChanged)][:1] == [TradingState.REDUCING]
    assert {e.alert.kind for e in told if isinstance(e, AlertRaised)} >= {"risk_manager_failed"}
    assert not [e for e in told if isinstance(e, OrderIntended) and e.leg is Leg.ENTRY]
    assert {e.cl_ord_id for e in told if isinstance(e, CancelRequested)} >= set(waiting)
    sent = len(world.sent)
    entry(world, "DDD")
    assert len(world.sent) == sent, "nothing is sent after the stop"


def test_a_violation_says_of_itself_what_a_review_needs() -> None:
    names = set(RiskViolated.__struct_fields__)
    assert {"code", "scope", "value", "limit", "effect", "limits_hash", "symbol", "cl_ord_id"} <= names
    (violation,) = violations(lost(), "max_daily_loss")
    assert msgspec.to_builtins(violation)["type"] == "risk.violated"


def test_nothing_is_violated_on_a_day_within_its_limits() -> None:
    world = opened()
    entry(world)
    world.boundary(3, [])
    assert not events(world, RiskViolated)
