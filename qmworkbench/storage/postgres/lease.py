"""Who may write a book in PostgreSQL: an advisory lock, an epoch that fences, a beat that shows life (§19, §21).

The lock is the writing connection's and ends with it. That says nothing of the process: one whose connection was cut
may still send what it had decided. So a writer that sends (`Terms.ttl_s` > 0) also beats, on a connection of its own;
it may send for `ttl_s` after its last beat and no longer, by its own clock. Whoever takes the book over raises the
epoch, after which neither a record nor a beat of the old one is taken, and waits until its time is over.

Lives and times are judged by the looker's own monotonic clock alone: no clock of another machine, and none that is set
back, decides who writes.
"""

import time
from collections.abc import Callable
from typing import Final

import msgspec
import psycopg
from psycopg import sql

from qmworkbench.storage.postgres.connection import Connection, server_of
from qmworkbench.storage.postgres.schema import name_of
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreInUse

# How long a request that was begun just before its sender's time was over may take to reach the broker.
SEND_S: Final = 5.0
_BOOK_LOCK: Final = 0x514D  # class of the advisory locks that stand for books
_POLL_S: Final = 0.2
# The server notices a moment later that a process has died: a lock it still has then is no holder.
PATIENCE_S: Final = 1.5


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """As whom, and how, a book is taken.

    `ttl_s` is how long this writer may send after each beat, 0 for one that sends nothing. `ended` names a process that
    is known to have ended, `lapsed` the epoch and beat of one that was watched: their time need not be waited for.
    `standby` waits for a holder instead of being refused, and ends the connections of one that beats no more. `say` is
    told what is waited for; `stop` ends the waiting.
    """

    host: str
    pid: int
    since: str
    process_id: str = ""
    ttl_s: float = 0.0
    ended: str = ""
    lapsed: tuple[int, int] | None = None
    standby: bool = False
    say: Callable[[str], None] = lambda text: None
    stop: Callable[[], bool] = lambda: False


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The last one that took a book. `ttl_s` 0: it sends nothing, or has let the book go."""

    epoch: int
    host: str
    pid: int
    since: str
    process_id: str
    beat: int
    ttl_s: float

    def sentence(self) -> str:
        """The holder as people name it."""
        return f"process {self.pid} on {self.host} since {self.since}"


class Watch:
    """Looks at a holder again and again: how long it has shown no sign of life, by this process's own clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._since_s = 0.0

    def look(self, held: Holder) -> float:
        """Seconds for which neither its epoch nor its beat has changed."""
        if (held.epoch, held.beat) != self._seen:
            self._seen, self._since_s = (held.epoch, held.beat), self._clock()
        return self._clock() - self._since_s

    def silent(self, held: Holder) -> bool:
        """Whether what it held has lapsed: its time to send is over, and what it began has arrived."""
        return self.look(held) > held.ttl_s + SEND_S


def lock(connection: Connection, place: str) -> bool:
    """Take the book for this connection; False where another has it. It ends with the connection, however that ends."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_BOOK_LOCK, place)).fetchone()
    return bool(row and row[0])


def is_locked(connection: Connection, place: str) -> bool:
    """Whether some connection has the book."""
    query = (
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s "
        "AND objid = (hashtext(%s)::bigint & 4294967295)::oid AND objsubid = 2 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return connection.execute(query, (_BOOK_LOCK, place)).fetchone() is not None


def holder(connection: Connection, place: str) -> Holder:
    """Who took the book last. Raises StoreDamaged."""
    query = sql.SQL("SELECT epoch, host, pid, since, process_id, beat, ttl_s FROM {}.writer")
    row = connection.execute(query.format(sql.Identifier(name_of(place)))).fetchone()
    if row is None:
        raise StoreDamaged(
            f"{server_of(connection)}: book {place!r} does not say who writes it; restore it from a backup"
        )
    names = ("epoch", "host", "pid", "since", "process_id", "beat", "ttl_s")
    return msgspec.convert(dict(zip(names, row, strict=True)), Holder)


def take(connection: Connection, place: str, book: str, where: str, terms: Terms) -> int:
    """Lock the book and begin a new epoch, once whoever held it can send no more; returns the epoch.

    Raises StoreInUse naming the holder where another has the book and `terms` are not a standby's.
    """
    watch, told, fenced, lapsed = Watch(), "", False, False
    patience_s = time.monotonic() + PATIENCE_S
    while True:
        locked, held = lock(connection, place), holder(connection, place)
        if not locked and not terms.standby and time.monotonic() > patience_s:
            raise StoreInUse(f"book {book!r} at {where} is written by {held.sentence()}: end that one first")
        lapsed = lapsed or watch.silent(held) or (held.epoch, held.beat) == terms.lapsed
        if locked and (lapsed or not held.ttl_s or (held.process_id and held.process_id == terms.ended)):
            return take_over(connection, place, terms)
        if locked and not fenced:
            _fence(connection, place)  # from here on it neither records nor beats; its time runs out
            fenced = True
        elif not locked and terms.standby and held.ttl_s and lapsed:
            lapsed = _fence(connection, place) == held.beat  # it may have come to itself in the last moment
            _end_connections(connection, place, held)
        if terms.stop():
            raise StoreInUse(f"book {book!r} at {where} was not waited for any longer: {held.sentence()} had it")
        text = f"waiting for {held.sentence()}, which may still send"
        if text != told:
            terms.say(text)
            told = text
        time.sleep(_POLL_S)


def take_over(connection: Connection, place: str, terms: Terms) -> int:
    """Begin a new epoch: whoever wrote before is fenced out from now on. Returns the epoch."""
    query = sql.SQL(
        "UPDATE {}.writer SET epoch = epoch + 1, host = %s, pid = %s, since = %s, process_id = %s, ttl_s = %s, "
        "beat = 0 RETURNING epoch"
    ).format(sql.Identifier(name_of(place)))
    values = (terms.host, terms.pid, terms.since, terms.process_id, terms.ttl_s)
    row = connection.execute(query, values).fetchone()
    if row is None:
        raise StoreDamaged(
            f"{server_of(connection)}: book {place!r} has no row for its writer; restore it from a backup"
        )
    connection.execute("SELECT set_config('qm.epoch', %s, false)", (str(row[0]),))
    return int(row[0])


def beat(connection: Connection, place: str, epoch: int) -> bool:
    """Show life as the holder of `epoch`; False where somebody else has taken the book over."""
    query = sql.SQL("UPDATE {}.writer SET beat = beat + 1 WHERE epoch = %s RETURNING beat")
    return connection.execute(query.format(sql.Identifier(name_of(place))), (epoch,)).fetchone() is not None


def let_go(connection: Connection, place: str, epoch: int) -> None:
    """Say as the holder of `epoch` that nothing will be sent any more: the next one need not wait."""
    query = sql.SQL("UPDATE {}.writer SET ttl_s = 0 WHERE epoch = %s")
    connection.execute(query.format(sql.Identifier(name_of(place))), (epoch,))


def _fence(connection: Connection, place: str) -> int:
    """Raise the epoch; returns the beat that was the old holder's last."""
    query = sql.SQL("UPDATE {}.writer SET epoch = epoch + 1 RETURNING beat").format(sql.Identifier(name_of(place)))
    row = connection.execute(query).fetchone()
    return int(row[0]) if row is not None else -1


def _end_connections(connection: Connection, place: str, held: Holder) -> None:
    """Take the lock from a process that is fenced and shows no life. Raises StorageRefused where we may not."""
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND classid IN (%s, %s) AND objid = (hashtext(%s)::bigint & 4294967295)::oid AND pid <> pg_backend_pid() "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    try:
        connection.execute(query, (_BOOK_LOCK, _BOOK_LOCK + 1, place))
    except psycopg.errors.InsufficientPrivilege as error:
        raise StorageRefused(
            f"{held.sentence()} is fenced and shows no life, and its connections may not be ended by this account: "
            "grant pg_signal_backend, or end that process"
        ) from error
