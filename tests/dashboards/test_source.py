"""The one producer: what it keeps, what it notices, and that a reading never changes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dashboards.core_api import CoreApi, book_endpoint
from dashboards.reading import LinkState
from dashboards.source import SnapshotSource
from tests.dashboards import scenarios
from tests.dashboards.fake_core_api import FakeCoreApi


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeCoreApi]:
    served = FakeCoreApi(scenarios.day(), scenarios.health())
    served.write_api_json(tmp_path)
    yield served
    served.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(fake: FakeCoreApi, tmp_path: Path, clock: Clock) -> Iterator[SnapshotSource]:
    api = CoreApi(book_endpoint(tmp_path))
    yield SnapshotSource(api, monotonic=clock)
    api.close()


def test_before_the_first_answer_nothing_is_known(source: SnapshotSource) -> None:
    reading = source.latest()
    assert (reading.link.state, reading.snapshot, reading.contact_at) == (LinkState.WAITING, None, None)


def test_the_first_answer(source: SnapshotSource, clock: Clock) -> None:
    source.poll()
    reading = source.latest()
    assert reading.link.state is LinkState.OK
    assert reading.snapshot is not None
    assert reading.snapshot["version"] == 40
    assert reading.health is not None
    assert (reading.contact_at, reading.boundary_at) == (clock.now, clock.now)


def test_an_unchanged_platform_is_contact_and_no_new_revision(source: SnapshotSource, clock: Clock) -> None:
    source.poll()
    first = source.latest()
    clock.now += 0.4
    source.poll()
    second = source.latest()
    assert second.revision == first.revision
    assert second.snapshot is first.snapshot
    assert (first.contact_at, second.contact_at) == (1000.0, 1000.4)
    assert second.contact_age_s(1001.4) == pytest.approx(1.0)


def test_health_is_asked_for_once_a_second(source: SnapshotSource, fake: FakeCoreApi, clock: Clock) -> None:
    source.poll()
    fake.health = scenarios.health("degraded", bus=("degraded", "slow"))
    clock.now += 0.4
    source.poll()
    assert source.latest().health == scenarios.health()
    clock.now += 0.7
    source.poll()
    assert source.latest().health == fake.health


def test_data_age_by_the_boundary_not_by_the_version(source: SnapshotSource, fake: FakeCoreApi, clock: Clock) -> None:
    source.poll()
    clock.now += 30
    fake.show(scenarios.day() | {"alerts": [scenarios.alert("P2", "x", "y", "z")]})
    source.poll()
    assert source.latest().data_age_s(clock.now) == 30
    newer = scenarios.day()
    newer["feed"]["boundary_at"] = scenarios.minute(213)
    fake.show(newer)
    source.poll()
    assert source.latest().data_age_s(clock.now) == 0


def test_a_lost_platform_keeps_its_last_snapshot_under_a_lost_link(
    source: SnapshotSource, fake: FakeCoreApi, clock: Clock
) -> None:
    source.poll()
    before = source.latest()
    fake.stop()
    clock.now += 5
    source.poll()
    lost = source.latest()
    assert lost.link.state is LinkState.DOWN
    assert lost.snapshot is before.snapshot
    assert lost.contact_age_s(clock.now) == 5
    assert lost.revision == before.revision + 1
    source.poll()
    assert source.latest().revision == lost.revision  # the same trouble is one revision


def test_after_a_gap_the_same_version_number_is_not_trusted(source: SnapshotSource, fake: FakeCoreApi) -> None:
    """A restarted platform counts its versions from 1 again: 40 may be another 40."""
    source.poll()
    fake.stop()
    source.poll()
    fake.snapshot = scenarios.daily_loss() | {"version": 40}
    fake.start()
    source.poll()
    reading = source.latest()
    assert reading.link.state is LinkState.OK
    assert reading.snapshot is not None
    assert reading.snapshot["trading_state"]["code"] == "max_daily_loss"


def test_another_process_is_another_count_even_without_a_gap(
    source: SnapshotSource, fake: FakeCoreApi, tmp_path: Path
) -> None:
    source.poll()
    fake.snapshot = scenarios.daily_loss() | {"version": 40}
    fake.write_api_json(tmp_path, process_id="p2")
    source.poll()
    snapshot = source.latest().snapshot
    assert snapshot is not None
    assert snapshot["trading_state"]["code"] == "max_daily_loss"


def test_a_new_token_is_found_by_itself(source: SnapshotSource, fake: FakeCoreApi, tmp_path: Path) -> None:
    source.poll()
    fake.token = "another"
    source.poll()
    assert source.latest().link.state is LinkState.REFUSED
    fake.write_api_json(tmp_path, process_id="p2")
    source.poll()
    assert source.latest().link.state is LinkState.OK


def test_milestones_are_those_of_the_present_session(source: SnapshotSource, fake: FakeCoreApi) -> None:
    fake.snapshot, events = scenarios.closed()
    yesterday = [event | {"seq": event["seq"] - 10_000} for event in events]
    fake.events = [*yesterday, *events]
    # the fake hands out what follows `after`, and the journal begins at 1
    fake.events = [event | {"seq": n} for n, event in enumerate(fake.events, start=1)]
    source.poll()
    milestones = source.latest().milestones
    assert [event["type"] for event in milestones] == [
        "session.preflight_recorded",
        "session.preflight_recorded",
        "session.summarized",
    ]
    assert milestones[0]["seq"] == 6


def test_the_thread_polls_until_it_is_stopped(fake: FakeCoreApi, tmp_path: Path) -> None:
    api = CoreApi(book_endpoint(tmp_path))
    source = SnapshotSource(api, poll_s=0.01)
    source.start()
    while source.latest().revision == 0:
        time.sleep(0.002)
    fake.show(scenarios.daily_loss())
    while (source.latest().snapshot or {}).get("version") != 41:
        time.sleep(0.002)
    source.stop()
    asked = len(fake.headers)
    api.close()
    assert len(fake.headers) == asked


def test_the_end_keeps_the_last_word(source: SnapshotSource, fake: FakeCoreApi) -> None:
    source.poll()
    fake.snapshot, _ = scenarios.closed()
    source.end()
    reading = source.latest()
    assert reading.link.state is LinkState.ENDED
    assert reading.snapshot is not None
    assert reading.snapshot["phase"] == "closed"
