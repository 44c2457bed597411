"""A book's projected tables in PostgreSQL: a schema beside the journal's, one projector, many readers (§17)."""

import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.adapt import Dumper
from sqlalchemy import Connection, Engine, StaticPool, create_engine

from qmworkbench.storage.column_types import DOMAINS
from qmworkbench.storage.postgres import connection as server
from qmworkbench.storage.postgres import schema
from qmworkbench.storage.refused import StorageRefused, StoreInUse

READER_ROLE: Final = "qm_reader"
PATIENCE_S: Final = 2.0
_TABLES_LOCK: Final = 0x514E  # class of the advisory locks that stand for projected tables


def name_of(place: str) -> str:
    """The schema of a book's projected tables."""
    return "read_" + schema.name_of(place).removeprefix("book_")


class _Flag(Dumper):
    """A truth value as the number that it is stored as."""

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


class PostgresHome:
    """projection_home.Home in the database where the journal lies."""

    def __init__(self, address: str, place: str) -> None:
        self._address = address
        self.place = place

    @property
    def where(self) -> str:
        return f"the tables of {self.place} at PostgreSQL {server.shown(self._address)}"

    def open(self) -> tuple[Engine, Callable[[], None]]:
        """One connection, which holds the tables for as long as it lasts. Raises StoreInUse, StorageRefused."""
        raw = server.connected(self._address)
        try:
            if not self._locked(raw):
                raise StoreInUse(f"{self.where} are being written by another process: use its API, or end it")
            raw.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(name_of(self.place))))
            raw.execute("SET synchronous_commit = off")  # what a crash takes is folded again
            raw.adapters.register_dumper(bool, _Flag)
            raw.autocommit = False
        except BaseException:
            raw.close()
            raise
        engine = create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=StaticPool)
        return engine, raw.close

    def _locked(self, raw: server.Connection) -> bool:
        """Take the tables, of a process that has just been killed too: the server notices that a moment later."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            row = raw.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_TABLES_LOCK, self.place)).fetchone()
            if row is not None and row[0]:
                return True
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.05)

    def lay_out(self, connection: Connection) -> None:
        """Schema and domains, and the right to read for whoever is given the reader's role."""
        name = name_of(self.place)
        there = connection.exec_driver_sql("SELECT 1 FROM pg_namespace WHERE nspname = %s", (name,)).first()
        if there is None:
            connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')
            for domain, meaning in DOMAINS.items():
                connection.exec_driver_sql(f"CREATE DOMAIN {domain} AS {meaning}")
            _let_read(connection, name)

    def discard(self, why: str) -> None:
        raise StorageRefused(
            f"{self.where} cannot be used ({why}): see that the server runs and has room, and that this account may "
            "create schemas. They can be made again with `qm journal project --rebuild`"
        )


def _let_read(connection: Connection, name: str) -> None:
    """Whoever has the reader's role may look at these tables and at nothing else; left out where roles may not be made.

    It is made once in a cluster, without a login: a person's own account is given it.
    """
    known = connection.exec_driver_sql("SELECT 1 FROM pg_roles WHERE rolname = %s", (READER_ROLE,)).first()
    raw: Any = connection.connection.dbapi_connection
    try:
        with raw.transaction():
            if known is None:
                raw.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(READER_ROLE)))
            names = {"s": sql.Identifier(name), "r": sql.Identifier(READER_ROLE)}
            raw.execute(sql.SQL("GRANT USAGE ON SCHEMA {s} TO {r}").format(**names))
            raw.execute(sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {s} GRANT SELECT ON TABLES TO {r}").format(**names))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
        return
