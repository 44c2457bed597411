"""The projected tables, read-only and as stored, in whichever database a book's lie (§17, §18)."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from qmworkbench.storage import migrations
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.refused import StorageRefused, StoreMissing
from qmworkbench.storage.sqlite import READ_ERRORS, connect_readonly, refusal
from qmworkbench.storage.stores import place_of

Rows = list[tuple[Any, ...]]
_MADE_BY: Final = (
    "a running session writes it, and `qm journal project` (rebuild_book() in qmworkbench.storage.projections) makes "
    "it from the journal"
)
_QUOTED: Final = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")


class NotASelect(Exception):
    """A query that is no query here; the message says why."""


class TableReader(Protocol):
    """The tables of one book. Parameters of queries are marked `?` in either database.

    Raises StoreMissing before anything was projected, StorageRefused where it cannot be read or a query would write.
    """

    def revision(self) -> str:
        """The revision of the schema there; the first one where the tables do not say."""
        ...

    def names(self) -> list[str]:
        """The tables, by name."""
        ...

    def columns(self, table: str) -> list[tuple[str, str, int]]:
        """Name, type as storage/column_types.py names it, and place in the primary key from 1 (0: none)."""
        ...

    def select(self, query: str, values: Sequence[Any] = ()) -> tuple[list[str], Rows]:
        """Column names and rows. Raises NotASelect for what the database does not understand."""
        ...

    def batches(self, query: str, values: Sequence[Any], rows: int) -> Iterator[Rows]:
        """What `select` gives, at most so many rows at a time; nothing of it is kept."""
        ...

    def connection(self) -> Any:
        """A connection (DB-API) that can only read, the caller's to close."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """What is read within is read over one connection: for whoever reads many tables."""
        ...


def tables_of_book(paths: BookPaths) -> TableReader:
    """The reader for wherever a book's tables lie. Raises StoreDamaged."""
    lies = place_of(paths)
    return SqliteTables(paths.projections) if lies is None else PostgresTables(*lies)


class _Connected:
    """A connection for each question, or one for many."""

    _held: Any = None

    def connection(self) -> Any:
        raise NotImplementedError

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is read within is read over one connection: for whoever reads many tables."""
        with closing(self.connection()) as connection:
            self._held = connection
            try:
                yield
            finally:
                self._held = None

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        if self._held is not None:
            yield self._held
            return
        with closing(self.connection()) as connection:
            yield connection


class SqliteTables(_Connected):
    """TableReader on the projections' own file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def revision(self) -> str:
        if migrations.VERSION_TABLE not in self._all_names():
            return migrations.FIRST
        return str(self._rows(f"SELECT version_num FROM {migrations.VERSION_TABLE}")[0][0])

    def names(self) -> list[str]:
        return [name for name in self._all_names() if name != migrations.VERSION_TABLE]

    def columns(self, table: str) -> list[tuple[str, str, int]]:
        return [(str(row[1]), str(row[2]), int(row[5])) for row in self._rows(f'PRAGMA table_info("{table}")')]

    def select(self, query: str, values: Sequence[Any] = ()) -> tuple[list[str], Rows]:
        with self._asked() as connection:
            try:
                cursor = connection.execute(query, tuple(values))
                if cursor.description is None:
                    raise StorageRefused(f"this door reads only, and {query!r} returns no rows: give a SELECT")
                return [str(column[0]) for column in cursor.description], cursor.fetchall()
            except sqlite3.OperationalError as error:
                if "readonly" in str(error):
                    raise StorageRefused(f"this door reads only, {query!r} would write: give a SELECT") from error
                raise NotASelect(str(error)) from error
            except READ_ERRORS as error:
                raise refusal(self._path, error) from error

    def batches(self, query: str, values: Sequence[Any], rows: int) -> Iterator[Rows]:
        with self._asked() as connection, closing(connection.cursor()) as cursor:
            try:
                cursor.execute(query, tuple(values))
                while found := cursor.fetchmany(rows):
                    yield found
            except READ_ERRORS as error:
                raise refusal(self._path, error) from error

    def connection(self) -> sqlite3.Connection:
        if not self._path.exists():
            raise StoreMissing(f"{self._path} has not been made yet: {_MADE_BY}")
        return connect_readonly(self._path)

    def _all_names(self) -> list[str]:
        found = self._rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [str(row[0]) for row in found]

    def _rows(self, query: str) -> Rows:
        with self._asked() as connection:
            try:
                found: Rows = connection.execute(query).fetchall()
            except READ_ERRORS as error:
                raise refusal(self._path, error) from error
        return found


# A domain's name is the type's; the plain ones have names of PostgreSQL's own.
_KINDS: Final = {"text": "TEXT", "int8": "INTEGER", "int4": "INTEGER", "float8": "FLOAT", "varchar": "TEXT"}
_COLUMNS: Final = """
SELECT a.attname, t.typname, coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


class PostgresTables(_Connected):
    """TableReader on the schema beside the journal's."""

    def __init__(self, address: str, place: str) -> None:
        from qmworkbench.storage.postgres.projected import name_of

        self._address, self._schema = address, name_of(place)

    def revision(self) -> str:
        return str(self._rows(f"SELECT version_num FROM {migrations.VERSION_TABLE}")[0][0])

    def names(self) -> list[str]:
        found = self._rows("SELECT tablename FROM pg_tables WHERE schemaname = ? ORDER BY 1", (self._schema,))
        return [str(row[0]) for row in found if row[0] != migrations.VERSION_TABLE]

    def columns(self, table: str) -> list[tuple[str, str, int]]:
        name = f'"{self._schema}"."{table}"' if '"' not in table else ""
        found = self._rows(_COLUMNS, (name,))
        return [(str(row[0]), _KINDS.get(str(row[1]), str(row[1]).upper()), int(row[2])) for row in found]

    def select(self, query: str, values: Sequence[Any] = ()) -> tuple[list[str], Rows]:
        import psycopg

        with self._asked() as connection:
            try:
                cursor = connection.execute(_marked(query), tuple(values))
                if cursor.description is None:
                    raise StorageRefused(f"this door reads only, and {query!r} returns no rows: give a SELECT")
                return [column.name for column in cursor.description], cursor.fetchall()
            except psycopg.errors.ReadOnlySqlTransaction as error:
                raise StorageRefused(f"this door reads only, {query!r} would write: give a SELECT") from error
            except psycopg.Error as error:
                raise NotASelect(" ".join(str(error).split())) from error

    def batches(self, query: str, values: Sequence[Any], rows: int) -> Iterator[Rows]:
        import psycopg

        with self._asked() as connection:
            try:
                # A cursor of the server's own: any other holds the whole answer here.
                with connection.transaction(), connection.cursor(name="batches") as cursor:
                    cursor.execute(_marked(query), tuple(values))
                    while found := cursor.fetchmany(rows):
                        yield found
            except psycopg.Error as error:
                raise self._unreadable(error) from error

    def connection(self) -> Any:
        from qmworkbench.storage.postgres.connection import connected, shown

        connection = connected(self._address, readonly=True)
        there = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self._schema,)).fetchone()
        if there is None:
            connection.close()
            where = f"schema {self._schema} at PostgreSQL {shown(self._address)}"
            raise StoreMissing(f"{where} has not been made yet: {_MADE_BY}")
        connection.execute("SELECT set_config('search_path', %s, false)", (f'"{self._schema}"',))
        return connection

    def _rows(self, query: str, values: Sequence[Any] = ()) -> Rows:
        try:
            return self.select(query, values)[1]
        except NotASelect as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> StorageRefused:
        said = " ".join(str(error).split())
        return StorageRefused(f"schema {self._schema} cannot be read ({said}): see that the server runs")


def _marked(query: str) -> str:
    """`?` as psycopg marks a parameter; text and names in quotes stay as they are."""
    parts = _QUOTED.split(query.replace("%", "%%"))
    return "".join(part if place % 2 else part.replace("?", "%s") for place, part in enumerate(parts))
