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

AHEAD_BYTES: Final = 1024 * 1024  # so much room there is at the least
STEP_BYTES: Final = 256 * 1024  # made at once: what a commit has to take to the disk with itself stays small
LARGEST_BYTES: Final = 20 * 1024 * 1024  # a little more than the log ever takes before it begins anew

_ZEROS: Final = bytes(STEP_BYTES)


class WalRoom:
    """Keeps the log of one database ahead of its writer; for whoever commits, between commits. It never fails one."""

    def __init__(self, path: Path) -> None:
        self._fd = -1
        with suppress(OSError):
            self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._made_bytes = self.used_bytes = 0

    def use(self, count_bytes: int) -> None:
        """So much more of the log is used, about; where too little room is left ahead, there will be a step more.

        The log is counted and not looked at: a file whose times somebody has seen has to put its next change on record
        for itself, and that costs a commit a third. What cannot be written (a full disk) is left: the log then grows
        as it would have.
        """
        self.used_bytes += count_bytes
        wanted = min(self.used_bytes + AHEAD_BYTES, LARGEST_BYTES)
        if self._made_bytes >= wanted or self._fd < 0:
            return
        with suppress(OSError):
            size = max(self._made_bytes, os.fstat(self._fd).st_size)
            self._made_bytes = max(wanted, size) + STEP_BYTES
            while size < self._made_bytes:
                size += os.pwrite(self._fd, _ZEROS[: self._made_bytes - size], size)

    def begins_anew(self) -> None:
        """The log was carried over, and is written from its front again."""
        self.used_bytes = 0

    def close(self) -> None:
        """Let go of the log; twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
