"""A book's tables in PostgreSQL: append-only and chained by the database itself, one writer at a time (§21).

Each book has a schema of its own. What the database holds to, whoever connects:

- a record is never changed or removed, and no table emptied: triggers refuse it, and the writing role may not ask
- a statement's records follow the last one and each other, in number and in hash
- a statement is refused unless the connection's epoch is the writer's: who took the book over has fenced out everybody
  before. The check holds the writer's row shared until its transaction ends, so no take-over slips in between
"""

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import sql

from qmworkbench.domain.chain import GENESIS
from qmworkbench.storage import migrations
from qmworkbench.storage.journal_file import LAYOUT
from qmworkbench.storage.journal_select import SESSION_TYPES, STREAMS
from qmworkbench.storage.postgres.connection import Connection, server_of
from qmworkbench.storage.refused import StoreDamaged

WRITER_ROLE: Final = "qm_journal_writer"
_MAKING_LOCK: Final = 0x514D  # held while a book is laid out

_STREAM: Final = """
CREATE TABLE {s}.{t} (
  seq bigint PRIMARY KEY, at text NOT NULL, type text NOT NULL, v integer NOT NULL,
  payload bytea NOT NULL, prev_hash text NOT NULL, hash text NOT NULL
);
CREATE FUNCTION {s}.{t}_follows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE first bigint; last bigint; fresh_rows bigint; before text; chained boolean;
BEGIN
  SELECT min(seq), max(seq), count(*) INTO first, last, fresh_rows FROM fresh;
  IF fresh_rows = 0 THEN RETURN NULL; END IF;
  SELECT hash INTO before FROM {s}.{t} WHERE seq = first - 1;
  IF before IS NULL AND first = 1 THEN before := {genesis}; END IF;
  -- No sequence is there twice: as many records as numbers from first to last means that none is missing.
  chained := before IS NOT NULL AND last - first + 1 = fresh_rows;
  IF chained AND fresh_rows = 1 THEN
    SELECT prev_hash = before INTO chained FROM fresh;
  ELSIF chained THEN
    SELECT bool_and(prev_hash = expected) INTO chained
      FROM (SELECT prev_hash, lag(hash, 1, before) OVER (ORDER BY seq) AS expected FROM fresh) AS links;
  END IF;
  IF chained IS NOT TRUE THEN
    RAISE EXCEPTION '{t_name} grows only at its tail: the record does not follow the last one';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER follows AFTER INSERT ON {s}.{t} REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION {s}.{t}_follows();
CREATE TRIGGER fenced BEFORE INSERT ON {s}.{t} FOR EACH STATEMENT EXECUTE FUNCTION {s}.fenced();
CREATE TRIGGER kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {s}.{t}
  FOR EACH STATEMENT EXECUTE FUNCTION {s}.append_only();
"""
_BOOK: Final = """
CREATE SCHEMA {s};
CREATE TABLE {s}.meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE {s}.writer (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), epoch bigint NOT NULL,
  host text NOT NULL, pid bigint NOT NULL, since text NOT NULL,
  process_id text NOT NULL DEFAULT '', beat bigint NOT NULL DEFAULT 0, ttl_s double precision NOT NULL DEFAULT 0
);
INSERT INTO {s}.writer VALUES (true, 0, '', 0, '');
CREATE FUNCTION {s}.append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% is append-only: a record is never changed or removed', TG_TABLE_NAME; END $$;
CREATE FUNCTION {s}.fenced() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE held bigint;
BEGIN
  SELECT epoch INTO held FROM {s}.writer FOR SHARE;
  IF held IS DISTINCT FROM nullif(current_setting('qm.epoch', true), '')::bigint THEN
    RAISE EXCEPTION 'fenced: another process writes this book (epoch %, this connection has %)',
      held, coalesce(current_setting('qm.epoch', true), 'none');
  END IF;
  RETURN NULL;
END $$;
"""
_INDEX: Final = "CREATE INDEX decisions_sessions ON {s}.decisions (type, seq) WHERE type IN ({types})"


def name_of(place: str) -> str:
    """The schema of a book's tables. PostgreSQL cuts names at 63 bytes, and a cut one could be another's."""
    name = f"book_{place}"
    if len(name.encode()) > 63:
        raise ValueError(f"book {place!r} has a name too long for PostgreSQL: give one of at most 58 characters")
    return name


def exists(connection: Connection, place: str) -> bool:
    """Whether the book has been laid out in this database."""
    row = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (name_of(place),)).fetchone()
    return row is not None


def create(connection: Connection, place: str, book: str, created: str) -> None:
    """Lay out a new book in one transaction. Somebody else who does so at the same time waits, and finds it made."""
    names = {"s": sql.Identifier(name_of(place))}
    role = _writer_role(connection)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (_MAKING_LOCK,))
        if exists(connection, place):
            return
        connection.execute(sql.SQL(_BOOK).format(**names))
        for stream in STREAMS:
            # The name within the message is text, not an identifier; streams are ours, so it needs no quoting.
            text = _STREAM.replace("{t_name}", stream)
            connection.execute(
                sql.SQL(text.replace("{t}_follows", f"{stream}_follows")).format(
                    **names, t=sql.Identifier(stream), genesis=sql.Literal(GENESIS)
                )
            )
        connection.execute(sql.SQL(_INDEX).format(**names, types=sql.SQL(",").join(map(sql.Literal, SESSION_TYPES))))
        in_schema = migrations.VERSION_DDL.replace(migrations.VERSION_TABLE, "{s}." + migrations.VERSION_TABLE, 1)
        connection.execute(sql.SQL(in_schema).format(**names))
        connection.execute(sql.SQL("INSERT INTO {s}.alembic_version VALUES (%s)").format(**names), (migrations.HEAD,))
        meta = {"layout": str(LAYOUT), "book": book, "created": created}
        for key, value in meta.items():
            connection.execute(sql.SQL("INSERT INTO {s}.meta VALUES (%s, %s)").format(**names), (key, value))
        if role:
            _grant(connection, names, role)


def _writer_role(connection: Connection) -> str:
    """The role that may only insert and read, made once per cluster; "" where we may not make roles."""
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (WRITER_ROLE,)).fetchone()
    try:
        with connection.transaction():
            if known is None:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(WRITER_ROLE)))
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(WRITER_ROLE)))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
        member = connection.execute(
            "SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = %s", (WRITER_ROLE,)
        ).fetchone()
        return WRITER_ROLE if member is not None and member[0] else ""
    return WRITER_ROLE


def _grant(connection: Connection, names: Mapping[str, sql.Composable], role: str) -> None:
    who = {**names, "role": sql.Identifier(role)}
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {s} TO {role}").format(**who))
    for stream in STREAMS:
        connection.execute(sql.SQL("GRANT INSERT, SELECT ON {s}.{t} TO {role}").format(**who, t=sql.Identifier(stream)))
    for table in ("meta", "writer"):
        connection.execute(sql.SQL("GRANT SELECT ON {s}.{t} TO {role}").format(**who, t=sql.Identifier(table)))


def take_role(connection: Connection, place: str) -> bool:
    """Give up every right but inserting and reading, for as long as the connection lasts; False where the book has no
    such role.
    """
    row = connection.execute(
        "SELECT has_table_privilege(oid, %s, 'INSERT') AND pg_has_role(current_user, oid, 'MEMBER') "
        "FROM pg_roles WHERE rolname = %s",
        (f'"{name_of(place)}".decisions', WRITER_ROLE),
    ).fetchone()
    if row is None or not row[0]:
        return False
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(WRITER_ROLE)))
    return True


def revision_of(connection: Connection, place: str) -> str:
    """The schema's revision; "" where the book is of a time before they were counted."""
    name = f'"{name_of(place)}".{migrations.VERSION_TABLE}'
    there = connection.execute("SELECT to_regclass(%s)", (name,)).fetchone()
    if there is None or there[0] is None:
        return ""
    query = sql.SQL("SELECT version_num FROM {}.alembic_version").format(sql.Identifier(name_of(place)))
    row = connection.execute(query).fetchone()
    return str(row[0]) if row is not None else ""


def demand_guards(connection: Connection, place: str) -> None:
    """The triggers are there and enabled: without them the tables are not append-only. Raises StoreDamaged."""
    rows = connection.execute(
        "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')",
        (name_of(place),),
    ).fetchall()
    found = {(str(table), str(trigger)) for table, trigger in rows}
    wanted = {(stream, trigger) for stream in STREAMS for trigger in ("follows", "fenced", "kept")}
    missing = sorted(".".join(pair) for pair in wanted - found)
    if missing:
        raise StoreDamaged(
            f"{server_of(connection)}: book {place!r} has been altered, triggers are missing or off "
            f"({', '.join(missing)}); restore it from a backup"
        )


def meta_of(connection: Connection, place: str) -> dict[str, str]:
    """The book's own words about itself: layout, book, created."""
    query = sql.SQL("SELECT key, value FROM {}.meta").format(sql.Identifier(name_of(place)))
    rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
    return {str(key): str(value) for key, value in rows}
