"""Closed sessions put into an archive, and the archive held against itself and against the book (§17, §19).

A session is archived once it is in the index, which is replaced whole after every table of it was written and read
back. Killed at any instant, a run leaves files that nobody looks at and the next run writes again.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import msgspec
import polars as pl

from qmworkbench.domain.chain import link
from qmworkbench.storage import archive_content, archive_index, migrations, retention_rules
from qmworkbench.storage.archive_content import Part
from qmworkbench.storage.archive_index import ArchivedSession, ArchivedTable, Slice
from qmworkbench.storage.archive_place import DAMAGED, Place
from qmworkbench.storage.archive_spans import closed_sessions, records_between, telemetry_ranges
from qmworkbench.storage.frame_digest import FORM, FrameDigest, digest_of
from qmworkbench.storage.paths import SessionPaths
from qmworkbench.storage.projections import catch_up_book
from qmworkbench.storage.reading import BookReader
from qmworkbench.storage.refused import ArchiveRefused, StorageRefused, StoreMissing
from qmworkbench.storage.writer_lock import WriterLock

_SCRATCH: Final = "archiving"  # a directory of the book's, for what an object store is given
Progress = Callable[[int, int, str], None]
"""Hears of steps done, steps in all, and what is done next."""


def silent(_done: int, _of: int, _what: str) -> None:
    """Tells nobody."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One archived session read whole: `wrong` says what is not as it was written, empty where everything is."""

    session_id: str
    tables: int
    rows: int
    bytes: int
    wrong: tuple[str, ...]


def home_of(reader: BookReader, place: Place) -> Place:
    """This book's own place within an archive. Raises StoreMissing for a book without a record."""
    lines = reader.sessions()
    if lines.is_empty():
        raise StoreMissing(f"{reader.paths.root} has no session yet: there is nothing to archive")
    book = reader.journal.book
    if place.kind and "=" in book:
        raise ArchiveRefused(f"book {book!r} has a = in its name, which addresses at {place} do not: use a directory")
    return place.below(archive_index.home(str(lines["environment"][-1]), book, _record_of(reader)))


def waiting(reader: BookReader, place: Place) -> list[str]:
    """The closed sessions that are not in the archive, oldest first."""
    there = {one.session_id for one in archive_index.read(home_of(reader, place))}
    return [line["session_id"] for line in closed_sessions(reader) if line["session_id"] not in there]


def archive_book(
    reader: BookReader, place: Place, *, at: datetime | None = None, progress: Progress = silent
) -> list[ArchivedSession]:
    """Archive every closed session that is not archived yet; returns those, oldest first.

    The book may be in use; one archives at a time. Raises StorageRefused where the place cannot be written, holds
    another record under this book's name, or the projected tables cannot be brought up; StoreInUse.
    """
    place.demand_writable()
    home = home_of(reader, place)
    lock = WriterLock(reader.paths.root / "archive")
    try:
        rmtree(reader.paths.root / _SCRATCH, ignore_errors=True)  # of one that was killed
        known = archive_index.read(home)
        _demand_same_record(reader, home, known)
        there = {one.session_id for one in known}
        closed = closed_sessions(reader)
        todo = [line for line in closed if line["session_id"] not in there]
        if todo:
            _bring_up(reader, todo[-1]["closed_seq"])
        made = []
        for done, line in enumerate(todo):
            progress(done, len(todo), line["session_id"])
            one = _archived(reader, home, closed, line, known, at or datetime.now(UTC))
            # Whoever else archived this book meanwhile, on another machine, is not overwritten.
            others = [other for other in archive_index.read(home) if other.session_id != one.session_id]
            known = [*others, one]
            archive_index.write(home, known)
            made.append(one)
        progress(len(todo), len(todo), "")
        return made
    finally:
        rmtree(reader.paths.root / _SCRATCH, ignore_errors=True)
        lock.release()


def proved(home: Place, session: ArchivedSession, table: ArchivedTable) -> None:
    """Read a table of the archive whole. Raises StoreMissing, StorageRefused where it is not what was put there."""
    for _ in _proving(home, session, table):
        pass


def open_part(home: Place, session: ArchivedSession, table: ArchivedTable) -> Part:
    """A table of the archive, to be gone through; it raises StorageRefused at its end where it is not what was put
    there, and StoreMissing at its beginning.
    """
    metadata = home.metadata(session.file(table.table)) if table.place.endswith(".parquet") else {}
    ours = {key: value for key, value in metadata.items() if key.startswith("qmworkbench.")}
    pieces = _proving(home, session, table)
    return Part(table=table.table, kind=table.kind, pieces=pieces, metadata=ours, place=table.place)


def check_session(home: Place, session: ArchivedSession, reader: BookReader | None = None) -> Checked:
    """Read every table of an archived session and hold it against the index; the decisions against their chain too,
    and against the book's own journal where there is a `reader`.
    """
    wrong, rows = [], 0
    for table in session.tables:
        try:
            if table.table in ("decisions", "telemetry"):
                pieces = _proving(home, session, table)
                wrong += _chain(pieces, getattr(session, table.table), table.table)
            else:
                proved(home, session, table)
        except StorageRefused as error:
            wrong.append(str(error))
            continue
        rows += table.rows
    if reader is not None and reader.journal.hash_at(session.decisions.last) != session.decisions.head:
        wrong.append(f"the book's own record {session.decisions.last} has another hash than the archive's")
    return Checked(
        session_id=session.session_id,
        tables=len(session.tables),
        rows=rows,
        bytes=session.bytes,
        wrong=tuple(wrong),
    )


def bring_back(
    session: SessionPaths, home: Place, archived: ArchivedSession, *, progress: Progress = silent
) -> list[Path]:
    """Make a session's own files again from the archive, those that are not there; returns them.

    Raises StorageRefused for a table that is not what was archived: nothing is made of it.
    """
    wanted = [table for table in archived.tables if table.place or table.table.endswith("files")]
    made: list[Path] = []
    for done, table in enumerate(wanted):
        progress(done, len(wanted), table.table)
        proved(home, archived, table)  # before the first file of it is made
        made += archive_content.put_back(session, open_part(home, archived, table))
    progress(len(wanted), len(wanted), "")
    return made


def gaps(sessions: Sequence[ArchivedSession]) -> list[str]:
    """Where the sessions of one book do not follow one another, record by record; empty where they do."""
    wrong = []
    for before, after in pairwise(sessions):
        for stream in ("decisions", "telemetry"):
            ended, begins = getattr(before, stream), getattr(after, stream)
            if begins.first != ended.last + 1 or begins.before != ended.head:
                wrong.append(f"{stream} of {after.session_id} do not follow those of {before.session_id}")
    return wrong


def _record_of(reader: BookReader) -> str:
    """What tells this book from another of its name: how its record begins. Replays decide alike, processes differ."""
    told = next(iter(reader.journal.records(0, upto_seq=1, stream="telemetry")), None)
    return archive_index.record_name(str(reader.journal.hash_at(1)), told.hash if told is not None else "")


def _demand_same_record(reader: BookReader, home: Place, known: Sequence[ArchivedSession]) -> None:
    for one in known:
        if reader.journal.hash_at(one.decisions.last) != one.decisions.head:
            raise ArchiveRefused(
                f"{home} holds session {one.session_id} with another record {one.decisions.last} than this book: the "
                "book was restored from an older copy; see `qm journal anchor`, or archive to another place"
            )


def _bring_up(reader: BookReader, seq: int) -> None:
    """The projected tables are to have followed the journal to the close of the last session."""
    try:
        behind = reader.watermark().projected_seq < seq
    except StoreMissing:
        behind = True
    if behind:
        catch_up_book(reader.paths)


def _archived(
    reader: BookReader,
    home: Place,
    closed: Sequence[dict[str, Any]],
    line: dict[str, Any],
    known: Sequence[ArchivedSession],
    at: datetime,
) -> ArchivedSession:
    position, session_id = closed.index(line), line["session_id"]
    begins = closed[position - 1]["closed_seq"] + 1 if position else 1
    decisions = records_between(reader, "decisions", begins, line["closed_seq"])
    telemetry = records_between(reader, "telemetry", *telemetry_ranges(reader, known)[session_id])
    made = ArchivedSession(
        environment=line["environment"],
        book=reader.journal.book,
        record=_record_of(reader),
        date=datetime.fromisoformat(line["date"]).date(),
        session_id=session_id,
        closed_at=line["closed_at"],
        archived_at=at,
        revision=migrations.HEAD,
        decisions=decisions,
        telemetry=telemetry,
        tables=(),
    )
    for other in known:
        if other.date == made.date:
            raise ArchiveRefused(
                f"{home} holds session {other.session_id} of the day of {session_id}: one day, one session"
            )
    parts = _parts(reader, session_id, decisions, telemetry)
    scratch = reader.paths.root / _SCRATCH
    return msgspec.structs.replace(made, tables=tuple(_put(home, made, part, scratch) for part in parts))


def _parts(reader: BookReader, session_id: str, decisions: Slice, telemetry: Slice) -> Iterator[Part]:
    yield archive_content.records(reader, "decisions", decisions)
    yield archive_content.records(reader, "telemetry", telemetry)
    yield from archive_content.projected(reader, session_id, decisions, telemetry)
    paths = reader.paths.session(session_id)
    for kind in retention_rules.KINDS:
        yield from archive_content.bulk(paths, kind)
    yield from archive_content.beside(paths)


def _put(home: Place, session: ArchivedSession, part: Part, scratch: Path) -> ArchivedTable:
    """Write a table and read it back. Raises StorageRefused where it is not the same."""
    file = session.file(part.table)
    written, size = home.write_pieces(file, part.pieces, part.metadata, scratch=scratch)
    made = ArchivedTable(
        table=part.table,
        kind=part.kind,
        rows=written.rows,
        bytes=size,
        content=written.content(),
        layout=written.layout,
        place=part.place,
    )
    if why := _differs(made, digest_of(home.pieces(file))):
        raise ArchiveRefused(f"{home.at(file)} did not read back as it was written, it {why}: see to the disk")
    return made


def _proving(home: Place, session: ArchivedSession, table: ArchivedTable) -> Iterator[pl.DataFrame]:
    """A table's pieces, and at their end the proof."""
    digest: FrameDigest | None = None
    for piece in home.pieces(session.file(table.table)):
        digest = digest or FrameDigest(piece.schema)
        digest.add(piece)
        yield piece
    if digest is None or (why := _differs(table, digest)):
        raise ArchiveRefused(f"{home.at(session.file(table.table))} {why}: {DAMAGED}")


def _differs(expected: ArchivedTable, found: FrameDigest) -> str:
    if not expected.content.startswith(FORM):
        return "was archived by an earlier version, which hashed in another way: archive again, to another place"
    if found.rows != expected.rows:
        return f"has {found.rows} rows, {expected.rows} were written"
    return "" if found.content() == expected.content else "was changed after it was written"


def _chain(pieces: Iterator[pl.DataFrame], expected: Slice, stream: str) -> list[str]:
    """Walk archived records from the hash they follow to the one they end at, all of them: their own proof follows."""
    head, wrong = expected.before, ""
    for piece in pieces:
        for seq, payload, stored in piece.select("seq", "payload", "hash").iter_rows():
            head = link(head, seq, payload.encode())
            if head != stored and not wrong:
                wrong = f"record {seq} of {stream} does not follow from the one before it"
    if wrong:
        return [wrong]
    return [] if head == expected.head else [f"{stream} end at another record than {expected.last}"]
