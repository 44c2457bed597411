"""A platform whose database stalls says so in health, and is well again when it goes on (§7, §21)."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qmworkbench.service import health_watch
from qmworkbench.service.book_lease import LeaseLapsed
from qmworkbench.service.health import HealthStatus
from qmworkbench.service.health_watch import HEALTH_WITHIN_S, look
from qmworkbench.service.live import HEALTH_EVERY_S
from qmworkbench.service.platform import open_platform
from qmworkbench.storage.stores import Store
from tests import servers
from tests.service.day_process import cut_short, demo_day, plan_for
from tests.stalling_proxy import StallingProxy
from tests.storage.events import decisions


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stall_is_told_soon_and_nothing_is_sent_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert health_watch.COMMIT_LIMIT_S + HEALTH_EVERY_S <= HEALTH_WITHIN_S, "as long as a stall may go untold"
    monkeypatch.setattr(health_watch, "COMMIT_LIMIT_S", 0.2)
    socket = Path(servers.postgres().demand_running().socket)
    with StallingProxy(str(next(socket.glob(".s.PGSQL.*[0-9]")))) as between:
        address = f"postgresql://qm@127.0.0.1:{between.port}/qm?sslmode=disable&gssencmode=disable"
        store = Store(kind="postgres", address=address)
        plan = plan_for(tmp_path, cut_short(demo_day()), store=store, beat_ttl_s=1.0)
        with open_platform(plan) as platform:

            def store_is() -> tuple[HealthStatus, str]:
                look(platform, serving=False, loop_lag_ms=0)
                found = platform.board.of("store")
                return found.status, found.detail

            between.stall()
            platform.journal.append(decisions(1))
            platform.journal.append_telemetry([])
            eventually(lambda: store_is()[0] is HealthStatus.FAILED)
            assert "a commit has been under way for" in store_is()[1]
            assert "store" in platform.critical_down(), "which holds entries"
            # The beat hangs with it: what was decided before is not sent either, once the lease is over.
            eventually(lambda: "was not renewed" in platform.book_lease.trouble())
            with pytest.raises(LeaseLapsed, match="nothing is sent"):
                platform.book_lease.check()
            between.go_on()
            assert platform.journal.sync() == 1
            eventually(lambda: store_is()[0] is HealthStatus.HEALTHY)
            platform.book_lease.check()
