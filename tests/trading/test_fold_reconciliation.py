"""What reconciliation leaves in the state, event by event: statements, readings, breaks, answers, adoptions."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events.control import EmergencyStarted
from qmworkbench.domain.events.orders import OrderQueried
from qmworkbench.domain.events.reconciliation import (
    AccountObserved,
    BreakFound,
    BreakKind,
    BrokerSnapshotObserved,
    OrderAdopted,
    ReconciliationCompleted,
    ReconciliationResult,
    ReconciliationStarted,
    SessionEquitySet,
    SessionRecovered,
    Trigger,
)
from qmworkbench.domain.execution import Account, BrokerSnapshot
from qmworkbench.domain.orders import OrdStatus, PositionEffect
from qmworkbench.domain.positions import NetPosition
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading import holdings
from qmworkbench.trading.fold import apply
from qmworkbench.trading.state import EXTERNAL, State
from tests.trading.oms_cases import D, Desk, desk

PASSED = [ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED]
FAILED = [ReconciliationResult.UNRESOLVED, ReconciliationResult.INCOMPLETE]


@pytest.fixture
def built() -> Desk:
    return desk()


def account(built: Desk, cursor: int, cash: int = 1) -> Account:
    assert built.state.account is not None
    return msgspec.structs.replace(built.state.account, cursor=cursor, cash=D(cash))


def started(built: Desk, trigger: Trigger = Trigger.OPERATOR, seconds: int = 0) -> None:
    at = built.world.at() + timedelta(seconds=seconds)
    apply(built.state, ReconciliationStarted(at=at, trigger=trigger, after_cursor=0))


def completed(built: Desk, result: ReconciliationResult, *still: str, trigger: Trigger = Trigger.OPERATOR) -> None:
    told = ReconciliationCompleted(
        at=built.world.at(), trigger=trigger, result=result, breaks=len(still), repaired=0, unresolved=still
    )
    apply(built.state, told)


def found(built: Desk, name: str) -> None:
    apply(
        built.state,
        BreakFound(
            at=built.world.at(),
            break_id=name,
            kind=BreakKind.CASH,
            symbol="",
            severity=Priority.P1,
            before="1",
            after="2",
            cause="",
            authority="broker",
        ),
    )


# --- statements --------------------------------------------------------------------------------------------------


def test_a_statement_that_was_overtaken_changes_nothing_and_a_newer_one_covers_what_was_spent(built: Desk) -> None:
    state = built.state
    apply(state, AccountObserved(at=built.world.at(), account=account(built, 10, cash=7)))
    state.spent = {"9": D(1), "10": D(2), "11": D(3)}
    apply(state, AccountObserved(at=built.world.at(), account=account(built, 9, cash=8)))
    assert state.account is not None
    assert (state.account.cash, len(state.spent)) == (7, 3)
    apply(state, AccountObserved(at=built.world.at(), account=account(built, 10, cash=9)))
    assert (state.account.cash, state.spent) == (9, {"11": D(3)}), "the same moment, told again"


def snapshot(built: Desk, **changes: Any) -> None:
    base: dict[str, Any] = {"complete": True, "cursor": built.state.heard_cursor, "as_of": built.world.at()}
    seen = BrokerSnapshot(**(base | changes))
    apply(built.state, BrokerSnapshotObserved(at=built.world.at(), trigger=Trigger.OPERATOR, snapshot=seen))


def test_only_a_complete_reading_states_the_account(built: Desk) -> None:
    state = built.state
    before = state.account
    snapshot(built, complete=False, account=account(built, 99, cash=5))
    snapshot(built, account=None)
    assert state.account is before
    snapshot(built, account=account(built, 99, cash=5))
    assert state.account is not None
    assert state.account.cash == 5


@pytest.mark.parametrize(("complete", "ahead", "kept"), [(True, 0, False), (True, -1, True), (False, 0, True)])
def test_a_reading_that_has_caught_up_is_not_behind_any_more(
    built: Desk, complete: bool, ahead: int, kept: bool
) -> None:
    state, at = built.state, built.world.at()
    apply(state, EmergencyStarted(at=at, emergency_id="e", by="op", reason="drill", deadline_s=180))
    assert state.emergency is not None
    state.emergency.behind_since = at
    snapshot(built, complete=complete, cursor=state.heard_cursor + ahead)
    assert (state.emergency.behind_since is not None) is kept


def test_the_session_begins_with_what_the_statement_covers(built: Desk) -> None:
    state = built.state
    apply(state, AccountObserved(at=built.world.at(), account=account(built, 42)))
    told = SessionEquitySet(at=built.world.at(), equity=D(5), cash=D(5), unrealized_pnl=D(2))
    apply(state, told)
    assert (state.day.start_equity, state.day.start_unrealized, state.day.start_cursor) == (5, 2, 42)
    booked = holdings.booked(state)
    assert booked is not None
    assert state.day.start_funds == 5 - booked, "cash as of now, before all that is booked"
    state.account = None
    state.net["XXX"] = NetPosition(qty=D(1), cost=D(1))
    apply(state, told)
    assert state.day.start_cursor == 0
    assert state.day.start_funds is None, "something is held that nobody has described"


# --- readings ----------------------------------------------------------------------------------------------------


def test_readings_of_one_moment_are_counted(built: Desk) -> None:
    last = built.state.reconciliation
    last.requested_at = None
    for expected in (1, 2, 3):
        started(built)
        assert last.reads == expected
    started(built, seconds=1)
    assert (last.reads, last.pending) == (1, Trigger.OPERATOR)


def test_readings_of_an_emergency_are_counted_by_itself(built: Desk) -> None:
    state, at = built.state, built.world.at()
    apply(state, EmergencyStarted(at=at, emergency_id="e", by="op", reason="drill", deadline_s=180))
    assert state.emergency is not None
    started(built, Trigger.OPERATOR)
    assert (state.emergency.reads, state.emergency.read_at) == (0, None)
    for expected in (1, 2):
        started(built, Trigger.EMERGENCY)
        assert state.emergency.reads == expected
    started(built, Trigger.EMERGENCY, seconds=1)
    assert state.emergency.reads == 1


def test_a_reading_for_an_emergency_that_is_not_on_record_is_one_like_any_other(built: Desk) -> None:
    started(built, Trigger.EMERGENCY)
    assert (built.state.emergency, built.state.reconciliation.pending) == (None, Trigger.EMERGENCY)


@pytest.mark.parametrize(
    ("halt", "result", "then"),
    [
        (TradingState.REDUCING, ReconciliationResult.CLEAN, "passed"),
        (TradingState.HALTED, ReconciliationResult.REPAIRED, "passed"),
        (TradingState.REDUCING, ReconciliationResult.UNRESOLVED, ""),
        (TradingState.REDUCING, ReconciliationResult.INCOMPLETE, ""),
        (TradingState.ACTIVE, ReconciliationResult.CLEAN, ""),
    ],
)
def test_what_leaving_a_halt_asks_for_is_a_comparison_begun_and_passed_since(
    built: Desk, halt: TradingState, result: ReconciliationResult, then: str
) -> None:
    state = built.state
    state.halt.state = halt
    state.halt.compared = ""
    completed(built, ReconciliationResult.CLEAN)
    assert state.halt.compared == "", "one that was under way before it does not count"
    started(built)
    assert state.halt.compared == ("asked" if halt is not TradingState.ACTIVE else "")
    completed(built, result)
    assert state.halt.compared == then


# --- breaks ------------------------------------------------------------------------------------------------------


def test_a_break_is_counted_once_however_often_it_is_found(built: Desk) -> None:
    state = built.state
    for _ in range(2):
        found(built, "b1")
    found(built, "b2")
    assert (state.day.breaks, list(state.reconciliation.unresolved)) == (2, ["b1", "b2"])
    completed(built, ReconciliationResult.UNRESOLVED, "b2")
    assert list(state.reconciliation.unresolved) == ["b2"], "what was not named is settled"


@pytest.mark.parametrize("result", PASSED + FAILED)
def test_comparisons_that_settled_nothing_are_counted_in_a_row(built: Desk, result: ReconciliationResult) -> None:
    last = built.state.reconciliation
    last.tries = 4
    completed(built, result)
    assert last.tries == (0 if result in PASSED else 5)
    assert (last.result, last.pending, last.trigger) == (result, None, Trigger.OPERATOR)


@pytest.mark.parametrize("result", PASSED + FAILED)
@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_a_contradiction_stands_until_a_comparison_begun_after_it_has_passed(
    built: Desk, result: ReconciliationResult, seconds: int
) -> None:
    state = built.state
    state.contradicted_since = built.world.at()
    started(built, seconds=seconds)
    completed(built, result)
    assert (state.contradicted_since is None) is (result in PASSED and seconds >= 0)
    state.contradicted_since, state.reconciliation.requested_at = built.world.at(), None
    completed(built, result)
    assert state.contradicted_since is not None, "nobody has asked since"


# --- answers about orders ----------------------------------------------------------------------------------------


def queried(built: Desk, **changes: Any) -> None:
    base: dict[str, Any] = {"cl_ord_id": built.order.cl_ord_id, "complete": True, "cursor": 1, "found": None}
    apply(built.state, OrderQueried(at=built.world.at(), **(base | changes)))


def test_answers_that_did_not_know_the_order_are_counted_in_a_row(built: Desk) -> None:
    asked = built.state.reconciliation.asked
    asked.clear()
    for expected in (1, 2):
        queried(built)
        assert asked[built.order.cl_ord_id].absent == expected
    queried(built, complete=False)
    assert asked[built.order.cl_ord_id].absent == 2, "a failed query says nothing"
    queried(built, found=built.as_told(cum_qty=D(3), ord_status=OrdStatus.PARTIALLY_FILLED))
    told = asked[built.order.cl_ord_id]
    assert (told.absent, told.status, told.cum_qty) == (0, OrdStatus.PARTIALLY_FILLED, 3)


def test_what_was_told_of_an_order_goes_with_it(built: Desk) -> None:
    state = built.state
    state.reconciliation.asked.clear()
    queried(built, cl_ord_id="never-open")
    assert state.reconciliation.asked == {}
    queried(built)
    completed(built, ReconciliationResult.CLEAN)
    assert built.order.cl_ord_id in state.reconciliation.asked
    state.open_orders.pop(built.order.cl_ord_id)
    completed(built, ReconciliationResult.CLEAN)
    assert state.reconciliation.asked == {}


# --- adoption and recovery ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cum", [0, 5])
def test_an_order_that_nobody_here_sent_is_adopted_as_the_broker_has_it(built: Desk, cum: int) -> None:
    state = built.state
    theirs = built.as_told(
        cl_ord_id="by-hand", cum_qty=D(cum), avg_px=D(19), order_qty=D(9), position_effect=PositionEffect.OPEN
    )
    told = OrderAdopted(at=built.world.at(), order=theirs, strategy_id=EXTERNAL, reserve_notional=D(180))
    apply(state, told)
    order = state.orders["by-hand"]
    assert (order.strategy_id, order.order_qty, order.cum_qty, order.reserve_notional) == (EXTERNAL, 9, cum, 180)
    assert order.avg_px == (19 if cum else 0)
    assert (order.intended_at, order.last_at) == (told.at, told.at)
    assert "by-hand" in state.open_orders
    assert "by-hand" not in state.open_entries, "no entry of ours that a halt cancels"


@pytest.mark.parametrize("hold", [True, False])
def test_a_session_taken_over_waits_for_the_broker(built: Desk, hold: bool) -> None:
    state: State = built.state
    apply(state, SessionRecovered(at=built.world.at(), from_seq=1, in_doubt=0, hold=hold))
    day = state.day
    assert (day.recovered, day.recovering, day.hold_after_recovery, state.connected) == (True, True, hold, False)
