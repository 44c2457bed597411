"""A book over the night, run by the platform: shares, names and cash change, and the next day begins clean (§14)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from qmworkbench.brokers.faulty import Call, Fault, FaultPlan, FaultyBroker, PlannedFault
from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.overnight import ActivitiesObserved, CashBooked, PositionRestated
from qmworkbench.domain.events.reconciliation import BreakFound, ReconciliationCompleted, SessionEquitySet, Trigger
from qmworkbench.domain.events.session import RunSpec, SessionOpened
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.positions import Position
from qmworkbench.market.bars import load_session, session_from_frame
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.session import SessionData
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan, DayRefused
from qmworkbench.service.platform import Platform
from qmworkbench.service.result import DayResult
from qmworkbench.service.runs import default_runs
from qmworkbench.trading.fold import fold
from qmworkbench.venue.costs import ideal
from tests.service.conftest import events_of
from tests.service.day_process import all_good, cut_short, plan_for

FRIDAY, MONDAY = date(2024, 3, 8), date(2024, 3, 11)
NAMES = ("ADAGIO", "BALLAD", "CLIMB", "DIRGE", "ELEGY")
CLIMBER = "CLIMB"


def carried(runs: Sequence[RunSpec]) -> tuple[RunSpec, ...]:
    """The trend follower alone, keeping what it has overnight."""
    (donchian,) = (run for run in runs if run.strategy_id == "donchian-us")
    return (msgspec.structs.replace(donchian, flat_policy="carry", params={**donchian.params, "flat": "carry"}),)


def made(day: date, change: Callable[[pl.DataFrame], pl.DataFrame] = lambda today: today, **more: Any) -> SessionData:
    """Raw bars of a day and the session before it: four shares that go nowhere, and one that climbs all day.

    `change` is what the night made of today's rows.
    """
    market, rows = SessionCalendar("XNYS"), []
    before = market.previous_session(day)
    for session in (before, day):
        opened = market.session_window(session).opens_at
        for number, symbol in enumerate(NAMES):
            climbs = symbol == CLIMBER and session == day
            for minute in range(390):
                moved = 0.05 + minute * 0.0005 if climbs else 0.0004 * (minute % 3)
                px = round((40 + 10 * number) * (1 + moved), 2)
                volume = 300_000.0 if climbs else 90_000.0
                rows.append((symbol, opened + timedelta(minutes=minute), px, px + 0.03, px - 0.02, px + 0.02, volume))
    bars = pl.DataFrame(rows, schema=["symbol", "ts", "open", "high", "low", "close", "volume"], orient="row")
    bars = bars.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC"))).sort("symbol", "ts")
    today = pl.col("ts") >= market.session_window(day).day_starts_at
    bars = pl.concat([bars.filter(~today), change(bars.filter(today))]).sort("symbol", "ts")
    return cut_short(session_from_frame(bars, day, history_days=1, **more))


@pytest.fixture(scope="module")
def friday() -> SessionData:
    return made(FRIDAY)


class Book:
    """One book, day after day."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plan: DayPlan

    def run(self, data: SessionData, **changes: Any) -> DayResult:
        forex = next(iter(data.instruments.values())).asset_class is AssetClass.FOREX
        runs = default_runs(AssetClass.FOREX) if forex else carried(default_runs(AssetClass.EQUITY))
        self.plan = plan_for(self.root, data, **({"runs": runs, "shared_symbols": forex} | changes))
        return run_headless(self.plan, all_good)

    @property
    def events(self) -> list[Event]:
        return list(events_of(self.plan))

    def today(self, kind: type[Event]) -> list[Any]:
        events = self.events
        begun = max(n for n, event in enumerate(events) if isinstance(event, SessionOpened))
        return [event for event in events[begun:] if isinstance(event, kind)]

    def held(self) -> dict[str, Position]:
        return {held.symbol: held for held in fold(self.events).positions.values()}


@pytest.fixture
def book(tmp_path: Path, friday: SessionData) -> Book:
    book = Book(tmp_path)
    assert book.run(friday).breaks == 0
    assert book.held(), "the trend follower carries something over the weekend"
    return book


def on_monday(kind: ActivityKind, symbol: str, **more: Any) -> CorporateAction:
    return CorporateAction(kind=kind, symbol=symbol, ex_date=MONDAY, **more)


def in_new_shares(symbol: str, ratio: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    mine = pl.col("symbol") == symbol
    prices = [
        pl.when(mine).then((pl.col(name) / ratio).round(2)).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    ]
    return lambda today: today.with_columns(prices)


def called(symbol: str, new: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda today: today.with_columns(pl.col("symbol").replace({symbol: new}))


def assert_clean(book: Book, result: DayResult) -> None:
    assert result.breaks == 0
    assert not book.today(BreakFound)
    assert result.verdicts["pre-start"] is Verdict.GO
    compared = book.today(ReconciliationCompleted)
    assert {event.trigger for event in compared} >= {Trigger.STARTUP, Trigger.END_OF_SESSION}
    assert {event.result for event in compared} == {"clean"}


def test_a_split_over_the_weekend(book: Book) -> None:
    before = book.held()
    symbol = min(before)
    split = on_monday(ActivityKind.SPLIT, symbol, ratio=D(2))
    result = book.run(made(MONDAY, in_new_shares(symbol, 2), actions=[split]))
    assert_clean(book, result)
    (told,) = book.today(ActivitiesObserved)
    assert [(a.kind, a.symbol, a.qty_after) for a in told.activities] == [("split", symbol, 2 * before[symbol].qty)]
    (restated,) = book.today(PositionRestated)
    assert (restated.qty_before, restated.cost_after) == (before[symbol].qty, before[symbol].cost)
    seen = book.events
    order = [type(event) for event in seen]
    told_at = order.index(ActivitiesObserved)
    assert told_at < max(n for n, kind in enumerate(order) if kind is SessionEquitySet)


def test_a_new_name_and_a_dividend(book: Book) -> None:
    before = book.held()
    symbol = min(before)
    actions = [
        on_monday(ActivityKind.DIVIDEND, symbol, amount=D("0.25")),
        on_monday(ActivityKind.SYMBOL_CHANGE, symbol, new_symbol="ZZZZ"),
    ]
    result = book.run(made(MONDAY, called(symbol, "ZZZZ"), actions=actions))
    assert_clean(book, result)
    (booked,) = book.today(CashBooked)
    assert (booked.amount, booked.symbol) == (before[symbol].qty * D("0.25"), symbol)
    assert [event.new_symbol for event in book.today(PositionRestated)] == ["ZZZZ"]


def test_a_block_follows_a_name_that_nobody_holds(book: Book) -> None:
    limits = Limits(blocked_symbols=("DIRGE",))
    rename = on_monday(ActivityKind.SYMBOL_CHANGE, "DIRGE", new_symbol="REQUIEM")
    book.run(made(MONDAY, called("DIRGE", "REQUIEM"), actions=[rename]), limits=limits)
    blocked = fold(book.events).blocked
    assert set(blocked) == {"DIRGE", "REQUIEM"}
    assert "DIRGE is REQUIEM since 2024-03-11, blocked by limits" in blocked["REQUIEM"].reason
    assert not book.today(ActivitiesObserved)


def test_a_company_that_is_gone(book: Book) -> None:
    symbol = min(book.held())
    gone = on_monday(ActivityKind.DELISTING, symbol, amount=D("12.5"))
    result = book.run(made(MONDAY, lambda today: today.filter(pl.col("symbol") != symbol), actions=[gone]))
    assert_clean(book, result)
    assert symbol not in book.held()


def test_days_the_platform_was_down_are_made_up(book: Book) -> None:
    symbol = min(book.held())
    thursday = FRIDAY + timedelta(days=6)
    missed = [
        CorporateAction(symbol=symbol, ex_date=MONDAY, kind=ActivityKind.SPLIT, ratio=D(2)),
        CorporateAction(symbol=symbol, ex_date=MONDAY + timedelta(days=2), kind=ActivityKind.DIVIDEND, amount=D(1)),
    ]
    before = book.held()[symbol].qty
    result = book.run(made(thursday, in_new_shares(symbol, 2), actions=missed))
    assert_clean(book, result)
    (told,) = book.today(ActivitiesObserved)
    assert [(a.kind, a.effective) for a in told.activities] == [("split", "2024-03-11"), ("dividend", "2024-03-13")]
    assert told.activities[1].amount == 2 * before


def test_a_day_that_was_cut_off_while_it_opened_hears_it_once(book: Book) -> None:
    """The venue has booked the night; the platform could not read it, and starts again."""
    symbol = min(book.held())
    split = on_monday(ActivityKind.SPLIT, symbol, ratio=D(2))
    data = made(MONDAY, in_new_shares(symbol, 2), actions=[split])
    deaf = PlannedFault(call=Call.ACTIVITIES, fault=Fault.UNREACHABLE, times=99)

    def lose_the_line(platform: Platform) -> None:
        platform.broker = platform.shell.broker = FaultyBroker(platform.broker, FaultPlan((deaf,)))

    plan = plan_for(book.root, data, runs=book.plan.runs)
    with pytest.raises(DayRefused, match=r"does not answer .planned: activities is unreachable"):
        run_headless(plan, all_good, on_open=lose_the_line)
    assert_clean(book, book.run(data))
    assert len(book.today(ActivitiesObserved)) == 1
    assert len(book.today(PositionRestated)) == 1


def test_activities_that_come_late_are_waited_for(book: Book) -> None:
    """They are held back when the day opens; the startup comparison reads them and is clean."""
    symbol = min(book.held())
    split = on_monday(ActivityKind.SPLIT, symbol, ratio=D(2))
    late = PlannedFault(call=Call.ACTIVITIES, fault=Fault.HOLD_REPORTS)

    def hold_back(platform: Platform) -> None:
        platform.broker = platform.shell.broker = FaultyBroker(platform.broker, FaultPlan((late,)))

    plan = plan_for(book.root, made(MONDAY, in_new_shares(symbol, 2), actions=[split]), runs=book.plan.runs)
    book.plan = plan
    result = run_headless(plan, all_good, on_open=hold_back)
    assert_clean(book, result)
    assert len(book.today(PositionRestated)) == 1


class TestForex:
    @staticmethod
    def day(shared_data: Path, day: date) -> SessionData:
        return load_session(shared_data / "forex_hourly_9pairs_2015_2018.parquet", day, history_days=4)

    def test_interest_comes_each_night_to_whoever_holds(self, shared_data: Path, tmp_path: Path) -> None:
        """A week with a triple Wednesday and the change to summer time in New York."""
        book, nights = Book(tmp_path), []
        for n in (6, 7, 8, 9, 12, 13):
            result = book.run(self.day(shared_data, date(2018, 3, n)))
            assert_clean(book, result) if n > 6 else None
            for told in book.today(ActivitiesObserved):
                parts = book.today(CashBooked)
                for activity in told.activities:
                    mine = [part.amount for part in parts if part.activity_id == activity.activity_id]
                    assert sum(mine) == activity.amount
                    assert activity.kind is ActivityKind.FINANCING
                nights.append({a.symbol: a.detail.split()[0] for a in told.activities})
        counted = [{*each.values()} for each in nights]
        assert all(counted), "something is carried every night of this week"
        assert [3 in {int(n) for n in each} for each in counted].count(True) >= 1
        assert counted[-1] == {"1"}

    def test_the_ideal_venue_lends_for_nothing(self, shared_data: Path, tmp_path: Path) -> None:
        book = Book(tmp_path)
        for n in (6, 7):
            book.run(self.day(shared_data, date(2018, 3, n)), venue_model=ideal())
        assert book.held()
        assert not book.today(ActivitiesObserved)

    def test_the_day_the_franc_was_let_go(self, shared_data: Path, tmp_path: Path) -> None:
        """2015-01-15: USDCHF falls by a fifth within an hour, with positions from the day before."""
        book = Book(tmp_path)
        for n in (13, 14, 15, 16):
            result = book.run(self.day(shared_data, date(2015, 1, n)))
            assert result.breaks == 0
            assert not book.today(BreakFound)
            assert result.verdicts == {"pre-start": Verdict.GO, "pre-market": Verdict.GO}


def test_the_day_is_told_with_its_date(book: Book) -> None:
    """A session without anything booked says nothing."""
    result = book.run(made(MONDAY))
    assert_clean(book, result)
    assert not book.today(ActivitiesObserved)
    assert replace(book.plan.data).actions == ()
