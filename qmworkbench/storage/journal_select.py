"""Reading a stream of the journal's file in short statements, by the columns that are asked for (§21).

Reading is bounded by what Python pays for each value it is given, not by SQLite: who decodes needs two columns, who
proves the chain five, and only who looks at the columns themselves needs all seven.
"""

import sqlite3
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any, Final

Row = tuple[int, str, str, int, bytes, str, str]
ROW: Final = "seq, at, type, v, payload, prev_hash, hash"  # all of them, as a Row
RECORD: Final = "seq, type, payload, prev_hash, hash"  # the fields of a Record, in its order
PAYLOAD: Final = "seq, payload"

STREAMS: Final = ("decisions", "telemetry")
# Rows of these types are found without walking the whole journal; the list is part of the layout.
SESSION_TYPES: Final = ("session.opened", "session.recovered", "session.summarized", "session.closed")
SESSIONS_IN_SQL: Final = "('session.opened', 'session.recovered', 'session.summarized', 'session.closed')"
_CHUNK: Final = 2000


def selected(
    connection: sqlite3.Connection,
    columns: str,
    stream: str,
    after_seq: int = 0,
    upto_seq: int | None = None,
    types: Collection[str] | None = None,
) -> Iterator[Any]:
    """Stored rows after `after_seq`, in order, up to `upto_seq` or what was the end when asked; of all types or those
    named, with `columns` alone.

    Read in short statements: a long open one would keep the write-ahead log from being reused.
    """
    return chain.from_iterable(_chunks(connection, columns, stream, after_seq, upto_seq, types))


def _chunks(
    connection: sqlite3.Connection,
    columns: str,
    stream: str,
    after_seq: int,
    upto_seq: int | None,
    types: Collection[str] | None,
) -> Iterator[list[Any]]:
    table = known(stream)
    end = last_seq(connection, table) if upto_seq is None else upto_seq
    wanted = sorted(types or ())
    of_types = f"AND type IN ({','.join('?' * len(wanted))})" if types is not None else ""
    if wanted and set(wanted) <= set(SESSION_TYPES):
        of_types += f" AND type IN {SESSIONS_IN_SQL}"  # said as the index says it, or it would not be used
    query = f"SELECT {columns} FROM {table} WHERE seq > ? AND seq <= ? {of_types} ORDER BY seq LIMIT {_CHUNK}"
    while after_seq < end:
        chunk = connection.execute(query, (after_seq, end, *wanted)).fetchall()
        yield chunk
        if len(chunk) < _CHUNK:
            return
        after_seq = int(chunk[-1][0])


def last_seq(connection: sqlite3.Connection, stream: str) -> int:
    """The newest sequence of a stream, 0 where it holds nothing."""
    return int(connection.execute(f"SELECT coalesce(max(seq), 0) FROM {stream}").fetchone()[0])


def known(stream: str) -> str:
    """The stream's table. Raises ValueError for one there is not."""
    if stream not in STREAMS:
        raise ValueError(f"a journal has no stream {stream!r}: give one of {', '.join(STREAMS)}")
    return stream
