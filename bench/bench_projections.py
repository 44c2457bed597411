"""Events folded into SQL tables, against plain sqlite3 putting the same events' text into one table.

Ours reads and decodes the journal, works out the rows of some thirty tables and keeps a watermark; the peer's rows
are ready made and go in by one executemany. The events are whole orders, from signal to trade.
"""

import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

from qmworkbench.domain.events import Event, encode, wire_name
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
from qmworkbench.domain.orders import Arc, Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.storage.journal import SqliteJournal
from qmworkbench.storage.projections import Projector

OPEN = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
ORDERS = 5_000
ROUNDS = 2
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


def run() -> dict[str, Any]:
    """Events per second, best of two rounds each."""
    events = [event for n in range(ORDERS) for event in _order(n)]
    ready = [(seq, wire_name(event), encode(event)) for seq, event in enumerate(events, 1)]
    where = Path(__file__).resolve().parent / "results"
    where.mkdir(exist_ok=True)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(dir=where) as directory:
        home = Path(directory)
        with SqliteJournal(home / "journal.db", book="bench") as journal:
            journal.append(events)
            journal.sync()
            for turn in range(ROUNDS):
                projector = Projector(home / f"projections-{turn}.db")
                began = perf_counter()
                projector.catch_up(journal)
                ours.append(perf_counter() - began)
                projector.close()
                with closing(sqlite3.connect(home / f"plain-{turn}.db")) as plain:
                    plain.execute("PRAGMA journal_mode=WAL")
                    plain.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, type TEXT, payload BLOB)")
                    began = perf_counter()
                    with plain:
                        plain.executemany("INSERT INTO events VALUES (?, ?, ?)", ready)
                    theirs.append(perf_counter() - began)
    mine, bare = len(events) / min(ours), len(events) / min(theirs)
    return {
        "bench": "projections",
        "ours": round(mine),
        "unit": "events/s",
        "peer": "sqlite3 executemany of ready rows",
        "theirs": round(bare),
        "ratio": round(mine / bare, 3),
    }
