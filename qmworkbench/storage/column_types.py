"""The columns of the projected tables: types whose names, in the database itself, say how to read them (§17).

The same characters are stored in SQLite and in PostgreSQL, where the named types are domains over text and smallint
(`DOMAINS`): one query reads both, and a row of one equals that of the other.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import BigInteger, Float, Integer, Text
from sqlalchemy.dialects.postgresql import TEXT
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine, UserDefinedType


class _Named(UserDefinedType[Any]):
    """A column type whose name says what its values are, so that a reader needs nothing but the database."""

    cache_ok = True
    name = ""

    def get_col_spec(self, **_: object) -> str:
        return self.name


class Exact(_Named):
    """A Decimal as text: every digit, its trailing zeros too."""

    cache_ok = True
    name = "DECIMAL_TEXT"


class Moment(_Named):
    """ISO 8601 in UTC, ending in Z."""

    cache_ok = True
    name = "TIMESTAMP_TEXT"


class Flag(_Named):
    """0 or 1."""

    cache_ok = True
    name = "BOOLEAN_INTEGER"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """True is 1, for a database that tells the two apart."""
        return lambda value: None if value is None else int(value)


class Document(_Named):
    """JSON."""

    cache_ok = True
    name = "JSON_TEXT"


# Text sorts by its bytes, as SQLite sorts it, whatever the database's language is.
DOMAINS: Final[dict[str, str]] = {
    "DECIMAL_TEXT": 'text COLLATE "C"',
    "TIMESTAMP_TEXT": 'text COLLATE "C"',
    "BOOLEAN_INTEGER": "smallint",
    "JSON_TEXT": 'text COLLATE "C"',
}

TYPES: Final[dict[str, TypeEngine[Any]]] = {
    "text": Text().with_variant(TEXT(collation="C"), "postgresql"),
    "whole": Integer().with_variant(BigInteger(), "postgresql"),
    "real": Float(),
    "exact": Exact(),
    "moment": Moment(),
    "flag": Flag(),
    "json": Document(),
}
