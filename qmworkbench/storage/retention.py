"""Letting go of a closed session's bulk once it is archived; orders and journal are kept for good (§5 Data Check, §22).

A plan is made first and shown; only a plan is carried out, and it can name nothing but what retention_rules.py lists.
Each item goes only after its archive was read back and holds just what is there. That it goes is written down before
the first byte of it does, so that a run that was cut off is brought to its end by the next one.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.storage import archive_content, archive_index, retention_rows
from qmworkbench.storage.archive import home_of, proved, silent
from qmworkbench.storage.archive_content import Part
from qmworkbench.storage.archive_index import ArchivedSession, ArchivedTable
from qmworkbench.storage.archive_place import Place
from qmworkbench.storage.archive_spans import telemetry_ranges
from qmworkbench.storage.atomic import sync_directory
from qmworkbench.storage.frame_digest import digest_of
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.projection_home import home_of as tables_home
from qmworkbench.storage.reading import BookReader
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.retention_notes import Note, Notes
from qmworkbench.storage.retention_rules import (
    DEFAULT_DAYS,
    KINDS,
    RULES,
    Retention,
    bulk_files,
)

__all__ = [
    "DEFAULT_DAYS",
    "KINDS",
    "RULES",
    "Done",
    "Expired",
    "Kept",
    "Retention",
    "carry_out",
    "open_session",
    "plan",
]

Progress = Callable[[int, int, str], None]
_DATE: Final = re.compile(r"(\d{4}-\d{2}-\d{2})")


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule lets go of in one session: `files`, and `rows` of its projected tables. `archived` tells whether
    it is in the archive already; what is not is archived first.
    """

    session_id: str
    kind: str
    age_days: int
    keep_days: int
    files: int
    size_bytes: int
    rows: int
    archived: bool


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What was not let go of though it has expired, and why."""

    session_id: str
    kind: str
    why: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did: what it let go of, in all `freed_bytes` of files and `rows`, and what it kept."""

    let_go: tuple[Expired, ...]
    kept: tuple[Kept, ...]
    freed_bytes: int
    rows: int


def open_session(reader: BookReader) -> str:
    """The book's newest session where it has not closed, "" where it has: while it runs nothing is let go of."""
    lines = reader.sessions()
    if lines.is_empty() or lines["closed_seq"][-1] is not None:
        return ""
    return str(lines["session_id"][-1])


def plan(reader: BookReader, rule: Retention, place: Place, *, today: date | None = None) -> tuple[Expired, ...]:
    """What has expired by `today` (the book's own newest day where None), oldest first; nothing is touched.

    A session that never closed, or whose id holds no date, keeps everything.
    """
    lines = reader.sessions()
    if lines.is_empty():
        return ()
    now = today if today is not None else max(date.fromisoformat(day) for day in lines["date"])
    there = {one.session_id: one for one in archive_index.read(home_of(reader, place))}
    rows = retention_rows.counted(reader, telemetry_ranges(reader, list(there.values())))
    found = []
    for session_id in lines.filter(lines["closed_seq"].is_not_null())["session_id"]:
        dated = _DATE.search(session_id)
        age = (now - date.fromisoformat(dated[1])).days if dated is not None else 0
        files = bulk_files(reader.paths.session(session_id))
        for kind in KINDS:
            keep, of_kind, counted = rule.days.get(kind, 0), files.get(kind, ()), rows.get((session_id, kind), 0)
            if keep and age > keep and (of_kind or counted):
                found.append(
                    Expired(
                        session_id=session_id,
                        kind=kind,
                        age_days=age,
                        keep_days=keep,
                        files=len(of_kind),
                        size_bytes=sum(path.stat().st_size for path in of_kind),
                        rows=counted,
                        archived=session_id in there,
                    )
                )
    return tuple(sorted(found, key=lambda entry: (-entry.age_days, entry.session_id, entry.kind)))


def carry_out(reader: BookReader, expired: Sequence[Expired], place: Place, *, progress: Progress = silent) -> Done:
    """Let go of what a plan names, item by item, each only once its archive is proved; what another run began is ended.

    Raises StorageRefused, and touches nothing, while the newest session is open or for an item that no plan could hold.
    """
    running = open_session(reader)
    if running:
        raise StorageRefused(f"session {running} is open: nothing is let go of before it has closed")
    if not expired and not Notes(reader.paths.root).begun():
        return Done(let_go=(), kept=(), freed_bytes=0, rows=0)
    for entry in expired:
        _demand_known(reader, entry)
    home = home_of(reader, place)
    there = {one.session_id: one for one in archive_index.read(home)}
    notes = Notes(reader.paths.root)
    begun = notes.begun()
    todo = [*expired, *_cut_off(begun, expired)]
    gone: list[Expired] = []
    kept: list[Kept] = []
    rows = 0
    for done, entry in enumerate(todo):
        progress(done, len(todo), f"{entry.session_id} {entry.kind}")
        session = there.get(entry.session_id)
        why = _not_proved(reader, home, session, entry, begun=(entry.session_id, entry.kind) in begun)
        if session is None or why:
            kept.append(Kept(session_id=entry.session_id, kind=entry.kind, why=why))
            continue
        if (entry.session_id, entry.kind) not in begun:
            notes.begin(Note(session_id=entry.session_id, kind=entry.kind, archive=str(place), rows=entry.rows))
        _remove(reader.paths, entry)
        rows += retention_rows.remove(tables_home(reader.paths), session, entry.kind)
        notes.end(entry.session_id, entry.kind)
        gone.append(entry)
    progress(len(todo), len(todo), "")
    if rows:
        retention_rows.give_back(tables_home(reader.paths))
    return Done(let_go=tuple(gone), kept=tuple(kept), freed_bytes=sum(entry.size_bytes for entry in gone), rows=rows)


def _demand_known(reader: BookReader, entry: Expired) -> None:
    """An item names a rule and a closed session of this book, and no more: the files are looked up, never given."""
    lines = reader.sessions()
    closed = lines.filter(lines["closed_seq"].is_not_null())["session_id"].to_list()
    if entry.kind not in KINDS or entry.session_id not in closed:
        raise StorageRefused(
            f"{entry.kind!r} of session {entry.session_id!r} is nothing that retention lets go of: nothing was removed"
        )


def _cut_off(begun: dict[tuple[str, str], Note], expired: Sequence[Expired]) -> Iterator[Expired]:
    """What an earlier run began, and no longer has files or rows enough to be planned for."""
    planned = {(entry.session_id, entry.kind) for entry in expired}
    for session_id, kind in sorted(begun.keys() - planned):
        yield Expired(
            session_id=session_id, kind=kind, age_days=0, keep_days=0, files=0, size_bytes=0, rows=0, archived=True
        )


def _not_proved(
    reader: BookReader, home: Place, session: ArchivedSession | None, entry: Expired, *, begun: bool
) -> str:
    """Why an item may not go, "" where it may: all of it is in the archive, which was read back just now.

    What an earlier run began to remove was proved then; only the archive is looked at again.
    """
    if session is None:
        return f"it is not archived at {home}"
    held = session.of_kind(entry.kind)
    try:
        for table in held.values():
            proved(home, session, table)
        if begun:
            return ""
        for part in _live(reader, session, entry.kind):
            if wrong := _missing(home, session, part, held.get(part.table)):
                return wrong
    except StorageRefused as error:
        return str(error)
    return ""


def _live(reader: BookReader, session: ArchivedSession, kind: str) -> Iterator[Part]:
    """What there is of a kind now."""
    yield from archive_content.bulk(reader.paths.session(session.session_id), kind)
    names = [table for rule in RULES if rule.kind == kind for table in rule.tables]
    if not names:
        return
    with reader.together():
        for table in names:
            pieces = archive_content.rows(reader, table, session.session_id, session.telemetry)
            yield Part(table=table, kind=kind, pieces=pieces)


def _missing(home: Place, session: ArchivedSession, live: Part, archived: ArchivedTable | None) -> str:
    """What the archive, which was proved, lacks of a table; "" where it holds it all."""
    names = home.columns(session.file(archived.table)) if archived is not None and not live.place else []
    # A later version's tables may have more columns: those come from the journal, which stays.
    found = digest_of(
        piece.select(names) if set(names) <= set(piece.columns) and names else piece for piece in live.pieces
    )
    if not found.rows:
        return ""
    if archived is None:
        return f"{live.place or live.table} came after the session was archived"
    if not archive_content.same_place(live.place, archived.place):
        return f"{live.place} was archived as {archived.place}"
    return "" if found.content() == archived.content else f"{live.place or live.table} is not what was archived"


def _remove(paths: BookPaths, entry: Expired) -> None:
    session = paths.session(entry.session_id)
    directories: set[Path] = set()
    for path in bulk_files(session).get(entry.kind, ()):
        path.unlink(missing_ok=True)
        directories.add(path.parent)
    for directory in sorted(directories, key=lambda found: -len(found.parts)):
        sync_directory(directory)
        if directory != session.root:
            with suppress(OSError):  # something else is left in it
                directory.rmdir()
    if directories and session.root.is_dir():
        sync_directory(session.root)
