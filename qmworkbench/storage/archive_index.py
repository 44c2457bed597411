"""What an archive of a book holds: one small table, replaced whole; a session not in it is not archived (§17).

PLACE/environment=ENV/book=BOOK/record=FIRST/sessions.parquet, and beside it date=DAY/TABLE.parquet. FIRST is made of
the book's first records: a book begun anew under its old name lies beside the old one.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

import msgspec
import polars as pl

from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.refused import ArchiveMissing, ArchiveRefused

NAME: Final = "sessions.parquet"
ANY: Final = f"environment=*/book=*/record=*/{NAME}"
_MOMENT: Final = pl.Datetime("us", "UTC")
_SCHEMA: Final[Mapping[str, Any]] = {
    "environment": pl.String,
    "book": pl.String,
    "record": pl.String,
    "date": pl.Date,
    "session_id": pl.String,
    "closed_at": _MOMENT,
    "archived_at": _MOMENT,
    "revision": pl.String,
    **{
        f"{stream}_{field}": kind
        for stream in ("decisions", "telemetry")
        for field, kind in (("first", pl.Int64), ("last", pl.Int64), ("before", pl.String), ("head", pl.String))
    },
    "table": pl.String,
    "kind": pl.String,
    "rows": pl.Int64,
    "bytes": pl.Int64,
    "content": pl.String,
    "layout": pl.String,
    "place": pl.String,
}


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Records `first` to `last` of one stream (none where last < first), `head` the last one's hash, `before` the hash
    that the first one follows.
    """

    first: int
    last: int
    before: str
    head: str


class ArchivedTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a session: how many rows, bytes as it lies there, `content` and `layout` as frame_digest.py tells
    them. `kind` is the retention rule it falls under, "" for what is never let go; `place` the session's own file it
    was made from, "" for rows.
    """

    table: str
    kind: str
    rows: int
    bytes: int
    content: str
    layout: str
    place: str


class ArchivedSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session in an archive. `revision` is that of the tables' schema then."""

    environment: str
    book: str
    record: str
    date: date
    session_id: str
    closed_at: datetime
    archived_at: datetime
    revision: str
    decisions: Slice
    telemetry: Slice
    tables: tuple[ArchivedTable, ...]

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.tables)

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.tables)

    def file(self, table: str) -> str:
        """Where a table lies, from the book's own place in the archive."""
        return f"date={self.date.isoformat()}/{table}.parquet"

    def of_kind(self, kind: str) -> dict[str, ArchivedTable]:
        """What was archived under one retention rule, by table."""
        return {one.table: one for one in self.tables if one.kind == kind}


def home(environment: str, book: str, record: str) -> str:
    """A book's own place within an archive."""
    return f"environment={environment}/book={directory_name(book)}/record={record}"


def directory_name(book: str) -> str:
    """A book's name in an address, where = parts a name from its value; whoever reads partitions turns it back."""
    return book.replace("=", "%3D")


def record_name(first_decision: str, first_telemetry: str) -> str:
    """What tells one book of a name from another, from the hashes of its first records: 12 hex digits."""
    return hashlib.sha256(f"{first_decision}|{first_telemetry}".encode()).hexdigest()[:12]


def read(place: Place) -> list[ArchivedSession]:
    """The sessions of one book by its own place, oldest first; none where none was archived. Raises ArchiveRefused."""
    try:
        return sessions_of(place.read(NAME))
    except ArchiveMissing:
        return []


def write(place: Place, sessions: Iterable[ArchivedSession]) -> None:
    """Replace the index, and read it back. Raises ArchiveRefused."""
    rows = [row for one in sorted(sessions, key=_order) for row in _rows(one)]
    frame = pl.DataFrame(rows, schema=dict(_SCHEMA), orient="row")
    place.write(NAME, frame)
    if not place.read(NAME).equals(frame):
        raise ArchiveRefused(
            f"{place.at(NAME)} did not read back as it was written: see to the disk, and archive again"
        )


def sessions_of(frame: pl.DataFrame) -> list[ArchivedSession]:
    """The index as values."""
    found: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for row in frame.iter_rows(named=True):
        found.setdefault((row["environment"], row["book"], row["record"], row["session_id"]), []).append(row)
    return sorted((_session(rows) for rows in found.values()), key=_order)


def _order(one: ArchivedSession) -> tuple[str, str, str, int]:
    return one.environment, one.book, one.record, one.decisions.first


def _rows(one: ArchivedSession) -> Iterable[tuple[Any, ...]]:
    head = (
        one.environment, one.book, one.record, one.date, one.session_id, one.closed_at, one.archived_at, one.revision,
        *msgspec.structs.astuple(one.decisions), *msgspec.structs.astuple(one.telemetry),
    )  # fmt: skip
    return ((*head, *msgspec.structs.astuple(table)) for table in one.tables)


def _session(rows: list[dict[str, Any]]) -> ArchivedSession:
    first = rows[0]
    decisions, telemetry = (
        Slice(**{name: first[f"{stream}_{name}"] for name in Slice.__struct_fields__})
        for stream in ("decisions", "telemetry")
    )
    names = ("environment", "book", "record", "date", "session_id", "closed_at", "archived_at", "revision")
    tables = tuple(ArchivedTable(**{name: row[name] for name in ArchivedTable.__struct_fields__}) for row in rows)
    return ArchivedSession(
        **{name: first[name] for name in names}, decisions=decisions, telemetry=telemetry, tables=tables
    )
