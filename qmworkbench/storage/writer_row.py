"""Who writes a journal's file, in the file itself: an epoch that fences whoever wrote before (§5, §19).

The lock beside the file (writer_lock.py) keeps a second writer out. Where that lock did not hold, because its file was
removed or a network file system only pretended, the epoch does: whoever opens the journal raises it, and from then on
no record of an earlier writer is taken, whatever that one believes.
"""

import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.times import stored_time

DDL: Final = (
    "CREATE TABLE writer (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL,\n"
    "  host TEXT NOT NULL, pid INTEGER NOT NULL, since TEXT NOT NULL)"
)
FIRST_ROW: Final = "INSERT INTO writer VALUES (1, 0, '', 0, '')"
# A trigger of this connection alone: the statement that inserts is the one that looks, so nobody slips in between.
_FENCE: Final = """
CREATE TEMP TRIGGER {t}_fenced BEFORE INSERT ON main.{t} WHEN (SELECT epoch FROM main.writer) IS NOT {epoch}
  BEGIN SELECT RAISE(ABORT, 'fenced: another process writes this book (this connection has epoch {epoch})'); END
"""


def take(connection: sqlite3.Connection, path: Path) -> int:
    """Begin a new epoch as this process, and hold this connection to it; returns the epoch. Raises StorageRefused."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        values = (platform.node(), os.getpid(), stored_time(datetime.now(UTC)))
        connection.execute("UPDATE writer SET epoch = epoch + 1, host = ?, pid = ?, since = ?", values)
        ((epoch,),) = connection.execute("SELECT epoch FROM writer").fetchall()
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise StorageRefused(
            f"{path} cannot be taken for writing ({error}): free disk space, or repair the disk, then start again"
        ) from error
    for stream in ("decisions", "telemetry"):
        connection.execute(_FENCE.format(t=stream, epoch=int(epoch)))
    return int(epoch)
