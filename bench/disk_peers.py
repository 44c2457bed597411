"""What a journal is measured against: a raw file, a plain PostgreSQL table, and the loop that drives all of them alike.

A raw file that is written and fdatasynced is the physical limit of everything that promises to survive a power cut:
nothing durable can be told sooner than the disk tells it. Rounds of ours and of the peer alternate and are short, and
what is reported is the middle of the rounds' ratios: a disk is not the same from one second to the next, nor is a
machine that others use as well.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psycopg

from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.events import Event, encode
from qmworkbench.service.servers.binaries import NoServer
from qmworkbench.service.servers.postgres import PostgresServer
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.group_commit import GroupCommit
from qmworkbench.storage.journal_select import STREAMS, Row

PRODUCERS = 64


class RawSink:
    """Takes what a journal's writer is given and keeps the payloads in a file; nothing else is kept."""

    connection = None
    by_caller = True

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def write(self, taken: dict[str, list[Row]]) -> None:
        os.write(self._file, b"".join([row[4] for row in taken["decisions"]]))
        os.fdatasync(self._file)

    def reached(self) -> dict[str, tuple[int, str]]:
        raise NotImplementedError

    def rest(self) -> None:
        """Nothing waits for a quiet moment."""

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        os.close(self._file)


class RawPostgresSink:
    """The same into a table without chain, guards or fence: one statement, durable before it returns."""

    by_caller = False

    def __init__(self, dsn: str, table: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.connection.execute("SET synchronous_commit = on")
        self.connection.execute(f"CREATE TABLE {table} (seq bigint PRIMARY KEY, payload bytea NOT NULL)")
        self._insert = f"INSERT INTO {table} SELECT * FROM unnest(%b::bigint[], %b::bytea[])"

    def write(self, taken: dict[str, list[Row]]) -> None:
        rows = taken["decisions"]
        self.connection.execute(self._insert, ([row[0] for row in rows], [row[4] for row in rows]), prepare=True)

    def reached(self) -> dict[str, tuple[int, str]]:
        raise NotImplementedError

    def rest(self) -> None:
        """Nothing waits for a quiet moment."""

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        self.connection.close()


class Written(ChainedJournal[Any]):
    """The journal's own loop over another sink: it encodes, chains and hands over as ours does, and cannot be read."""

    book = "raw"

    def __init__(self, sink: Any) -> None:
        heads = dict.fromkeys(STREAMS, (0, GENESIS))
        super().__init__(GroupCommit(sink, "raw", heads, remedy=""), heads)

    def hash_at(self, seq: int) -> str | None:
        raise NotImplementedError

    def durability(self) -> dict[str, str]:
        raise NotImplementedError

    def _fetching(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


async def produced(journal: ChainedJournal[Any], events: Sequence[Event]) -> list[float]:
    """64 coroutines append an event each and wait until it is durable, again and again; seconds of every wait."""
    spent: list[float] = []

    async def producer(number: int) -> None:
        for event in events[number::PRODUCERS]:
            began = perf_counter()
            journal.append([event])
            await journal.synced()
            spent.append(perf_counter() - began)

    await asyncio.gather(*map(producer, range(PRODUCERS)))
    return spent


def one_by_one(journal: ChainedJournal[Any], events: Sequence[Event]) -> list[float]:
    """One event, one commit; seconds of every wait."""
    spent = []
    for event in events:
        began = perf_counter()
        journal.append([event])
        journal.sync()
        spent.append(perf_counter() - began)
    return spent


class RawFile:
    """The disk itself: bytes that are ready, written and fdatasynced."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def one_by_one(self, payloads: Sequence[bytes]) -> list[float]:
        spent = []
        for payload in payloads:
            began = perf_counter()
            os.write(self._file, payload)
            os.fdatasync(self._file)
            spent.append(perf_counter() - began)
        return spent

    def close(self) -> None:
        os.close(self._file)


class RawTable:
    """Plain psycopg: a prepared INSERT of bytes that are ready, committed one by one."""

    def __init__(self, dsn: str, table: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._connection.execute("SET synchronous_commit = on")
        self._connection.execute(f"CREATE TABLE {table} (seq bigserial PRIMARY KEY, payload bytea NOT NULL)")
        self._insert = f"INSERT INTO {table} (payload) VALUES (%b)"

    def one_by_one(self, payloads: Sequence[bytes]) -> list[float]:
        spent = []
        for payload in payloads:
            began = perf_counter()
            self._connection.execute(self._insert, (payload,), prepare=True)
            spent.append(perf_counter() - began)
        return spent

    def close(self) -> None:
        self._connection.close()


def paired(
    bench: str,
    peer: str,
    rounds: int,
    per_round: int,
    ours: Callable[[], list[float]],
    theirs: Callable[[], list[float]],
) -> dict[str, Any]:
    """Both, in turn; rates are those of the middle round, the ratio the middle of the rounds', waits of all rounds."""
    mine, raw, waits, raw_waits = [], [], list[float](), list[float]()
    for number in range(rounds + 1):
        began = perf_counter()
        found = ours()
        between = perf_counter()
        other = theirs()
        ended = perf_counter()
        if number:  # the first round warms both up
            mine.append(between - began)
            raw.append(ended - between)
            waits += found
            raw_waits += other
    rates = [per_round / median(spent) for spent in (mine, raw)]
    return {
        "bench": bench,
        "ours": round(rates[0]),
        "unit": "events/s",
        "peer": peer,
        "theirs": round(rates[1]),
        "ratio": round(median(theirs / ours for ours, theirs in zip(mine, raw, strict=True)), 3),
        "p50_ms": _at(waits, 0.5),
        "p99_ms": _at(waits, 0.99),
        "theirs_p99_ms": _at(raw_waits, 0.99),
    }


def _at(waits: list[float], share: float) -> float:
    return round(sorted(waits)[int(len(waits) * share)] * 1000, 3)


def encoded(events: Sequence[Event]) -> list[bytes]:
    """The bytes a journal would keep of each."""
    return [encode(event) for event in events]


@contextmanager
def postgres(home: Path) -> Iterator[str | None]:
    """The address of a durable PostgreSQL on the same disk, None where none can be had."""
    server = PostgresServer(home / "postgres")
    try:
        server.up()
    except NoServer:
        yield None
        return
    try:
        yield server.dsn()
    finally:
        with suppress(NoServer):
            server.down()
