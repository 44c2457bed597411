"""Closed sessions put into an archive, and the archive held against itself and against the book (§17, §19).

A session is archived once it is in the index, which is replaced whole after every table of it was written and read
back. Killed at any instant, a run leaves files that nobody looks at and the next run writes again.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from qmworkbench.domain.chain import GENESIS, link
from qmworkbench.domain.events.telemetry import ProcessStarted
from qmworkbench.storage import archive_content, archive_index, migrations, retention_rules
from qmworkbench.storage.archive_content import Part
from qmworkbench.storage.archive_index import ArchivedSession, ArchivedTable, Slice
from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.frame_digest import content_digest, layout_digest
from qmworkbench.storage.paths import SessionPaths
from qmworkbench.storage.projections import catch_up_book
from qmworkbench.storage.reading import BookReader
from qmworkbench.storage.refused import StorageRefused, StoreMissing
from qmworkbench.storage.writer_lock import WriterLock

_TIMED: Final = "telemetry.boundary_timed"
_STARTED: Final = "telemetry.process_started"
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
        raise StorageRefused(f"book {book!r} has a = in its name, which addresses at {place} do not: use a directory")
    return place.below(archive_index.home(str(lines["environment"][-1]), book, _record_of(reader)))


def waiting(reader: BookReader, place: Place) -> list[str]:
    """The closed sessions that are not in the archive, oldest first."""
    there = {one.session_id for one in archive_index.read(home_of(reader, place))}
    return [line["session_id"] for line in _closed(reader) if line["session_id"] not in there]


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
        known = archive_index.read(home)
        _demand_same_record(reader, home, known)
        there = {one.session_id for one in known}
        closed = _closed(reader)
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
        lock.release()


def read_part(home: Place, session: ArchivedSession, table: ArchivedTable) -> Part:
    """A table out of the archive, proved to hold what was put there. Raises StoreMissing, StorageRefused."""
    frame = home.read(session.file(table.table))
    if why := _differs(table, frame.height, content_digest(frame)):
        raise StorageRefused(f"{home.at(session.file(table.table))} {why}: restore it from a copy of the archive")
    metadata = home.metadata(session.file(table.table)) if table.place.endswith(".parquet") else {}
    ours = {key: value for key, value in metadata.items() if key.startswith("qmworkbench.")}
    return Part(table=table.table, kind=table.kind, frame=frame, metadata=ours, place=table.place)


def check_session(home: Place, session: ArchivedSession, reader: BookReader | None = None) -> Checked:
    """Read every table of an archived session and hold it against the index; the decisions against their chain too,
    and against the book's own journal where there is a `reader`.
    """
    wrong, rows = [], 0
    for table in session.tables:
        try:
            part = read_part(home, session, table)
        except StorageRefused as error:
            wrong.append(str(error))
            continue
        rows += part.frame.height
        if table.table in ("decisions", "telemetry"):
            wrong += _chain(part, getattr(session, table.table), table.table)
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
        made += archive_content.put_back(session, read_part(home, archived, table))
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


def telemetry_ranges(reader: BookReader, known: Sequence[ArchivedSession]) -> dict[str, tuple[int, int]]:
    """First and last record of telemetry of each closed session: as archived, or as it would be archived now."""
    there = {one.session_id: one.telemetry for one in known}
    closed, found, first = _closed(reader), {}, 1
    for line, following in zip(closed, [*closed[1:], None], strict=True):
        held = there.get(line["session_id"])
        next_held = there.get(following["session_id"]) if following is not None else None
        if held is not None:
            last = held.last
        else:
            last = next_held.first - 1 if next_held is not None else _telemetry_ends(reader, line, first)
        found[line["session_id"]] = (held.first if held is not None else first, last)
        first = last + 1
    return found


def _record_of(reader: BookReader) -> str:
    """What tells this book from another of its name: how its record begins. Replays decide alike, processes differ."""
    told = next(iter(reader.journal.records(0, upto_seq=1, stream="telemetry")), None)
    return archive_index.record_name(str(reader.journal.hash_at(1)), told.hash if told is not None else "")


def _closed(reader: BookReader) -> list[dict[str, Any]]:
    lines = reader.sessions()
    return list(lines.filter(lines["closed_seq"].is_not_null()).iter_rows(named=True))


def _demand_same_record(reader: BookReader, home: Place, known: Sequence[ArchivedSession]) -> None:
    for one in known:
        if reader.journal.hash_at(one.decisions.last) != one.decisions.head:
            raise StorageRefused(
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
    decisions = _slice(reader, "decisions", begins, line["closed_seq"])
    telemetry = _slice(reader, "telemetry", *telemetry_ranges(reader, known)[session_id])
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
            raise StorageRefused(
                f"{home} holds session {other.session_id} of the day of {session_id}: one day, one session"
            )
    parts = _parts(reader, session_id, decisions, telemetry)
    return msgspec.structs.replace(made, tables=tuple(_put(home, made, part) for part in parts))


def _parts(reader: BookReader, session_id: str, decisions: Slice, telemetry: Slice) -> Iterator[Part]:
    yield archive_content.records(reader, "decisions", decisions)
    yield archive_content.records(reader, "telemetry", telemetry)
    yield from archive_content.projected(reader, session_id, decisions, telemetry)
    paths = reader.paths.session(session_id)
    for kind in retention_rules.KINDS:
        yield from archive_content.bulk(paths, kind)
    yield from archive_content.beside(paths)


def _put(home: Place, session: ArchivedSession, part: Part) -> ArchivedTable:
    """Write a table and read it back. Raises StorageRefused where it is not the same."""
    file = session.file(part.table)
    size = home.write(file, part.frame, part.metadata)
    made = ArchivedTable(
        table=part.table,
        kind=part.kind,
        rows=part.frame.height,
        bytes=size,
        content=content_digest(part.frame),
        layout=layout_digest(part.frame),
        place=part.place,
    )
    again = home.read(file)
    if why := _differs(made, again.height, content_digest(again)):
        raise StorageRefused(f"{home.at(file)} did not read back as it was written, it {why}: see to the disk")
    return made


def _differs(expected: ArchivedTable, rows: int, content: str) -> str:
    if rows != expected.rows:
        return f"has {rows} rows, {expected.rows} were written"
    return "" if content == expected.content else "was changed after it was written"


def _slice(reader: BookReader, stream: str, first: int, last: int) -> Slice:
    """Which records, and the hashes they stand between."""
    found = list(reader.journal.records(last - 1, upto_seq=last, stream=stream)) if last >= first else []
    begins = list(reader.journal.records(first - 1, upto_seq=first, stream=stream)) if found else []
    if not found or not begins:
        before = list(reader.journal.records(first - 2, upto_seq=first - 1, stream=stream)) if first > 1 else []
        head = before[0].hash if before else GENESIS
        return Slice(first=first, last=first - 1, before=head, head=head)
    return Slice(first=first, last=last, before=begins[0].prev_hash, head=found[0].hash)


def _telemetry_ends(reader: BookReader, line: dict[str, Any], first: int) -> int:
    """Telemetry knows no session: the next one's begins with its first timed boundary, or the process that timed it."""
    sessions = reader.sessions()
    later = sessions.filter(sessions["opened_seq"] > line["opened_seq"])
    if later.height:
        opened_at, started = later["opened_at"][0], 0
        for seq, event in reader.journal.events((_STARTED, _TIMED), after_seq=first - 1, stream="telemetry"):
            if isinstance(event, ProcessStarted):
                started = seq
            elif event.at > opened_at:
                return (started or seq) - 1
            else:
                started = 0
    return reader.head("telemetry")[0]


def _chain(part: Part, expected: Slice, stream: str) -> list[str]:
    """Walk archived records from the hash they follow to the one they end at."""
    head = expected.before
    for seq, payload, stored in part.frame.select("seq", "payload", "hash").iter_rows():
        head = link(head, seq, payload.encode())
        if head != stored:
            return [f"record {seq} of {stream} does not follow from the one before it"]
    return [] if head == expected.head else [f"{stream} end at another record than {expected.last}"]
