"""Files that are there whole or not at all: temporary name, fsync, rename, fsync of the directory (§19)."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNFINISHED = ".unfinished"


def write_whole(path: Path, *pieces: bytes | memoryview) -> None:
    """Write `pieces` as `path`: after a kill the old file is there or the new one, never a part."""
    with appearing(path) as temporary, temporary.open("wb") as file:
        file.writelines(pieces)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A temporary path to write; once the block ends well it is on disk and named `path`, otherwise it is gone."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sweep(directory: Path) -> None:
    """Remove what killed processes left half written."""
    for leftover in directory.glob(f"*{_UNFINISHED}"):
        leftover.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    _sync(path, os.O_RDWR)


def sync_directory(directory: Path) -> None:
    """Make creations, renames and removals in `directory` durable."""
    _sync(directory, os.O_RDONLY)


def sync_data(fd: int) -> None:
    """Make an open file's content durable, through the drive's own cache where the system stops short of it."""
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync alone leaves the data in the drive
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
