"""The journal against the bare disk: events made durable, beside a raw file that is written and fdatasynced alike.

Ours encodes, chains, hands over and commits; what it can reach is bounded by the disk:

- `journal_single_*`: one event, one commit. The peer is one write and one fdatasync of a file that grows, bytes ready;
  ours adds what the database writes around the row, and gains what a file saves that has its room already
  (wal_room.py). With PostgreSQL the hand to the writer's thread and back, and a round trip between two processes, come
  on top: plain psycopg, committing the same bytes, stands beside it.
- `journal_group_64_*`: 64 producers in one event loop, each waiting for its own event before it appends the next. The
  peer is the very same loop (encoding, chaining, waking) whose writer keeps the payloads in a raw file with one
  fdatasync a commit, or in a plain PostgreSQL table. The interpreter is what both have in common, and what bounds both
  on a fast disk.
- `journal_durable_by_N`: N events a commit from one thread, against ready bytes; here the interpreter is the limit, and
  a raw file that is handed ready bytes has none of it.
- `journal_queue`: what the kernel's own thread pays; no disk is waited for.

`p99_ms` is of the wait for an acknowledgement, `theirs_p99_ms` the peer's: where the peer's is far above a millisecond
the disk itself is being held back, and the figure says nothing of ours.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.disk_peers import (
    PRODUCERS,
    RawFile,
    RawPostgresSink,
    RawSink,
    RawTable,
    Written,
    encoded,
    one_by_one,
    paired,
    postgres,
    produced,
)
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.orders import OrderChanged
from qmworkbench.domain.orders import Arc, OrdStatus
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.postgres.journal import PostgresJournal

AT = datetime(2018, 3, 2, 14, 31, tzinfo=UTC)
ROUNDS = 15
SINGLE = 40  # events a round
EACH = 12  # events of each producer a round
GROUPS = {10: 20, 100: 10, 1000: 4}  # events to a sync -> syncs a round
QUEUED = 50_000
RAW = "raw write + fdatasync"


def _events(count: int) -> list[Event]:
    return [
        OrderChanged(
            at=AT,
            cl_ord_id=f"qm-20180302-AAPL-entry-{n:016x}",
            arc=Arc.ACK,
            status=OrdStatus.ACCEPTED,
            cum_qty=Decimal(0),
            order_qty=Decimal(100),
            order_id=f"v{n}",
        )
        for n in range(count)
    ]


def _single(store: str, journal: ChainedJournal[Any], peers: dict[str, Any]) -> Iterator[dict[str, Any]]:
    events = _events(SINGLE)
    payloads = encoded(events)
    for peer, raw in peers.items():
        name = f"journal_single_{store}" + ("" if peer == RAW else "_psycopg")
        yield paired(
            name,
            f"{peer}, an event each",
            ROUNDS,
            SINGLE,
            lambda: one_by_one(journal, events),
            lambda raw=raw: raw.one_by_one(payloads),  # type: ignore[misc]
        )
        raw.close()


def _group(store: str, journal: ChainedJournal[Any], peers: dict[str, ChainedJournal[Any]]) -> Iterator[dict[str, Any]]:
    events = _events(PRODUCERS * EACH)
    for peer, raw in peers.items():
        name = f"journal_group_64_{store}" + ("" if peer == RAW else "_psycopg")

        def theirs(raw: ChainedJournal[Any] = raw) -> list[float]:
            return asyncio.run(produced(raw, events))

        yield paired(
            name,
            f"{peer}, the same loop",
            ROUNDS,
            len(events),
            lambda: asyncio.run(produced(journal, events)),
            theirs,
        )
        raw.close()


def _grouped(home: Path) -> Iterator[dict[str, Any]]:
    for group, syncs in GROUPS.items():
        events = _events(group)
        payload = b"".join(encoded(events))
        raw = RawFile(home / f"raw-{group}")
        with SqliteJournal(home / f"journal-{group}.db", book="bench") as journal:

            def ours(journal: SqliteJournal = journal, events: list[Event] = events, syncs: int = syncs) -> list[float]:
                spent = []
                for _ in range(syncs):
                    began = perf_counter()
                    journal.append(events)
                    journal.sync()
                    spent.append(perf_counter() - began)
                return spent

            def theirs(raw: RawFile = raw, payload: bytes = payload, syncs: int = syncs) -> list[float]:
                return raw.one_by_one([payload] * syncs)

            yield paired(f"journal_durable_by_{group}", f"{RAW}, ready bytes", ROUNDS, group * syncs, ours, theirs)
        raw.close()


def _queue(home: Path) -> dict[str, Any]:
    """Events per second from the kernel's thread, one append each; beside it the same made durable at the end."""
    events = _events(QUEUED)
    queued, durable = [], []
    for turn in range(3):
        with SqliteJournal(home / f"stream-{turn}.db", book="bench") as journal:
            began = perf_counter()
            for event in events:
                journal.append([event])
            queued.append(perf_counter() - began)
            journal.sync()
            durable.append(perf_counter() - began)
    ours, theirs = QUEUED / min(queued), QUEUED / min(durable)
    return {
        "bench": "journal_queue",
        "ours": round(ours),
        "unit": "events/s",
        "peer": "the same events made durable",
        "theirs": round(theirs),
        "ratio": round(ours / theirs, 3),
    }


def _stores(home: Path, dsn: str | None) -> Iterator[tuple[str, Callable[[str], ChainedJournal[Any]]]]:
    yield "sqlite", lambda name: SqliteJournal(home / f"{name}.db", book="bench")
    if dsn is not None:
        yield "postgres", lambda name: PostgresJournal(dsn, book=name)


def run() -> list[dict[str, Any]]:
    """Every line above, for each store there is."""
    results: list[dict[str, Any]] = []
    where = Path(__file__).resolve().parent / "results"
    where.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where) as directory, postgres(Path(directory)) as dsn:
        home = Path(directory)
        for store, opened in _stores(home, dsn):
            peers: dict[str, Any] = {RAW: RawFile(home / f"raw-single-{store}")}
            loops: dict[str, ChainedJournal[Any]] = {RAW: Written(RawSink(home / f"raw-group-{store}"))}
            if store == "postgres" and dsn is not None:
                peers["plain psycopg"] = RawTable(dsn, "raw_single")
                loops["plain psycopg"] = Written(RawPostgresSink(dsn, "raw_group"))
            with opened("single") as journal:
                results += _single(store, journal, peers)
            with opened("group") as journal:
                results += _group(store, journal, loops)
        results += _grouped(home)
        results.append(_queue(home))
    return results
