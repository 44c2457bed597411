"""Days that many tests look at, each run once."""

import dataclasses
from pathlib import Path

import pytest

from qmworkbench.domain.events import Event
from qmworkbench.market.session import SessionData
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.result import DayResult
from qmworkbench.storage.journal_reader import JournalReader
from tests.service.day_process import all_good, cut_short, demo_day, plan_for


@dataclasses.dataclass(frozen=True)
class PastDay:
    """A day that was run to its close."""

    plan: DayPlan
    result: DayResult

    @property
    def events(self) -> list[Event]:
        return events_of(self.plan)


def events_of(plan: DayPlan) -> list[Event]:
    """Every decision in a plan's journal."""
    with JournalReader(plan.paths.journal) as journal:
        return [event for _, event in journal.events()]


@pytest.fixture(scope="session")
def demo() -> SessionData:
    """A small demo market that trades."""
    return demo_day()


@pytest.fixture(scope="session")
def past_day(demo: SessionData, tmp_path_factory: pytest.TempPathFactory) -> PastDay:
    """A whole demo day, run once and only looked at."""
    plan = plan_for(tmp_path_factory.mktemp("past"), demo)
    return PastDay(plan, run_headless(plan, all_good))


@pytest.fixture
def plan(demo: SessionData, tmp_path: Path) -> DayPlan:
    """A plan of the same day in a book of its own, signals in one pass because that is quicker."""
    return plan_for(tmp_path, demo, compute="one-pass")


@pytest.fixture
def short_plan(demo: SessionData, tmp_path: Path) -> DayPlan:
    """A plan of the day as if the market closed early, in a book of its own."""
    return plan_for(tmp_path, cut_short(demo), compute="one-pass")
