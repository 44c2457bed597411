"""Tables made again from a journal, against the same rows, ready made, put into the same tables.

Ours reads the journal, decodes what a table asks for, works out the rows of some thirty tables and writes them behind
a watermark; the peer's rows are ready and go in by one executemany a table (psycopg: COPY). What bounds ours is one
interpreter: about a microsecond to fetch a record, one to decode it, two or three to work out its rows, and the
database's own time for them, which is the peer's. Three mixtures: `orders`, where every event changes a row (orders,
from signal to fill); `session`, what the kernel puts on record of one busy session, much of which no table asks for;
and `week`, five such sessions, which is what a book that is made again is like: rows of sessions that are over have
been let go of, and what the first row of each of some twenty-five tables costs a server weighs less.

Seconds are those of this process's own work (CPU), ours and the peer's: a machine that others use as well says nothing
by its clock. With PostgreSQL the server works in processes of its own, so there the wall is what counts.
"""

import gc
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import psycopg

from bench.bench_recovery import session_events
from bench.disk_peers import postgres
from qmworkbench.domain.events import Event, decode
from qmworkbench.domain.events.market import SignalRaised
from qmworkbench.domain.events.orders import (
    FillRecorded,
    OrderChanged,
    OrderIntended,
    RiskDecided,
    RuleVerdict,
    SubmitObserved,
)
from qmworkbench.domain.execution import OrderRequest, SubmitOutcome
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.storage.collector import collector_paused
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.postgres.journal import PostgresJournal
from qmworkbench.storage.postgres.projected import PostgresHome, name_of
from qmworkbench.storage.postgres.reader import PostgresReader
from qmworkbench.storage.projection_home import Home, SqliteHome, made_anew
from qmworkbench.storage.projections import Projector, Source
from qmworkbench.storage.tables import METADATA
from tests.trading.world import OPEN as SESSION_OPEN
from tests.trading.world import World

OPEN = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
ORDERS = 5_000
ROUNDS = 4
QTY, PX, NONE = Decimal(100), Decimal("10.25"), Decimal(0)
RULES = tuple(RuleVerdict(code=code, passed=True, value="1", limit="2") for code in "abcdefgh")


def _order(n: int) -> list[Event]:
    """Ten events: a signal, its judgement, the order through its arcs, two fills."""
    at, name, symbol = OPEN + timedelta(seconds=n), f"qm-{n:06d}", f"S{n % 200:03d}"

    def changed(arc: Arc, status: OrdStatus, cum: Decimal) -> Event:
        return OrderChanged(at=at, cl_ord_id=name, arc=arc, status=status, cum_qty=cum, order_qty=QTY, order_id="v")

    def filled(part: int) -> Event:
        return FillRecorded(
            at=at,
            exec_id=f"x{n}-{part}",
            cl_ord_id=name,
            strategy_id="s",
            symbol=symbol,
            side=Side.BUY,
            last_qty=QTY / 2,
            last_px=PX,
            fee=Decimal("0.35"),
            transact_time=at,
            realized_pnl=NONE,
            conversion_rate=Decimal(1),
            position_qty=QTY * (n + 1),
            position_cost=QTY * (n + 1) * PX,
        )

    request = OrderRequest(
        cl_ord_id=name,
        symbol=symbol,
        side=Side.BUY,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.MARKET,
        order_qty=QTY,
        time_in_force=TimeInForce.DAY,
        decided_at=at,
    )
    told = {"strategy_id": "s", "leg": Leg.ENTRY}
    return [
        SignalRaised(at=at, signal_id=f"g{n}", strategy_id="s", symbol=symbol, kind="entry_long", decision_px=PX),
        RiskDecided(at=at, cl_ord_id=name, symbol=symbol, allowed=True, rules=RULES, limits_hash="0" * 16, **told),
        OrderIntended(
            at=at, request=request, signal_id=f"g{n}", attempt=1, decision_px=PX, reserve_notional=QTY * PX, **told
        ),
        SubmitObserved(at=at, cl_ord_id=name, outcome=SubmitOutcome.SENT),
        changed(Arc.SUBMIT, OrdStatus.SUBMITTED, NONE),
        changed(Arc.ACK, OrdStatus.ACCEPTED, NONE),
        filled(1),
        changed(Arc.FILL, OrdStatus.PARTIALLY_FILLED, QTY / 2),
        filled(2),
        changed(Arc.FILL, OrdStatus.FILLED, QTY),
    ]


def _week() -> list[Event]:
    """Five busy sessions of one book, as the kernel decides them."""
    limits = Limits(entry_cutoff_min=1, max_trades_per_day=1_000, max_submits_per_minute=1_000)
    world = World(seed=3, boundaries=200, signal_rate=0.5, limits=limits)
    world.run()
    for day in range(1, 5):
        world.open(SESSION_OPEN + timedelta(days=day))
        for number in range(1, world.boundaries + 1):
            world.boundary(number)
        world.close()
    return [decode(line) for line in world.journal]


def _rebuilt(home: Home, source: Source, clock: Callable[[], float]) -> float:
    """Seconds to make the tables again."""
    made_anew(home)
    projector = Projector(home)
    gc.collect()
    began = clock()
    with collector_paused():
        projector.catch_up(source)
    spent = clock() - began
    projector.close()
    return spent


def _rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row there is, by table."""
    with closing(sqlite3.connect(path)) as connection:
        found = {t.name: connection.execute(f"SELECT * FROM {t.name}").fetchall() for t in METADATA.sorted_tables}
    return {name: rows for name, rows in found.items() if rows}


def _put_plainly(home: SqliteHome, ready: dict[str, list[tuple[Any, ...]]]) -> float:
    """Seconds of process time for the rows alone, into the same tables."""
    made_anew(home)
    with closing(sqlite3.connect(home.path, isolation_level=None)) as plain:
        plain.execute("PRAGMA synchronous=NORMAL")
        began = process_time()
        plain.execute("BEGIN IMMEDIATE")
        for name, rows in ready.items():
            plain.executemany(f"INSERT INTO {name} VALUES ({','.join('?' * len(rows[0]))})", rows)
        plain.execute("COMMIT")
        return process_time() - began


def _copied(dsn: str, home: PostgresHome, ready: dict[str, list[tuple[Any, ...]]]) -> float:
    """Seconds of the wall for the rows alone, by COPY into the same tables."""
    made_anew(home)
    with psycopg.connect(dsn) as plain, plain.cursor() as cursor:
        cursor.execute(f"SET search_path = {name_of(home.place)}".encode())
        began = perf_counter()
        for name, rows in ready.items():
            with cursor.copy(f"COPY {name} FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
        plain.commit()
        return perf_counter() - began


def _result(name: str, count: int, ours: list[float], theirs: list[float], peer: str, put: int) -> dict[str, Any]:
    return {
        "bench": f"projections_{name}",
        "ours": round(count / min(ours)),
        "unit": "events/s",
        "peer": peer,
        "theirs": round(count / min(theirs)),
        "ratio": round(min(theirs) / min(ours), 3),
        "rows_per_event": round(put / count, 2),
    }


def _measured(name: str, events: list[Event], directory: Path, dsn: str | None) -> Iterator[dict[str, Any]]:
    path = directory / f"{name}.db"
    with SqliteJournal(path, book="bench") as journal:
        journal.append(events)
    home = SqliteHome(directory / f"{name}-tables.db")
    with JournalReader(path) as reader:
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(_rebuilt(home, reader, process_time))
            ready = _rows(home.path)
            theirs.append(_put_plainly(home, ready))
        put = sum(map(len, ready.values()))
        yield _result(f"{name}_sqlite", len(events), ours, theirs, "sqlite3 executemany of ready rows", put)
    if dsn is None:
        return
    with PostgresJournal(dsn, book=name) as written:
        written.append(events)
    desk = PostgresHome(dsn, name)
    with PostgresReader(dsn, book=name) as stored:
        ours = [_rebuilt(desk, stored, perf_counter) for _ in range(ROUNDS)]
        theirs = [_copied(dsn, desk, ready) for _ in range(ROUNDS)]
        yield _result(f"{name}_postgres", len(events), ours, theirs, "psycopg COPY of ready rows", put)


def run() -> list[dict[str, Any]]:
    """Events per second, the best round of each."""
    results: list[dict[str, Any]] = []
    where = Path(__file__).resolve().parent / "results"
    where.mkdir(exist_ok=True)
    mixtures = {
        "orders": [event for n in range(ORDERS) for event in _order(n)],
        "session": session_events(),
        "week": _week(),
    }
    with tempfile.TemporaryDirectory(dir=where) as directory, postgres(Path(directory)) as dsn:
        for name, events in mixtures.items():
            results += _measured(name, events, Path(directory), dsn)
    return results
