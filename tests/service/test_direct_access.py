"""What a direct emergency stands on when the rest has failed: no journal, no session, inside a platform."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.events import wire_name
from qmworkbench.market.demo import demo_session
from qmworkbench.service import config as configuration
from qmworkbench.service import lease as leases
from qmworkbench.service.direct_access import HolderStays, fence_platform, open_direct
from qmworkbench.service.direct_emergency import liquidate_direct
from qmworkbench.service.direct_report import Patience
from qmworkbench.service.direct_takeover import InProcessEmergency
from qmworkbench.service.headless import run_headless
from qmworkbench.service.platform import Platform, StopRequested
from qmworkbench.storage.fallback_file import read_fallback
from qmworkbench.storage.paths import BookPaths
from tests.service.day_process import DEMO_DAY, DEMO_SEED, all_good, plan_for


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose book was stopped while it held positions."""
    home = tmp_path_factory.mktemp("cut-off")
    plan = plan_for(home / "data", demo_session(DEMO_DAY, DEMO_SEED, 100))

    def opened(platform: Platform) -> None:
        def look(delivery: object) -> None:
            if platform.state.positions:
                platform.stop = "enough"

        platform.boundary_listeners.append(look)

    with pytest.raises(StopRequested):
        run_headless(plan, all_good, on_open=opened)
    return home


def paths_of(home: Path) -> BookPaths:
    return BookPaths.under(home / "data", "local", "main")


def test_without_a_readable_journal_the_venue_says_what_is_held(cut_off: Path) -> None:
    paths = paths_of(cut_off)
    hidden = paths.journal.rename(paths.root / "gone")
    paths.journal.write_bytes(b"this was a journal once")
    try:
        with open_direct(configuration.load(cwd=cut_off, environ={})) as (broker, record, session_id):
            assert session_id == "unknown"
            held = broker.positions()
            assert held
            assert record.trouble == ""
            report = liquidate_direct(
                broker,
                record,
                book="main",
                session_id=session_id,
                reason="the journal is gone",
                operator="ann",
                patience=Patience(wait_s=0.0),
            )
        assert not report.flat
        assert {line.symbol for line in report.lines} == {position.symbol for position in held}
        assert read_fallback(paths.fallback).rooted_at == (0, GENESIS)
    finally:
        paths.journal.unlink()
        hidden.rename(paths.journal)
        paths.fallback.unlink(missing_ok=True)


def test_inside_a_platform_the_answer_comes_at_once_and_a_second_click_joins(cut_off: Path, tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "data", demo_session(DEMO_DAY, DEMO_SEED, 100))
    emergency = InProcessEmergency(Patience(wait_s=0.2, poll_s=0.05))
    answers: list[str] = []

    def opened(platform: Platform) -> None:
        emergency.opened(platform)

        async def click_twice() -> None:
            answers.append(await emergency("ann", "journal failed"))
            answers.append(await emergency("ann", "journal failed"))
            assert await emergency.finished(10.0)

        def look(delivery: object) -> None:
            if platform.state.positions and not answers:
                asyncio.run(click_twice())
                platform.stop = "enough"

        platform.boundary_listeners.append(look)

    with pytest.raises(StopRequested):
        run_headless(plan, all_good, on_open=opened)
    assert "watch the broker" in answers[0]
    assert "under way" in answers[1]
    names = [wire_name(record.event) for record in read_fallback(plan.paths.fallback).records]
    assert names.count("emergency.started") == 1
    assert names.count("order.intended") == 1


def test_fencing_nobody_is_a_fence_all_the_same(tmp_path: Path) -> None:
    paths = BookPaths(tmp_path).create()
    said: list[str] = []
    fence_platform(paths, operator="ann", reason="x", say=said.append)
    assert "fenced (epoch 1)" in said[0]
    found = leases.fence_of(paths.lease)
    assert found is not None
    assert found.by == "ann"


def test_a_holder_on_another_machine_is_not_ended_from_here(tmp_path: Path) -> None:
    paths = BookPaths(tmp_path).create()
    with leases.Lease.acquire(paths.lease, process_id="p", command="qm day"):
        paths.lease.write_bytes(paths.lease.read_bytes().replace(b'"host":"', b'"host":"elsewhere-'))
        with pytest.raises(HolderStays, match="elsewhere-"):
            fence_platform(paths, operator="ann", reason="x", say=lambda line: None)


def test_a_fallback_log_that_was_never_taken_over_is_trouble_and_no_obstacle(cut_off: Path) -> None:
    paths = paths_of(cut_off)
    config = configuration.load(cwd=cut_off, environ={})
    from qmworkbench.storage.fallback import FallbackLog

    with FallbackLog(paths.fallback, (1, "f" * 64)):
        pass
    try:
        with open_direct(config) as (broker, record, _session):
            assert "never imported" in record.trouble
            assert broker.account().cash > Decimal(0)
    finally:
        paths.fallback.unlink()
