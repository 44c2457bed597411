"""A whole market session with everything on: durable bars, venue and journal, radar, scan, signals, risk, orders.

`session_s` is the time from the first boundary to the session's close, as `qm day` reports it. The peer works off as
many bars of one symbol with one strategy and no journal. The disk's own fdatasync stands beside it, because a session
waits for it.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from bench import peers
from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import Environment
from qmworkbench.market.bars import load_session
from qmworkbench.market.demo import demo_session, wide_session
from qmworkbench.market.session import SessionData
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan
from qmworkbench.service.platform import Platform
from qmworkbench.service.result import DayResult
from qmworkbench.service.runs import default_runs
from qmworkbench.storage.paths import BookPaths
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.venue.costs import costed

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "us_equity_minute_2018.parquet"
DAY = date(2018, 3, 2)
SYNCS = 300
ROUNDS = 2


def _nothing_against_it(platform: Platform, phase: str) -> list[Check]:
    """The checklist is timed elsewhere (bench_commands)."""
    line = {"section": "bench", "title": "bench", "looked_at": "", "value": "", "expectation": ""}
    return [Check(check_id="bench", status=CheckStatus.PASS, **line)]


def _plan(directory: Path, data: SessionData, owned: int, compute: str) -> DayPlan:
    """A day in which `owned` symbols are owned from the first minutes on: every symbol is a candidate, the best
    ranked first.
    """
    runs = default_runs(AssetClass.EQUITY)
    each = owned // len(runs)
    shared = tuple(msgspec.structs.replace(run, max_symbols=each, budget_pct=Decimal(40) / each) for run in runs)
    return DayPlan(
        book="bench",
        environment=Environment.LOCAL,
        paths=BookPaths.under(directory, "local", "bench"),
        data=data,
        limits=Limits(max_trades_per_day=10_000, max_open_positions=owned, max_daily_loss=Decimal(50_000)),
        scan=ScanSettings(mode="all", window_open_min=1, max_candidates=owned),
        runs=shared,
        venue_model=costed(),
        account_currency="USD",
        initial_cash=Decimal(1_000_000),
        config_hash="bench",
        max_candidates=owned,
        max_owned=owned,
        compute="one-pass" if compute == "one-pass" else "incremental",
    )


@contextmanager
def _home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="qm-bench-") as name:
        yield Path(name)


def _session(data: SessionData, owned: int, compute: str, rounds: int = ROUNDS) -> DayResult:
    """The quickest of some rounds."""
    results = []
    for _ in range(rounds):
        with _home() as home:
            results.append(run_headless(_plan(home, data, owned, compute), _nothing_against_it))
    return min(results, key=lambda result: result.session_s)


def _fdatasync_s() -> float:
    """What one fdatasync of a small write takes on the disk of the session, in seconds."""
    with _home() as home:
        fd = os.open(home / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        began = perf_counter()
        for _ in range(SYNCS):
            os.write(fd, b"x" * 512)
            os.fdatasync(fd)
        took_s = perf_counter() - began
        os.close(fd)
    return took_s / SYNCS


def _day() -> tuple[SessionData, str]:
    if SHARED.exists():
        return load_session(SHARED, DAY), "194 real symbols"
    return demo_session(date(2024, 3, 8), 7, 194), "194 demo symbols"


def _counts(result: DayResult) -> str:
    return f"{result.bars} bars, {result.orders} orders, {result.fills} fills"


def small() -> list[dict[str, Any]]:
    """A real day of 194 symbols with 20 owned, both ways of computing signals."""
    data, what = _day()
    peer = peers.nautilus(data.bars)
    found = []
    for compute in ("incremental", "one-pass"):
        result = _session(data, 20, compute)
        found.append(
            {
                "bench": f"session_{compute.replace('-', '_')}",
                "ours": result.session_s,
                "unit": "s",
                "peer": "nautilus_trader 1.221, as many bars of one symbol, no journal",
                "theirs": round(peer["took_s"], 3),
                "ratio": round(peer["took_s"] / result.session_s, 2),
                "note": f"{what}, 20 owned, durable journal: {_counts(result)}",
                "fdatasync_ms": round(_fdatasync_s() * 1e3, 3),
            }
        )
    return found


def wide() -> list[dict[str, Any]]:
    """10,000 symbols for 390 minutes, with 20 and with 200 owned."""
    data = wide_session(10_000)
    peer = peers.nautilus()
    found = []
    for owned in (20, 200):
        result = _session(data, owned, "incremental", rounds=1)
        rate = result.bars / result.session_s
        found.append(
            {
                "bench": f"session_10000_symbols_{owned}_owned",
                "ours": round(rate),
                "unit": "bars/s",
                "peer": "nautilus_trader 1.221, one symbol, no journal",
                "theirs": round(peer["bars_per_s"]),
                "ratio": round(rate / peer["bars_per_s"], 1),
                "note": f"{_counts(result)}, session {result.session_s} s",
            }
        )
    return found


def run() -> list[dict[str, Any]]:
    """All of them."""
    return [*small(), *wide()]
