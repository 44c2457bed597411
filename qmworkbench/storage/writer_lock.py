"""One writer per file: a lock that the operating system lets go of when its holder dies, however it dies (§5)."""

import fcntl
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from qmworkbench.storage.refused import StoreInUse, StoreMissing
from qmworkbench.storage.times import stored_time


class WriterLock:
    """Holds `PATH.writer`, with our process, host and time in it, until released.

    Beside the file and not on it: opening and closing a SQLite file behind SQLite's back would drop its own locks.
    Raises StoreInUse naming the process that holds it, StoreMissing where the directory is not there.
    """

    def __init__(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise StoreMissing(f"{path.parent} is not a directory: create the book first (BookPaths.create, `qm day`)")
        self._fd = os.open(path.with_name(path.name + ".writer"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 512, 0).decode(errors="replace").strip() or "unknown"
            self.release()
            raise StoreInUse(
                f"{path} is being written by process {holder}: stop that session, or use it through its API"
            ) from error
        os.ftruncate(self._fd, 0)
        since = stored_time(datetime.now(UTC))
        os.pwrite(self._fd, f"{os.getpid()} on {platform.node()} since {since}".encode(), 0)

    def release(self) -> None:
        """Let go; twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
