"""Rows on their way into the projected tables: gathered for a batch, written in one transaction (§17)."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Dialect, Table, select
from sqlalchemy.dialects import postgresql, sqlite

Key = tuple[Any, ...]
Values = dict[str, Any]
_INSERT: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Rows:
    """The rows a batch of events touches. `session_id` is the session the events belong to.

    Rows are read from the database when first touched, changed here, and written by `flush`. A row put again
    replaces the columns given and keeps the others, so applying the same events always ends in the same rows.
    """

    def __init__(self, connection: Connection, session_id: str) -> None:
        self.connection = connection
        self.session_id = session_id
        self._rows: dict[Table, dict[Key, Values | None]] = {}  # None: looked for and not there
        self._touched: dict[Table, dict[Key, None]] = {}

    def put(self, table: Table, *key: Any, **values: Any) -> Values:
        """Make or change the row of `key`, its primary key in column order; returns the whole row."""
        row = self.find(table, *key)
        if row is None:
            row = dict(zip(_key_names(table), key, strict=True))
            self._rows.setdefault(table, {})[key] = row
        row.update(values)
        self._touched.setdefault(table, {})[key] = None
        return row

    def add(self, table: Table, *key: Any, **values: Any) -> None:
        """Put a row that no earlier event can have made: nothing is looked up."""
        values.update(zip(_key_names(table), key, strict=True))
        self._rows.setdefault(table, {})[key] = values
        self._touched.setdefault(table, {})[key] = None

    def change(self, table: Table, *key: Any, **values: Any) -> Values | None:
        """Change the row of `key` where there is one; None where there is none."""
        return None if self.find(table, *key) is None else self.put(table, *key, **values)

    def find(self, table: Table, *key: Any) -> Values | None:
        """The row of `key` as it stands, or None."""
        known = self._rows.setdefault(table, {})
        if key in known:
            return known[key]
        condition = [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]
        found = self.connection.execute(select(table).where(*condition)).mappings().first()
        known[key] = None if found is None else dict(found)
        return known[key]

    def matching(self, table: Table, **values: Any) -> Iterator[Values]:
        """Rows whose columns hold `values`, in key order, changes of this batch included."""
        # A truth value would be written as the database's own; a flag is a number there.
        condition = [
            table.c[name] == (int(value) if isinstance(value, bool) else value) for name, value in values.items()
        ]
        for found in self.connection.execute(select(table).where(*condition)).mappings().all():
            self._rows.setdefault(table, {}).setdefault(tuple(found[n] for n in _key_names(table)), dict(found))
        for key in sorted(self._rows.get(table, {})):
            row = self._rows[table][key]
            if row is not None and all(row.get(name) == value for name, value in values.items()):
                yield row

    def put_row(self, table: Table, row: Mapping[str, Any], **values: Any) -> None:
        """Change a row that `matching` gave."""
        self.put(table, *(row[name] for name in _key_names(table)), **values)

    def flush(self) -> int:
        """Write what was touched, within the caller's transaction; returns how many rows."""
        written = 0
        for table, keys in self._touched.items():
            upsert = _upsert(table, self.connection.dialect)
            rows = self._rows[table]
            put = [row for row in (rows[key] for key in keys) if row is not None]
            values = [tuple(map(row.get, upsert.names)) for row in put]
            if upsert.positional:
                self.connection.exec_driver_sql(upsert.sql, values)
            else:
                named = [dict(zip(upsert.names, map(_flag, row), strict=True)) for row in values]
                self.connection.exec_driver_sql(upsert.sql, named)
            written += len(values)
        self._touched = {}
        return written

    def forget(self) -> None:
        """Drop rows kept for later batches: once a session has ended little touches them any more."""
        self._rows = {table: {key: self._rows[table][key] for key in keys} for table, keys in self._touched.items()}


class _Upsert(msgspec.Struct, frozen=True):
    """A statement in one database's words, and the names of its parameters."""

    sql: str
    names: tuple[str, ...]
    positional: bool


_encoder = msgspec.json.Encoder(decimal_format="string")
_upserts: dict[tuple[str, str], _Upsert] = {}
_names: dict[Table, tuple[str, ...]] = {}


def _key_names(table: Table) -> tuple[str, ...]:
    names = _names.get(table)
    if names is None:
        names = _names[table] = tuple(column.name for column in table.primary_key.columns)
    return names


def _upsert(table: Table, dialect: Dialect) -> _Upsert:
    """The statement that puts a whole row.

    Compiled once: SQLAlchemy's own handling of a row's parameters costs more than SQLite's writing it.
    """
    made = _upserts.get((table.name, dialect.name))
    if made is None:
        insert = _INSERT[dialect.name](table)
        names = tuple(column.name for column in table.columns)
        others = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
        compiled = insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=others).compile(
            dialect=dialect, column_keys=names
        )
        order = tuple(compiled.positiontup) if compiled.positional else names
        made = _upserts[table.name, dialect.name] = _Upsert(str(compiled), order, compiled.positional)
    return made


def _flag(value: Any) -> Any:
    """A truth value as the number it is stored as: PostgreSQL tells the two apart."""
    return int(value) if value is True or value is False else value


def exact(value: Decimal | None) -> str | None:
    """A Decimal as it is stored."""
    return None if value is None else str(value)


def document(value: Any) -> str:
    """A JSON column's text."""
    return _encoder.encode(value).decode()


def codes(failed: Iterable[Any]) -> str:
    """The codes of failed rules or filters, in their order."""
    return ", ".join(verdict.code for verdict in failed)
