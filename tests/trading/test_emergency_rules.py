"""Single rules of the emergency at their edges, one decision at a time: what it waits for, sends, and says (§15)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import (
    AlertCleared,
    AlertRaised,
    EmergencyCompleted,
    EmergencyStarted,
    EmergencyStepTaken,
    TradingStateChanged,
)
from qmworkbench.domain.events.orders import CancelRequested, OrderIntended, PositionsOffset
from qmworkbench.domain.events.reconciliation import FallbackImported, ReconciliationStarted, Trigger
from qmworkbench.domain.execution import BrokerOrder, BrokerPosition, BrokerSnapshot
from qmworkbench.domain.orders import Leg, Order, OrdStatus, Side
from qmworkbench.domain.positions import NetPosition, Position
from qmworkbench.domain.sessions import Phase, TradingState
from qmworkbench.trading import emergency, holdings
from qmworkbench.trading.book_state import EmergencyLine
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.session_state import position_key
from qmworkbench.trading.state import EXTERNAL, State
from tests.trading.oms_cases import D, Desk, desk, held


@dataclass
class Drill:
    """An emergency taken one decision at a time: `at` is when, `last` what the newest decision came to."""

    built: Desk
    at: datetime
    last: Decision

    @property
    def state(self) -> State:
        return self.built.state

    def now(self, seconds: float = 0) -> Decision:
        """A decision so many seconds after the newest one."""
        self.at += timedelta(seconds=seconds)
        self.last = Decision(self.state, self.at)
        return self.last

    def progress(self, seconds: float = 0) -> list[Event]:
        decision = self.now(seconds)
        emergency.progress(decision)
        return decision.events

    def told(self, *positions: BrokerPosition, orders: tuple[BrokerOrder, ...] = (), seconds: float = 0) -> list[Event]:
        decision = self.now(seconds)
        emergency.on_positions(decision, self.books(*positions, orders=orders))
        return decision.events

    def books(
        self, *positions: BrokerPosition, orders: tuple[BrokerOrder, ...] = (), cursor: int | None = None
    ) -> BrokerSnapshot:
        return BrokerSnapshot(
            complete=True,
            cursor=self.state.heard_cursor if cursor is None else cursor,
            as_of=self.at,
            positions=positions,
            open_orders=orders,
        )

    def line(self, symbol: str = "AAA", **changes: Any) -> EmergencyLine:
        assert self.state.emergency is not None
        found = self.state.emergency.lines.setdefault(symbol, EmergencyLine(step="exits_canceled", since=self.at))
        for name, value in changes.items():
            setattr(found, name, value)
        return found

    def end_exits(self) -> None:
        """The exits are gone: they were cancelled, and the broker has said so."""
        for order in self.state.working():
            if order.leg is not Leg.LIQUIDATE:
                ended(self.state, order)


def ended(state: State, order: Order, status: OrdStatus = OrdStatus.CANCELED) -> None:
    order.status = status
    holdings.follow_status(state, order)


def drill(built: Desk | None = None, *, begun: bool = True) -> Drill:
    """100 AAA held under three exits; `begun`: the emergency was given at this moment."""
    built = held() if built is None else built
    at = built.world.at()
    made = Drill(built, at, Decision(built.state, at))
    if begun:
        emergency.begin(made.last, "op", "drill")
        assert built.state.emergency is not None
    return made


def bare() -> Drill:
    """It began where nothing is held and nothing works."""
    made = drill(desk(), begun=False)
    for order in made.state.working():
        ended(made.state, order)
    emergency.begin(made.last, "op", "drill")
    return made


def position(qty: int = 100, symbol: str = "AAA") -> BrokerPosition:
    px = D(20)
    return BrokerPosition(
        symbol=symbol, qty=D(qty), avg_px=px, market_px=px, market_value=px * qty, unrealized_pnl=D(0)
    )


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def steps(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.symbol, event.step) for event in of(events, EmergencyStepTaken)]


def alarms(events: list[Event]) -> list[str]:
    return [event.alert.kind for event in of(events, AlertRaised)]


def reads(events: list[Event]) -> int:
    return len([event for event in of(events, ReconciliationStarted) if event.trigger is Trigger.EMERGENCY])


def closes(events: list[Event]) -> list[tuple[Side, Decimal]]:
    return [(e.request.side, e.request.order_qty) for e in of(events, OrderIntended) if e.leg is Leg.LIQUIDATE]


def test_while_a_fallback_log_is_taken_over_record_by_record_nothing_is_done_on_its_account() -> None:
    made = drill()
    record = FallbackImported(at=made.at, file_hash="f", n=1, original_at=made.at, record="{}")
    decision = made.now(60)
    decision.events.append(record)
    emergency.progress(decision)
    assert decision.events == [record]
    assert made.progress(60), "once it is taken over, what is overdue is looked at"


# --- it begins ---------------------------------------------------------------------------------------------------


def test_it_begins_with_the_record_the_halt_and_the_entries() -> None:
    made = drill(desk(), begun=False)
    entry = made.built.order
    emergency.begin(made.last, "op", "drill")
    events = made.last.events
    kinds = [type(event) for event in events]
    assert kinds.index(EmergencyStarted) < kinds.index(TradingStateChanged) < kinds.index(CancelRequested)
    assert alarms(events) == ["emergency_halt"]
    assert of(events, CancelRequested)[0].cl_ord_id == entry.cl_ord_id
    assert steps(events) == [("", "entries_canceled"), ("AAA", "exits_canceled")], "its exits may be there by now"
    assert of(events, EmergencyStepTaken)[0].detail == "1 entry orders asked to cancel"
    assert reads(events) == 1, "ours is empty: the broker decides whether that is true"


def test_an_entry_that_carries_no_exits_is_cancelled_like_any_other() -> None:
    made = drill(desk(), begun=False)
    for leg in [order for order in made.state.working() if order.leg is not Leg.ENTRY]:
        ended(made.state, leg)
    emergency.begin(made.last, "op", "drill")
    assert [event.cl_ord_id for event in of(made.last.events, CancelRequested)] == [made.built.order.cl_ord_id]
    assert steps(made.last.events) == [("", "entries_canceled")]


def test_its_first_reading_waits_for_nothing_whatever_readings_failed_before() -> None:
    made = drill(desk(), begun=False)
    for order in made.state.working():
        ended(made.state, order)
    made.state.reconciliation.tries = 99
    emergency.begin(made.last, "op", "drill")
    assert reads(made.last.events) == 1


def test_it_goes_through_what_is_held_by_symbol() -> None:
    made = drill(begun=False)
    names = [f"S{number}" for number in range(12)]
    for name in reversed(names):
        holdings.hold(made.state, Position(strategy_id="test-1", symbol=name, qty=D(1), cost=D(20)))
    emergency.begin(made.last, "op", "drill")
    assert steps(made.last.events) == [(name, "exits_canceled") for name in ["AAA", *sorted(names)]]


def test_where_something_is_held_its_exits_go_first_and_the_broker_is_read_later() -> None:
    made = drill()
    events = made.last.events
    assert len(of(events, CancelRequested)) == 3
    assert steps(events) == [("AAA", "exits_canceled")]
    assert of(events, EmergencyStepTaken)[0].detail == "3 resting orders asked to cancel"
    assert reads(events) == 0


def test_a_second_one_joins_the_first_and_after_its_end_begins_anew() -> None:
    made = drill()
    assert made.state.emergency is not None
    name = made.state.emergency.emergency_id
    assert emergency.begin(made.now(1), "another", "again") == name
    assert made.last.events == []
    made.state.emergency.completed_at = made.at
    assert emergency.begin(made.now(1), "another", "again") != name
    assert len(of(made.last.events, EmergencyStarted)) == 1


@pytest.mark.parametrize(("interval_s", "deadline_s"), [(60, 180), (59, 180), (61, 183), (300, 900)])
def test_the_deadline_is_three_bars_and_three_minutes_at_least(interval_s: int, deadline_s: int) -> None:
    made = drill(begun=False)
    made.state.day.window = msgspec.structs.replace(made.state.day.window, interval_s=interval_s)
    emergency.begin(made.last, "op", "drill")
    assert made.state.emergency is not None
    assert made.state.emergency.deadline_s == deadline_s


# --- when the broker is read again -------------------------------------------------------------------------------


def test_exits_have_five_seconds_and_the_broker_is_read_at_once_when_they_are_gone() -> None:
    made = drill()
    assert reads(made.progress(4.9)) == 0
    assert reads(made.progress(0.1)) == 1
    made = drill()
    made.end_exits()
    assert reads(made.progress()) == 1


@pytest.mark.parametrize("step", ["queued", "waiting"])
def test_what_is_queued_or_waits_is_looked_at_every_half_minute(step: str) -> None:
    made = drill()
    made.end_exits()
    made.line(step=step, since=made.at)
    assert reads(made.progress(29.9)) == 0
    assert reads(made.progress(0.1)) == 1


def closing(**changes: Any) -> Drill:
    """A close of 100 AAA works at the broker, read and sent at this moment."""
    made = drill()
    made.end_exits()
    events = made.told(position())
    assert closes(events) == [(Side.SELL, D(100))]
    assert made.state.emergency is not None
    made.state.emergency.read_at = made.at
    for name, value in changes.items():
        setattr(made.state.emergency, name, value)
    return made


def test_while_a_close_works_its_end_is_waited_for_and_the_books_read_every_half_minute() -> None:
    made = closing()
    assert reads(made.progress(29.9)) == 0
    assert reads(made.progress(0.1)) == 1
    never = closing(read_at=None)
    assert never.state.emergency is not None
    assert reads(never.progress(29.9)) == 0, "counted from the beginning where nothing was read yet"
    assert reads(never.progress(0.1)) == 1


def test_a_close_that_rests_for_two_bars_is_queued_once_and_loudly() -> None:
    made = closing()
    assert steps(made.progress(120)) == []
    late = made.progress(0.1)
    assert steps(late) == [("AAA", "queued")]
    assert alarms(late) == ["emergency_close_queued"]
    assert steps(made.progress(200)) == [("", "overdue")]


def test_patience_is_half_a_minute_where_bars_are_short() -> None:
    made = closing()
    made.state.day.window = msgspec.structs.replace(made.state.day.window, interval_s=5)
    assert steps(made.progress(30)) == []
    assert steps(made.progress(0.1)) == [("AAA", "queued")]


def test_a_symbol_that_is_flat_wants_no_reading_until_all_are() -> None:
    made = closing()
    made.line("BBB", step="flat")
    assert reads(made.progress(1)) == 0
    made.line("AAA", step="flat")
    assert reads(made.progress(1)) == 1
    empty = bare()
    empty.state.reconciliation.pending = None
    assert reads(empty.progress(1)) == 1, "no symbol is known: only the broker can tell"


def test_it_reads_four_times_a_second_at_most_and_never_beside_a_reading_under_way() -> None:
    made = drill()
    made.end_exits()
    for seconds, expected in ((0, 1), (0, 1), (0.3, 1), (0.3, 1), (0.3, 0), (0.099, 0)):
        assert reads(made.progress(seconds)) == expected
        made.state.reconciliation.pending = None
    assert reads(made.progress(0.001)) == 1, "a second after the first of them again"
    assert reads(made.progress(1)) == 0, "one is on its way"


def test_after_a_row_of_answers_that_say_nothing_it_reads_once_a_second() -> None:
    """A broker that cannot be reached says so at once: it was asked twenty times a second (alpaca-py #740)."""
    made = drill()
    made.end_exits()
    asked = []
    for _ in range(100):
        asked.append(reads(made.progress(0.05)))
        last = made.state.reconciliation
        last.pending, last.tries = None, last.tries + asked[-1]
    assert asked[:4] == [1, 1, 1, 1]
    assert sum(asked) == 4 + 4, "five seconds, the first of which began with the row"


def test_before_it_begins_nothing_is_read() -> None:
    made = drill(begun=False)
    assert made.progress() == []


def test_the_alarm_stands_while_it_runs() -> None:
    made = drill()
    made.state.alerts.clear()
    assert alarms(made.progress(1)) == ["emergency_halt"]
    assert alarms(made.progress(1)) == []


def test_a_cancel_that_failed_or_was_never_asked_is_asked_and_a_close_never() -> None:
    made = drill()
    stop, target, close = sorted(made.state.working(), key=lambda order: order.leg, reverse=True)
    stop.cancel_failed, stop.cancels = True, 1
    target.cancel_requested_at = None
    assert close.cancel_requested_at is not None
    again = {event.cl_ord_id for event in of(made.progress(10), CancelRequested)}
    assert again == {stop.cl_ord_id, target.cl_ord_id}
    sent = closing()
    assert of(sent.progress(1), CancelRequested) == []


# --- what the broker's books lead to -----------------------------------------------------------------------------


def test_exits_that_still_work_hold_the_close_back_for_five_seconds() -> None:
    made = drill()
    assert closes(made.told(position(), seconds=4.9)) == []
    waits = made.told(position(), seconds=0.1)
    assert closes(waits) == [], "they may still close all of it"
    assert steps(waits) == [("AAA", "waiting")]
    assert of(waits, EmergencyStepTaken)[0].detail == "orders that are being cancelled may still close 100 of 100"
    assert steps(made.told(position(), seconds=31)) == [], "said once"


def test_the_close_is_what_other_orders_cannot_close() -> None:
    made = drill()
    for order in made.state.working():
        order.order_qty = D(30)
    assert closes(made.told(position(), seconds=5)) == [(Side.SELL, D(70))], "three exits of one entry count once"
    loose = drill()
    for order in loose.state.working():
        order.order_qty, order.parent_id = D(30), None
    assert closes(loose.told(position(), seconds=5)) == [(Side.SELL, D(10))]
    other = drill()
    for order in other.state.working():
        order.side = Side.BUY
    assert closes(other.told(position(), seconds=5)) == [(Side.SELL, D(100))], "what buys closes nothing of a long"
    short = drill()
    assert closes(short.told(position(-100), seconds=5)) == [(Side.BUY, D(100))]


def test_the_last_share_and_a_part_of_one_are_closed_too() -> None:
    made = drill()
    for order in made.state.working():
        order.order_qty = D(99)
    assert closes(made.told(position(), seconds=5)) == [(Side.SELL, D(1))]
    part = drill()
    for order in part.state.working():
        order.side, order.order_qty = Side.BUY, D("0.5")
    half = msgspec.structs.replace(position(), qty=D("0.5"))
    assert closes(part.told(half, seconds=5)) == [(Side.SELL, D("0.5"))], "what buys closes nothing of it"


def test_one_close_at_a_time_each_under_a_name_of_its_own() -> None:
    made = closing()
    first = next(order for order in made.state.orders.values() if order.leg is Leg.LIQUIDATE)
    assert closes(made.told(position(), seconds=60)) == []
    first.cum_qty = D(40)
    ended(made.state, first, OrdStatus.EXPIRED)
    assert closes(made.told(position(60), seconds=60)) == [(Side.SELL, D(60))]
    assert len({order.cl_ord_id for order in made.state.orders.values() if order.leg is Leg.LIQUIDATE}) == 2
    assert made.line().attempt == 2


@pytest.mark.parametrize(
    ("status", "cum_qty", "queued"),
    [
        (OrdStatus.REJECTED, 0, True),
        (OrdStatus.CANCELED, 0, True),
        (OrdStatus.EXPIRED, 0, True),
        (OrdStatus.DENIED, 0, True),
        (OrdStatus.CANCELED, 1, False),
        (OrdStatus.FILLED, 0, False),
    ],
)
def test_a_close_that_ended_without_a_share_waits_for_the_market(status: OrdStatus, cum_qty: int, queued: bool) -> None:
    made = closing()
    sent = next(order for order in made.state.orders.values() if order.leg is Leg.LIQUIDATE)
    sent.cum_qty, sent.reason = D(cum_qty), "no liquidity"
    ended(made.state, sent, status)
    events = made.told(position(), seconds=1)
    assert (steps(events) == [("AAA", "queued")]) is queued
    assert bool(closes(events)) is not queued
    if queued:
        assert of(events, EmergencyStepTaken)[0].detail == "the broker ended the close unfilled: no liquidity"
        assert closes(made.told(position(), seconds=29.9)) == []
        assert closes(made.told(position(), seconds=0.1)) == [(Side.SELL, D(100))], "tried again at a pace"


def test_a_close_without_a_word_is_told_by_its_status() -> None:
    made = closing()
    sent = next(order for order in made.state.orders.values() if order.leg is Leg.LIQUIDATE)
    sent.reason = ""
    ended(made.state, sent, OrdStatus.EXPIRED)
    assert of(made.told(position(), seconds=1), EmergencyStepTaken)[0].detail.endswith("unfilled: expired")


def test_a_closed_market_queues_the_close() -> None:
    made = drill()
    made.end_exits()
    made.at = made.state.day.closes_at - timedelta(seconds=1)
    assert closes(made.told(position())) == [(Side.SELL, D(100))]
    made = drill()
    made.end_exits()
    made.at = made.state.day.closes_at
    events = made.told(position())
    assert (closes(events), steps(events)) == ([], [("AAA", "queued")])
    made = drill()
    made.end_exits()
    made.state.day.phase = Phase.CLOSED
    assert steps(made.told(position())) == [("AAA", "queued")]


def test_a_symbol_that_only_the_broker_holds_is_closed_too() -> None:
    made = closing()
    events = made.told(position(), position(-5, "BBB"), seconds=1)
    assert steps(events) == [("BBB", "exits_canceled"), ("BBB", "close_sent")]
    assert closes(events) == [(Side.BUY, D(5))]


def test_flat_is_said_once_and_answers_the_alarm() -> None:
    made = closing()
    made.progress(121)
    flat = made.told(seconds=1)
    assert steps(flat) == [("AAA", "flat")]
    assert len(of(flat, AlertCleared)) == 1
    assert steps(made.told(seconds=1)) == []


def filled(made: Drill) -> None:
    """Our books have heard of the close too."""
    for order in made.state.working():
        order.cum_qty = order.order_qty
        ended(made.state, order, OrdStatus.FILLED)
    made.state.positions.clear()
    made.state.net.clear()


def test_it_is_over_once_neither_side_holds_or_works_anything() -> None:
    made = closing()
    assert of(made.told(seconds=1), EmergencyCompleted) == [], "our close is still open in our books"
    filled(made)
    stranger = made.built.as_told(cl_ord_id="by-hand", symbol="CCC")
    assert of(made.told(orders=(stranger,), seconds=1), EmergencyCompleted) == [], "something works there"
    (over,) = of(made.told(seconds=40), EmergencyCompleted)
    assert over.symbols == 1
    assert made.told(position(), seconds=1) == [], "what comes then begins it again by another way"


def test_it_is_not_over_while_anything_is_held_there() -> None:
    made = bare()
    assert of(made.told(position(1, "CCC"), seconds=1), EmergencyCompleted) == []
    assert len(of(bare().told(seconds=1), EmergencyCompleted)) == 1


def test_once_over_the_failure_alarm_is_answered() -> None:
    made = closing()
    made.progress(181)
    filled(made)
    events = made.told(seconds=1)
    assert len(of(events, EmergencyCompleted)) == 1
    assert len(of(events, AlertCleared)) == 2, "that it was late, and that a close was queued"


# --- orders that nobody here sent --------------------------------------------------------------------------------


def test_strangers_are_cancelled_every_half_minute_and_our_own_are_not_strangers() -> None:
    made = drill()
    ours = next(iter(made.state.working()))
    known = made.built.as_told(cl_ord_id=ours.cl_ord_id)
    gone = made.built.as_told(cl_ord_id=made.built.order.cl_ord_id)
    theirs = made.built.as_told(cl_ord_id="by-hand")

    def cancelled(seconds: float) -> list[str]:
        events = made.told(position(), orders=(known, gone, theirs), seconds=seconds)
        return [event.cl_ord_id for event in of(events, CancelRequested)]

    assert cancelled(0) == [gone.cl_ord_id, "by-hand"], "an order that has ended here and works there is one too"
    assert cancelled(29.9) == []
    assert cancelled(0.1) == [gone.cl_ord_id, "by-hand"]


# --- late --------------------------------------------------------------------------------------------------------


def test_late_is_more_than_the_deadline_and_said_once() -> None:
    made = drill()
    made.line("BBB", step="flat")
    assert "emergency_halt_failure" not in alarms(made.progress(180))
    late = made.progress(0.1)
    assert ("", "overdue") in steps(late)
    (alarm,) = [event.alert for event in of(late, AlertRaised) if event.alert.kind == "emergency_halt_failure"]
    assert alarm.text.endswith("after the emergency began: AAA")
    assert ("", "overdue") not in steps(made.progress(1))


def test_what_is_late_is_named_by_what_is_known() -> None:
    def text(made: Drill) -> str:
        events = made.progress(181)
        return next(e.alert.text for e in of(events, AlertRaised) if e.alert.kind == "emergency_halt_failure")

    doubtful = drill()
    doubtful.line(step="flat")
    names = sorted(order.cl_ord_id for order in doubtful.state.working())
    assert sorted(text(doubtful).rpartition(": ")[2].split(", ")) == names
    assert text(bare()).endswith("positions unread")


def test_after_a_late_fill_the_deadline_counts_anew() -> None:
    made = drill()
    assert made.state.emergency is not None
    made.state.emergency.again_at = made.at + timedelta(seconds=100)
    assert ("", "overdue") not in steps(made.progress(280))
    assert ("", "overdue") in steps(made.progress(0.1))


def over() -> Drill:
    """It is over, the book is HALTED by it, and a fill has come after all."""
    made = drill()
    assert made.state.emergency is not None
    made.state.emergency.completed_at = made.at
    return made


def test_a_late_fill_begins_it_again_while_the_book_is_halted_by_it() -> None:
    made = over()
    for order in made.state.working():
        order.cancel_requested_at = None
    events = made.progress(1)
    assert steps(events) == [("AAA", "late_fill")]
    assert len(of(events, CancelRequested)) == 3
    assert reads(events) == 1
    assert emergency.running(made.state)


def test_where_nothing_is_held_or_the_halt_is_anothers_nothing_begins_again() -> None:
    flat = over()
    flat.state.net.clear()
    assert flat.progress(1) == []
    resumed = over()
    resumed.state.halt.causes.pop("emergency")
    assert resumed.progress(1) == []
    reduced = over()
    reduced.state.halt.state = TradingState.REDUCING
    assert reduced.progress(1) == []


# --- a reading of another moment ---------------------------------------------------------------------------------


def out_of_step(made: Drill, cursor: int, seconds: float = 0) -> list[Event]:
    decision = made.now(seconds)
    emergency.out_of_step(decision, made.books(position(), cursor=cursor))
    return decision.events


def test_a_reading_ahead_of_our_news_is_acted_on_and_one_behind_only_after_half_a_minute() -> None:
    made = drill()
    made.end_exits()
    heard = made.state.heard_cursor
    assert closes(out_of_step(made, heard + 1)) == [(Side.SELL, D(100))]
    made = drill()
    made.end_exits()
    assert steps(out_of_step(made, heard - 1)) == [("", "read_behind")]
    assert out_of_step(made, heard - 1, 29.9) == []
    assert closes(out_of_step(made, heard - 1, 0.1)) == [(Side.SELL, D(100))]
    done = over()
    assert out_of_step(done, heard + 1) == []
    assert out_of_step(drill(begun=False), heard + 1) == []


# --- parts that stand against each other -------------------------------------------------------------------------


def against() -> Drill:
    """The broker is flat in AAA: what test-1 holds long, somebody outside holds short, at another price."""
    made = drill()
    made.end_exits()
    short = Position(strategy_id=EXTERNAL, symbol="AAA", qty=D(-100), cost=D(-2100), opened_at=made.at)
    made.state.positions[position_key(EXTERNAL, "AAA")] = short
    made.state.net.pop("AAA", None)
    return made


def offset(made: Drill, *positions: BrokerPosition, orders: tuple[BrokerOrder, ...] = ()) -> list[PositionsOffset]:
    decision = made.now()
    emergency.offset_remains(decision, made.books(*positions, orders=orders))
    return of(decision.events, PositionsOffset)


def test_what_stands_against_each_other_is_closed_in_the_books_at_the_outside_price() -> None:
    (booked,) = offset(against())
    assert (booked.symbol, booked.px) == ("AAA", D(21))
    assert set(booked.strategy_ids) == {"test-1", EXTERNAL}


def test_without_an_outside_part_it_is_the_mark_and_without_a_mark_what_was_paid() -> None:
    def two() -> Drill:
        made = against()
        outside = made.state.positions.pop(position_key(EXTERNAL, "AAA"))
        outside.strategy_id = "test-2"
        made.state.positions[position_key("test-2", "AAA")] = outside
        return made

    marked = two()
    assert [one.px for one in offset(marked)] == [marked.state.marks["AAA"].px]
    unmarked = two()
    unmarked.state.marks.clear()
    paid = unmarked.state.holders("AAA")[0].avg_px
    assert [one.px for one in offset(unmarked)] == [paid]


def test_nothing_is_booked_while_anything_can_still_move() -> None:
    assert offset(against(), position()) == [], "the broker holds some"
    assert offset(against(), position(1)) == [], "or one"
    made = against()
    assert offset(made, orders=(made.built.as_told(),)) == [], "something works there"
    made.state.net["AAA"] = NetPosition(qty=D(1), cost=D(20))
    assert offset(made) == [], "our net is not flat"
    busy = drill()
    busy.state.net.pop("AAA", None)
    assert offset(busy) == [], "an order of ours is open in it"
    unknown = against()
    unknown.state.day.instruments.pop("AAA")
    assert offset(unknown) == [], "what it made cannot be told in the account's currency"


def test_without_an_emergency_on_record_nothing_is_booked() -> None:
    made = against()
    assert made.state.emergency is not None
    made.state.emergency.completed_at = made.at
    assert len(offset(made)) == 1, "over, and the book still halted by it"
    made = against()
    assert made.state.emergency is not None
    made.state.emergency.completed_at = made.at
    made.state.halt.causes.pop("emergency")
    assert offset(made) == [], "over, and people have gone on"


# --- which orders and symbols count ------------------------------------------------------------------------------


def alone(leg: Leg, symbol: str = "BBB") -> Order:
    """An order by itself, in a symbol in which nothing is held."""
    made = msgspec.structs.replace(desk().order)
    made.cl_ord_id, made.symbol, made.leg, made.parent_id = f"alone-{leg}", symbol, leg, None
    made.cancel_requested_at = None
    return made


@pytest.mark.parametrize(("leg", "lines"), [(Leg.ENTRY, []), (Leg.LIQUIDATE, []), (Leg.EXIT, ["BBB"])])
def test_only_what_rests_to_get_out_begins_a_line_of_its_own(leg: Leg, lines: list[str]) -> None:
    made = drill(desk(), begun=False)
    for order in made.state.working():
        ended(made.state, order)
    holdings.admit(made.state, alone(leg))
    emergency.begin(made.last, "op", "drill")
    assert made.state.emergency is not None
    assert list(made.state.emergency.lines) == lines


def beside(made: Drill, leg: Leg) -> Drill:
    """Another order works in AAA, asked to cancel already."""
    other = alone(leg, "AAA")
    other.cancel_requested_at = made.at
    holdings.admit(made.state, other)
    return made


def test_a_close_counts_while_it_is_what_is_waited_for() -> None:
    lost = closing()
    for order in lost.state.working():
        ended(lost.state, order, OrdStatus.EXPIRED)
    assert reads(lost.progress(1)) == 1, "no close works: the broker is asked what became of it"
    assert steps(lost.progress(125)) == [], "and what does not work does not rest"
    assert reads(beside(closing(), Leg.EXIT).progress(1)) == 0, "another order beside it changes nothing"
    other = closing()
    other.line(step="exits_canceled", since=other.at - timedelta(seconds=10))
    assert reads(other.progress(1)) == 1, "a close of another step is not waited for"


def test_five_seconds_are_for_exits_that_were_just_cancelled() -> None:
    made = closing()
    for order in made.state.working():
        ended(made.state, order, OrdStatus.EXPIRED)
    assert reads(beside(made, Leg.EXIT).progress(1)) == 1


def test_half_a_minute_counts_from_the_newest_reading() -> None:
    made = closing()
    assert made.state.emergency is not None
    made.state.emergency.started_at = made.at - timedelta(seconds=60)
    assert reads(made.progress(29.9)) == 0
    assert reads(made.progress(0.1)) == 1


def test_symbols_take_their_turn_by_name_whatever_came_first() -> None:
    late = over()
    for symbol in ("CCC", "BBB", "DDD"):
        late.state.net[symbol] = NetPosition(qty=D(1), cost=D(20))
    assert steps(late.progress(1)) == [(symbol, "late_fill") for symbol in ("AAA", "BBB", "CCC", "DDD")]
    made = drill()
    for symbol in ("CCC", "BBB"):
        made.line(symbol)
    events = made.progress(181)
    text = next(e.alert.text for e in of(events, AlertRaised) if e.alert.kind == "emergency_halt_failure")
    assert text.endswith(": AAA, BBB, CCC")
    assert steps(made.told(seconds=1)) == [(symbol, "flat") for symbol in ("AAA", "BBB", "CCC")]
    names = [f"S{number}" for number in range(12)]
    found = bare().told(*(position(1, name) for name in reversed(names)))
    assert [symbol for symbol, step in steps(found) if step == "exits_canceled"] == sorted(names)


def test_a_reading_means_nothing_where_there_is_no_emergency() -> None:
    assert drill(begun=False).told(position()) == []


def test_what_comes_back_after_flat_is_closed_without_waiting_for_others() -> None:
    made = beside(closing(), Leg.EXIT)
    for order in made.state.working():
        if order.leg is Leg.LIQUIDATE:
            ended(made.state, order, OrdStatus.FILLED)
    made.told(seconds=1)
    assert made.line().step == "flat"
    assert closes(made.told(position(), seconds=1)) == [(Side.SELL, D(100))], "the other one buys: it closes nothing"


def test_a_reading_also_books_what_stands_against_each_other() -> None:
    assert len(of(against().told(seconds=1), PositionsOffset)) == 1


def test_once_over_no_reading_is_called_behind() -> None:
    done = over()
    assert out_of_step(done, done.state.heard_cursor - 1) == []


def test_one_symbol_that_has_to_wait_holds_up_no_other() -> None:
    def two() -> Drill:
        made = against()
        for owner, qty in (("test-1", 5), (EXTERNAL, -5)):
            part = Position(strategy_id=owner, symbol="BBB", qty=D(qty), cost=D(20 * qty), opened_at=made.at)
            made.state.positions[position_key(owner, "BBB")] = part
        return made

    assert [one.symbol for one in offset(two())] == ["AAA", "BBB"]
    assert [one.symbol for one in offset(two(), position())] == ["BBB"], "the broker still holds the first"
    unknown = two()
    unknown.state.day.instruments.pop("AAA")
    assert [one.symbol for one in offset(unknown)] == ["BBB"]


@pytest.mark.parametrize(("leg", "symbol"), [(Leg.LIQUIDATE, "BBB"), (Leg.EXIT, "AAA")])
def test_only_the_newest_close_of_the_symbol_tells_whether_the_market_takes_it(leg: Leg, symbol: str) -> None:
    made = closing()
    for order in made.state.working():
        order.cum_qty = D(1)
        ended(made.state, order, OrdStatus.CANCELED)
    refused = alone(leg, symbol)
    refused.status = OrdStatus.REJECTED
    made.state.orders[refused.cl_ord_id] = refused
    assert closes(made.told(position(), seconds=1)) == [(Side.SELL, D(100))]
    mine = closing()
    for order in mine.state.working():
        ended(mine.state, order, OrdStatus.REJECTED)
    fine = alone(leg, symbol)
    fine.status, fine.cum_qty = OrdStatus.FILLED, D(100)
    mine.state.orders[fine.cl_ord_id] = fine
    assert steps(mine.told(position(), seconds=1)) == [("AAA", "queued")]
