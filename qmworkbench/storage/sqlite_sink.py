"""How the journal's rows get into SQLite: few large statements, one transaction each time (§21)."""

import contextlib
import sqlite3
from functools import cache
from itertools import chain
from typing import Final

from qmworkbench.storage.journal_select import Row

REMEDY: Final = "free disk space or repair the disk, then restart: recovery reconciles with the broker"
_EXACT: Final = 64
_LARGEST: Final = 1024


class SqliteSink:
    """The one writing connection of a journal's file (group_commit.Sink)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def write(self, taken: dict[str, list[Row]]) -> None:
        """One transaction. A lone statement is one by itself and spares two waits for the interpreter."""
        statements = [(stream, piece) for stream, rows in taken.items() for piece in _pieces(rows)]
        if len(statements) > 1:
            self.connection.execute("BEGIN IMMEDIATE")
        for stream, piece in statements:
            self.connection.execute(_insert(stream, len(piece)), list(chain.from_iterable(piece)))
        if len(statements) > 1:
            self.connection.execute("COMMIT")

    def finish(self) -> None:
        """Leave one file behind. All is durable already: a reader in the way or a full disk is no failure."""
        self.connection.execute("PRAGMA busy_timeout=200")
        with contextlib.suppress(sqlite3.OperationalError):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Give the file up."""
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
