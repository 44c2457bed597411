"""How a venue is reached, and that it stays so: on the wire orders, exits and executions have other names (§12, §14).

A book whose executions were told under one set of names cannot be compared with the other: everything would look new.
So the first session of an account settles it, and it is in the file for whoever opens that later, to read or to act.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from qmworkbench.venue.records import VenueError

CALLS: Final = "calls"  # in the process of the platform
WIRE: Final = "wire"  # over a socket, in a broker's shapes

# Transactions are counted in process; on the wire they are times, in nanoseconds since 1970.
_FIRST_TIME: Final = 10**15
_INSTEAD: Final = {
    CALLS: (
        "the venue of this book was begun in the platform's own process and its names are those of that: run it so "
        '(broker.kind = "simulated", no --venue)'
    ),
    WIRE: (
        "the venue of this book was begun over the wire and its names are the wire's: run it so (`qm day --venue auto`,"
        ' or broker.kind = "wire")'
    ),
}


def one_way(what: Path | str, known: str, asked: str) -> str:
    """The way an account is reached from now on. Raises VenueError where it was begun the other way."""
    if known and known != asked:
        raise VenueError(f"{what}: {_INSTEAD[known]}, or begin a new book with --fresh")
    return asked


def begun_by(path: Path) -> str:
    """How the first session of a venue's file reached it; "" where there is none, or nobody wrote it down."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
            found = db.execute("SELECT reached_by FROM account").fetchone()
    except sqlite3.Error:  # older books do not say; damaged ones are told of by whoever opens them to trade
        return ""
    return str(found[0]) if found else ""


def heard_by(cursor: int) -> str:
    """How the transaction of this number was heard of; "" for none."""
    return "" if cursor <= 0 else WIRE if cursor >= _FIRST_TIME else CALLS
