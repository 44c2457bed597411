"""When the broker is compared with, and what a comparison says: each rule at its edges, one decision at a time."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import AlertCleared, AlertRaised, TradingStateChanged
from qmworkbench.domain.events.orders import FillRecorded, OrderIntended, PositionsOffset
from qmworkbench.domain.events.reconciliation import (
    AccountObserved,
    BreakFound,
    BreakKind,
    BrokerConnectionChanged,
    BrokerSnapshotObserved,
    ReconciliationCompleted,
    ReconciliationResult,
    ReconciliationStarted,
    RepairApplied,
    SessionEquitySet,
    Trigger,
)
from qmworkbench.domain.execution import BrokerPosition, BrokerSnapshot, ExecType
from qmworkbench.domain.orders import Leg
from qmworkbench.domain.positions import Position
from qmworkbench.domain.safety import MustHalt
from qmworkbench.domain.sessions import Environment, Phase, Priority, TradingState
from qmworkbench.trading import emergency, holdings, reconciliation
from qmworkbench.trading.book_state import HaltCause
from qmworkbench.trading.decision import Decision
from tests.trading.oms_cases import D, Desk, desk, held

PASSED = [ReconciliationResult.CLEAN, ReconciliationResult.REPAIRED]
FAILED = [ReconciliationResult.UNRESOLVED, ReconciliationResult.INCOMPLETE]


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def triggers(events: list[Event]) -> list[Trigger]:
    return [event.trigger for event in of(events, ReconciliationStarted)]


def alarms(events: list[Event]) -> dict[str, Priority]:
    return {event.alert.kind: event.alert.priority for event in of(events, AlertRaised)}


def looked(result: ReconciliationResult = ReconciliationResult.CLEAN, seconds: float = 0, **changes: Any) -> Desk:
    """A desk whose last comparison ended so, so many seconds ago."""
    built = desk()
    last = built.state.reconciliation
    last.pending, last.trigger, last.result = None, Trigger.OPERATOR, result
    last.completed_at, last.tries, last.reads = built.world.at() - timedelta(seconds=seconds), 1, 0
    last.unresolved = {}
    built.state.alerts.clear()
    for name, value in changes.items():
        setattr(last, name, value)
    return built


def watched(built: Desk) -> list[Trigger]:
    decision = Decision(built.state, built.world.at())
    reconciliation.watch(decision)
    return triggers(decision.events)


def settings(built: Desk, **changes: int) -> None:
    day = built.state.day
    day.reconciliation = msgspec.structs.replace(day.reconciliation, **changes)


# --- when --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", PASSED + FAILED)
@pytest.mark.parametrize("seconds", [4.9, 5, 60])
def test_after_an_incident_it_is_looked_again_but_not_within_seconds_of_a_look_that_settled_nothing(
    result: ReconciliationResult, seconds: float
) -> None:
    built = looked(result, seconds)
    decision = Decision(built.state, built.world.at())
    reconciliation.after_incident(decision)
    assert triggers(decision.events) == ([Trigger.ORDER_INCIDENT] if result in PASSED or seconds >= 5 else [])


def test_where_nothing_was_compared_yet_an_incident_is_looked_into() -> None:
    built = looked(ReconciliationResult.INCOMPLETE, completed_at=None)
    decision = Decision(built.state, built.world.at())
    reconciliation.after_incident(decision)
    assert triggers(decision.events) == [Trigger.ORDER_INCIDENT]
    reconciliation.after_incident(decision)
    assert len(triggers(decision.events)) == 1, "one is under way"


@pytest.mark.parametrize("tries", [1, 2, 3, 40])
def test_a_look_that_settled_nothing_is_repeated_after_twice_the_wait(tries: int) -> None:
    wait = min(5 * 2 ** (tries - 1), 300)
    early = looked(ReconciliationResult.UNRESOLVED, wait - 0.1, tries=tries)
    due = looked(ReconciliationResult.UNRESOLVED, wait, tries=tries)
    assert (watched(early), watched(due)) == ([], [Trigger.OPERATOR])


def test_the_wait_never_grows_beyond_the_continuous_pace_nor_below_the_first() -> None:
    for position_check_s, wait in ((20, 20), (3, 5)):
        for seconds, due in ((wait - 0.1, []), (wait, [Trigger.OPERATOR])):
            built = looked(ReconciliationResult.INCOMPLETE, seconds, tries=30)
            settings(built, position_check_s=position_check_s)
            assert watched(built) == due


@pytest.mark.parametrize(
    ("changes", "connected"),
    [({"pending": Trigger.OPERATOR}, True), ({"completed_at": None}, True), ({}, False)],
)
def test_nothing_is_watched_beside_a_reading_before_the_first_or_without_the_broker(
    changes: dict[str, Any], connected: bool
) -> None:
    built = looked(ReconciliationResult.UNRESOLVED, 10_000, **changes)
    built.state.connected = connected
    assert watched(built) == []


def test_a_look_that_has_no_trigger_is_not_repeated() -> None:
    assert watched(looked(ReconciliationResult.UNRESOLVED, 10_000, trigger=None)) == []


@pytest.mark.parametrize(("open_s", "position_s"), [(300, 200), (200, 300), (200, 200)])
def test_in_the_session_it_is_renewed_once_it_is_too_old(open_s: int, position_s: int) -> None:
    for seconds, due in ((199.9, []), (200, [Trigger.CONTINUOUS])):
        built = looked(seconds=seconds)
        settings(built, open_check_s=open_s, position_check_s=position_s)
        assert watched(built) == due
        built = looked(seconds=seconds)
        settings(built, open_check_s=open_s, position_check_s=position_s)
        built.state.day.phase = Phase.PRE_MARKET
        assert watched(built) == []


@pytest.mark.parametrize(("interval_s", "due"), [(299, True), (300, False), (301, False)])
def test_a_backtest_of_long_bars_counts_boundaries_instead(interval_s: int, due: bool) -> None:
    built = looked(seconds=1000)
    day = built.state.day
    day.window = msgspec.structs.replace(day.window, interval_s=interval_s)
    assert watched(built) == [Trigger.CONTINUOUS], "elsewhere time goes on between the bars"
    built.state.reconciliation.pending = None
    day.environment = Environment.BACKTEST
    assert bool(watched(built)) is due


@pytest.mark.parametrize(
    ("trigger", "recovering", "due"),
    [(Trigger.CONTINUOUS, False, True), (Trigger.CONTINUOUS, True, False), (Trigger.END_OF_SESSION, False, False)],
)
def test_at_the_end_the_whole_session_is_compared_once(trigger: Trigger, recovering: bool, due: bool) -> None:
    built = looked(trigger=trigger)
    built.state.day.phase, built.state.day.recovering = Phase.RECONCILIATION, recovering
    assert watched(built) == ([Trigger.END_OF_SESSION] if due else [])


# --- the line ----------------------------------------------------------------------------------------------------


def connection(built: Desk, connected: bool) -> list[Event]:
    decision = Decision(built.state, built.world.at())
    told = BrokerConnectionChanged(at=built.world.at(), connected=connected, detail="no route")
    reconciliation.on_connection(decision, told)
    return decision.events


@pytest.mark.parametrize(("phase", "due"), [(Phase.MARKET_SESSION, 1), (Phase.SHUTDOWN, 1), (Phase.PRE_MARKET, 0)])
def test_a_broker_that_is_back_is_compared_with(phase: Phase, due: int) -> None:
    built = looked()
    built.state.day.phase = phase
    assert triggers(connection(built, True)) == [], "it was never away"
    connection(built, False)
    assert triggers(connection(built, True)) == [Trigger.RECONNECT] * due


def test_a_broker_that_is_away_is_worse_while_anything_is_exposed() -> None:
    built = looked()
    assert alarms(connection(built, False)) == {"execution_broker_disconnect": Priority.P0}, "an order works"
    assert len(of(connection(built, True), AlertCleared)) == 1
    bare = looked()
    for order in bare.state.working():
        order.status = order.status.CANCELED
        holdings.follow_status(bare.state, order)
    assert alarms(connection(bare, False)) == {"execution_broker_disconnect": Priority.P1}
    holding = held()
    holding.state.alerts.clear()
    for order in holding.state.working():
        order.status = order.status.CANCELED
        holdings.follow_status(holding.state, order)
    assert alarms(connection(holding, False)) == {"execution_broker_disconnect": Priority.P0}, "a position is held"


# --- what a reading comes to -------------------------------------------------------------------------------------


def books(built: Desk, **changes: Any) -> BrokerSnapshot:
    """The broker's books in agreement with ours, except for `changes`."""
    state = built.state
    assert state.account is not None
    positions = tuple(
        BrokerPosition(
            symbol=symbol,
            qty=net.qty,
            avg_px=net.avg_px,
            market_px=D(20),
            market_value=20 * net.qty,
            unrealized_pnl=D(0),
        )
        for symbol, net in state.net.items()
    )
    orders = tuple(
        built.as_told(
            cl_ord_id=o.broker_id,
            symbol=o.symbol,
            order_qty=o.order_qty,
            cum_qty=o.cum_qty,
            limit_px=o.limit_px,
            stop_px=o.stop_px,
        )
        for o in state.working()
        if not o.is_in_doubt
    )
    assert state.day.start_equity is not None
    cash = state.day.start_equity - sum((net.cost for net in state.net.values()), D(0))
    account = msgspec.structs.replace(
        state.account,
        cash=cash,
        cursor=state.heard_cursor,
        positions_value=sum((p.market_value for p in positions), D(0)),
    )
    base: dict[str, Any] = {
        "complete": True,
        "cursor": state.heard_cursor,
        "as_of": built.world.at(),
        "positions": positions,
        "open_orders": orders,
        "account": account,
    }
    return BrokerSnapshot(**(base | changes))


def compared(built: Desk, trigger: Trigger = Trigger.OPERATOR, **changes: Any) -> list[Event]:
    decision = Decision(built.state, built.world.at())
    seen = books(built, **changes)
    reconciliation.on_snapshot(decision, BrokerSnapshotObserved(at=decision.at, trigger=trigger, snapshot=seen))
    return decision.events


def ended(events: list[Event]) -> tuple[ReconciliationResult, int, int, int]:
    (told,) = of(events, ReconciliationCompleted)
    return told.result, told.breaks, told.repaired, len(told.unresolved)


def test_books_that_agree_are_clean() -> None:
    for built in (looked(), held()):
        built.state.alerts.clear()
        events = compared(built)
        assert ended(events) == (ReconciliationResult.CLEAN, 0, 0, 0)
        assert (alarms(events), triggers(events)) == ({}, [])


def test_a_reading_that_failed_concludes_nothing_and_keeps_what_is_open() -> None:
    built = held()
    compared(built, positions=())
    assert built.state.reconciliation.unresolved
    events = compared(built, complete=False, error="502")
    assert ended(events) == (ReconciliationResult.INCOMPLETE, 0, 0, 1)
    assert alarms(events) == {"reconciliation_incomplete": Priority.P1}
    assert not of(events, BreakFound)
    assert len(of(compared(built), AlertCleared)) >= 1, "the broker was read whole"


@pytest.mark.parametrize(("ahead", "says"), [(1, "have not been read yet"), (-1, "has been heard since")])
def test_a_reading_of_another_moment_is_not_compared_and_read_again(ahead: int, says: str) -> None:
    built = held()
    built.state.reconciliation.tries = 0
    events = compared(built, cursor=built.state.heard_cursor + ahead, positions=())
    (told,) = of(events, ReconciliationCompleted)
    assert told.result is ReconciliationResult.INCOMPLETE
    assert says in told.detail
    assert not of(events, BreakFound)
    assert triggers(events) == [Trigger.OPERATOR]
    assert "reconciliation_incomplete" not in alarms(events), "it was read whole"


def test_a_broker_that_stays_behind_is_believed_in_the_end_and_told_of() -> None:
    for tries, believed in ((2, False), (3, True)):
        built = held()
        built.state.reconciliation.tries = tries
        events = compared(built, cursor=built.state.heard_cursor - 1)
        assert ("broker_cursor" in alarms(events)) is believed
        assert (ended(events)[0] is ReconciliationResult.INCOMPLETE) is not believed
    ahead = held()
    ahead.state.reconciliation.tries = 9
    assert ended(compared(ahead, cursor=ahead.state.heard_cursor + 1))[0] is ReconciliationResult.INCOMPLETE
    assert "broker_cursor" not in alarms(compared(ahead, cursor=ahead.state.heard_cursor + 1))


def test_what_would_erase_exposure_is_read_again_at_once_and_three_times_more_at_most() -> None:
    built = held()
    gone = {"positions": ()}
    events = compared(built, **gone)
    assert ended(events) == (ReconciliationResult.UNRESOLVED, 1, 0, 1)
    assert triggers(events) == [Trigger.OPERATOR], "a second look"
    assert alarms(events)["reconciliation_mismatch"] is Priority.P0
    (halt,) = of(events, TradingStateChanged)
    assert (halt.after, halt.code) == (TradingState.REDUCING, MustHalt.POSITION_MISMATCH.value)
    again = compared(built, **gone)
    assert triggers(again) == [], "it has been seen before"
    assert not of(again, BreakFound), "and is on record"
    for reads, tries, due in ((3, 0, 1), (4, 0, 0), (0, 2, 1), (0, 3, 0)):
        fresh = held()
        last = fresh.state.reconciliation
        last.requested_at, last.reads, last.tries = fresh.world.at(), reads, tries
        assert len(triggers(compared(fresh, **gone))) == due


def test_a_break_that_only_adds_exposure_is_repaired_in_the_first_look() -> None:
    built = held()
    seen = books(built)
    assert seen.account is not None
    more = tuple(msgspec.structs.replace(p, qty=p.qty + 5) for p in seen.positions)
    events = compared(built, positions=more)
    (repair,) = of(events, RepairApplied)
    assert (repair.kind, repair.qty) == (BreakKind.POSITION_QTY, "105")
    assert triggers(events) == [], "nothing needs a second look"
    assert ended(events)[:3] == (ReconciliationResult.REPAIRED, 1, 1)


def test_the_worst_break_is_told_first() -> None:
    built = held()
    seen = books(built)
    assert seen.account is not None
    cash = msgspec.structs.replace(seen.account, cash=seen.account.cash + 7)
    events = compared(built, account=cash, positions=())
    (alert,) = [event.alert for event in of(events, AlertRaised) if event.alert.kind == "reconciliation_mismatch"]
    assert "2 break(s)" in alert.text
    assert "first: position_qty AAA" in alert.text
    assert len(of(events, TradingStateChanged)) == 1, "one of them is a P0: the book is halted"
    only = held()
    less = compared(only, account=cash)
    assert alarms(less) == {"reconciliation_mismatch": Priority.P1}
    assert of(less, TradingStateChanged) == []


# --- what is done with a reading -----------------------------------------------------------------------------------


def test_what_was_told_is_on_record_before_anything_follows_from_it() -> None:
    built = looked()
    account = built.state.account
    assert account is not None
    built.state.day.start_equity = None
    decision = Decision(built.state, built.world.at())
    statement = AccountObserved(at=decision.at, account=msgspec.structs.replace(account, equity=D(777)))
    reconciliation.on_account(decision, statement)
    assert [type(event) for event in decision.events] == [AccountObserved, SessionEquitySet]
    assert (built.state.account, built.state.day.start_equity) == (statement.account, 777)
    assert isinstance(connection(built, False)[0], BrokerConnectionChanged)
    assert not built.state.connected
    assert isinstance(compared(looked())[0], BrokerSnapshotObserved)


@pytest.mark.parametrize(
    ("heard", "stands_at", "equity"),
    [(9, 9, 670), (9, 10, 670), (9, 8, None)],
    ids=["of one moment", "ahead", "behind: it does not hold all of them"],
)
def test_what_the_day_has_made_by_its_first_statement_is_the_days(
    heard: int, stands_at: int, equity: int | None
) -> None:
    """Found by simulation: opened late, after the exit of a carried position, its gain counted twice in cash."""
    built = looked()
    account = built.state.account
    assert account is not None
    day = built.state.day
    day.start_equity, built.state.exec_cursor = None, heard
    day.fills, day.net_realized_pnl, day.fees = 1, D(110), D(3)
    decision = Decision(built.state, built.world.at())
    statement = msgspec.structs.replace(account, equity=D(777), cursor=stands_at)
    reconciliation.on_account(decision, AccountObserved(at=decision.at, account=statement))
    assert day.start_equity == equity
    assert len(of(decision.events, SessionEquitySet)) == (equity is not None)


def test_the_first_statement_of_a_reading_tells_what_the_day_begins_with() -> None:
    built = looked()
    seen = books(built)
    built.state.day.start_equity = None
    decision = Decision(built.state, built.world.at())
    observed = BrokerSnapshotObserved(at=decision.at, trigger=Trigger.OPERATOR, snapshot=seen)
    reconciliation.on_snapshot(decision, observed)
    assert len(of(decision.events, SessionEquitySet)) == 1


def test_a_broker_that_is_back_before_any_session_is_only_heard() -> None:
    built = looked()
    built.state.session, built.state.connected = None, False
    assert [type(event) for event in connection(built, True)] == [BrokerConnectionChanged]


@pytest.mark.parametrize(("ahead", "booked"), [(-1, True), (0, True), (1, False)])
def test_what_the_stream_left_out_is_booked_and_what_it_has_yet_to_bring_is_not(ahead: int, booked: bool) -> None:
    built = looked()
    built.state.exec_cursor = built.state.day.first_cursor + 10
    left_out = built.report(
        ExecType.TRADE, cursor=built.state.exec_cursor + ahead, last_qty=D(10), last_px=D(20), cum_qty=D(10)
    )
    assert bool(of(compared(built, executions=(left_out,)), FillRecorded)) is booked


def test_executions_are_compared_at_the_end_of_the_session_alone() -> None:
    for trigger, kinds in ((Trigger.OPERATOR, []), (Trigger.END_OF_SESSION, [BreakKind.EXECUTION_MISSING_AT_BROKER])):
        assert [event.kind for event in of(compared(held(), trigger), BreakFound)] == kinds


def test_a_break_of_the_executions_is_on_record_once_though_the_reading_is_of_another_moment() -> None:
    built = held()
    later = {"cursor": built.state.heard_cursor + 1}
    events = compared(built, Trigger.END_OF_SESSION, **later)
    assert len(of(events, BreakFound)) == 1
    assert ended(events) == (ReconciliationResult.INCOMPLETE, 1, 0, 1)
    assert of(compared(built, Trigger.END_OF_SESSION, **later), BreakFound) == []


def test_a_reading_that_failed_has_repaired_nothing() -> None:
    assert ended(compared(held(), complete=False, error="502")) == (ReconciliationResult.INCOMPLETE, 0, 0, 0)


def unresolved(built: Desk, kind: BreakKind, before: str = "1", after: str = "2") -> None:
    """A break of an earlier reading stands."""
    found = BreakFound(
        at=built.world.at(),
        break_id=f"earlier-{kind}",
        kind=kind,
        symbol="AAA",
        severity=Priority.P1,
        before=before,
        after=after,
        cause="",
        authority="broker",
    )
    built.state.reconciliation.unresolved[found.break_id] = found


@pytest.mark.parametrize(
    ("kind", "explained"),
    [(BreakKind.POSITION_QTY, 1), (BreakKind.ORDER_PX, 1), (BreakKind.CASH, 0), (BreakKind.REALIZED_PNL, 0)],
)
def test_what_news_may_settle_is_settled_by_it_and_money_that_agrees_again_just_does(
    kind: BreakKind, explained: int
) -> None:
    built = held()
    unresolved(built, kind)
    events = compared(built)
    result = ReconciliationResult.REPAIRED if explained else ReconciliationResult.CLEAN
    assert ended(events) == (result, 0, explained, 0)
    assert len(of(events, RepairApplied)) == explained
    assert built.state.reconciliation.unresolved == {}


def test_what_was_settled_now_and_what_is_gone_count_together() -> None:
    built = held()
    unresolved(built, BreakKind.ORDER_QTY)
    more = tuple(msgspec.structs.replace(p, qty=p.qty + 5) for p in books(built).positions)
    assert ended(compared(built, positions=more))[:3] == (ReconciliationResult.REPAIRED, 1, 2)


def test_an_emergency_closes_what_any_reading_shows() -> None:
    for begun in (False, True):
        built = held()
        if begun:
            emergency.begin(Decision(built.state, built.world.at()), "op", "drill")
        for order in built.state.working():
            order.status = order.status.CANCELED
            holdings.follow_status(built.state, order)
        sent = of(compared(built), OrderIntended)
        assert [event.leg for event in sent] == [Leg.LIQUIDATE] * begun


def test_what_is_held_against_each_other_after_an_emergency_is_closed_in_the_books() -> None:
    for cause, closed in ((emergency.CODE, 1), ("another", 0)):
        built = looked()
        state = built.state
        for order in state.working():
            order.status = order.status.CANCELED
            holdings.follow_status(state, order)
        for owner, sign in (("test-1", 1), ("test-2", -1)):
            holdings.hold(state, Position(strategy_id=owner, symbol="AAA", qty=D(10 * sign), cost=D(200 * sign)))
        state.halt.causes[cause] = HaltCause(reason="", by="", since=built.world.at())
        assert len(of(compared(built), PositionsOffset)) == closed


def test_a_reading_of_this_moment_is_never_behind_however_often_it_was_taken() -> None:
    built = looked(tries=9)
    events = compared(built)
    assert ended(events)[0] is ReconciliationResult.CLEAN
    assert "broker_cursor" not in alarms(events)


def test_an_emergency_acts_on_a_reading_that_is_ahead_of_our_news() -> None:
    built = held()
    emergency.begin(Decision(built.state, built.world.at()), "op", "drill")
    for order in built.state.working():
        order.status = order.status.CANCELED
        holdings.follow_status(built.state, order)
    events = compared(built, cursor=built.state.heard_cursor + 1)
    assert ended(events)[0] is ReconciliationResult.INCOMPLETE
    assert [event.leg for event in of(events, OrderIntended)] == [Leg.LIQUIDATE]


def test_books_that_were_read_whole_and_agree_answer_both_alarms() -> None:
    for account, left in ((D(0), set()), (D(7), {"reconciliation_mismatch"})):
        built = looked()
        for kind, key in (("reconciliation_incomplete", "broker"), ("reconciliation_mismatch", "book")):
            Decision(built.state, built.world.at()).alarm(kind, key, Priority.P1, "", "")
        seen = books(built).account
        assert seen is not None
        compared(built, account=msgspec.structs.replace(seen, cash=seen.cash + account))
        assert {alert.kind for alert in built.state.alerts.values()} == left
