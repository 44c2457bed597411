"""The read-only door to an archive, for notebooks: lazy polars frames, from a directory or an object store (§17, §18).

    from qmworkbench.storage.archive_reader import open_archive
    archive = open_archive("s3://desk/archive", book="main")
    archive.scan("trades", since="2018-03-01").group_by("strategy_id").len().collect()

Only what is asked for is read: days and books by their place, columns and rows by what Parquet knows of them.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from qmworkbench.storage import archive_index, tables
from qmworkbench.storage.archive_index import ArchivedSession
from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.column_types import Exact
from qmworkbench.storage.refused import ArchiveMissing

_PARTITIONS: Final[Mapping[str, Any]] = {
    "environment": pl.String,
    "book": pl.String,
    "record": pl.String,
    "date": pl.Date,
}


class Archive:
    """Archived sessions, as of the moment the archive was opened. Nothing is written, by anybody."""

    def __init__(self, found: "list[tuple[Place, ArchivedSession]]", where: str) -> None:
        self.where = where
        self._found = found

    def sessions(self) -> pl.DataFrame:
        """One row for each session: whose, its day, its records by number, tables, rows and bytes, oldest first."""
        rows = [
            {
                "environment": one.environment,
                "book": one.book,
                "record": one.record,
                "date": one.date,
                "session_id": one.session_id,
                "closed_at": one.closed_at,
                "archived_at": one.archived_at,
                "first_seq": one.decisions.first,
                "last_seq": one.decisions.last,
                "head": one.decisions.head,
                "tables": len(one.tables),
                "rows": one.rows,
                "bytes": one.bytes,
            }
            for _, one in self._found
        ]
        return pl.DataFrame(rows)

    def entries(self) -> "list[tuple[Place, ArchivedSession]]":
        """Each session with the place of its book."""
        return list(self._found)

    def tables(self) -> list[str]:
        """The names of the tables there are, over all sessions."""
        return sorted({table.table for _, one in self._found for table in one.tables})

    def scan(
        self,
        table: str,
        *,
        book: str | None = None,
        environment: str | None = None,
        session: str | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
        exact: bool = False,
    ) -> pl.LazyFrame:
        """A table over the sessions asked for, lazily: its own columns behind environment, book, record and date.

        `since` and `until` are days, both included. Decimals are Float64, or text with every digit when `exact`.
        A column that an older session did not have yet is null there. Raises ArchiveMissing naming the tables or
        sessions there are.
        """
        if table not in self.tables():
            raise ArchiveMissing(f"{self.where} has no table {table!r}; there are {', '.join(self.tables())}")
        first, last = _day(since), _day(until)
        groups: dict[str, list[str]] = {}
        for home, one in self._found:
            asked = (
                book in (None, one.book)
                and environment in (None, one.environment)
                and session in (None, one.session_id)
                and (first is None or one.date >= first)
                and (last is None or one.date <= last)
            )
            held = next((held for held in one.tables if held.table == table), None)
            if asked and held is not None:
                groups.setdefault(held.layout, []).append(home.at(one.file(table)))
        if not groups:
            there = ", ".join(one.session_id for _, one in self._found[-10:])
            raise ArchiveMissing(f"{self.where} has no such session with a table {table!r}; the newest are {there}")
        return self._joined(table, list(groups.values()), exact=exact)

    def _joined(self, table: str, groups: list[list[str]], *, exact: bool) -> pl.LazyFrame:
        frames = [
            pl.scan_parquet(files, glob=False, hive_partitioning=True, hive_schema=_named_in(files[0]))
            for files in groups
        ]
        lazy = frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")
        names = lazy.collect_schema().names()
        if not exact and table in tables.METADATA.tables:
            columns = tables.METADATA.tables[table].columns
            decimals = [column.name for column in columns if isinstance(column.type, Exact) and column.name in names]
            lazy = lazy.with_columns(pl.col(name).cast(pl.Float64) for name in decimals)
        above = [name for name in _named_in(groups[0][0]) if name not in _PARTITIONS]
        return lazy.select(*_PARTITIONS, pl.exclude(*_PARTITIONS, *above))


def open_archive(place: str | Path, *, book: str | None = None, environment: str | None = None) -> Archive:
    """What was archived at `place`: a directory, s3://bucket/path or its like, or http(s)://.

    `book` and `environment` leave the others out. A web server tells nobody what it has: there, give the address of one
    book's own directory, which ends in record=…. Credentials of an object store come from the environment alone.
    Raises ArchiveMissing where there is no archive, ArchiveRefused where it cannot be reached.
    """
    where = Place(place)
    found = _indexes(where, book or "*", environment or "*")
    base = Place(str(where).rsplit("/environment=", 1)[0])
    kept = [
        (base.below(archive_index.home(one.environment, one.book, one.record)), one)
        for one in archive_index.sessions_of(found)
        if book in (None, one.book) and environment in (None, one.environment)
    ]
    if not kept:
        raise ArchiveMissing(f"{where} has no session of book {book or '*'} ({environment or 'any environment'})")
    return Archive(kept, str(where))


def _named_in(file: str) -> dict[str, Any]:
    """The partitions an address names: ours, and whatever directory above them happens to have a = in its name."""
    named = {part.partition("=")[0]: pl.String for part in file.split("/")[:-1] if "=" in part}
    return {**named, **_PARTITIONS}


def _indexes(where: Place, book: str, environment: str) -> pl.DataFrame:
    """The indexes at a place: one, where it is a book's own, else of every book that fits."""
    if "/record=" in str(where):
        return where.read(archive_index.NAME)
    if where.kind in ("http", "https"):
        raise ArchiveMissing(
            f"{where}: a web server does not say what it has; give the address of one book's own directory there, "
            "…/environment=ENV/book=BOOK/record=…"
        )
    try:
        named = archive_index.directory_name(book)
        return where.matching(f"environment={environment}/book={named}/record=*/{archive_index.NAME}")
    except ArchiveMissing:
        raise ArchiveMissing(
            f"{where} holds no archive of book {book} ({environment}): check the place, or make one with "
            "`qm archive run`"
        ) from None


def _day(given: date | str | None) -> date | None:
    if isinstance(given, str):
        try:
            return date.fromisoformat(given)
        except ValueError:
            raise ValueError(f"{given!r} is no day: give one such as 2018-03-02") from None
    return given
