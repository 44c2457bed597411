"""How soon a book is ready again, and how much is durable how soon, beside what the machine could do at the least.

`fold_verified`: stored records proven, decoded where the fold needs them, and folded; the peer only decodes the same
payloads. `fold`: events that are decoded already. `ready_from_checkpoint`: a book of a million records opened, its
newest checkpoint loaded and the rest folded; the peer reads the same file's bytes once. `durable_single` and
`durable_grouped`: inputs through the kernel's own journal with a sync after each, or after each hundred; the peer
writes the same bytes to a raw file and calls fdatasync as often. Rounds alternate, since a disk is not the same from
one second to the next. The events are a real session's: the kernel against the venue, in their true mixture.
"""

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from qmworkbench.domain.chain import GENESIS, Record, link
from qmworkbench.domain.events import Event, decode, encode, wire_name
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.orders import OrderChanged
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Arc, OrdStatus
from qmworkbench.service.recovery import restore
from qmworkbench.storage.checkpoints import Checkpoints
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.trading.fold import fold
from qmworkbench.trading.fold_records import fold_verified
from qmworkbench.trading.state import State, encode_state, state_hash
from tests.trading.world import World

AT = datetime(2018, 3, 2, 14, 31, tzinfo=UTC)
ROUNDS = 3
RECORDS = int(os.environ.get("QM_BENCH_RECORDS", "1000000"))
TAIL = 20_000  # records after the newest checkpoint: a busy session's
SINGLE, GROUPED, GROUP = 1_500, 30_000, 100


def session_events() -> list[Event]:
    """One busy session of four symbols, as the kernel decides it."""
    limits = Limits(entry_cutoff_min=1, max_trades_per_day=1_000, max_submits_per_minute=1_000)
    return [decode(line) for line in World(seed=3, boundaries=200, signal_rate=0.5, limits=limits).run().journal]


def records_of(events: list[Event]) -> list[Record]:
    """The events as stored."""
    found, head = [], GENESIS
    for seq, event in enumerate(events, start=1):
        payload = encode(event)
        before, head = head, link(head, seq, payload)
        found.append(Record(seq=seq, type=wire_name(event), payload=payload, prev_hash=before, hash=head))
    return found


def _best(act: Callable[[], object]) -> float:
    """Seconds of the best round; the collector rests, as it does while a book is restored."""
    spent = []
    for _ in range(ROUNDS):
        gc.collect()
        gc.disable()
        began = perf_counter()
        act()
        spent.append(perf_counter() - began)
        gc.enable()
    return min(spent)


def _result(bench: str, ours: float, unit: str, peer: str, theirs: float, ratio: float) -> dict[str, Any]:
    return {
        "bench": bench,
        "ours": round(ours, 3) if ours < 100 else round(ours),
        "unit": unit,
        "peer": peer,
        "theirs": round(theirs, 3) if theirs < 100 else round(theirs),
        "ratio": round(ratio, 3),
    }


def _folding(events: list[Event]) -> Iterator[dict[str, Any]]:
    records = records_of(events)
    payloads = [record.payload for record in records]

    def decoded() -> None:
        for payload in payloads:
            decode(payload)

    count = len(events)
    verified = count / _best(lambda: fold_verified(records, State(), (0, GENESIS)))
    raw = count / _best(decoded)
    folded = count / _best(lambda: fold(events))
    yield _result("fold_verified", verified, "events/s", "decoding them alone", raw, verified / raw)
    yield _result("fold", folded, "events/s", "decoding them alone", raw, folded / raw)


def _many(events: list[Event], count: int) -> Iterator[Event]:
    """A book of `count` records: the session's, then small ones, as a clock that ticks for days."""
    yield from islice(events, count)
    at = events[-1].at
    for number in range(count - len(events)):
        yield ClockTicked(at=at + timedelta(milliseconds=number))


def _ready(home: Path, events: list[Event]) -> dict[str, Any]:
    path = home / "journal.db"
    checkpoints = Checkpoints(home / "checkpoints")
    stream = _many(events, RECORDS)
    state = State()
    with SqliteJournal(path, book="bench") as journal:
        while batch := list(islice(stream, 10_000)):
            journal.append(batch)
            fold(batch, state)
            if journal.head[0] == RECORDS - TAIL:
                journal.sync()
                checkpoints.write(journal.head[0], journal.head[1], encode_state(state), state_hash(state))
    whole = state_hash(state)

    def ready() -> None:
        with SqliteJournal.open(path) as journal:
            restored = restore(journal, checkpoints)
        assert restored.seq == RECORDS
        assert restored.from_checkpoint == RECORDS - TAIL
        assert state_hash(restored.state) == whole

    def read() -> None:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass

    ours, theirs = _best(ready), _best(read)
    name = f"ready_from_checkpoint_of_{RECORDS}"
    return _result(name, ours, "s", "reading the file's bytes once", theirs, theirs / ours)


def _inputs(count: int) -> list[Event]:
    """Small decisions such as a session is full of."""
    return [
        OrderChanged(
            at=AT,
            cl_ord_id=f"qm-20180302-AAPL-entry-{n:016x}",
            arc=Arc.ACK,
            status=OrdStatus.ACCEPTED,
            cum_qty=Decimal(0),
            order_qty=Decimal(100),
        )
        for n in range(count)
    ]


def _durable(home: Path, group: int, count: int) -> tuple[float, float]:
    events = _inputs(count)
    payloads = [encode(event) for event in events]
    ours, theirs = [], []
    for turn in range(ROUNDS):
        raw = os.open(home / f"raw-{group}-{turn}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        with SqliteJournal(home / f"durable-{group}-{turn}.db", book="bench") as journal:
            began = perf_counter()
            for start in range(0, count, group):
                journal.append(events[start : start + group])
                journal.sync()
            ours.append(perf_counter() - began)
        began = perf_counter()
        for start in range(0, count, group):
            os.write(raw, b"".join(payloads[start : start + group]))
            os.fdatasync(raw)
        theirs.append(perf_counter() - began)
        os.close(raw)
    return count / min(ours), count / min(theirs)


def run() -> list[dict[str, Any]]:
    """All of them."""
    events = session_events()
    results = list(_folding(events))
    where = Path(__file__).resolve().parent / "results"
    where.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where) as directory:
        home = Path(directory)
        for name, group, count in (("single", 1, SINGLE), ("grouped", GROUP, GROUPED)):
            ours, theirs = _durable(home, group, count)
            peer = "raw write + fdatasync, same groups"
            results.append(_result(f"durable_{name}", ours, "inputs/s", peer, theirs, ours / theirs))
        results.append(_ready(home, events))
    return results
