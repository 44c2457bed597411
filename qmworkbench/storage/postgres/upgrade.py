"""A book in PostgreSQL is brought to the newest schema revision while its lock is held (§6)."""

from qmworkbench.storage import migrations
from qmworkbench.storage.postgres import lease, schema
from qmworkbench.storage.postgres.connection import Connection, connected
from qmworkbench.storage.refused import StoreInUse


def bring_up_to_date(dsn: str, connection: Connection, place: str, book: str, where: str) -> str:
    """Bring a book that was looked at to the newest revision; returns the one it had, "" where there was nothing to do.

    `connection` has the book's lock from then on. It happens whole or not at all, on a connection of its own. Raises
    StoreInUse, StoreDamaged, StorageRefused.
    """
    found = schema.revision_of(connection, place)
    if found == migrations.HEAD:
        return ""
    if not lease.lock(connection, place):
        raise StoreInUse(f"book {book!r} at {where} is written by another process, of an older version: end that one")
    from sqlalchemy import StaticPool, create_engine

    raw = connected(dsn)
    raw.execute("SELECT set_config('search_path', %s, false)", (f'"{schema.name_of(place)}"',))
    raw.autocommit = False
    engine = create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=StaticPool)
    try:
        with engine.begin() as upgrading:
            if not found:
                upgrading.exec_driver_sql(migrations.VERSION_DDL)
                upgrading.exec_driver_sql(f"INSERT INTO {migrations.VERSION_TABLE} VALUES (%s)", (migrations.FIRST,))
            migrations.upgrade(upgrading, migrations.JOURNAL, f"book {book!r} at {where}")
    finally:
        engine.dispose()
        raw.close()
    return found or migrations.FIRST
