"""Reading a journal's stream in short statements, by the columns that are asked for, whichever store it lies in (§21).

Reading is bounded by what Python pays for each value it is given, not by the store: who decodes needs two columns, who
proves the chain five, and only who looks at the columns themselves needs all seven. A long open statement would keep a
write-ahead log from being reused; a piece is let go of before the next one is fetched into its memory.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Any, Final

from qmworkbench.domain.events import Event, decode_raw

Row = tuple[int, str, str, int, bytes, str, str]
ROW: Final = "seq, at, type, v, payload, prev_hash, hash"  # all of them, as a Row
RECORD: Final = "seq, type, payload, prev_hash, hash"  # the fields of a Record, in its order
PAYLOAD: Final = "seq, payload"

STREAMS: Final = ("decisions", "telemetry")
# Rows of these types are found without walking the whole journal; the list is part of the layout.
SESSION_TYPES: Final = ("session.opened", "session.recovered", "session.summarized", "session.closed")
SESSIONS_IN_SQL: Final = "('session.opened', 'session.recovered', 'session.summarized', 'session.closed')"
PIECE: Final = 2000  # rows that are fetched at once, at most

# How a store gives rows of a stream: the columns, after which number, up to which; in order, the first PIECE of them.
Fetch = Callable[[str, int, int], list[Any]]


def fetching(connection: sqlite3.Connection, stream: str, types: Collection[str] | None = None) -> Fetch:
    """Rows of a stream in the journal's file, of all types or those named. Raises ValueError for no stream of ours."""
    table = known(stream)
    wanted = sorted(types or ())
    of_types = f"AND type IN ({','.join('?' * len(wanted))})" if types is not None else ""
    if wanted and set(wanted) <= set(SESSION_TYPES):
        of_types += f" AND type IN {SESSIONS_IN_SQL}"  # said as the index says it, or it would not be used

    def fetch(columns: str, after_seq: int, upto_seq: int) -> list[Any]:
        query = f"SELECT {columns} FROM {table} WHERE seq > ? AND seq <= ? {of_types} ORDER BY seq LIMIT {PIECE}"
        return connection.execute(query, (after_seq, upto_seq, *wanted)).fetchall()

    return fetch


def selected(fetch: Fetch, columns: str, after_seq: int, upto_seq: int) -> Iterator[Any]:
    """Rows after one number and up to another, in order, with `columns`, of which the first is `seq`."""
    return chain.from_iterable(_pieces(fetch, columns, after_seq, upto_seq))


def decoded(fetch: Fetch, after_seq: int, upto_seq: int) -> Iterator[tuple[int, Event]]:
    """Events after one number and up to another, in order. Nothing is proven, but what a payload holds must be an
    event of ours.
    """
    return chain.from_iterable(_decoded(fetch, after_seq, upto_seq))


def _pieces(fetch: Fetch, columns: str, after_seq: int, upto_seq: int) -> Iterator[list[Any]]:
    # Each fetch ends at a number: asked for a few rows of all that are left, PostgreSQL may look at all of them.
    span = PIECE
    while after_seq < upto_seq:
        end = min(upto_seq, after_seq + span)
        piece = fetch(columns, after_seq, end)
        full = len(piece) == PIECE
        after_seq = piece[-1][0] if full else end
        if not full:
            span *= 2  # of few types, or of a stream that lacks rows, the next ones are farther away
        yield piece
        del piece


def _decoded(fetch: Fetch, after_seq: int, upto_seq: int) -> Iterator[Iterable[tuple[int, Event]]]:
    while after_seq < upto_seq:
        end = min(upto_seq, after_seq + PIECE)
        payloads = fetch("payload", after_seq, end)
        if len(payloads) < end - after_seq:
            break
        # As many rows as numbers: each has its own, and none need be fetched.
        yield zip(range(after_seq + 1, end + 1), map(decode_raw, chain.from_iterable(payloads)), strict=True)
        del payloads
        after_seq = end
    for piece in _pieces(fetch, PAYLOAD, after_seq, upto_seq):
        yield ((seq, decode_raw(payload)) for seq, payload in piece)


def last_seq(connection: sqlite3.Connection, stream: str) -> int:
    """The newest sequence of a stream, 0 where it holds nothing."""
    return int(connection.execute(f"SELECT coalesce(max(seq), 0) FROM {stream}").fetchone()[0])


def known(stream: str) -> str:
    """The stream's table. Raises ValueError for one there is not."""
    if stream not in STREAMS:
        raise ValueError(f"a journal has no stream {stream!r}: give one of {', '.join(STREAMS)}")
    return stream
