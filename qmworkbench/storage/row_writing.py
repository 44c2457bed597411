"""How whole rows are put into a projected table: one statement for many of them, made once per table (§17).

SQLAlchemy words the statements; a row's values go to the driver as they are, since its own handling of them costs more
than the database's writing them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Dialect, Float, Integer, Table
from sqlalchemy.dialects import sqlite

from qmworkbench.storage.column_types import Flag

_WORTH_A_COPY: Final = 100  # rows, below which a savepoint costs more than it saves


class Statements(Protocol):
    """What one table's rows are read and written with."""

    def find(self, connection: Connection, key: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The row of `key`, its columns in the table's order."""
        ...

    def insert(self, connection: Connection, rows: Sequence[tuple[Any, ...]], *, surely: bool) -> None:
        """Whole rows of keys that the table does not hold, `surely` or by all likelihood: one that is there all the
        same is replaced then.
        """
        ...

    def put(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert whole rows, or put them in the place of those with their keys; a key comes once."""
        ...


class _Sqlite:
    """One prepared statement, run for each row within the driver."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        self._find = _finding(table, dialect)
        insert = sqlite.insert(table)
        others = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
        upsert = insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=others)
        names = [column.name for column in table.columns]
        compiled = upsert.compile(dialect=dialect, column_keys=names)
        if compiled.positiontup != names:
            raise AssertionError(f"{table.name}: the statement does not take the columns in their order")
        self._put = str(compiled)

    def insert(self, connection: Connection, rows: Sequence[tuple[Any, ...]], *, surely: bool) -> None:
        self.put(connection, rows)  # looking for a conflict that is not there costs nothing that can be measured

    def find(self, connection: Connection, key: tuple[Any, ...]) -> tuple[Any, ...] | None:
        found = connection.exec_driver_sql(self._find, key).first()
        return None if found is None else tuple(found)

    def put(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        connection.exec_driver_sql(self._put, list(rows))


class _Postgres:
    """New rows by COPY; others in one statement, whose columns travel as arrays that the server takes apart."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        self._find = _finding(table, dialect)
        quoted = dialect.identifier_preparer.quote
        names = [quoted(column.name) for column in table.columns]
        keys = ", ".join(quoted(column.name) for column in table.primary_key.columns)
        self._kinds = [_kind(column.type) for column in table.columns]
        arrays = ", ".join(f"%b::{array}" for array, _made in self._kinds)
        others = ", ".join(f"{quoted(c.name)} = excluded.{quoted(c.name)}" for c in table.columns if not c.primary_key)
        self._copy = f"COPY {quoted(table.name)} ({', '.join(names)}) FROM STDIN"
        self._put = (
            f"INSERT INTO {quoted(table.name)} ({', '.join(names)}) SELECT * FROM unnest({arrays}) "
            f"ON CONFLICT ({keys}) DO UPDATE SET {others}"
        )

    def find(self, connection: Connection, key: tuple[Any, ...]) -> tuple[Any, ...] | None:
        found = connection.exec_driver_sql(self._find, key).first()
        return None if found is None else tuple(found)

    def put(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        # An array is of one type: a truth value among numbers, or a number among measures, is made one of them.
        arrays = tuple(
            [value if value is None or type(value) is made else made(value) for value in column]
            for (_array, made), column in zip(self._kinds, zip(*rows, strict=True), strict=True)
        )
        connection.exec_driver_sql(self._put, arrays)

    def insert(self, connection: Connection, rows: Sequence[tuple[Any, ...]], *, surely: bool) -> None:
        if surely:
            if not connection.in_transaction():
                connection.begin()  # SQLAlchemy knows of no COPY, and would have nothing to commit
            self._copied(connection, rows)
        elif len(rows) < _WORTH_A_COPY:
            self.put(connection, rows)
        else:
            from psycopg.errors import UniqueViolation  # known only where PostgreSQL is used

            try:
                with connection.begin_nested():
                    self._copied(connection, rows)
            except UniqueViolation:  # what a record told is told again
                self.put(connection, rows)

    def _copied(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        driver: Any = connection.connection.dbapi_connection
        with driver.cursor() as cursor, cursor.copy(self._copy) as copy:
            for row in rows:
                copy.write_row(row)


_MADE: Final[dict[tuple[str, str], Statements]] = {}
_KINDS: Final[Mapping[str, Callable[[Table, Dialect], Statements]]] = {"sqlite": _Sqlite, "postgresql": _Postgres}


def statements(table: Table, dialect: Dialect) -> Statements:
    """A table's statements in a database's words."""
    made = _MADE.get((table.name, dialect.name))
    if made is None:
        made = _MADE[table.name, dialect.name] = _KINDS[dialect.name](table, dialect)
    return made


def _finding(table: Table, dialect: Dialect) -> str:
    quoted = dialect.identifier_preparer.quote
    mark = "?" if dialect.name == "sqlite" else "%s"
    columns = ", ".join(quoted(column.name) for column in table.columns)
    wanted = " AND ".join(f"{quoted(column.name)} = {mark}" for column in table.primary_key.columns)
    return f"SELECT {columns} FROM {quoted(table.name)} WHERE {wanted}"


def _kind(kind: Any) -> tuple[str, type]:
    """The array that a column's values travel in, the column's own type taking them from there, and what they are."""
    if isinstance(kind, Flag):
        return "smallint[]", int
    if isinstance(kind, Float):
        return "double precision[]", float
    return ("bigint[]", int) if isinstance(kind, Integer) else ("text[]", str)
