"""Bars on disk at a boundary, against a raw write and fdatasync of as many bytes; rounds alternate.

Ours checks the frame, hashes it, builds an Arrow batch and syncs.
"""

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from qmworkbench.storage.bar_segments import Kind, batch
from qmworkbench.storage.barstore import BarStore
from qmworkbench.trading.frames import BarFrame

FIRST = datetime(2018, 3, 2, 14, 31, tzinfo=UTC)
BOUNDARIES = {194: 390, 10_000: 120}


def _frame(n: int, symbols: int) -> BarFrame:
    rng = np.random.default_rng(n)
    close = rng.integers(100, 20_000, symbols) / 100
    return BarFrame(
        as_of=FIRST + timedelta(minutes=n),
        index=np.arange(symbols, dtype=np.int32),
        open=close,
        high=close + 0.01,
        low=close - 0.01,
        close=close + 0.005,
        volume=rng.integers(0, 10_000, symbols).astype(np.float64),
    )


def _measured(home: Path, symbols: int, boundaries: int) -> dict[str, Any]:
    blank = bytes(len(batch(_frame(0, symbols), Kind.BARS)))
    raw = os.open(home / f"raw-{symbols}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    ours, theirs = [], []
    with BarStore(home / str(symbols)) as store:
        store.begin([f"S{n:05d}" for n in range(symbols)], 60)
        for frame in [_frame(n, symbols) for n in range(boundaries)]:
            began = perf_counter()
            store.append(frame)
            store.sync()
            ours.append(perf_counter() - began)
            began = perf_counter()
            os.write(raw, blank)
            os.fdatasync(raw)
            theirs.append(perf_counter() - began)
    os.close(raw)
    mine, bare = median(ours) * 1e3, median(theirs) * 1e3
    return {
        "bench": f"bars_on_disk_{symbols}",
        "ours": round(mine, 3),
        "unit": "ms a boundary",
        "peer": "raw write + fdatasync, same bytes",
        "theirs": round(bare, 3),
        "ratio": round(bare / mine, 3),
    }


def run() -> list[dict[str, Any]]:
    """Milliseconds a boundary for the shared day's universe and for a whole market's."""
    where = Path(__file__).resolve().parent / "results"
    where.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where) as directory:
        return [_measured(Path(directory), symbols, boundaries) for symbols, boundaries in BOUNDARIES.items()]
