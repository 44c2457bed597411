"""The columns of the projected tables: types whose names, in the file itself, say how to read them (§17)."""

from typing import Any, Final

from sqlalchemy import Float, Integer, Text
from sqlalchemy.types import TypeEngine, UserDefinedType


class _Named(UserDefinedType[Any]):
    """A column type whose name says what its values are, so that a reader needs nothing but the file."""

    cache_ok = True
    name = ""

    def get_col_spec(self, **_: object) -> str:
        return self.name


class Exact(_Named):
    """A Decimal as text: SQLite has no exact number of its own."""

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


class Document(_Named):
    """JSON."""

    cache_ok = True
    name = "JSON_TEXT"


TYPES: Final[dict[str, type[TypeEngine[Any]]]] = {
    "text": Text,
    "whole": Integer,
    "real": Float,
    "exact": Exact,
    "moment": Moment,
    "flag": Flag,
    "json": Document,
}
