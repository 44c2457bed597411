"""§23 Must Halt: each condition is found by the platform, stops entries, raises P0, liquidates nothing, ends by nobody
but a person; and the quality of market data is a state that blocks and lets pass by itself (§12).
"""

from datetime import timedelta
from decimal import Decimal

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events.control import AlertRaised, CommandRefused, EmergencyStarted, TradingStateChanged
from qmworkbench.domain.events.market import FeedState, WatchlistChanged
from qmworkbench.domain.events.orders import ExecutionReported, OrderIntended
from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.domain.orders import Leg, OrdStatus, Side
from qmworkbench.domain.safety import MUST_HALT, HaltPolicy, HaltSettings, MustHalt, SafetyInvalid
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading import feed_quality, must_halt
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.frame_computer import request_for
from tests.trading.halts import Halts, holding, trading
from tests.trading.world import Faults


def lost_order() -> Halts:
    """An entry of which nobody can say whether the broker has it, and a broker that does not answer questions."""
    world = trading()
    world.faults = Faults(lost_request=1.0, unreachable=1.0)
    world.enter()
    assert next(iter(world.state.working())).status is OrdStatus.UNKNOWN
    return world


def ambiguous() -> Halts:
    world = lost_order()
    for _ in range(4):
        world.tick(10)
    return world


def risk_down() -> Halts:
    world = holding()
    world.health("risk_manager")
    return world


def stranger(world: Halts, **says: object) -> ExecutionReport:
    order = next(iter(world.state.orders.values()))
    told = {
        "cursor": world.state.exec_cursor + 1, "exec_id": "odd-1", "exec_type": ExecType.TRADE,
        "cl_ord_id": order.cl_ord_id, "order_id": order.order_id or "x", "symbol": "AAA", "side": Side.BUY,
        "ord_status": OrdStatus.FILLED, "order_qty": order.order_qty, "cum_qty": order.order_qty * 2,
        "transact_time": world.at(), "last_qty": order.order_qty, "last_px": Decimal(20), "avg_px": Decimal(20),
    }  # fmt: skip
    return ExecutionReport(**{**told, **says})  # type: ignore[arg-type]


def duplicate() -> Halts:
    world = holding()
    world.survive(ExecutionReported(at=world.at(), report=stranger(world)))
    return world


def degraded() -> Halts:
    world = holding()
    world.feed_is(FeedState.STALE, "nothing comes")
    for _ in range(11):
        world.tick(30)
    return world


def mismatch() -> Halts:
    world = holding()
    world.exchange.plant_break("AAA", qty_delta=Decimal(5))
    world.command(commands.Reconcile(reason="look"))
    return world


SITUATIONS = {
    MustHalt.EXECUTION_AMBIGUOUS: ambiguous,
    MustHalt.RISK_MANAGER_UNAVAILABLE: risk_down,
    MustHalt.DUPLICATE_SUSPECTED: duplicate,
    MustHalt.DATA_DEGRADED: degraded,
    MustHalt.POSITION_MISMATCH: mismatch,
}


def test_every_line_of_the_runbook_has_a_situation_words_and_a_remedy() -> None:
    assert set(SITUATIONS) == set(MUST_HALT) == set(must_halt.SHOWN) == set(must_halt.REMEDY)


@pytest.mark.parametrize("condition", MUST_HALT)
def test_a_condition_halts_by_itself_and_liquidates_nothing(condition: MustHalt) -> None:
    world = SITUATIONS[condition]()
    assert condition in world.state.halt.causes
    assert world.state.halt.state is TradingState.REDUCING
    raised = [e.alert for e in world.of(AlertRaised) if e.alert.kind == "must_halt" and e.alert.key == condition]
    assert [alert.priority for alert in raised] == [Priority.P0]
    assert must_halt.SHOWN[condition] in raised[0].text
    assert "entries blocked, exits running" in raised[0].text
    assert not [e for e in world.of(OrderIntended) if e.leg is Leg.LIQUIDATE], "liquidation is a person's command"
    assert not world.of(EmergencyStarted)
    for order in world.state.working_entries():
        assert order.cancel_requested_at is not None, "entries are cancelled"


@pytest.mark.parametrize("condition", MUST_HALT)
def test_no_condition_ends_by_itself(condition: MustHalt) -> None:
    world = SITUATIONS[condition]()
    world.faults = Faults()
    world.health()
    world.feed_is(FeedState.GOOD)
    for _ in range(4):
        world.tick(30)
    world.quiet(2)
    world.restart()
    assert world.state.halt.state is not TradingState.ACTIVE
    assert condition in world.state.halt.causes


@pytest.mark.parametrize("condition", MUST_HALT)
def test_only_an_approved_policy_liquidates_without_a_person(condition: MustHalt, monkeypatch: object) -> None:
    policy = HaltPolicy(condition=condition, approved_by="ada", reason="nobody is awake")
    original = Halts.survive

    def with_policy(self: Halts, given: object) -> object:
        self.policies = (policy,)
        return original(self, given)  # type: ignore[arg-type]

    monkeypatch.setattr(Halts, "survive", with_policy)  # type: ignore[attr-defined]
    world = SITUATIONS[condition]()
    started = world.of(EmergencyStarted)
    assert [event.by for event in started] == ["policy approved by ada"]
    assert "nobody is awake" in started[0].reason
    assert world.state.halt.state is TradingState.HALTED


def test_a_resume_is_refused_while_the_condition_stands_and_says_so() -> None:
    world = risk_down()
    world.resume()
    refused = world.of(CommandRefused)[-1]
    assert "risk controls verified: it still stands: health says that it is down" in refused.reason
    assert "broker state reconciled" in refused.reason
    world.health()
    world.resume()
    assert world.state.halt.state is TradingState.ACTIVE
    assert not [a for a in world.state.alerts.values() if a.kind == "must_halt"], "its alarm is over with it"
    assert not world.state.halt.causes


def test_a_cause_that_comes_later_needs_its_own_comparison() -> None:
    """Paused, compared, then worse: the comparison before the last cause says nothing of it."""
    world = holding()
    world.command(commands.Pause(reason="lunch"))
    world.command(commands.Reconcile(reason="look"))
    assert world.state.halt.compared == "passed"
    world.health("risk_manager")
    world.health()
    assert world.state.halt.compared == ""
    assert list(world.state.halt.causes) == ["operator_pause", MustHalt.RISK_MANAGER_UNAVAILABLE]
    world.resume()
    assert "no reconciliation has passed since the halt" in world.of(CommandRefused)[-1].reason
    world.resume()
    assert world.state.halt.state is TradingState.ACTIVE


def test_a_short_gap_blocks_entries_and_lets_them_pass_again_by_itself() -> None:
    world = trading()
    world.feed_is(FeedState.GAPPED, "a minute never came")
    world.enter()
    assert not world.of(OrderIntended)
    world.feed_is(FeedState.GOOD)
    world.enter()
    assert len(world.of(OrderIntended)) == 1
    assert world.state.halt.state is TradingState.ACTIVE


def test_prices_not_to_be_believed_halt_the_exits_too_once_they_last() -> None:
    world = holding()
    world.feed_is(FeedState.CROSSED, "9 of 10 quotes are crossed")
    world.tick(60)
    assert world.state.halt.state is TradingState.ACTIVE, "not yet: the next bars have had no chance"
    world.tick(5)
    assert world.state.halt.state is TradingState.HALTED
    assert "prices cannot be believed" in world.state.halt.reason
    assert not [e for e in world.of(OrderIntended) if e.leg in (Leg.LIQUIDATE, Leg.EXIT)]


def test_a_strategys_exit_is_not_judged_by_prices_that_cannot_be_believed() -> None:
    world = holding()
    world.feed_is(FeedState.CROSSED)
    world.boundary(world.state.day.boundary + 1, [world.row("AAA", exit_long=True)], {"AAA": (22.0, 22.0, 22.0, 22.0)})
    assert not [e for e in world.of(OrderIntended) if e.leg is Leg.EXIT]
    assert world.state.marks["AAA"].px == Decimal(20), "no loss is made of them either"
    world.feed_is(FeedState.GOOD)
    world.boundary(world.state.day.boundary + 1, [world.row("AAA", exit_long=True)], {"AAA": (20.0, 20.0, 20.0, 20.0)})
    world.quiet()
    assert [e for e in world.of(OrderIntended) if e.leg is Leg.EXIT]


def test_worse_data_makes_the_halt_stricter_and_better_data_never_looser() -> None:
    world = degraded()
    world.feed_is(FeedState.CROSSED)
    for _ in range(3):
        world.tick(30)
    assert world.state.halt.state is TradingState.HALTED
    world.feed_is(FeedState.GOOD)
    world.tick(30)
    assert world.state.halt.state is TradingState.HALTED


def test_an_order_whose_answer_comes_in_time_halts_nothing() -> None:
    world = lost_order()
    world.tick(6)
    world.faults = Faults()
    for _ in range(6):
        world.tick(6)
    assert world.state.halt.state is TradingState.ACTIVE
    assert not world.state.working()


def test_how_long_is_too_long_is_a_setting() -> None:
    world = trading(settings=HaltSettings(data_degraded_after_s=120, ambiguous_after_s=5))
    world.feed_is(FeedState.DISCONNECTED)
    world.tick(119)
    assert world.state.halt.state is TradingState.ACTIVE
    world.tick(2)
    assert world.state.halt.state is TradingState.REDUCING
    changed = world.of(TradingStateChanged)[-1]
    assert changed.by == "platform"
    assert changed.at - world.state.feed_since >= timedelta(seconds=120)


@pytest.mark.parametrize("name", ["ambiguous_after_s", "data_degraded_after_s", "prices_untrusted_after_s"])
def test_a_setting_without_sense_is_refused_by_name(name: str) -> None:
    with pytest.raises(SafetyInvalid, match=f"halt.{name} = 0"):
        HaltSettings(**{name: 0})


def test_a_policy_is_for_its_own_condition_alone() -> None:
    policy = HaltPolicy(condition=MustHalt.POSITION_MISMATCH, approved_by="ada", reason="nobody is awake")
    world = holding(policies=(policy,))
    world.health("risk_manager")
    assert world.state.halt.state is TradingState.REDUCING
    assert not world.of(EmergencyStarted)


def test_bad_data_silences_the_scanner_and_says_why() -> None:
    world = trading()
    assert feed_quality.trusted(world.state)
    world.feed_is(FeedState.MUTE, "heartbeats alone")
    assert not feed_quality.trusted(world.state)
    conditions = request_for(world.state).conditions
    assert (conditions.feed_ok, conditions.feed_reason) == (False, "mute: heartbeats alone")
    before = len(world.of(WatchlistChanged))
    world.state.day.watchlist.clear()
    world.quiet()
    assert len(world.of(WatchlistChanged)) == before, "nobody is taken in"


def test_a_broker_that_fails_again_and_again_is_one_alert() -> None:
    """§12 Broker API Errors: alert on repeated failure, beside those of the single orders."""
    world = trading(settings=HaltSettings(ambiguous_after_s=3600))
    world.faults = Faults(lost_request=1.0)
    for symbol in ("AAA", "BBB"):
        world.enter(symbol)
    assert "broker_requests_failing" not in {a.kind for a in world.state.alerts.values()}
    world.enter("CCC")
    told = [a for a in world.state.alerts.values() if a.kind == "broker_requests_failing"]
    assert [a.priority for a in told] == [Priority.P1]
    assert "3 requests to the broker got no answer within 5 min" in told[0].text
    world.faults = Faults()
    for _ in range(11):
        world.tick(30)
    assert "broker_requests_failing" not in {a.kind for a in world.state.alerts.values()}, "over once it passes"


def test_a_night_is_no_trouble_of_the_feeds() -> None:
    world = trading()
    world.close()
    world.feed_is(FeedState.STALE, "nothing more came")
    world.open_again()
    world.quiet(2)
    assert MustHalt.DATA_DEGRADED not in world.state.halt.causes
    world.quiet(5)
    assert MustHalt.DATA_DEGRADED in world.state.halt.causes, "but today's time counts"


@pytest.mark.parametrize(
    ("unattended", "code", "after"),
    [
        (True, MustHalt.DATA_DEGRADED, TradingState.ACTIVE),
        (True, "max_daily_loss", TradingState.ACTIVE),
        (False, MustHalt.DATA_DEGRADED, TradingState.REDUCING),
        (True, MustHalt.DUPLICATE_SUSPECTED, TradingState.REDUCING),
        (True, "operator_pause", TradingState.REDUCING),
    ],
)
def test_what_ends_with_the_day_is_left_at_the_next_one_where_nobody_attends(
    unattended: bool, code: str, after: TradingState
) -> None:
    world = trading(unattended=unattended)
    Decision(world.state, world.at()).restrict("book", TradingState.REDUCING, code, "yesterday's trouble", "platform")
    world.close()
    world.open_again()
    assert world.state.halt.state is after
    if after is TradingState.ACTIVE:
        assert not world.state.halt.causes
