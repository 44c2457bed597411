"""Room made ahead in a journal's write-ahead log, so that a commit waits for its own bytes alone (§19).

A file that grows has a new length, and the file system puts that on record in a journal of its own before fdatasync
returns: a commit then pays for two writes. SQLite uses its log again from the front after each checkpoint, so it stops
growing by itself, but only after the first full round, and a session's first orders come long before that. Zeros are
written ahead instead. SQLite takes no frame for its own that lacks the salt and the running checksum of the log's
header, so zeros are the log's end to every reader and to recovery after a kill.

The log is no file that SQLite locks (the database and the -shm are): a descriptor of our own on it drops no lock.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

FIRST_BYTES: Final = 1024 * 1024
LARGEST_BYTES: Final = 20 * 1024 * 1024  # a little more than the log ever takes before it begins anew

_ZEROS: Final = bytes(FIRST_BYTES)


class WalRoom:
    """Keeps the log of one database ahead of its writer; for the thread that commits. It never fails a commit."""

    def __init__(self, path: Path) -> None:
        self._fd = -1
        with suppress(OSError):
            self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._made_bytes = 0

    def extend(self) -> None:
        """Make as much room again as there was once the log has outgrown it. Between commits only.

        What cannot be written (a full disk) is left: the log then grows as it would have.
        """
        if self._fd < 0:
            return
        size = os.fstat(self._fd).st_size
        if size <= self._made_bytes or size >= LARGEST_BYTES:
            return
        wanted = min(max(2 * size, FIRST_BYTES), LARGEST_BYTES)
        with suppress(OSError):
            while size < wanted:
                size += os.pwrite(self._fd, _ZEROS[: wanted - size], size)
        self._made_bytes = size

    def close(self) -> None:
        """Let go of the log; twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
