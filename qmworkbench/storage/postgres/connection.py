"""Connections to PostgreSQL: what a server must be, and what its errors mean for a book (§6, §21)."""

import logging
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import sql

from qmworkbench.storage.refused import StorageRefused, StoreDamaged

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

# What went wrong is raised, and told once; the driver would tell it on standard error as well.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

LEAST_VERSION: Final = 150_000
CONNECT_S: Final = 5
# A server that is gone without a word is noticed: TCP keepalives find a dead peer after about ten seconds, and what
# was sent and is not acknowledged by its machine counts as lost after fifteen.
_KEEPALIVES: Final[dict[str, Any]] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def connected(dsn: str, *, readonly: bool = False) -> Connection:
    """A connection in autocommit. Raises StorageRefused, naming the server and never its password."""
    try:
        connection = psycopg.connect(
            dsn, autocommit=True, connect_timeout=CONNECT_S, application_name="qmworkbench", **_KEEPALIVES
        )
    except psycopg.Error as error:
        raise StorageRefused(
            f"PostgreSQL at {shown(dsn)} cannot be used ({_plain(error)}): start it, or correct servers.postgres"
        ) from None
    if connection.info.server_version < LEAST_VERSION:
        version = connection.info.server_version // 10_000
        connection.close()
        raise StorageRefused(f"PostgreSQL at {shown(dsn)} is version {version}: 15 or newer is needed")
    if readonly:
        connection.execute("SET default_transaction_read_only = on")
    return connection


def demand_durable(connection: Connection) -> dict[str, str]:
    """What an acknowledged commit survives, asked from the server; refused where that is less than a power cut.

    `synchronous_commit` is set for this connection and then asked for: what is only wished for proves nothing.
    """
    connection.execute("SET synchronous_commit = on")
    found = durable_settings(connection)
    wrong = {name: value for name, value in found.items() if value != "on"}
    if wrong:
        told = ", ".join(f"{name} {value}" for name, value in wrong.items())
        raise StoreDamaged(
            f"{server_of(connection)} is not durable as configured ({told}): switch it on in postgresql.conf"
        )
    return found


def durable_settings(connection: Connection) -> dict[str, str]:
    """What the connection really runs with: synchronous_commit, fsync and full_page_writes, in the server's words."""
    found = {}
    for name in ("synchronous_commit", "fsync", "full_page_writes"):
        row = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
        found[name] = str(row[0]) if row else ""
    return found


def server_of(connection: Connection) -> str:
    """Where a connection leads, for people."""
    info = connection.info
    return f"PostgreSQL {info.host or 'on this machine'}, database {info.dbname}"


def shown(dsn: str) -> str:
    """A connection string as it may be shown: where it leads, without user and password."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        return "an address that cannot be read"
    host, port = parts.get("host") or "this machine", parts.get("port")
    return f"{host}{f':{port}' if port else ''}, database {parts.get('dbname') or 'by default'}"


def _plain(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
