"""Many days: a month of 194 symbols through `qm day --from --to`, and four years of nine pairs through `qm replay`.

Both run as a person would start them, in processes of their own, imports included. Beside each stands what the machine
needs to read the same rows and compute the strategies' indicators over them once, without a day, a book or a venue.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import polars as pl

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.market.demo import demo_bars, demo_symbols
from qmworkbench.service.frames import period_signals
from qmworkbench.service.runs import default_runs
from qmworkbench.service.session_data import FileSessions

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHARES, PAIRS = DATA / "us_equity_minute_2018.parquet", DATA / "forex_hourly_9pairs_2015_2018.parquet"
PEER = "reading the rows and computing the signals of all strategies once"


def _run(home: Path, *arguments: str) -> tuple[dict[str, Any], float]:
    """A command's answer, and its seconds from start to end."""
    qm = Path(sys.executable).with_name("qm")
    began = perf_counter()
    done = subprocess.run([str(qm), *arguments, "--json"], cwd=home, capture_output=True, text=True, check=False)
    took_s = perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"qm {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found, took_s


def _bare_s(file: Path, days: Sequence[date], market: AssetClass) -> float:
    """Seconds to read the sessions and compute every default instance's signals for them in one pass."""
    began = perf_counter()
    sessions = FileSessions(file, history_days=10)
    held = [sessions.session(day, until=days[-1]) for day in days]
    runs = default_runs(market, held[0].universe.symbols)
    signals = period_signals(runs, held)
    for data in held:
        signals.session(data.window.date, data.universe.symbols)
    return perf_counter() - began


def _file(home: Path, recorded: Path) -> tuple[Path, str]:
    """The recorded bars; where they are not, a made-up week of as many symbols."""
    if recorded.exists():
        return recorded, "recorded"
    path = home / "demo.parquet"
    demo_bars(date(2024, 3, 8), 7, demo_symbols(194), history_days=4).write_parquet(path)
    return path, "demo"


def _measured(name: str, how: Sequence[str], recorded: Path, market: AssetClass) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="qm-bench-") as directory:
        home = Path(directory)
        file, kind = _file(home, recorded)
        rows = pl.scan_parquet(file).select(pl.len()).collect(engine="in-memory").item()
        found, took_s = _run(home, *how, "--data", str(file), "--from", "2000-01-01")
        days = [date.fromisoformat(line["date"]) for line in found["days"]]
        bare_s = _bare_s(file, days, market)
    return {
        "bench": name,
        "ours": round(took_s, 2),
        "unit": "s",
        "peer": PEER,
        "theirs": round(bare_s, 2),
        "ratio": round(bare_s / took_s, 3),
        "note": f"{len(days)} {kind} sessions, {rows:,} rows, {found['trades']:,} trades, {found['breaks']} breaks",
        "rows_per_s": round(rows / took_s),
        "session_ms": round(took_s / len(days) * 1e3, 1),
    }


def run() -> list[dict[str, Any]]:
    """Both lines."""
    month = ("day", "--one-pass", "--no-reports")
    found = [_measured("days_month_of_194_symbols", month, SHARES, AssetClass.EQUITY)]
    if PAIRS.exists():
        found.append(_measured("replay_four_years_of_nine_pairs", ("replay",), PAIRS, AssetClass.FOREX))
    return found
