"""How SQLite files are opened: one writing connection per file, any number of read-only ones (§5, §19)."""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreMissing

BUSY_TIMEOUT_S = 5.0
LOG_PAGES = 4000  # 16 MiB
# A damaged schema can make SQLite say so in text that is no UTF-8.
READ_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
RESTORE = (
    "restore the book from a copy, or keep this directory as evidence and begin a new book "
    "(`qm day --fresh`); then reconcile, since the broker is right about exposure"
)
# What connect() says when the file exists but the directory lets nobody create the -wal and -shm beside it.
_CANNOT_OPEN = "unable to open database file"


def connect_readonly(path: Path, *, any_thread: bool = False) -> sqlite3.Connection:
    """A connection that can never write, for readers beside a live writer or after a kill, in any process.

    A WAL left by a killed process is read through. On a directory that cannot be written (an archive, a
    read-only mount) a file that was closed cleanly is opened as immutable. Raises StoreMissing, StoreDamaged.
    """
    if not path.exists():
        raise StoreMissing(f"{path} does not exist: check the path, or make the book with `qm day`")
    try:
        return _probed(path, "mode=ro", any_thread)
    except READ_ERRORS as error:
        if not wal_of(path).exists() and not os.access(path.parent, os.W_OK):
            return _probed(path, "mode=ro&immutable=1", any_thread)
        raise refusal(path, error) from error


def refusal(path: Path, error: Exception) -> StorageRefused:
    """What SQLite's error means for the one who wants to use the file."""
    what = " ".join(str(error).split())
    if "locked" in what or "busy" in what:
        return StorageRefused(f"{path} is locked by another process ({what}): end that process, then try again")
    if _CANNOT_OPEN in what or "permission" in what or "readonly" in what:
        return StorageRefused(f"{path} cannot be opened ({what}): check the permissions of file and directory")
    return StoreDamaged(f"{path} is damaged or no database of ours ({what}): {RESTORE}")


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one writing connection of a file: WAL, every commit on disk before it counts, in autocommit.

    Raises StoreDamaged when the file is no database or does not take the settings.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone leaves the data in the drive
        # Without it, REPLACE deletes rows and fires no DELETE trigger.
        connection.execute("PRAGMA recursive_triggers=ON")
        # Far above the usual thousand: a commit that must carry the log over is one that everybody waits for. The
        # writer does it sooner, when nobody waits (sqlite_sink.py).
        connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        settings = durable_settings(connection)
    except READ_ERRORS as error:
        connection.close()
        raise refusal(path, error) from error
    if settings != {"journal_mode": "wal", "synchronous": "full"}:
        connection.close()
        raise StoreDamaged(
            f"{path} is not durable as configured: found {settings}, need journal_mode wal and "
            "synchronous full; put the book on a local disk (network mounts cannot hold a WAL)"
        )
    return connection


def durable_settings(connection: sqlite3.Connection) -> dict[str, str]:
    """What the connection really runs with, asked from SQLite itself, in words."""
    mode = str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    level = int(connection.execute("PRAGMA synchronous").fetchone()[0])
    return {
        "journal_mode": mode,
        "synchronous": {0: "off", 1: "normal", 2: "full", 3: "extra"}.get(level, str(level)),
    }


def wal_of(path: Path) -> Path:
    """The write-ahead log beside a database file; there while anyone has it open, or after a kill."""
    return path.with_name(path.name + "-wal")


def _probed(path: Path, how: str, any_thread: bool) -> sqlite3.Connection:
    """Opening is lazy in SQLite: the first read is what fails, so it is made here."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{how}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=not any_thread,
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
