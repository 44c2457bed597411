"""Rows on their way into the projected tables: gathered for a batch, written in one transaction (§17)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Connection, select

from qmworkbench.storage.row_writing import statements
from qmworkbench.storage.table_rows import TABLES, Row

Key = tuple[Any, ...]
KEPT_ROWS: Final = 250_000  # beyond so many, rows are read again when they are asked for


class Rows:
    """The rows a batch of events touches. `session_id` is the session the events belong to.

    Rows are read from the database when first touched, changed here, and written by `flush`. A row put again
    replaces the columns given and keeps the others, so applying the same events always ends in the same rows.
    `empty` says that the tables hold nothing yet: what is not here is nowhere then, and is not looked for.
    A `kind` is a class of table_rows.py. What `put` and `change` give may be changed further while its event is worked
    on; what `find` and `matching` give is changed by `put_row`, or it would not be written.
    """

    def __init__(self, connection: Connection, session_id: str, *, empty: bool = False) -> None:
        self.connection = connection
        self.session_id = session_id
        self.examined = 0  # rows that `matching` looked at, for whoever wants to know its work
        self._kept = _AllKept(connection, whole=empty)

    def put(self, kind: type, /, *key: Any, **values: Any) -> Row:
        """Make or change the row of `key`, its primary key in column order; returns the whole row."""
        kept = self._kept[kind]
        row = kept.rows.get(key)
        if row is None:
            row = kept.found(key)
            if row is None:
                row = kept.rows[key] = kept.new[key] = kind(*key)
        return kept.changed(key, row, values)

    def add(self, row: Row) -> None:
        """Put a row that no earlier event can have made: nothing is looked up."""
        kept = self._kept[type(row)]
        key = kept.key_of(row)
        if kept.rows.get(key) is not None and key not in kept.new:
            kept.touched[key] = row  # told again, whatever the event promised
        else:
            kept.new[key] = row
        kept.rows[key] = row
        if kept.indexes:
            kept.filed(key, row)

    def change(self, kind: type, /, *key: Any, **values: Any) -> Row | None:
        """Change the row of `key` where there is one; None where there is none."""
        kept = self._kept[kind]
        row = kept.rows.get(key)
        if row is None:
            row = kept.found(key)
            if row is None:
                return None
        return kept.changed(key, row, values)

    def find(self, kind: type, /, *key: Any) -> Row | None:
        """The row of `key` as it stands, or None."""
        kept = self._kept[kind]
        row = kept.rows.get(key)
        return row if row is not None else kept.found(key)

    def matching(self, kind: type, /, **values: Any) -> Iterator[Row]:
        """Rows whose columns hold `values`, in key order, changes of this batch included.

        Those that may be it are known by their values: neither the table nor the rows kept are gone through. It counts
        on changes made by `put`; a row that `put` gave must not be changed in a column that is asked for here.
        """
        kept = self._kept[kind]
        keys = kept.having(values)
        for key in sorted(keys):
            self.examined += 1
            row = kept.rows.get(key)
            if row is not None and all(getattr(row, name) == value for name, value in values.items()):
                yield row
            else:
                keys.pop(key, None)

    def put_row(self, row: Row, **values: Any) -> None:
        """Change a row that `matching` or `find` gave."""
        kept = self._kept[type(row)]
        kept.changed(kept.key_of(row), row, values)

    def flush(self) -> None:
        """Write what is new and what was touched, within the caller's transaction."""
        total = 0
        for kept in self._kept.values():
            kept.flush()
            total += len(kept.rows)
        if total > KEPT_ROWS:
            self.forget()

    def forget(self) -> None:
        """Drop rows kept for later batches: once a session has ended little touches them any more."""
        for kept in self._kept.values():
            kept.forget()


# What becomes rows, by how it is decoded: an event, or the form of one. The record's number is handed on beside it.
Projections = Mapping[type[msgspec.Struct], Callable[[Rows, int, Any], None]]


class _Kept:
    """The rows of one table that are known."""

    def __init__(self, connection: Connection, kind: type, *, whole: bool) -> None:
        self.rows: dict[Key, Row | None] = {}  # None: looked for and not there
        self.new: dict[Key, Row] = {}  # made since the last flush, and not known to be in the table
        self.touched: dict[Key, Row] = {}  # changed since then, and in the table
        self.indexes: dict[tuple[str, ...], dict[Key, dict[Key, None]]] = {}
        self._connection = connection
        self._kind = kind
        self._table = TABLES[kind]
        self._whole = whole
        self._asked: set[tuple[tuple[str, ...], Key]] = set()
        self._statements = statements(self._table, connection.dialect)
        self.key_of = _key_of(*(column.name for column in self._table.primary_key.columns))

    def changed(self, key: Key, row: Row, values: Mapping[str, Any]) -> Row:
        """The row with new values, to be written with the others."""
        for name, value in values.items():
            setattr(row, name, value)
        if key not in self.new:
            self.touched[key] = row
        if self.indexes:
            self.filed(key, row)
        return row

    def found(self, key: Key) -> Row | None:
        """The row of a key that is not here, read from the database once."""
        if self._whole or key in self.rows:
            return None
        stored = self._statements.find(self._connection, key)
        row = self.rows[key] = None if stored is None else self._kind(*stored)
        if row is not None and self.indexes:
            self.filed(key, row)
        return row

    def filed(self, key: Key, row: Row) -> None:
        """Note a row under the values it has now; under those it had it is passed over when it is met there."""
        for names, index in self.indexes.items():
            index.setdefault(tuple([getattr(row, name) for name in names]), {})[key] = None

    def having(self, values: Mapping[str, Any]) -> dict[Key, None]:
        """The keys of all rows that have these values, and of some that had them."""
        names, wanted = tuple(values), tuple(values.values())
        index = self.indexes.get(names)
        if index is None:
            index = self.indexes[names] = {}
            for key, row in self.rows.items():
                if row is not None:
                    index.setdefault(tuple([getattr(row, name) for name in names]), {})[key] = None
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
            row = self._kind(*stored)
            key = self.key_of(row)
            if key not in self.rows:
                self.rows[key] = row
                self.filed(key, row)

    def flush(self) -> None:
        """Write the rows that are new, and those that were changed."""
        if self.new:
            rows, self.new = list(map(astuple, self.new.values())), {}
            self._statements.insert(self._connection, rows, surely=self._whole)
        if self.touched:
            rows, self.touched = list(map(astuple, self.touched.values())), {}
            self._statements.put(self._connection, rows)

    def forget(self) -> None:
        """Keep what is not written yet, and nothing else."""
        unwritten = self.new | self.touched
        if len(self.rows) > len(unwritten):
            self._whole = False
        self.rows = unwritten
        self.indexes, self._asked = {}, set()


class _AllKept(dict[type, _Kept]):
    """Every table that was asked for."""

    def __init__(self, connection: Connection, *, whole: bool) -> None:
        self._connection = connection
        self._whole = whole

    def __missing__(self, kind: type) -> _Kept:
        made = self[kind] = _Kept(self._connection, kind, whole=self._whole)
        return made


def _key_of(name: str, *others: str) -> Callable[[Row], Key]:
    """What gives a row's key, a tuple even of one."""
    if others:
        return attrgetter(name, *others)
    only = attrgetter(name)
    return lambda row: (only(row),)


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
