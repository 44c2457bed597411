"""The journal against the bare disk: events made durable, beside a raw file that is written and fdatasynced alike.

Ours encodes, chains, crosses to the writer thread and commits in SQLite; the peer writes the same bytes, already
encoded, and calls fdatasync as often. Rounds alternate, since a disk is not the same from one second to the next.
`journal_queue` is what the kernel's own thread pays: no disk is waited for.
"""

import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

from qmworkbench.domain.events import Event, encode
from qmworkbench.domain.events.orders import OrderChanged
from qmworkbench.domain.orders import Arc, OrdStatus
from qmworkbench.storage.journal import SqliteJournal

AT = datetime(2018, 3, 2, 14, 31, tzinfo=UTC)
GROUPS = {1: 400, 10: 200, 100: 100, 1000: 30}  # events to a sync -> syncs a round
ROUNDS = 3
QUEUED = 50_000


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


def _seconds(act: Callable[[], object]) -> float:
    began = perf_counter()
    act()
    return perf_counter() - began


def _grouped(home: Path, group: int, syncs: int) -> tuple[float, float]:
    """Events per second made durable: ours, and the raw file's."""
    events = _events(group)
    payload = b"".join(encode(event) for event in events)
    raw = os.open(home / f"raw-{group}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def ours() -> None:
        for _ in range(syncs):
            journal.append(events)
            journal.sync()

    def theirs() -> None:
        for _ in range(syncs):
            os.write(raw, payload)
            os.fdatasync(raw)

    with SqliteJournal(home / f"journal-{group}.db", book="bench") as journal:
        journal.append(events)
        journal.sync()
        spent = [(_seconds(ours), _seconds(theirs)) for _ in range(ROUNDS)]
    os.close(raw)
    return (group * syncs / min(mine for mine, _raw in spent), group * syncs / min(raw for _mine, raw in spent))


def _streamed(home: Path) -> tuple[float, float, float]:
    """Events per second, one append each and one sync at the end: queued, durable, and the raw file's."""
    events = _events(QUEUED)
    payloads = [encode(event) for event in events]
    queued, durable, raw_spent = [], [], []
    for turn in range(ROUNDS):
        with SqliteJournal(home / f"stream-{turn}.db", book="bench") as journal:
            began = perf_counter()
            for event in events:
                journal.append([event])
            queued.append(perf_counter() - began)
            journal.sync()
            durable.append(perf_counter() - began)
            commits = journal.commits
        raw = os.open(home / f"raw-stream-{turn}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        share = -(-QUEUED // commits)
        began = perf_counter()
        for start in range(0, QUEUED, share):
            os.write(raw, b"".join(payloads[start : start + share]))
            os.fdatasync(raw)
        raw_spent.append(perf_counter() - began)
        os.close(raw)
    return QUEUED / min(queued), QUEUED / min(durable), QUEUED / min(raw_spent)


def _result(bench: str, ours: float, theirs: float, peer: str) -> dict[str, Any]:
    return {
        "bench": bench,
        "ours": round(ours),
        "unit": "events/s",
        "peer": peer,
        "theirs": round(theirs),
        "ratio": round(ours / theirs, 3),
    }


def run() -> list[dict[str, Any]]:
    """Durable events per second by group size, and the queue's own speed."""
    results = []
    where = Path(__file__).resolve().parent / "results"
    where.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where) as directory:
        home = Path(directory)
        for group, syncs in GROUPS.items():
            ours, theirs = _grouped(home, group, syncs)
            results.append(_result(f"journal_durable_by_{group}", ours, theirs, "raw write + fdatasync, same groups"))
        queued, durable, raw = _streamed(home)
        results.append(_result("journal_durable_stream", durable, raw, "raw write + fdatasync, as many syncs"))
        results.append(_result("journal_queue", queued, durable, "the same events made durable"))
    return results
