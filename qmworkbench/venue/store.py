"""The venue's own SQLite file: what it holds is on disk before anybody is answered (§2, §14).

WAL with synchronous=FULL, one writer (a lock file beside it), each change one transaction. A bar that moves nothing but
marks, peaks and the clock is committed without a sync of its own: a killed process keeps it all the same, and after a
power cut the bars since the last sync are fed once more. The tables are plain so that a person can read them, or
falsify them in a drill: an edit made from outside is noticed and believed.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qmworkbench.domain.execution import AccountActivity, ExecType, ExecutionReport
from qmworkbench.domain.instruments import Instrument
from qmworkbench.venue import schema
from qmworkbench.venue.bars import Print
from qmworkbench.venue.orders import VenueOrder
from qmworkbench.venue.records import (
    AccountRow,
    Batch,
    Booked,
    Entry,
    Holding,
    Quote,
    Rate,
    RoundTrips,
    Scheduled,
    StatementLine,
    VenueError,
)

MEMORY = ":memory:"
REPEATED = "repeated"  # what the table calls a report that was said before: it moves no money twice

_T = TypeVar("_T")


class Store:
    """The file and its tables. `path` MEMORY keeps nothing: for backtests, which have nothing to survive."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._lock_fd = self._take_lock()
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
            self._db.row_factory = sqlite3.Row
            self._prepare()
        except sqlite3.Error as error:
            self._release_lock()
            raise VenueError(
                f"{self.path} is not a venue's file: {error}; name another, or move this one away"
            ) from error
        except VenueError:
            self._db.close()
            self._release_lock()
            raise

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._db.close()
        self._release_lock()

    def _take_lock(self) -> int | None:
        if self.path == MEMORY:
            return None
        lock = Path(f"{self.path}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise VenueError(f"{self.path} is in use: another process plays this venue; stop it first") from None
        return fd

    def _release_lock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and tables == 0:
            self._db.executescript(f"BEGIN;{schema.SCHEMA}COMMIT;")
        elif version in schema.MIGRATIONS:
            self._db.executescript(f"BEGIN;{schema.MIGRATIONS[version]}COMMIT;")
        elif version != schema.SCHEMA_VERSION:
            raise VenueError(
                f"{self.path} has books of version {version}, this program keeps version {schema.SCHEMA_VERSION}: "
                "use the program that wrote it, or start with fresh books"
            )
        self._db.execute("PRAGMA journal_mode = WAL")

    @property
    def data_version(self) -> int:
        """Changes when somebody else wrote to the file."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

    def write(self, batch: Batch) -> None:
        """Write `batch`, whole or not at all, and sync where it binds. Raises VenueError when the disk would not."""
        try:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if batch.binding else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            self._put(batch)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise VenueError(f"{self.path} would not take a write: {error}; nothing of it took effect") from error

    def _put(self, batch: Batch) -> None:
        db = self._db
        if batch.account is not None:
            db.execute(schema.PUT_ACCOUNT, _row(batch.account))
        if batch.peaks:
            peaks = [(str(peak), cl_ord_id) for cl_ord_id, peak in batch.peaks.items()]
            db.executemany("UPDATE orders SET peak_px = ? WHERE cl_ord_id = ?", peaks)
        if batch.orders:
            db.executemany(schema.PUT_ORDER, [_row(order) for order in batch.orders.values()])
        if batch.positions:
            db.executemany(schema.PUT_POSITION, [_row(held) for held in batch.positions.values() if held.qty])
            db.executemany(
                "DELETE FROM positions WHERE symbol = ?",
                [(s,) for s, h in batch.positions.items() if not h.qty],
            )
        if batch.marks:
            times = {at: at.isoformat() for at in dict.fromkeys(mark.at for mark in batch.marks.values())}
            db.executemany(schema.PUT_MARK, [(symbol, str(m.px), times[m.at]) for symbol, m in batch.marks.items()])
        if batch.rates:
            db.executemany(schema.PUT_RATE, [_row(rate) for rate in batch.rates.values()])
        if batch.halts:
            db.executemany(schema.PUT_HALT, [{"symbol": s, "halted": h} for s, h in batch.halts.items()])
        if batch.entries:
            db.executemany(schema.PUT_ENTRY, [_entry_row(entry) for entry in batch.entries])
        if batch.activities:
            db.executemany(schema.PUT_ACTIVITY, [_activity_row(booked) for booked in batch.activities])
        if batch.listings:
            terms = [(symbol, _encode(listed).decode()) for symbol, listed in batch.listings.items()]
            db.executemany(schema.PUT_LISTING, terms)
        self._put_version_3(batch)
        if batch.drills:
            db.executemany("INSERT INTO drills (kind, symbol, detail) VALUES (?, ?, ?)", batch.drills)

    def _put_version_3(self, batch: Batch) -> None:
        db = self._db
        if batch.order_ids:
            db.executemany(schema.PUT_ORDER_ID, list(batch.order_ids.items()))
        if batch.quotes:
            db.executemany(schema.PUT_QUOTE, [_row(quote) for quote in batch.quotes.values()])
        if batch.round_trips:
            db.executemany(schema.PUT_ROUND_TRIPS, [_row(trips) for trips in batch.round_trips.values()])
        if batch.counters:
            db.executemany(schema.PUT_COUNTER, list(batch.counters.items()))
        for item in batch.scheduled.values():
            if item.frames:
                db.execute(schema.PUT_SCHEDULED, _row(item))
            else:
                db.execute("DELETE FROM scheduled WHERE id = ?", (item.id,))

    def account(self) -> AccountRow | None:
        """The account, None in books that have none yet."""
        rows = list(self._read("SELECT * FROM account", AccountRow))
        return rows[0] if rows else None

    def live_orders(self) -> list[VenueOrder]:
        """Open orders, and ended entries whose legs are open, by arrival."""
        return list(self._read(schema.LIVE_ORDERS, VenueOrder))

    def order(self, cl_ord_id: str) -> VenueOrder | None:
        """Any order ever taken, by any client id it ever had."""
        row = self._db.execute(schema.FIND_ORDER, {"id": cl_ord_id}).fetchone()
        return None if row is None else msgspec.convert(dict(row), VenueOrder, strict=False)

    def knows(self, cl_ord_ids: list[str]) -> str | None:
        """The first of these ids that was ever used, None when all are new."""
        for cl_ord_id in cl_ord_ids:
            if self._db.execute(schema.KNOWS, {"id": cl_ord_id}).fetchone():
                return cl_ord_id
        return None

    def positions(self) -> list[Holding]:
        return [held for held in self._read("SELECT * FROM positions ORDER BY symbol", Holding) if held.qty]

    def marks(self) -> dict[str, Print]:
        rows = self._db.execute("SELECT symbol, px, at FROM marks ORDER BY symbol")
        return {symbol: Print(Decimal(px), datetime.fromisoformat(at)) for symbol, px, at in rows}

    def rates(self) -> list[Rate]:
        return list(self._read("SELECT * FROM rates ORDER BY currency", Rate))

    def halted(self) -> list[str]:
        return [symbol for (symbol,) in self._db.execute("SELECT symbol FROM halts WHERE halted ORDER BY symbol")]

    def quotes(self) -> dict[str, Quote]:
        """The last quote of every symbol that was ever quoted."""
        return {quote.symbol: quote for quote in self._read("SELECT * FROM quotes ORDER BY symbol", Quote)}

    def round_trips(self) -> list[RoundTrips]:
        """What was opened and closed of a symbol, session by session."""
        return list(self._read("SELECT * FROM round_trips ORDER BY session_no, symbol", RoundTrips))

    def counters(self) -> dict[str, int]:
        return {name: n for name, n in self._db.execute("SELECT name, n FROM counters ORDER BY name")}

    def scheduled(self) -> list[Scheduled]:
        """What is still to happen by itself, oldest first."""
        return list(self._read("SELECT * FROM scheduled ORDER BY id", Scheduled))

    def execution(self, exec_id: str) -> Entry | None:
        """A trade by its execution id, None when there was none."""
        row = self._db.execute(schema.EXECUTION, (exec_id,)).fetchone()
        if row is None:
            return None
        text, cash_delta, realized = row
        return Entry(report=_decode_report(text), cash_delta=Decimal(cash_delta), realized_pnl=Decimal(realized))

    def taken_back(self, exec_id: str) -> bool:
        """Whether a trade was busted."""
        return self._db.execute(schema.TAKEN_BACK, (exec_id,)).fetchone() is not None

    def last_cursor(self) -> int:
        newest = "SELECT max((SELECT coalesce(max(cursor), 0) FROM executions), coalesce(max(cursor), 0))"
        (cursor,) = self._db.execute(f"{newest} FROM activities").fetchone()
        return int(cursor)

    def last_seq(self) -> int:
        (seq,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM orders").fetchone()
        return int(seq)

    def reports(self, after_cursor: int) -> list[ExecutionReport]:
        """What was reported after `after_cursor`, oldest first."""
        rows = self._db.execute("SELECT report FROM executions WHERE cursor > ? ORDER BY cursor", (after_cursor,))
        return [_decode_report(text) for (text,) in rows]

    def statement(self, after_cursor: int) -> list[StatementLine]:
        """Every line of the account's statement after `after_cursor`, oldest first."""
        rows = self._db.execute(schema.STATEMENT, {"after": after_cursor})
        return [msgspec.convert(dict(row), StatementLine, strict=False) for row in rows]

    def activities(self, after_cursor: int) -> list[AccountActivity]:
        """What was booked without an order after `after_cursor`, oldest first."""
        rows = self._db.execute("SELECT activity FROM activities WHERE cursor > ? ORDER BY cursor", (after_cursor,))
        return [_decode_activity(text) for (text,) in rows]

    def listings(self) -> dict[str, Instrument]:
        """The terms of every symbol ever held or ordered."""
        rows = self._db.execute("SELECT symbol, instrument FROM listings ORDER BY symbol")
        return {symbol: _decode_instrument(text) for symbol, text in rows}

    def _read(self, sql: str, shape: type[_T], *values: str) -> Iterator[_T]:
        for row in self._db.execute(sql, values):
            yield msgspec.convert(dict(row), shape, strict=False)


_decode_report = msgspec.json.Decoder(ExecutionReport).decode
_decode_activity = msgspec.json.Decoder(AccountActivity).decode
_decode_instrument = msgspec.json.Decoder(Instrument).decode
_encode = msgspec.json.Encoder().encode


def _row(record: msgspec.Struct) -> dict[str, Any]:
    """A struct as one row: exact numbers and times as text, None as NULL."""
    row: dict[str, Any] = msgspec.to_builtins(record)
    return row


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    said = entry.report
    fee = -said.fee if said.exec_type is ExecType.TRADE_CANCEL else said.fee  # a statement's line: what came back
    return (
        said.cursor,
        f"{said.exec_id}#{said.cursor}" if entry.repeated else said.exec_id,
        REPEATED if entry.repeated else said.exec_type.value,
        said.cl_ord_id,
        said.symbol,
        said.side.value,
        str(said.last_qty),
        str(said.last_px),
        str(fee),
        str(entry.cash_delta),
        str(entry.realized_pnl),
        str(said.conversion_rate),
        said.transact_time.isoformat(),
        _encode(said).decode(),
    )


def _activity_row(booked: Booked) -> tuple[Any, ...]:
    told = booked.activity
    return (
        told.cursor,
        told.activity_id,
        told.kind.value,
        told.symbol,
        told.effective,
        str(told.amount),
        str(booked.realized_pnl),
        told.transact_time.isoformat(),
        _encode(told).decode(),
    )
