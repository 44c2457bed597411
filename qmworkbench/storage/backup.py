"""Backups of a book: taken beside a running platform, proved when taken and again when restored (§5, §19).

What is copied: journal, the simulated venue's books, approvals, fallback log, checkpoints, and each session's own
files. What is not: projections, which are rebuilt, and lease and API address, which belong to a process. The journal is
copied first: everything it names was on disk before it was named, so what is copied afterwards holds at least that.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from qmworkbench.domain.chain import ChainBroken
from qmworkbench.storage import journal_file
from qmworkbench.storage.atomic import sync_directory, sync_file, write_whole
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.journal_select import STREAMS, Row
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreMissing
from qmworkbench.storage.sqlite import connect_readonly, connect_writer
from qmworkbench.storage.sqlite_sink import SqliteSink
from qmworkbench.storage.stores import SQLITE, Store, open_journal, open_reader, shown, store_of

MANIFEST: Final = "manifest.json"
LAYOUT: Final = 1
_LEFT_OUT: Final = frozenset({"projections.db", "lease", "lease.epoch", "api.json", "journal.db", "journal.json"})
_PIECE: Final = 1 << 20
_ROWS_AT_ONCE: Final = 4_096
_PAGES_AT_ONCE: Final = 2_000  # between two steps of a copy the writer gets its turn

Progress = Callable[[int, int], None]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup: its place in the book, its size in bytes, and SHA-256 in hex."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. `heads` are the journal's, by stream: (sequence, hash), proved when it was taken."""

    layout: int
    book: str
    environment: str
    taken_at: datetime
    heads: dict[str, tuple[int, str]]
    files: tuple[Kept, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files)


def back_up(
    paths: BookPaths,
    into: Path,
    *,
    environment: str,
    at: datetime | None = None,
    progress: Progress = lambda n, of: None,
) -> tuple[Path, Manifest]:
    """Copy a book into a new directory below `into`, prove the copy, and say what it holds.

    The book may be in use. A backup that did not come to its end leaves nothing that looks like one. `progress` hears
    of files done and in all. Raises StoreMissing, StoreDamaged (the journal does not verify), StorageRefused (no room,
    no right to write).
    """
    with open_reader(paths) as journal:
        book = journal.book
    taken_at = at or datetime.now(UTC)
    target = into / f"{book}-{taken_at:%Y%m%dT%H%M%SZ}"
    if target.exists():
        raise StorageRefused(f"{target} exists: a backup never overwrites; wait a second or name another directory")
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        manifest = _copied(paths, unfinished, book, environment, taken_at, progress)
        write_whole(unfinished / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        unfinished.rename(target)
        sync_directory(into)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise StorageRefused(
            f"{target} cannot be written ({error.strerror or error}): make room, or name another"
        ) from error
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return target, manifest


def _copied(
    paths: BookPaths, into: Path, book: str, environment: str, taken_at: datetime, progress: Progress
) -> Manifest:
    _copy_journal(paths, into / "journal.db")
    heads = _proved(into / "journal.db")
    names = ["journal.db"]
    others = sorted(_files(paths.root))
    for done, name in enumerate(others, start=1):
        source, copy = paths.root / name, into / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            if source.suffix == ".db":
                _copy_database(source, copy)
            else:
                shutil.copyfile(source, copy)
                sync_file(copy)
        except FileNotFoundError:
            continue  # the platform replaced or removed it meanwhile: its successor is named in the next backup
        names.append(name)
        progress(done, len(others))
    files = tuple(_kept(into, name) for name in names)
    return Manifest(layout=LAYOUT, book=book, environment=environment, taken_at=taken_at, heads=heads, files=files)


def _copy_journal(paths: BookPaths, target: Path) -> None:
    """The journal as a file of its own, wherever it lies: the same records in the same chain."""
    if store_of(paths).kind == "sqlite":
        _copy_database(paths.journal, target)
        return
    with open_reader(paths) as reader, closing(connect_writer(target)) as connection:
        journal_file.create(connection, reader.book)
        sink = SqliteSink(connection)
        for stream in STREAMS:
            for rows in _batches(reader.rows(stream)):
                sink.write({stream: rows})
        connection.execute("PRAGMA journal_mode=DELETE")
    sync_file(target)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        yield batch


def _files(root: Path) -> Iterator[str]:
    """The book's files as places below it; what belongs to a process, or can be made again, is left out."""
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        top = name.split("/")[0]
        passing = name.endswith((".unfinished", "-wal", "-shm", "-journal", ".writer"))
        if path.is_file() and not path.is_symlink() and top not in _LEFT_OUT and not passing:
            yield name


def _copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite file beside its writer, what stands in its write-ahead log included."""
    with closing(connect_readonly(source)) as reading, closing(sqlite3.connect(target)) as writing:
        try:
            reading.backup(writing, pages=_PAGES_AT_ONCE)
            writing.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error as error:
            raise StorageRefused(
                f"{source} could not be copied to {target} ({error}): make room, or repair it"
            ) from error
    sync_file(target)


def _proved(journal: Path) -> dict[str, tuple[int, str]]:
    with JournalReader(journal) as reader:
        try:
            return reader.verify()
        except ChainBroken as error:
            raise StoreDamaged(
                f"{journal} does not verify: {error}; restore the book from an earlier backup"
            ) from error


def _kept(root: Path, name: str) -> Kept:
    digest, size = hashlib.sha256(), 0
    with (root / name).open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return Kept(path=name, size=size, sha256=digest.hexdigest())


def read_manifest(backup: Path) -> Manifest:
    """What a backup says it holds. Raises StoreMissing, StoreDamaged."""
    path = backup / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise StoreMissing(
            f"{backup} is no backup: there is no {MANIFEST} in it; give the directory `qm backup` named"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise StoreDamaged(f"{path} cannot be read ({error}): use another backup") from error
    if manifest.layout > LAYOUT:
        raise StorageRefused(
            f"{backup} was taken by a newer version of the workbench: update it to restore this backup"
        )
    return manifest


def check(backup: Path) -> tuple[Manifest, list[str]]:
    """A backup held against its manifest and its own chain: what is wrong with it, empty where nothing is."""
    manifest = read_manifest(backup)
    wrong = [f"{one.path} {why}" for one in manifest.files if (why := _differs(backup, one))]
    if not wrong:
        found = _proved(backup / "journal.db")
        if found != manifest.heads:
            wrong.append(f"journal.db ends at {found}, the manifest says {manifest.heads}")
    return manifest, wrong


def _differs(backup: Path, expected: Kept) -> str:
    place = PurePosixPath(expected.path)
    if place.is_absolute() or ".." in place.parts:
        return "lies outside the backup"
    try:
        found = _kept(backup, expected.path)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return "" if found == expected else f"is not what was copied ({found.size} bytes, {expected.size} were)"


def restore(
    backup: Path, paths: BookPaths, *, store: Store = SQLITE, progress: Progress = lambda n, of: None
) -> Manifest:
    """Make the book anew from a backup, where no book is; all of it or nothing. Returns what was restored.

    Its journal lies in `store` from then on, wherever it lay before: the same records in the same chain, which is
    walked once more where they were put into a database. The broker has gone on since: the next start recovers and
    reconciles before any entry. Raises StorageRefused where a book is there already, StoreMissing, StoreDamaged.
    """
    manifest, wrong = check(backup)
    if wrong:
        raise StoreDamaged(f"{backup} is not whole: {'; '.join(wrong[:3])}; use another backup")
    if paths.root.exists() and any(paths.root.iterdir()):
        raise StorageRefused(f"{paths.root} holds a book: move it away first, a restore never overwrites")
    unfinished = paths.root.with_name(paths.root.name + ".unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        into_database = store.kind != "sqlite"
        files = [one for one in manifest.files if not (into_database and one.path == "journal.db")]
        _laid_out(backup, unfinished, files, progress)
        if into_database:
            _adopted(backup / "journal.db", BookPaths(unfinished), store, manifest)
        if paths.root.exists():
            paths.root.rmdir()
        unfinished.rename(paths.root)
        sync_directory(paths.root.parent)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise StorageRefused(f"{paths.root} cannot be written ({error.strerror or error}): make room for it") from error
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return manifest


def _adopted(source: Path, paths: BookPaths, store: Store, manifest: Manifest) -> None:
    """The backup's records in a new place of a database, proved to be what the backup held. Raises StoreDamaged."""
    with JournalReader(source) as reader, open_journal(paths, book=manifest.book, store=store) as journal:
        for stream in STREAMS:
            for rows in _batches(reader.rows(stream)):
                journal.adopt(stream, rows)
        journal.sync_telemetry()
        found = journal.verify()
    if found != manifest.heads:
        raise StoreDamaged(f"{shown(paths)} ends at {found} and the backup says {manifest.heads}: try again")


def _laid_out(backup: Path, into: Path, files: Sequence[Kept], progress: Progress) -> None:
    into.mkdir(parents=True, mode=0o700)
    for done, one in enumerate(files, start=1):
        copy = into / one.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(backup / one.path, copy)
        sync_file(copy)
        progress(done, len(files))
