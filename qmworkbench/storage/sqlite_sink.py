"""How the journal's rows get into SQLite: few large statements, one transaction each time (§21)."""

import contextlib
import sqlite3
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

from qmworkbench.storage import journal_file
from qmworkbench.storage.journal_select import STREAMS, Row
from qmworkbench.storage.wal_room import WalRoom

REMEDY: Final = "free disk space or repair the disk, then restart: recovery reconciles with the broker"
_EXACT: Final = 64
_LARGEST: Final = 1024
_PAYLOAD: Final = 4  # where a row has it
_BESIDE_BYTES: Final = 256  # what a row takes beside its payload: hashes, time, name
_AROUND_BYTES: Final = 6 * 1024  # and a transaction: the pages that were begun before, and the tree's own
RESTED_BYTES: Final = 4 * 1024 * 1024


class SqliteSink:
    """The one writing connection of a journal's file (group_commit.Sink).

    `log` is its write-ahead log, kept ahead of the writer; None for a file that nobody waits for.
    """

    by_caller = True

    def __init__(self, connection: sqlite3.Connection, log: Path | None = None) -> None:
        self.connection = connection
        self._room = None if log is None else WalRoom(log)

    def write(self, taken: dict[str, list[Row]]) -> None:
        """One transaction. A lone statement is one by itself and spares two waits for the interpreter."""
        statements = [(stream, piece) for stream, rows in taken.items() for piece in _pieces(rows)]
        if len(statements) > 1:
            self.connection.execute("BEGIN IMMEDIATE")
        for stream, piece in statements:
            self.connection.execute(_insert(stream, len(piece)), list(chain.from_iterable(piece)))
        if len(statements) > 1:
            self.connection.execute("COMMIT")
        if self._room is not None:
            rows = [row for _stream, piece in statements for row in piece]
            self._room.use(sum([len(row[_PAYLOAD]) for row in rows]) + len(rows) * _BESIDE_BYTES + _AROUND_BYTES)

    def reached(self) -> dict[str, tuple[int, str]]:
        """The newest record of each stream, after whatever was left open is taken back."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        return {stream: journal_file.head(self.connection, stream) for stream in STREAMS}

    def rest(self) -> None:
        """Take the log into the database before it is so long that a commit must: nobody waits for this one.

        A reader in the way or a full disk is no failure: what was committed is durable where it is.
        """
        if self._room is not None and self._room.used_bytes >= RESTED_BYTES:
            self._room.begins_anew()
            with contextlib.suppress(sqlite3.OperationalError):
                self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def finish(self) -> None:
        """Leave one file behind. All is durable already: a reader in the way or a full disk is no failure."""
        self.connection.execute("PRAGMA busy_timeout=200")
        with contextlib.suppress(sqlite3.OperationalError):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Give the file up."""
        if self._room is not None:
            self._room.close()
        self.connection.close()


def _pieces(rows: list[Row]) -> list[list[Row]]:
    """Cut rows into few sizes, so that SQLite's prepared statements are found again.

    Many rows to a statement, never executemany: that takes the interpreter's lock once per row, and a
    busy kernel in another thread then holds each row up for milliseconds.
    """
    pieces, start, size = [], 0, _LARGEST
    while len(rows) - start > _EXACT:
        while size > len(rows) - start:
            size //= 2
        pieces.append(rows[start : start + size])
        start += size
    if start < len(rows):
        pieces.append(rows[start:])
    return pieces


@cache
def _insert(stream: str, count: int) -> str:
    """The same text object each time: its hash, by which the driver finds the statement, is known."""
    return f"INSERT INTO {stream} (seq, at, type, v, payload, prev_hash, hash) VALUES " + ",".join(
        ["(?,?,?,?,?,?,?)"] * count
    )
