"""The journal's file: tables, triggers, opening checks and plain reading of both streams (§21)."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import starmap
from pathlib import Path
from typing import Any, Final

import msgspec

from qmworkbench.domain import chain
from qmworkbench.domain.chain import GENESIS, ChainBroken, Record
from qmworkbench.domain.events import (
    DECISION_TYPES,
    SCHEMA_VERSION,
    TELEMETRY_TYPES,
    Event,
    decode,
    wire_name,
)
from qmworkbench.storage import migrations, writer_row
from qmworkbench.storage.journal_select import (
    RECORD,
    ROW,
    SESSIONS_IN_SQL,
    STREAMS,
    Row,
    decoded,
    fetching,
    known,
    last_seq,
    selected,
)
from qmworkbench.storage.refused import StoreDamaged, StoreNewer
from qmworkbench.storage.sqlite import READ_ERRORS, RESTORE, refusal
from qmworkbench.storage.times import stored_time

LAYOUT: Final = 1  # counts changes of the tables below; SCHEMA_VERSION counts those of the events in them
KINDS: Final = {"decisions": frozenset(DECISION_TYPES), "telemetry": frozenset(TELEMETRY_TYPES)}
# Of each kind of event, its wire name, and where in its payload the time begins: `at` is every event's first field.
OPENINGS: Final = {
    kind: (str(kind.__struct_config__.tag), len(f'{{"type":"{kind.__struct_config__.tag}","at":"'))
    for kind in (*DECISION_TYPES, *TELEMETRY_TYPES)
}
TAIL_CHECKED: Final = 256
_ADDED: Final = {"writer": "0003"}  # what revisions brought: an older book has it once it is opened for writing
_APPLICATION_ID: Final = 0x514D4A31  # "QMJ1": tells our file from any other SQLite file
_PAGES_CHECKED_BYTES: Final = 256 * 1024 * 1024  # about a quarter of a second
_SCHEMA: Final = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"

# The chain trigger demands what no plain constraint can: the next number and the hash before it. It also
# stops INSERT OR REPLACE, which UPDATE and DELETE triggers alone would let through.
_STREAM_DDL: Final = """
CREATE TABLE {t} (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, type TEXT NOT NULL, v INTEGER NOT NULL,
  payload BLOB NOT NULL, prev_hash TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TRIGGER {t}_no_update BEFORE UPDATE ON {t}
  BEGIN SELECT RAISE(ABORT, '{t} is append-only: a record is never changed'); END;
CREATE TRIGGER {t}_no_delete BEFORE DELETE ON {t}
  BEGIN SELECT RAISE(ABORT, '{t} is append-only: a record is never removed'); END;
CREATE TRIGGER {t}_chained BEFORE INSERT ON {t}
  WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM {t})
    OR NEW.prev_hash IS NOT coalesce((SELECT hash FROM {t} WHERE seq = NEW.seq - 1), '{genesis}')
  BEGIN SELECT RAISE(ABORT, '{t} grows only at its tail: the record does not follow the last one'); END;
"""
_DDL: Final = (
    "BEGIN IMMEDIATE;"
    + "".join(_STREAM_DDL.format(t=t, genesis=GENESIS) for t in STREAMS)
    + f"""
CREATE INDEX decisions_sessions ON decisions (type, seq) WHERE type IN {SESSIONS_IN_SQL};
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
{writer_row.DDL};
{writer_row.FIRST_ROW};
{migrations.VERSION_DDL};
INSERT INTO {migrations.VERSION_TABLE} VALUES ('{migrations.HEAD}');
PRAGMA application_id = {_APPLICATION_ID};
"""
)


class _Head(msgspec.Struct):
    """The two fields of a payload that have columns of their own."""

    type: str
    at: str


def create(connection: sqlite3.Connection, book: str) -> dict[str, str]:
    """Lay out a new journal in one transaction and return its meta: a kill leaves nothing, or all of it."""
    meta = {"layout": str(LAYOUT), "book": book, "created": stored_time(datetime.now(UTC))}
    try:
        connection.executescript(_DDL)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return meta


def revision_of(connection: sqlite3.Connection) -> str:
    """The schema's revision; "" where the book is of a time before they were counted."""
    try:
        row = connection.execute(f"SELECT version_num FROM {migrations.VERSION_TABLE}").fetchone()
    except sqlite3.OperationalError:
        return ""
    return str(row[0]) if row is not None else ""


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> str:
    """Bring a journal that was looked at, and that this process alone writes, to the newest revision; returns the one
    it had, "" where there was nothing to do. It happens whole or not at all. Raises StoreDamaged.
    """
    found = revision_of(connection)
    if found == migrations.HEAD:
        return ""
    from sqlalchemy import StaticPool, create_engine

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as upgrading:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not found:
                connection.execute(migrations.VERSION_DDL)
                connection.execute(f"INSERT INTO {migrations.VERSION_TABLE} VALUES (?)", (migrations.FIRST,))
            migrations.upgrade(upgrading, migrations.JOURNAL, str(path))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return found or migrations.FIRST


def is_new(connection: sqlite3.Connection) -> bool:
    """Nothing has been laid out in this file yet."""
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]) == 0


def check(connection: sqlite3.Connection, path: Path) -> dict[str, str]:
    """Look at an existing journal before trusting it; returns its meta. Raises StoreNewer, StoreDamaged.

    Looked at: that it is a journal, its versions, that no page is missing or malformed, and that the last
    records of both streams are chained. The whole chain is walked by `verify()`.
    """
    try:
        if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise StoreDamaged(f"{path} is a database but not a journal: give the journal.db of a book")
        meta = {str(key): str(value) for key, value in connection.execute("SELECT key, value FROM meta")}
        _check_versions(connection, path, meta)
        _check_guards(connection, path)
        _check_pages(connection, path)
        for stream in STREAMS:
            last = last_seq(connection, stream)
            verify_rows(rows(connection, stream, max(0, last - TAIL_CHECKED)), anchored=last <= TAIL_CHECKED)
    except ChainBroken as error:
        raise StoreDamaged(f"{path} was changed after it was written: {error}. {RESTORE}") from error
    except READ_ERRORS as error:
        raise refusal(path, error) from error
    return meta


def _check_guards(connection: sqlite3.Connection, path: Path) -> None:
    """The tables and triggers are the ones we made: without its triggers a journal is not append-only."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        fresh.executescript(_DDL + "COMMIT;")
        ours = dict(fresh.execute(_SCHEMA).fetchall())
    found = dict(connection.execute(_SCHEMA).fetchall())
    odd = sorted(name for name in ours.keys() | found.keys() if ours.get(name) != found.get(name))
    odd = [name for name in odd if name != migrations.VERSION_TABLE]  # older books have none, or Alembic's own
    since = {name: revision for name, revision in _ADDED.items() if name not in found}
    odd = [name for name in odd if (revision_of(connection) or migrations.FIRST) >= since.get(name, "")]
    if odd:
        raise StoreDamaged(f"{path} has been altered: {', '.join(odd)} missing or not as made; {RESTORE}")


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    """Every page of a file of ordinary size; a restart on a very large one must stay quick."""
    pages, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "page_size"))
    if pages * size <= _PAGES_CHECKED_BYTES:
        found = " ".join(str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]).split())
        if found != "ok":
            raise StoreDamaged(f"{path} is damaged ({found}): {RESTORE}")


def _check_versions(connection: sqlite3.Connection, path: Path, meta: dict[str, str]) -> None:
    layout = meta.get("layout", "")
    if not layout.isdigit() or "book" not in meta:
        raise StoreDamaged(f"{path} does not say its layout and book: {RESTORE}")
    migrations.demand_known(revision_of(connection) or migrations.FIRST, str(path))
    if int(layout) > LAYOUT:
        raise StoreNewer(
            f"{path} has layout {layout}, this version of the workbench writes layout {LAYOUT}: "
            "update the workbench to open it"
        )
    for stream in STREAMS:
        row = connection.execute(f"SELECT v FROM {stream} ORDER BY seq DESC LIMIT 1").fetchone()
        if row is not None and type(row[0]) is int and row[0] > SCHEMA_VERSION:
            raise StoreNewer(
                f"{path} holds {stream} of event schema {row[0]}, this version of the workbench knows "
                f"up to {SCHEMA_VERSION}: update the workbench to open it"
            )


def head(connection: sqlite3.Connection, stream: str = "decisions") -> tuple[int, str]:
    """Sequence and hash of the newest stored record; (0, genesis) when there is none."""
    row = connection.execute(f"SELECT seq, hash FROM {known(stream)} ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, GENESIS) if row is None else (int(row[0]), str(row[1]))


def hash_at(connection: sqlite3.Connection, seq: int, stream: str = "decisions") -> str | None:
    """The hash stored for record `seq`, None where there is none."""
    row = connection.execute(f"SELECT hash FROM {known(stream)} WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else str(row[0])


def rows(connection: sqlite3.Connection, stream: str, after_seq: int = 0, upto_seq: int | None = None) -> Iterator[Row]:
    """Stored rows after `after_seq`, in order, up to `upto_seq` or what was the end when asked."""
    return selected(fetching(connection, stream), ROW, after_seq, _end(connection, stream, upto_seq))


def records(
    connection: sqlite3.Connection, stream: str, after_seq: int = 0, upto_seq: int | None = None
) -> Iterator[Record]:
    """Stored records as the chain knows them."""
    end = _end(connection, stream, upto_seq)
    return starmap(Record, selected(fetching(connection, stream), RECORD, after_seq, end))


def belongs(event: Event, stream: str) -> None:
    """Refuse a fact of the machine among decisions, and the reverse: a replay would not give it again. ValueError."""
    if type(event) not in KINDS[stream]:
        raise ValueError(f"{wire_name(event)} does not belong into the stream {stream!r}")


def record_of(row: Row) -> Record:
    """A row as the chain knows it."""
    return Record(seq=row[0], type=row[2], payload=row[4], prev_hash=row[5], hash=row[6])


def events(
    connection: sqlite3.Connection,
    stream: str = "decisions",
    after_seq: int = 0,
    types: Iterable[str] | None = None,
    upto_seq: int | None = None,
) -> Iterator[tuple[int, Event]]:
    """Decoded events after `after_seq`, of all types or those whose wire names are given."""
    wanted = None if types is None else frozenset(types)
    return decoded(fetching(connection, stream, wanted), after_seq, _end(connection, stream, upto_seq))


def _end(connection: sqlite3.Connection, stream: str, upto_seq: int | None) -> int:
    return last_seq(connection, known(stream)) if upto_seq is None else upto_seq


def session_events(connection: sqlite3.Connection) -> Iterator[tuple[int, Event]]:
    """Opened, recovered, summarized and closed, of every session in the book, found by index."""
    query = f"SELECT seq, payload FROM decisions WHERE type IN {SESSIONS_IN_SQL} ORDER BY seq"
    for seq, payload in connection.execute(query).fetchall():
        yield seq, decode(payload)


def verify_rows(
    stored: Iterable[Row], *, anchored: bool = True, after: tuple[int, str] = (0, GENESIS)
) -> tuple[int, str]:
    """Walk rows, prove the chain and that the columns beside the payload agree with it; returns the head.

    `after` is the head that the first row must follow, proved before. `anchored` False takes that row's predecessor on
    trust: for looking at a tail. Raises ChainBroken.
    """
    (seq, digest), version = after, 1
    for row in stored:
        if not anchored:
            seq, digest, anchored = row[0] - 1, row[5], True
        if not _has_types(row):
            raise ChainBroken(f"record {row[0]} holds no event: a column was changed after it was written")
        seq, digest = chain.verify((record_of(row),), prev_seq=seq, prev_hash=digest)
        try:
            inside = msgspec.json.decode(row[4], type=_Head)
        except msgspec.DecodeError as error:
            raise ChainBroken(f"record {seq} ({row[2]}) holds no event: {error}") from error
        if inside.type != row[2] or inside.at != row[1]:
            raise ChainBroken(f"record {seq} is filed as {row[2]} of {row[1]} but holds {inside.type} of {inside.at}")
        if not version <= row[3] <= SCHEMA_VERSION:
            raise ChainBroken(f"record {seq} ({row[2]}) is filed under event schema {row[3]}, after {version}")
        version = row[3]
    return seq, digest


def _has_types(row: tuple[Any, ...]) -> bool:
    """SQLite stores any type in any column; an edited file may hold what a Row never does."""
    return type(row[3]) is int and type(row[4]) is bytes
