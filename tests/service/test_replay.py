"""A replay decides what a full day decides: every event is the same, but for what the checklists looked at."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import zip_longest
from pathlib import Path

import msgspec
import pytest

from qmworkbench.domain.events import Event, wire_name
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.session import PreflightRecorded
from qmworkbench.domain.sessions import Environment
from qmworkbench.market.bars import load_session
from qmworkbench.market.session import SessionData
from qmworkbench.service.frames import period_signals
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.replay import Replay
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State, state_hash
from tests.service.conftest import events_of
from tests.service.day_process import all_good, cut_short, demo_day, plan_for


def told(event: Event) -> Event:
    """An event without what a replay is said to differ in."""
    if isinstance(event, PreflightRecorded):
        return msgspec.structs.replace(event, checks_hash="", failed=())
    return event


def demand_the_same(full: Sequence[Event], replayed: Sequence[Event]) -> None:
    """Name the first event that differs."""
    for number, (ours, theirs) in enumerate(zip_longest(map(told, full), map(told, replayed))):
        assert ours == theirs, f"event {number}"
    assert len(full) > 100


def both(
    tmp_path: Path, sessions: Sequence[SessionData], *, with_period: bool, compute: str = "one-pass"
) -> tuple[list[Event], list[Event]]:
    """The decisions of the same days in the full shell and in a replay."""
    plans = [plan_for(tmp_path, data, compute=compute, environment=Environment.BACKTEST) for data in sessions]
    for plan in plans:
        run_headless(plan, all_good)
    return events_of(plans[0]), replayed(plans, with_period=with_period)


def replayed(plans: Sequence[DayPlan], *, with_period: bool) -> list[Event]:
    journal = MemoryJournal(book="main")
    instruments = {name: one for plan in plans for name, one in plan.data.instruments.items()}
    signals = period_signals(plans[0].runs, [plan.data for plan in plans]) if with_period else None
    with Replay(plans[0], instruments.values(), journal=journal) as replay:
        for plan in plans:
            replay.session(plan, signals)
    return [event for _, event in journal.read()]


@pytest.mark.parametrize("compute", ["one-pass", "incremental"])
def test_a_demo_day_is_decided_alike(tmp_path: Path, compute: str) -> None:
    full, again = both(tmp_path, [cut_short(demo_day(), 60)], with_period=False, compute=compute)
    demand_the_same(full, again)
    assert "session.closed" in {wire_name(event) for event in again}


def test_days_of_forex_are_decided_alike_with_signals_of_the_period(tmp_path: Path, shared_data: Path) -> None:
    """Over a weekend, with positions carried and financing booked."""
    file = shared_data / "forex_hourly_9pairs_2015_2018.parquet"
    days = [load_session(file, date(2015, 1, day)) for day in (15, 16, 19)]
    full, again = both(tmp_path, days, with_period=True)
    demand_the_same(full, again)
    assert state_hash(fold(again, State())) != state_hash(State())
    assert "fill.recorded" in {wire_name(event) for event in again}


def test_days_of_equities_are_decided_alike_with_signals_of_the_period(tmp_path: Path, shared_data: Path) -> None:
    file = shared_data / "us_equity_minute_2018.parquet"
    days = [load_session(file, date(2018, 3, day)) for day in (1, 2)]
    full, again = both(tmp_path, days, with_period=True)
    demand_the_same(full, again)
    assert {"order.intended", "trade.closed"} <= {wire_name(event) for event in again}


def test_what_differs_is_seen() -> None:
    """The comparison would find another decision."""
    at = datetime(2024, 3, 8, 14, 30, tzinfo=UTC)
    with pytest.raises(AssertionError, match="event 1"):
        demand_the_same([ClockTicked(at=at)] * 2, [ClockTicked(at=at), ClockTicked(at=at + timedelta(seconds=1))])
