"""Rows on their way into the projected tables: gathered for a batch, written in one transaction (§17)."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, select

from qmworkbench.storage.row_writing import statements

Key = tuple[Any, ...]
Values = dict[str, Any]
KEPT_ROWS: Final = 250_000  # beyond so many, rows are read again when they are asked for


class Rows:
    """The rows a batch of events touches. `session_id` is the session the events belong to.

    Rows are read from the database when first touched, changed here, and written by `flush`. A row put again
    replaces the columns given and keeps the others, so applying the same events always ends in the same rows.
    `empty` says that the tables hold nothing yet: what is not here is nowhere then, and is not looked for.
    """

    def __init__(self, connection: Connection, session_id: str, *, empty: bool = False) -> None:
        self.connection = connection
        self.session_id = session_id
        self.examined = 0  # rows that `matching` looked at, for whoever wants to know its work
        self._kept = _AllKept(connection, whole=empty)

    def put(self, table: Table, *key: Any, **values: Any) -> Values:
        """Make or change the row of `key`, its primary key in column order; returns the whole row."""
        kept = self._kept[table]
        row = kept.rows.get(key)
        if row is None:
            row = kept.found(key)
            if row is None:
                row = kept.rows[key] = kept.blank | dict(zip(kept.key_names, key, strict=True))
        row.update(values)
        kept.touched[key] = None
        if kept.indexes:
            kept.filed(key, row)
        return row

    def add(self, table: Table, *key: Any, **values: Any) -> None:
        """Put a row that no earlier event can have made: nothing is looked up."""
        kept = self._kept[table]
        values.update(zip(kept.key_names, key, strict=True))
        kept.rows[key] = row = kept.blank | values
        kept.touched[key] = None
        if kept.indexes:
            kept.filed(key, row)

    def change(self, table: Table, *key: Any, **values: Any) -> Values | None:
        """Change the row of `key` where there is one; None where there is none."""
        kept = self._kept[table]
        row = kept.rows.get(key)
        if row is None:
            row = kept.found(key)
            if row is None:
                return None
        row.update(values)
        kept.touched[key] = None
        if kept.indexes:
            kept.filed(key, row)
        return row

    def find(self, table: Table, *key: Any) -> Values | None:
        """The row of `key` as it stands, or None."""
        kept = self._kept[table]
        row = kept.rows.get(key)
        return row if row is not None else kept.found(key)

    def matching(self, table: Table, **values: Any) -> Iterator[Values]:
        """Rows whose columns hold `values`, in key order, changes of this batch included.

        Those that may be it are known by their values: neither the table nor the rows kept are gone through. It counts
        on changes made by `put`; a row that `put` gave must not be changed in a column that is asked for here.
        """
        kept = self._kept[table]
        keys = kept.having(values)
        for key in sorted(keys):
            self.examined += 1
            row = kept.rows.get(key)
            if row is not None and all(row[name] == value for name, value in values.items()):
                yield row
            else:
                keys.pop(key, None)

    def put_row(self, table: Table, row: Mapping[str, Any], **values: Any) -> None:
        """Change a row that `matching` or `find` gave."""
        self.put(table, *self._kept[table].key_of(row), **values)

    def flush(self) -> int:
        """Write what was touched, within the caller's transaction; returns how many rows."""
        written = total = 0
        for kept in self._kept.values():
            if kept.touched:
                written += kept.flush()
            total += len(kept.rows)
        if total > KEPT_ROWS:
            self.forget()
        return written

    def forget(self) -> None:
        """Drop rows kept for later batches: once a session has ended little touches them any more."""
        for kept in self._kept.values():
            kept.forget()


class _Kept:
    """The rows of one table that are known."""

    def __init__(self, connection: Connection, table: Table, *, whole: bool) -> None:
        self.rows: dict[Key, Values | None] = {}  # None: looked for and not there
        self.touched: dict[Key, None] = {}
        self.indexes: dict[tuple[str, ...], dict[Key, dict[Key, None]]] = {}
        self._connection = connection
        self._table = table
        self._whole = whole
        self._stored: set[Key] = set()  # of a table that is known whole: the keys it has
        self._asked: set[tuple[tuple[str, ...], Key]] = set()
        self._statements = statements(table, connection.dialect)
        self._names = tuple(column.name for column in table.columns)
        self.key_names = tuple(column.name for column in table.primary_key.columns)
        self.blank: Values = dict.fromkeys(self._names)  # a row of which nothing is known
        self._values = itemgetter(*self._names)

    def key_of(self, row: Mapping[str, Any]) -> Key:
        return tuple([row[name] for name in self.key_names])

    def found(self, key: Key) -> Values | None:
        """The row of a key that is not here, read from the database once."""
        if self._whole or key in self.rows:
            return None
        stored = self._statements.find(self._connection, key)
        row = self.rows[key] = None if stored is None else dict(zip(self._names, stored, strict=True))
        if row is not None and self.indexes:
            self.filed(key, row)
        return row

    def filed(self, key: Key, row: Values) -> None:
        """Note a row under the values it has now; under those it had it is passed over when it is met there."""
        for names, index in self.indexes.items():
            index.setdefault(tuple([row[name] for name in names]), {})[key] = None

    def having(self, values: Mapping[str, Any]) -> dict[Key, None]:
        """The keys of all rows that have these values, and of some that had them."""
        names, wanted = tuple(values), tuple(values.values())
        index = self.indexes.get(names)
        if index is None:
            index = self.indexes[names] = {}
            for key, row in self.rows.items():
                if row is not None:
                    index.setdefault(tuple([row[name] for name in names]), {})[key] = None
        if not self._whole and (names, wanted) not in self._asked:
            self._asked.add((names, wanted))
            self._read(values)
        return index.setdefault(wanted, {})

    def _read(self, values: Mapping[str, Any]) -> None:
        """Take in the stored rows that have these values; rows that are here already are newer."""
        # A truth value would be written as the database's own; a flag is a number there.
        plain = {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}
        condition = [self._table.c[name] == value for name, value in plain.items()]
        for stored in self._connection.execute(select(self._table).where(*condition)):
            row = dict(zip(self._names, stored, strict=True))
            key = self.key_of(row)
            if key not in self.rows:
                self.rows[key] = row
                self.filed(key, row)

    def flush(self) -> int:
        """Write the rows that were touched."""
        stored = self._stored
        fresh = [key for key in self.touched if key not in stored] if self._whole else []
        other = [key for key in self.touched if key in stored] if self._whole else list(self.touched)
        for keys, write in ((fresh, self._statements.insert), (other, self._statements.put)):
            if keys:
                rows = [self._values(row) for row in map(self.rows.get, keys) if row is not None]
                write(self._connection, rows)
        if self._whole:
            stored.update(fresh)
        self.touched = {}
        return len(fresh) + len(other)

    def forget(self) -> None:
        """Keep what is not written yet, and nothing else."""
        if len(self.rows) > len(self.touched):
            self._whole, self._stored = False, set()
        self.rows = {key: self.rows[key] for key in self.touched}
        self.indexes, self._asked = {}, set()


class _AllKept(dict[Table, _Kept]):
    """Every table that was asked for."""

    def __init__(self, connection: Connection, *, whole: bool) -> None:
        self._connection = connection
        self._whole = whole

    def __missing__(self, table: Table) -> _Kept:
        made = self[table] = _Kept(self._connection, table, whole=self._whole)
        return made


_encoder = msgspec.json.Encoder(decimal_format="string")


# An Enum's text as a plain str: `.value` is a function in Python, and takes five times as long. A flag that
# often comes is put as 0 or 1: the driver of SQLite looks up at length how a truth value is to be stored.
word: Final = str.__str__


def exact(value: Decimal | None) -> str | None:
    """A Decimal as it is stored."""
    return None if value is None else str(value)


def document(value: Any) -> str:
    """A JSON column's text."""
    return _encoder.encode(value).decode()


def codes(failed: Iterable[Any]) -> str:
    """The codes of failed rules or filters, in their order."""
    return ", ".join(verdict.code for verdict in failed)
