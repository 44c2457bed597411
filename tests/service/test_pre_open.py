"""The scan before the open in a whole day over recorded extended hours: on record, and judged by its window (§8)."""

from datetime import date
from pathlib import Path

import msgspec

from qmworkbench.domain.checks import CheckStatus
from qmworkbench.market.bars import load_session
from qmworkbench.operations.preflight import PreflightPhase, PreflightRecord
from qmworkbench.service.config import load
from qmworkbench.service.evidence import platform_preflight
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import plan_of
from qmworkbench.service.platform import Platform

DAY = date(2013, 10, 7)


def test_a_day_scans_the_recorded_hour_before_its_open(shared_data: Path, tmp_path: Path) -> None:
    config = load(environ={}, cwd=tmp_path)
    data = load_session(shared_data / "us_equity_minute_lean_201310.parquet", DAY, history_days=1)
    seen: list[Platform] = []
    run_headless(plan_of(config, data), platform_preflight(config), on_open=seen.append)
    scan = seen[0].day.pre_open
    assert scan is not None
    assert scan.looked_at == 4
    assert (scan.used_from, scan.used_until) == (scan.window_from, data.window.opens_at)
    kept = seen[0].session_paths.preflight(PreflightPhase.PRE_MARKET.value)
    record = msgspec.json.decode(kept.read_bytes(), type=PreflightRecord)
    (check,) = (check for check in record.checks if check.check_id == "premarket.pre_open_scan")
    assert check.status is CheckStatus.PASS
    assert "4 symbols" in check.value
