"""The four signals of a whole day: told at fixed boundaries, the same however signals are computed, across a resume,
and from the record alone."""

import dataclasses
import json
from datetime import date
from pathlib import Path

import msgspec
import polars as pl
import pytest

from qmworkbench.analytics.signal_readings import CODES
from qmworkbench.analytics.signal_settings import SignalSettings
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.analytics import AnalyticsObserved
from qmworkbench.domain.events.control import AlertCleared, AlertRaised
from qmworkbench.domain.events.market import BoundaryClosed
from qmworkbench.domain.events.session import AuditRecorded, SessionSummarized
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.sessions import Priority
from qmworkbench.market.bars import load_session
from qmworkbench.market.session import SessionData
from qmworkbench.service.analytics_watch import AnalyticsWatch, recorded
from qmworkbench.service.core_service import CoreService
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.platform import Platform, StopRequested, open_platform
from qmworkbench.service.runs import default_runs
from qmworkbench.trading.analytics_watch import REMEDIES
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State
from tests.service.conftest import events_of
from tests.service.day_process import all_good, plan_for

DAY = date(2018, 3, 2)
LIVELY = (
    *("AOBC", "GPS", "HLF", "JWN", "LB", "ODP", "OPK", "SPLK", "SWN", "UAA", "UHS", "XON"),
    *("AAPL", "AMD", "MU", "TSLA"),
)
# Small samples, so that a day of few symbols has something to say.
EARLY = SignalSettings(
    slippage_bps=5, slippage_fills=2, failed_entries=1, failed_entries_of=3, late_exits_least=2, late_exit_pct=10,
    share_trades=3, share_positions=2, observe_every=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def lively(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> SessionData:
    """2018-03-02 of a few symbols, most of which were traded."""
    bars = pl.read_parquet(shared_data / "us_equity_minute_2018.parquet").filter(pl.col("symbol").is_in(LIVELY))
    file = tmp_path_factory.mktemp("bars") / "bars.parquet"
    bars.write_parquet(file)
    return load_session(file, DAY)


def plan_in(root: Path, data: SessionData, **changes: object) -> DayPlan:
    runs = [run for run in default_runs(AssetClass.EQUITY) if run.definition_id in ("donchian", "opening-range")]
    given = {"runs": tuple(msgspec.structs.replace(run, max_symbols=10) for run in runs), "compute": "one-pass"}
    return plan_for(root, data, **(given | {"analytics": EARLY} | changes))


@dataclasses.dataclass
class Lived:
    plan: DayPlan
    events: list[Event]
    watch: AnalyticsWatch
    state: State


@pytest.fixture(scope="module")
def lived(lively: SessionData, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    plan = plan_in(tmp_path_factory.mktemp("lived"), lively)
    opened: list[Platform] = []
    run_headless(plan, all_good, on_open=opened.append)
    return Lived(plan, events_of(plan), opened[0].analytics, opened[0].state)


def told(events: list[Event]) -> list[AnalyticsObserved]:
    return [event for event in events if isinstance(event, AnalyticsObserved)]


def test_the_day_has_something_to_say_and_every_change_is_told_once(lived: Lived) -> None:
    observed = told(lived.events)
    assert {signal.code for event in observed for signal in event.signals} == set(CODES) == set(REMEDIES)
    standing: dict[tuple[str, str], bool] = {}
    for event in observed[:-1]:
        for signal in event.signals:
            assert signal.active != standing.get((signal.code, signal.subject), False), "only changes are told"
            standing[signal.code, signal.subject] = signal.active
    assert True in standing.values()
    assert False in standing.values()


def test_observations_come_at_fixed_boundaries_and_once_before_the_summary(lived: Lived) -> None:
    boundary = 0
    for event in lived.events:
        if isinstance(event, BoundaryClosed):
            boundary = event.boundary
        elif isinstance(event, AnalyticsObserved) and event is not told(lived.events)[-1]:
            assert boundary % EARLY.observe_every == 0
    last = lived.events.index(told(lived.events)[-1])
    assert isinstance(lived.events[last + 1], AlertRaised | AlertCleared | AuditRecorded | SessionSummarized)
    assert {signal.code for signal in told(lived.events)[-1].signals} == set(CODES)


def test_a_signal_that_speaks_is_a_p2_alert_with_its_numbers(lived: Lived) -> None:
    raised = [event.alert for event in lived.events if isinstance(event, AlertRaised) and event.alert.kind in CODES]
    assert raised
    assert all(alert.priority is Priority.P2 and alert.remedy == REMEDIES[alert.kind] for alert in raised)
    standing = {(a.kind, a.key) for a in lived.state.alerts.values() if a.kind in CODES}
    assert standing == {name for name, active in lived.watch.seen.told.items() if active}


def test_however_signals_are_computed_the_same_is_told(lived: Lived, lively: SessionData, tmp_path: Path) -> None:
    plan = plan_in(tmp_path, lively, compute="incremental")
    run_headless(plan, all_good)
    assert told(events_of(plan)) == told(lived.events)


def test_a_resumed_day_comes_to_the_same(lived: Lived, lively: SessionData, tmp_path: Path) -> None:
    plan = plan_in(tmp_path, lively)

    def opened(platform: Platform) -> None:
        def look(_: object) -> None:
            if platform.day.boundary == 331:
                platform.stop = "enough"

        platform.boundary_listeners.append(look)

    with pytest.raises(StopRequested):
        run_headless(plan, all_good, on_open=opened)
    run_headless(plan, all_good)
    assert told(events_of(plan)) == told(lived.events)


def test_the_record_alone_shows_what_the_page_showed(lived: Lived) -> None:
    again = recorded(lived.plan.paths, fold(lived.events), EARLY)
    shown, told_live = again.shown(), lived.watch.shown()
    assert shown["signals"] == told_live["signals"]
    assert [row["code"] for row in shown["signals"]] == sorted(
        [row["code"] for row in shown["signals"]], key=list(CODES).index
    )


def test_a_session_that_has_seen_nothing_shows_four_empty_rows() -> None:
    watch = AnalyticsWatch()
    assert [(row["code"], row["state"], row["value"]) for row in watch.shown()["signals"]] == [
        (code, "none", None) for code in CODES
    ]
    assert watch.shown()["observed_at"] is None


def test_between_fixed_boundaries_and_without_news_nothing_is_observed(lived: Lived) -> None:
    watch = AnalyticsWatch(EARLY)
    watch.take(lived.events)
    assert watch.observe(lived.state, 4) is None
    assert watch.observe(lived.state, 0) is None
    watch.observe(lived.state, 6)
    found = watch.found
    assert watch.observe(lived.state, 9) is None
    assert watch.found is found, "nothing was judged again"


def test_the_snapshot_holds_the_signals_as_the_watch_has_them(lively: SessionData, tmp_path: Path) -> None:
    with open_platform(plan_in(tmp_path, lively)) as platform:
        core = CoreService(platform, market_now=platform.wall)
        shown = json.loads(core.view().body)["analytics"]
        assert [row["code"] for row in shown["signals"]] == list(CODES)
        assert shown == json.loads(json.dumps(platform.analytics.shown()))
