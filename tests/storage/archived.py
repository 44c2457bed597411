"""A book with closed sessions and all that lies beside them, small: what archive and retention are tried on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.session import SessionClosed, SessionOpened
from qmworkbench.domain.events.telemetry import BoundaryTimed, HealthSampled, ProcessStarted
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.paths import BookPaths, SessionPaths
from qmworkbench.storage.projections import catch_up_book
from qmworkbench.storage.quarantine import add_quarantined
from qmworkbench.storage.snapshots import SnapshotStore
from qmworkbench.storage.stores import SQLITE, Store, open_journal
from tests.storage import bars
from tests.storage.days import day

BOOK = "desk"
ARCHIVED_AT = datetime(2026, 3, 5, 1, tzinfo=UTC)
FIRST, SECOND, THIRD = "local-2026-03-02", "local-2026-03-03", "local-2026-03-04"
_TIMED = 6


def made(root: Path, store: Store = SQLITE, *, third: str = "closed", book: str = BOOK) -> BookPaths:
    """A book of two traded sessions, and a third one without a trade that is "closed" or "open"; "none": of one."""
    paths = BookPaths(root).create()
    with open_journal(paths, book=book, store=store) as journal:
        for events in _by_session(day(days=2))[: 1 if third == "none" else None]:
            opened = next(event for event in events if isinstance(event, SessionOpened))
            journal.append(events)
            journal.append_telemetry(telemetry_of(opened))
        if third != "none":
            opened_again = _later(opened)
            closing = [SessionClosed(at=opened_again.at + timedelta(minutes=40), session_id=THIRD)]
            journal.append([opened_again, *(closing if third == "closed" else [])])
            journal.append_telemetry(telemetry_of(opened_again))
        journal.sync()
    for number, session_id in enumerate((FIRST, SECOND, THIRD)[: 1 if third == "none" else None]):
        fill(paths.session(session_id), number)
    catch_up_book(paths)
    return paths


def fill(session: SessionPaths, seed: int) -> None:
    """The files of a session: bars with their ground, radar, quarantine, logs, and a verdict beside them."""
    session.create()
    with BarStore(session.bars) as store:
        store.begin(bars.SYMBOLS, bars.INTERVAL_S)
        for n in range(9):
            store.append(bars.frame(n, seed=seed))
        store.append_correction(bars.frame(3, seed=seed + 100))
        moments = pl.Series("as_of", [bars.boundary(n) for n in range(9)], dtype=pl.Datetime("us", "UTC"))
        rng = np.random.default_rng(seed)
        spreads = pl.DataFrame(rng.random((9, len(bars.SYMBOLS))), schema=list(bars.SYMBOLS), orient="row")
        spreads = spreads.with_columns(
            pl.when(pl.col("S000") < 0.5).then(float("nan")).otherwise(pl.col("S000")).alias("S000")
        )
        store.write_frame("spreads", spreads.insert_column(0, moments))
        store.write_frame("warmup", pl.DataFrame({"symbol": ["A", None], "x": [1.5, None], "day": [1, 2]}))
        store.sync()
        store.compact()
    (session.bars / "torn-at-7.bin").write_bytes(b"\x00torn\xff")
    with SnapshotStore(session.radar, top=3, buffered=2) as radar:
        for n in range(5):
            radar.append(
                pl.DataFrame(
                    {"as_of": [bars.boundary(n)] * 4, "symbol": list("ABCD"), "score": [0.5, None, 2.0, n + 0.25],
                     "rank": [1, 2, 3, 4]},
                    schema_overrides={"as_of": pl.Datetime("us", "UTC"), "rank": pl.Float64},
                )
            )  # fmt: skip
    add_quarantined(session.quarantine, pl.DataFrame({"symbol": ["é"], "reason": ["CROSSED"], "close": [float("nan")]}))
    (session.logs / "qm.jsonl").write_text('{"level":"info"}\n{"level":"warning","text":"≤"}\nno line end')
    (session.root / "day.json").write_text('{"verdict":"GO"}')


def files_of(root: Path) -> dict[str, bytes]:
    """Every file below `root`, but for locks and what a database keeps beside itself."""
    passing = (".writer", "-wal", "-shm", "lease", "lease.epoch")
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.endswith(passing))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def _by_session(events: tuple[Event, ...]) -> list[list[Event]]:
    """The events up to each close."""
    found: list[list[Event]] = [[]]
    for event in events:
        found[-1].append(event)
        if isinstance(event, SessionClosed):
            found.append([])
    return [part for part in found if part]


def _later(opened: SessionOpened) -> SessionOpened:
    window = msgspec.structs.replace(opened.window, date=THIRD.removeprefix("local-"))
    return msgspec.structs.replace(opened, at=opened.at + timedelta(days=1), session_id=THIRD, window=window)


def telemetry_of(opened: Event) -> list[Any]:
    """A process, whose time is the wall's, then boundaries and samples on the market's."""
    name = f"p-{opened.session_id}"
    started = ProcessStarted(
        at=datetime(2030, 1, 1, tzinfo=UTC), process_id=name, host="h", pid=1, user="u", command="qm day", versions={}
    )
    found: list[Any] = [started]
    for n in range(_TIMED):
        at = opened.at + timedelta(minutes=11 + n)
        found.append(
            BoundaryTimed(
                at=at, boundary=n, lateness_ms=0.5 * n, radar_ms=1.0, signals_ms=1.0, decide_ms=0.1, journal_ms=0.2
            )
        )
        found.append(
            HealthSampled(at=at, component="feed", status="healthy", latency_ms=1.0, last_success="", detail=f"n {n}")
        )
    return found
