"""How soon a book is ready again, beside what the machine could do at the least.

- `fold_verified`: stored records proven, decoded where the fold needs them, and folded; the peer only decodes the same
  payloads, each of them. The limit is what one interpreter does for an event: SHA-256 over it, with its call about
  a microsecond, its decoding, and the change of state.
- `fold`: events that are decoded already.
- `read_records_*`, `read_events_*`: a stored book read from the store without verification, as records and as events.
  The limit of the first is making objects of a row's values: the peer fetches the same columns with the driver
  alone. That of the second is decoding: the peer decodes ready payloads. Decisions of a common kind and size.
- `ready_from_checkpoint_*`: a book of a million records opened for writing, its newest checkpoint loaded, the rest
  folded; the peer reads all that is stored once, which is the least that finding it undamaged would take: the file's
  bytes here, there the server its rows.

The events folded are a real session's: the kernel against the venue, in their true mixture. The collector of cycles
rests in every line and peer, as it does while a book is restored. Seconds are those of the process's own work (CPU):
nothing here waits for a disk, and a machine that others use as well says nothing by its clock; `ready` is by the wall.
"""

import gc
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import psycopg

from bench.disk_peers import postgres
from qmworkbench.domain.chain import GENESIS, Record, link
from qmworkbench.domain.events import Event, decode, decode_raw, encode, wire_name
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.orders import OrderChanged
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Arc, OrdStatus
from qmworkbench.service.recovery import restore
from qmworkbench.storage.checkpoints import Checkpoints
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.journal_select import RECORD
from qmworkbench.storage.postgres.journal import PostgresJournal
from qmworkbench.storage.postgres.reader import PostgresReader
from qmworkbench.storage.sqlite import connect_readonly
from qmworkbench.trading.fold import fold
from qmworkbench.trading.fold_records import fold_verified
from qmworkbench.trading.state import State, encode_state, state_hash
from tests.trading.world import World

AT = datetime(2018, 3, 2, 14, 31, tzinfo=UTC)
ROUNDS = 12  # short ones: what others do on the machine spares some of them
RECORDS = int(os.environ.get("QM_BENCH_RECORDS", "1000000"))
TAIL = 20_000  # records after the newest checkpoint: a busy session's
READ = 60_000


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


def _best(
    *acts: Callable[[], object], clock: Callable[[], float] = process_time, rounds: int = ROUNDS
) -> tuple[float, ...]:
    """Seconds of each one's best round. They take turns: a machine that is slow for a while is slow for all of them.
    The collector rests, as it does while a book is restored.
    """
    best = [float("inf")] * len(acts)
    for _ in range(rounds):
        for number, act in enumerate(acts):
            gc.collect()
            gc.disable()
            began = clock()
            act()
            best[number] = min(best[number], clock() - began)
            gc.enable()
    return tuple(best)


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

    spent = _best(lambda: fold_verified(records, State(), (0, GENESIS)), decoded, lambda: fold(events))
    verified, raw, folded = (len(events) / seconds for seconds in spent)
    yield _result("fold_verified", verified, "events/s", "decoding them alone", raw, verified / raw)
    yield _result("fold", folded, "events/s", "decoding them alone", raw, folded / raw)


def _many(events: list[Event], count: int) -> Iterator[Event]:
    """A book of `count` records: the session's, then small ones, as a clock that ticks for days."""
    yield from islice(events, count)
    at = events[-1].at
    for number in range(count - len(events)):
        yield ClockTicked(at=at + timedelta(milliseconds=number))


def _ready(
    store: str, opened: Callable[[], Any], read: Callable[[], object], home: Path, events: list[Event]
) -> dict[str, Any]:
    """`opened` opens the store's journal for writing and makes it where there is none; `read` is the peer."""
    checkpoints = Checkpoints(home / f"checkpoints-{store}")
    stream = _many(events, RECORDS)
    state = State()
    with opened() as journal:
        while batch := list(islice(stream, 10_000)):
            journal.append(batch)
            fold(batch, state)
            if journal.head[0] == RECORDS - TAIL:
                journal.sync()
                checkpoints.write(journal.head[0], journal.head[1], encode_state(state), state_hash(state))
    whole = state_hash(state)

    def ready() -> None:
        with opened() as journal:
            restored = restore(journal, checkpoints)
        assert restored.seq == RECORDS
        assert restored.from_checkpoint == RECORDS - TAIL
        assert state_hash(restored.state) == whole

    ours, theirs = _best(ready, read, clock=perf_counter, rounds=5)
    name = f"ready_from_checkpoint_of_{RECORDS}_{store}"
    return _result(name, ours, "s", "reading all that is stored once", theirs, theirs / ours)


def _ready_in_each(home: Path, dsn: str | None, events: list[Event]) -> Iterator[dict[str, Any]]:
    path = home / "journal.db"

    def read_file() -> None:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass

    yield _ready("sqlite", lambda: SqliteJournal(path, book="bench"), read_file, home, events)
    if dsn is None:
        return
    with psycopg.connect(dsn, autocommit=True) as plain:

        def read_rows() -> None:
            plain.execute("SELECT sum(length(payload)) FROM book_ready.decisions").fetchone()

        yield _ready("postgres", lambda: PostgresJournal(dsn, book="ready"), read_rows, home, events)


def _reading(store: str, journal: Any, driver: Callable[[], object], count: int) -> Iterator[dict[str, Any]]:
    payloads = [payload for _seq, payload in journal.durable_payloads()]
    spent = _best(
        lambda: _gone_through(journal.records()),
        driver,
        lambda: _gone_through(journal.events()),
        lambda: _gone_through(map(decode_raw, payloads)),
    )
    rows, bare, events, raw = (count / seconds for seconds in spent)
    yield _result(f"read_records_{store}", rows, "events/s", "the driver alone, same columns", bare, rows / bare)
    yield _result(f"read_events_{store}", events, "events/s", "decoding ready payloads", raw, events / raw)


def _gone_through(what: Iterable[object]) -> None:
    deque(what, maxlen=0)


def _stored(home: Path, dsn: str | None) -> Iterator[dict[str, Any]]:
    """A book of common decisions in each store, read back."""
    events = _common(READ)
    path = home / "read.db"
    with SqliteJournal(path, book="bench") as journal:
        journal.append(events)
    with JournalReader(path) as reader, closing(connect_readonly(path)) as bare:

        def fetched() -> None:
            for start in range(0, READ, 2000):
                query = f"SELECT {RECORD} FROM decisions WHERE seq > ? AND seq <= ? ORDER BY seq"
                bare.execute(query, (start, start + 2000)).fetchall()

        yield from _reading("sqlite", reader, fetched, READ)
    if dsn is None:
        return
    with PostgresJournal(dsn, book="read") as written:
        written.append(events)
    with PostgresReader(dsn, book="read") as reader, psycopg.connect(dsn, autocommit=True) as plain:

        def fetched_too() -> None:
            for start in range(0, READ, 2000):
                query = f"SELECT {RECORD} FROM book_read.decisions WHERE seq > %s AND seq <= %s ORDER BY seq"
                with plain.cursor(binary=True) as cursor:
                    cursor.execute(query.encode(), (start, start + 2000)).fetchall()

        yield from _reading("postgres", reader, fetched_too, READ)


def _common(count: int) -> list[Event]:
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


def run() -> list[dict[str, Any]]:
    """All of them."""
    events = session_events()
    results = list(_folding(events))
    where = Path(__file__).resolve().parent / "results"
    where.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where) as directory, postgres(Path(directory)) as dsn:
        home = Path(directory)
        results += _stored(home, dsn)
        results += _ready_in_each(home, dsn, events)
    return results
