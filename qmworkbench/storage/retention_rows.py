"""Projected rows that age out: counted, and removed in one transaction, in SQLite or PostgreSQL (§5 Data Check).

The tables are those of the retention rules and no others. A rebuild brings the rows back, since the journal they are
made from is never touched; the next run lets them go again.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, delete

from qmworkbench.storage import tables
from qmworkbench.storage.archive_index import ArchivedSession
from qmworkbench.storage.projection_home import Home, opened
from qmworkbench.storage.reading import BookReader
from qmworkbench.storage.refused import StorageRefused, StoreMissing
from qmworkbench.storage.retention_rules import RULES, TABLES, TELEMETRY_TABLES

_WORTH: Final = 0.25  # of a file's pages: what is free is used again by itself, and given back where it is much


def counted(reader: BookReader, telemetry: Mapping[str, tuple[int, int]]) -> dict[tuple[str, str], int]:
    """Rows by session and kind. `telemetry` says which of its records are a session's own."""
    found: dict[tuple[str, str], int] = {}
    try:
        with reader.together():
            for table, kind in TABLES.items():
                for session_id, number in _by_session(reader, table, telemetry):
                    found[session_id, kind] = found.get((session_id, kind), 0) + number
    except StoreMissing:  # nothing was projected yet
        return {}
    return found


def _by_session(reader: BookReader, table: str, telemetry: Mapping[str, tuple[int, int]]) -> Iterator[tuple[str, int]]:
    if table not in TELEMETRY_TABLES:
        yield from reader.sql(f'SELECT session_id, count(*) AS n FROM "{table}" GROUP BY session_id').iter_rows()
        return
    for session_id, (first, last) in telemetry.items():
        found = reader.sql(f'SELECT count(*) AS n FROM "{table}" WHERE seq BETWEEN ? AND ?', first, last)
        yield session_id, int(found["n"][0])


def remove(home: Home, session: ArchivedSession, kind: str) -> int:
    """Take a session's rows of one kind out of the tables; returns how many. Raises StoreInUse, StorageRefused."""
    wanted = [table for rule in RULES if rule.kind == kind for table in rule.tables]
    if not wanted:
        return 0
    engine, let_go, refill = opened(home)
    try:
        if refill:
            raise StorageRefused(f"{refill}: fill them again first, with `qm journal project`")
        with engine.begin() as connection:
            return sum(_removed(connection, tables.METADATA.tables[name], session) for name in wanted)
    finally:
        engine.dispose()
        let_go()


def give_back(home: Home) -> None:
    """Let a SQLite file shrink where much of it is free; PostgreSQL sees to that itself."""
    engine, let_go, _ = opened(home)
    try:
        if engine.dialect.name != "sqlite":
            return
        with engine.connect() as connection:
            pages, free = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
                for name in ("page_count", "freelist_count")
            )
            connection.rollback()
            if free > pages * _WORTH:
                raw = connection.connection.dbapi_connection
                assert raw is not None
                raw.execute("VACUUM")
    finally:
        engine.dispose()
        let_go()


def _removed(connection: Connection, table: Table, session: ArchivedSession) -> int:
    if table.name not in TABLES:
        raise StorageRefused(f"{table.name} is no table that retention may touch: nothing was removed")
    if table.name in TELEMETRY_TABLES:
        which: ColumnElement[bool] = table.c.seq.between(session.telemetry.first, session.telemetry.last)
    else:
        which = table.c.session_id == session.session_id
    return int(connection.execute(delete(table).where(which)).rowcount)
