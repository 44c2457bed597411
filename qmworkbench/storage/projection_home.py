"""Where a book's projected tables lie: a SQLite file, or a schema beside the journal in PostgreSQL (§17, §21).

One projector at a time writes them. Their schema is laid out new, brought up to date by the migrations, or, where it is
none that we know, made anew: everything in it can be folded from the journal again.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, MetaData, StaticPool, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError

from qmworkbench.storage import migrations, tables
from qmworkbench.storage.migrations.first_tables import PROJECTED
from qmworkbench.storage.paragraphs import tables_of
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.sqlite import BUSY_TIMEOUT_S
from qmworkbench.storage.stores import place_of
from qmworkbench.storage.writer_lock import WriterLock

_REMEDY: Final = "update the workbench, or make them again from the journal with `qm journal project --rebuild`"


class Home(Protocol):
    """What a projector needs of the place its tables lie in."""

    @property
    def where(self) -> str:
        """The place, for people."""
        ...

    def open(self) -> tuple[Engine, Callable[[], None]]:
        """An engine of one connection, and what gives the place up. Raises StoreInUse, StorageRefused."""
        ...

    def lay_out(self, connection: Connection) -> None:
        """Whatever the tables stand on, where it is not there yet."""
        ...

    def discard(self, why: str) -> None:
        """Remove what is there and cannot be read. Raises StorageRefused, saying `why`, where it is not ours."""
        ...


class SqliteHome:
    """A file of its own, beside the journal's."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def where(self) -> str:
        return str(self.path)

    def open(self) -> tuple[Engine, Callable[[], None]]:
        lock = WriterLock(self.path)
        return sqlite_engine(self.path), lock.release

    def lay_out(self, connection: Connection) -> None:
        """A file needs nothing but its tables."""

    def discard(self, why: str) -> None:
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def home_of(paths: BookPaths) -> Home:
    """Where the projections of a book lie: with its journal. Raises StoreMissing, StoreDamaged."""
    lies = place_of(paths)
    if lies is None:
        return SqliteHome(paths.projections)
    from qmworkbench.storage.postgres.projected import PostgresHome

    SqliteHome(paths.projections).discard("")  # of a version that kept them in the directory: nobody follows it now
    return PostgresHome(*lies)


def prepared(home: Home, engine: Engine, *, anew: bool = False) -> str:
    """See that the tables are those of this version; returns why they have to be filled again, "" where they need not.

    `anew` lays them out whatever is there. Raises StoreNewer, and DatabaseError for what is no database.
    """
    with engine.begin() as connection:
        home.lay_out(connection)
        found = revision_of(connection)
        told = "they are made anew" if anew else _not_ours(connection, found)
        if anew or told:
            _drop_all(connection)
            found = None
        if found is None:
            tables.METADATA.create_all(connection)
            connection.exec_driver_sql(migrations.VERSION_DDL)
            _stamp(connection, migrations.HEAD)
            return f"{home.where}: {told}" if told else ""
        migrations.demand_known(found, home.where, _REMEDY)
        if found == migrations.HEAD:
            return ""
        if not inspect(connection).has_table(migrations.VERSION_TABLE):
            connection.exec_driver_sql(migrations.VERSION_DDL)
            _stamp(connection, found)
        migrations.upgrade(connection, migrations.PROJECTIONS, home.where)
        if connection.execute(text("SELECT count(*) FROM watermarks")).scalar_one():
            return ""  # what is there stays, and is gone on from
        return f"{home.where} had schema revision {found}, this version writes {migrations.HEAD}"


def revision_of(connection: Connection) -> str | None:
    """The revision the tables say they have; the first where they say none, None where there are no tables."""
    names = inspect(connection).get_table_names()
    if migrations.VERSION_TABLE in names:
        found = connection.execute(text(f"SELECT version_num FROM {migrations.VERSION_TABLE}")).scalar_one_or_none()
        return None if found is None else str(found)
    return migrations.FIRST if names else None


def _not_ours(connection: Connection, found: str | None) -> str:
    """What is wrong with tables that say no revision, "" where they are those of the first one."""
    seen = inspect(connection)
    names = set(seen.get_table_names())
    if found is None or migrations.VERSION_TABLE in names:
        return "" if found is not None or not names else "they did not say their revision, and are made anew"
    first = {name: set(table.columns.keys()) for name, table in tables_of(PROJECTED, MetaData()).items()}
    there = {name: {column["name"] for column in seen.get_columns(name)} for name in names}
    return "" if there == first else "they were of a time before revisions were counted, and are made anew"


def _drop_all(connection: Connection) -> None:
    for name in inspect(connection).get_table_names():
        connection.exec_driver_sql(f'DROP TABLE "{name}"')


def _stamp(connection: Connection, revision: str) -> None:
    connection.exec_driver_sql(f"DELETE FROM {migrations.VERSION_TABLE}")
    connection.exec_driver_sql(f"INSERT INTO {migrations.VERSION_TABLE} (version_num) VALUES ('{revision}')")


def opened(home: Home) -> tuple[Engine, Callable[[], None], str]:
    """The tables of this version at `home`: an engine, what gives the place up, and why they have to be filled again.

    Raises StoreInUse, StoreNewer, StorageRefused.
    """
    engine, let_go = home.open()
    try:
        try:
            return engine, let_go, prepared(home, engine)
        except (DatabaseError, sqlite3.DatabaseError) as error:
            engine.dispose()
            why = " ".join(str(error.__cause__ or error).split())
            home.discard(why)
            told = f"{home.where} was damaged ({why})"
        let_go()
        engine, let_go = home.open()
        prepared(home, engine)
        return engine, let_go, told
    except BaseException:
        engine.dispose()
        let_go()
        raise


def made_anew(home: Home) -> None:
    """Lay the tables out anew and empty, even where a newer version made them. Raises StoreInUse, StorageRefused."""
    engine, let_go = home.open()
    try:
        try:
            prepared(home, engine, anew=True)
        except (DatabaseError, sqlite3.DatabaseError) as error:
            engine.dispose()
            home.discard(str(error.__cause__ or error))
    finally:
        engine.dispose()
        let_go()


def sqlite_engine(path: Path) -> Engine:
    """One connection for the one writer. What is lost in a power cut is made again, so NORMAL is enough."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver begins no transaction before a CREATE: it is begun below, so that a migration is whole or not.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
