"""How the journal's rows get into PostgreSQL: one statement for each stream, arrays unnested on the server (§21)."""

from typing import Final

from psycopg import sql

from qmworkbench.storage.journal_select import Row
from qmworkbench.storage.postgres.connection import Connection
from qmworkbench.storage.postgres.schema import name_of

REMEDY: Final = "see that PostgreSQL runs and has room, then restart: recovery reconciles with the broker"
# Arrays travel in binary (%b): as text a payload would take twice its size.
_INSERT: Final = """
INSERT INTO {s}.{t} (seq, at, type, v, payload, prev_hash, hash)
SELECT * FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::integer[], %b::bytea[], %b::text[], %b::text[])
"""


class PostgresSink:
    """The one writing connection of a book (group_commit.Sink)."""

    def __init__(self, connection: Connection, place: str) -> None:
        self.connection = connection
        schema = sql.Identifier(name_of(place))
        self._insert = {
            stream: sql.SQL(_INSERT).format(s=schema, t=sql.Identifier(stream)).as_string(connection)
            for stream in ("decisions", "telemetry")
        }

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
        columns = [list(column) for column in zip(*rows, strict=True)]
        self.connection.execute(self._insert[stream], columns, prepare=True)

    def finish(self) -> None:
        """The server keeps itself tidy."""

    def close(self) -> None:
        """Give the book up: its lock ends with the connection."""
        self.connection.close()
