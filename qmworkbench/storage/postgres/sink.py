"""How the journal's rows get into PostgreSQL: one statement for each stream, arrays unnested on the server (§21)."""

from typing import Final

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from qmworkbench.domain.chain import GENESIS
from qmworkbench.storage.journal_select import STREAMS, Row
from qmworkbench.storage.postgres.arrays import BIGINT, BYTEA, INTEGER, TEXT
from qmworkbench.storage.postgres.connection import Connection
from qmworkbench.storage.postgres.schema import name_of

REMEDY: Final = "see that PostgreSQL runs and has room, then restart: recovery reconciles with the broker"
_COLUMNS: Final = (BIGINT, TEXT, TEXT, INTEGER, BYTEA, TEXT, TEXT)  # of a Row, in its order
_BINARY: Final = (1,) * len(_COLUMNS)
_INSERT: Final = """
INSERT INTO {s}.{t} (seq, at, type, v, payload, prev_hash, hash)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::bytea[], $6::text[], $7::text[])
"""


class PostgresSink:
    """The one writing connection of a book (group_commit.Sink).

    Each stream's statement is prepared once and handed ready bytes, below the driver's cursors: what those ask of each
    parameter costs more than everything else on this side. Raises psycopg.Error.
    """

    by_caller = False  # a server may be silent for long, and the driver's call is not interrupted

    def __init__(self, connection: Connection, place: str) -> None:
        self.connection = connection
        # The plan is the same however long the arrays are; left to itself the server makes a new one each time.
        connection.execute("SET plan_cache_mode = force_generic_plan")
        self._schema = sql.Identifier(name_of(place))
        for stream in STREAMS:
            insert = sql.SQL(_INSERT).format(s=self._schema, t=sql.Identifier(stream)).as_bytes(connection)
            _done(connection.pgconn.prepare(_statement(stream), insert, [column.oid for column in _COLUMNS]))

    def write(self, taken: dict[str, list[Row]]) -> None:
        """One transaction; where one stream alone has rows, the statement is one by itself."""
        streams = [(stream, rows) for stream, rows in taken.items() if rows]
        if len(streams) == 1:
            self._put(*streams[0])
            return
        with self.connection.transaction():
            for stream, rows in streams:
                self._put(stream, rows)

    def _put(self, stream: str, rows: list[Row]) -> None:
        values = zip(*rows, strict=True)
        packed = [column.packed(value) for column, value in zip(_COLUMNS, values, strict=True)]
        _done(self.connection.pgconn.exec_prepared(_statement(stream), packed, _BINARY))

    def reached(self) -> dict[str, tuple[int, str]]:
        """The newest record of each stream, after whatever was left open is taken back."""
        self.connection.rollback()
        return {stream: self._head(stream) for stream in STREAMS}

    def _head(self, stream: str) -> tuple[int, str]:
        query = sql.SQL("SELECT seq, hash FROM {}.{} ORDER BY seq DESC LIMIT 1")
        row = self.connection.execute(query.format(self._schema, sql.Identifier(stream))).fetchone()
        return (0, GENESIS) if row is None else (int(row[0]), str(row[1]))

    def rest(self) -> None:
        """The server works for itself."""

    def finish(self) -> None:
        """The server keeps itself tidy."""

    def close(self) -> None:
        """Give the book up: its lock ends with the connection."""
        self.connection.close()


def _statement(stream: str) -> bytes:
    return b"qm_append_" + stream.encode()


def _done(result: PGresult) -> None:
    if result.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result)
