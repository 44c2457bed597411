"""A period replayed: how many of its sessions are read at a time changes nothing, and what is refused is told (§2)."""

from datetime import date
from pathlib import Path

import pytest

from qmworkbench.market.findings import DataRefused
from qmworkbench.market.session import SessionData
from qmworkbench.service.config import load
from qmworkbench.service.days import stretch
from qmworkbench.service.replay_days import ReplayDays
from qmworkbench.service.session_data import DemoSessions

FIRST, LAST = date(2024, 3, 6), date(2024, 3, 7)


def days(root: Path, sessions: DemoSessions, at_a_time: int) -> ReplayDays:
    flags = {"environment": ("backtest", "this test"), "feed.compute": ("one-pass", "this test")}
    config = load(cwd=root, environ={}, flags=flags)
    return ReplayDays(config, sessions, stretch(sessions, FIRST, LAST), sessions_ahead=at_a_time)


def demo() -> DemoSessions:
    return DemoSessions(7, history_days=1, symbols=10)


def test_sessions_read_one_by_one_come_to_the_same(tmp_path: Path) -> None:
    whole = days(tmp_path, demo(), 100).run()
    pieces = days(tmp_path, demo(), 1).run()
    assert [line.decision_head for line in pieces.days] == [line.decision_head for line in whole.days]
    assert len(whole.days) == 2


class _Refusing(DemoSessions):
    def session(self, day: date, *, until: date | None = None) -> SessionData:
        if day == LAST:
            raise DataRefused([])
        return super().session(day, until=until)


def test_a_session_that_cannot_be_made_is_told_after_those_before_it(tmp_path: Path) -> None:
    replay = days(tmp_path, _Refusing(7, history_days=1, symbols=10), 1)
    with pytest.raises(DataRefused):
        replay.run()
    assert [line.date for line in replay.lines] == ["2024-03-06"]
