"""When a watched day tells that its session has begun: with the first bars of the session, never with those before."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from qmworkbench.cli.day_run import DayRun

OPEN = datetime(2024, 3, 8, 14, 30, tzinfo=UTC)


def delivery(minute: int, *, extended: bool) -> SimpleNamespace:
    return SimpleNamespace(frame=SimpleNamespace(as_of=OPEN + timedelta(minutes=minute), extended=extended))


@pytest.mark.parametrize("before_the_open", [0, 3])
def test_the_reports_begin_once_and_with_the_first_regular_bars(before_the_open: int) -> None:
    told: list[int] = []
    run = DayRun.__new__(DayRun)
    run._progress, run._seen, run._begun = None, 0, False
    for minute in range(-before_the_open, 3):
        run._on_first = lambda minute=minute: told.append(minute)
        run._on_boundary(delivery(minute, extended=minute < 0))
    assert told == [0]
