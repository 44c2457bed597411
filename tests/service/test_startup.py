"""The startup order: each service proves itself, and the first that does not is named with what was found (§6)."""

import dataclasses
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from qmworkbench.domain.events.session import PhaseEntered, ServiceReady
from qmworkbench.domain.sessions import Phase
from qmworkbench.ports import BrokerUnreachable
from qmworkbench.service.blocking import complete
from qmworkbench.service.day import open_or_resume, pre_start
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.platform import Platform, open_platform
from qmworkbench.service.startup import StartupFailed, start_services
from qmworkbench.storage.migrations import HEAD
from qmworkbench.storage.refused import StoreNewer
from qmworkbench.trading import risk
from qmworkbench.trading.phases import STARTUP_ORDER
from tests.service.conftest import events_of
from tests.service.day_process import all_good


async def up_to_startup(platform: Platform) -> None:
    await open_or_resume(platform)
    await pre_start(platform, all_good)


def started(platform: Platform) -> None:
    complete(up_to_startup(platform))
    complete(start_services(platform))


def test_every_service_says_what_it_proved(short_plan: DayPlan) -> None:
    with open_platform(short_plan) as platform:
        started(platform)
        assert tuple(platform.readiness) == STARTUP_ORDER
        assert all(platform.readiness.values())
        assert "sqlite: journal_mode wal, synchronous full" in platform.readiness["store"]
        assert platform.readiness["ui"] == "left out of a headless run"
        assert platform.day.phase is Phase.HEALTH_VERIFICATION
        assert platform.critical_down() == ()


def rewritten(plan: DayPlan, *statements: str) -> None:
    with closing(sqlite3.connect(plan.paths.journal)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_the_store_says_what_it_was_brought_up_from_and_a_newer_one_stops_the_start(short_plan: DayPlan) -> None:
    open_platform(short_plan).close()
    rewritten(short_plan, "DROP TABLE writer", "UPDATE alembic_version SET version_num = '0002'")
    with open_platform(short_plan) as platform:
        started(platform)
        assert f"schema revision {HEAD}, until now 0002" in platform.readiness["store"]
    rewritten(short_plan, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreNewer, match=f"has schema revision 9999, this version .* knows up to {HEAD}: update"):
        open_platform(short_plan)


def no_answer(*_: object) -> object:
    raise BrokerUnreachable("the venue's file is gone")


def lenient(*_: object) -> tuple[()]:
    return ()


def mute(*_: object) -> Callable[[], None]:
    return lambda: None


FAULTS: dict[str, tuple[int, str, Callable[[Platform, pytest.MonkeyPatch], None]]] = {
    "config": (
        1,
        "the journal was edited",
        lambda platform, patch: setattr(platform.day, "limits_hash", "0" * 16),
    ),
    "store": (
        2,
        "put the book where that can be had",
        lambda platform, patch: patch.setattr(
            platform.journal, "durability", lambda: {"journal_mode": "delete", "synchronous": "full"}
        ),
    ),
    "bus": (3, "was not heard", lambda platform, patch: patch.setattr(platform.bus, "follow", mute)),
    "allocator": (
        8,
        "no strategy instance trades equity",
        lambda platform, patch: platform.day.runs.clear(),
    ),
    "risk_manager": (9, "let an order of nothing", lambda platform, patch: patch.setattr(risk, "judge", lenient)),
    "execution": (10, "file is gone", lambda platform, patch: patch.setattr(platform.broker, "account", no_answer)),
}


@pytest.mark.parametrize("service", FAULTS)
def test_the_first_service_that_is_not_ready_stops_the_startup_and_is_named(
    service: str, short_plan: DayPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    position, found, spoil = FAULTS[service]
    with open_platform(short_plan) as platform:
        complete(up_to_startup(platform))
        with monkeypatch.context() as patch:
            spoil(platform, patch)
            with pytest.raises(StartupFailed, match=f"service {position} of 11, {service}: .*{found}"):
                complete(start_services(platform))
        assert list(platform.day.services) == list(STARTUP_ORDER[: position - 1]), "later ones were not started"
        assert platform.day.phase is Phase.STARTUP


def test_a_startup_that_failed_is_resumed_and_notes_no_service_twice(
    short_plan: DayPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_platform(short_plan) as platform:
        complete(up_to_startup(platform))
        monkeypatch.setattr(platform.broker, "account", no_answer)
        with pytest.raises(StartupFailed):
            complete(start_services(platform))
    result = run_headless(short_plan, all_good)
    assert (result.recovered, result.breaks) == (True, 0)
    events = events_of(short_plan)
    ready = [event.service for event in events if isinstance(event, ServiceReady)]
    assert ready == list(STARTUP_ORDER)
    phases = [event.phase for event in events if isinstance(event, PhaseEntered)]
    assert phases.count(Phase.STARTUP) == 1


def test_no_instance_for_the_market_is_said_before_anything_trades(short_plan: DayPlan) -> None:
    without = dataclasses.replace(short_plan, runs=())
    with pytest.raises(StartupFailed, match=r"\[\[strategies\]\]"):
        run_headless(without, all_good)
