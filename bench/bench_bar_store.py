"""A bar store of 10,000 symbols: one symbol's whole time, a day's cross-section, a hundred symbols' month, an addition.

Each is asked of a process of its own, for its peak memory. Beside it: polars reading the same files bare, and the bytes
of the row groups that hold the answer, read raw. In CPU seconds, best of three; `wall_s` is beside it.

`python bench/bench_bar_store.py --days 252 --keep DIR` makes a year (983 million bars, about 7.5 GB) and measures that.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

SYMBOLS, DAYS, FIRST = 10_000, 5, date(2024, 1, 2)
ONE = ["S05000"]
HUNDRED = [f"S{k * 7919 % SYMBOLS:05d}" for k in range(100)]
_TIMES = 3


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────────


def day_of_bars(opens: datetime, minutes: int, seed: int) -> Any:
    """Every symbol's every minute of a session: walks in cents."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(seed)
    shape = (SYMBOLS, minutes)
    close = rng.integers(500, 30_000, SYMBOLS)[:, None] + np.cumsum(rng.integers(-3, 4, shape, dtype=np.int32), axis=1)
    close = np.maximum(close, 100)
    opened = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    values = {
        "open": opened,
        "high": np.maximum(opened, close) + rng.integers(0, 3, shape, dtype=np.int32),
        "low": np.minimum(opened, close) - rng.integers(0, 3, shape, dtype=np.int32),
        "close": close,
    }
    at = np.int64(opens.timestamp()) * 1_000_000 + np.arange(minutes, dtype=np.int64) * 60_000_000
    names = pl.Series([f"S{k:05d}" for k in range(SYMBOLS)])
    codes = pl.Series(np.repeat(np.arange(SYMBOLS, dtype=np.uint32), minutes))
    columns = {
        "symbol": names.gather(codes),
        "ts": pl.Series(np.tile(at, SYMBOLS)).cast(pl.Datetime("us", "UTC")),
        **{name: cents.ravel() / 100 for name, cents in values.items()},
        "volume": rng.integers(1, 200, SYMBOLS * minutes) * 100.0,
    }
    return pl.DataFrame(columns)


def make(folder: Path, days: int) -> None:
    """A store of so many sessions; those that are there already stay."""
    from qmworkbench.market.calendars import SessionCalendar
    from qmworkbench.market.store.manifest import MANIFEST, Cut, Manifest, Prices, encoded, is_store, read_manifest
    from qmworkbench.service.bar_store.parts import Facts, write_part
    from qmworkbench.storage.atomic import write_whole

    folder.mkdir(parents=True, exist_ok=True)
    facts = Facts(SessionCalendar("XNYS"), 60, Prices.AS_PRINTED)
    sessions = [FIRST]
    while len(sessions) < days:
        sessions.append(facts.calendar.next_session(sessions[-1]))
    parts = list(read_manifest(folder).parts) if is_store(folder) else []
    for number, day in enumerate(sessions[len(parts) :], start=len(parts)):
        hours = facts.calendar.session_window(day)
        bars = day_of_bars(hours.opens_at, hours.length_s // 60, number)
        parts.append(write_part(folder, str(day), bars, facts, ()))
        manifest = Manifest(
            market="XNYS", interval_s=60, cut=Cut.DAY, prices=facts.prices, additions=(), parts=tuple(parts)
        )
        write_whole(folder / MANIFEST, encoded(manifest))


# ── what is asked of it ──────────────────────────────────────────────────────────────────────────────────────────────


def _month(store: Any) -> tuple[datetime, datetime]:
    """The newest 21 sessions of a store, or as many as it has."""
    days = store.manifest.parts[-21:]
    return days[0].first_ts, days[-1].last_ts.replace(second=59)


def _asked(folder: Path, what: str) -> tuple[Callable[[], int], Callable[[], int], list[Path], list[str] | None]:
    """Ours and the peer's way to the answer (both give its rows), the files and the symbols that hold it."""
    import polars as pl

    from qmworkbench.market.store.reading import open_store

    store = open_store(folder)
    start, end = store.manifest.parts[0].first_ts, store.manifest.parts[-1].last_ts.replace(second=59)
    symbols: list[str] | None = ONE
    if what == "hundred_symbols_month":
        (start, end), symbols = _month(store), HUNDRED
    if what == "cross_section_day":
        last = store.manifest.parts[-1]
        start, end, symbols = last.first_ts, last.last_ts.replace(second=59), None
    files = [folder / part.file for part in store.parts(start, end)]

    def ours() -> int:
        opened = open_store(folder)
        return (opened if symbols is None else opened.only(symbols)).read(start, end).height

    def bare() -> int:
        lazy = pl.scan_parquet(files, glob=False, hive_partitioning=False)
        wanted = lazy if symbols is None else lazy.filter(pl.col("symbol").is_in(symbols))
        return wanted.filter(pl.col("ts").is_between(start, end)).collect(engine="in-memory").height

    return ours, bare, files, symbols


def touched(files: list[Path], symbols: list[str] | None) -> tuple[list[tuple[Path, int, int]], int, int]:
    """Where the answer lies by Parquet's own statistics: (file, offset, bytes), row groups of it, row groups in all."""
    import pyarrow.parquet as pq

    pieces, groups, every = [], 0, 0
    for file in files:
        metadata = pq.ParquetFile(file).metadata
        every += metadata.num_row_groups
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            told = group.column(0).statistics
            if symbols is None or any(told.min <= name <= told.max for name in symbols):
                groups += 1
                columns = [group.column(k) for k in range(group.num_columns)]
                first = min(c.dictionary_page_offset or c.data_page_offset for c in columns)
                pieces.append((file, first, sum(c.total_compressed_size for c in columns)))
    return pieces, groups, every


def _raw(pieces: list[tuple[Path, int, int]]) -> int:
    read = 0
    for file, offset, length in pieces:
        fd = os.open(file, os.O_RDONLY)
        read += len(os.pread(fd, length, offset))
        os.close(fd)
    return read


def _peak_mb() -> float:
    """The process's own high-water mark; that of getrusage outlives exec and would be the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _timed(work: Callable[[], int]) -> tuple[float, float, int]:
    best, wall, answer = float("inf"), float("inf"), 0
    for _ in range(_TIMES):
        began, cpu = perf_counter(), process_time()
        answer = work()
        best, wall = min(best, process_time() - cpu), min(wall, perf_counter() - began)
    return best, wall, answer


def child(folder: Path, what: str, who: str) -> dict[str, Any]:
    """One question, asked in this process by one of the two, or its bytes read raw."""
    ours, bare, files, symbols = _asked(folder, what)
    before = _peak_mb()
    facts: dict[str, Any] = {}
    if who == "raw":
        pieces, groups, every = touched(files, symbols)
        facts = {"mb": round(sum(length for _, _, length in pieces) / 1e6, 1), "row_groups": f"{groups} of {every}"}
        cpu, wall, rows = _timed(lambda: _raw(pieces))
    else:
        cpu, wall, rows = _timed(ours if who == "ours" else bare)
    return {"cpu_s": cpu, "wall_s": wall, "rows": rows, "idle_mb": before, "peak_mb": _peak_mb(), **facts}


def _ask(folder: Path, what: str, who: str) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--ask", what, who, "--keep", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def measured(folder: Path) -> Iterator[dict[str, Any]]:
    """The three questions of a store, beside polars bare and the raw bytes."""
    from qmworkbench.market.store.manifest import read_manifest

    manifest = read_manifest(folder)
    for what in ("one_symbol_all_days", "cross_section_day", "hundred_symbols_month"):
        ours, bare, raw = (_ask(folder, what, who) for who in ("ours", "bare", "raw"))
        assert ours["rows"] == bare["rows"]
        yield {
            "bench": f"bar_store_{what}_of_{len(manifest.parts)}_days",
            "ours": round(ours["cpu_s"], 3),
            "unit": "CPU s",
            "peer": "polars.scan_parquet on the same files, filtered",
            "theirs": round(bare["cpu_s"], 3),
            "ratio": round(bare["cpu_s"] / ours["cpu_s"], 3),
            "rows": ours["rows"],
            "of_rows": manifest.rows,
            "peak_mb": round(ours["peak_mb"]),
            "above_idle_mb": round(ours["peak_mb"] - ours["idle_mb"]),
            "peer_above_idle_mb": round(bare["peak_mb"] - bare["idle_mb"]),
            "wall_s": round(ours["wall_s"], 3),
            "peer_wall_s": round(bare["wall_s"], 3),
            "touched_mb": raw["mb"],
            "row_groups": raw["row_groups"],
            "raw_read_wall_s": round(raw["wall_s"], 3),
        }


def adding(home: Path) -> dict[str, Any]:
    """One day of 10,000 symbols added from a Parquet file, beside polars reading, sorting and writing it bare."""
    day_of_bars(datetime(2024, 1, 2, 14, 30, tzinfo=UTC), 390, 0).write_parquet(home / "day.parquet")
    ours, bare = (_ask(home, "adding", who) for who in ("ours", "bare"))
    return {
        "bench": "bar_store_adding_a_day",
        "ours": round(ours["cpu_s"], 2),
        "unit": "CPU s, 3.9 million bars checked, hashed, with their manifest, synced",
        "peer": "polars: read, sort, write",
        "theirs": round(bare["cpu_s"], 2),
        "ratio": round(bare["cpu_s"] / ours["cpu_s"], 3),
        "peak_mb": round(ours["peak_mb"]),
        "peer_peak_mb": round(bare["peak_mb"]),
    }


def child_adding(home: Path, who: str) -> dict[str, Any]:
    """An addition in this process."""
    import polars as pl

    from qmworkbench.service.bar_store.adding import Terms, add

    def ours() -> int:
        shutil.rmtree(home / "added", ignore_errors=True)
        return add(home / "added", home / "day.parquet", Terms(), datetime(2024, 1, 3, tzinfo=UTC)).manifest.rows

    def bare() -> int:
        bars = pl.read_parquet(home / "day.parquet").sort("symbol", "ts")
        bars.write_parquet(home / "bare.parquet")
        return bars.height

    before = _peak_mb()
    cpu, wall, rows = _timed(ours if who == "ours" else bare)
    return {"cpu_s": cpu, "wall_s": wall, "rows": rows, "idle_mb": before, "peak_mb": _peak_mb()}


def run() -> list[dict[str, Any]]:
    """CPU seconds of each question on five days, and of adding one."""
    where = HERE / "results"
    where.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where) as directory:
        home = Path(directory)
        make(home / "store", DAYS)
        return [*measured(home / "store"), adding(home)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--ask", nargs=2)
    asked = parser.parse_args()
    if asked.ask and asked.ask[0] == "adding":
        print(json.dumps(child_adding(asked.keep, asked.ask[1])))
    elif asked.ask:
        print(json.dumps(child(asked.keep, *asked.ask)))
    else:
        make(asked.keep, asked.days)
        for line in measured(asked.keep):
            print(json.dumps(line), flush=True)
