"""The beat of a book's writer in PostgreSQL: a thread that shows life, and until when it may send (§19)."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from qmworkbench.storage.postgres import lease
from qmworkbench.storage.postgres.connection import Connection, connected
from qmworkbench.storage.refused import StorageRefused


def uptime_s() -> float:
    """Seconds on a clock that never goes back and also counts while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Heartbeat:
    """Beats four times within `ttl_s`, from when it is made until `stop`.

    The deadline is counted from before each beat was asked for: what the server saw later is never taken for earlier.
    `fenced` turns true once somebody else has the book, and stays so.
    """

    def __init__(
        self, dsn: str, place: str, epoch: int, ttl_s: float, *, clock: Callable[[], float] = uptime_s
    ) -> None:
        self.ttl_s = ttl_s
        self.fenced = False
        self._dsn, self._place, self._epoch, self._clock = dsn, place, epoch, clock
        self._detail = ""
        self._answered_s = clock()
        self._deadline = self._answered_s + ttl_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def trouble(self) -> str:
        """Why this process may not send now, "" while it may."""
        if self.fenced:
            return "another process has taken the book over"
        if self._clock() > self._deadline:
            why = self._detail or "this process was stopped or too busy"
            return f"the lease in PostgreSQL was not renewed for more than {self.ttl_s:g} s ({why})"
        return ""

    def unanswered(self, limit_s: float) -> str:
        """What keeps the database from answering the beat, "" while it does: told at once where asking fails, and after
        `limit_s` where nothing comes back.
        """
        silent_s = self._clock() - self._answered_s
        if self._detail:
            return f"PostgreSQL does not take the beat ({self._detail})"
        return f"PostgreSQL has not answered for {silent_s:.0f} s" if silent_s > limit_s else ""

    def stop(self) -> None:
        """Beat no more and let the book go: nothing is sent after this. Twice is fine."""
        self._stopping.set()
        self._thread.join(self.ttl_s)
        self._deadline = float("-inf")

    def _run(self) -> None:
        connection: Connection | None = None
        while not self._stopping.wait(self.ttl_s / 4):
            had = connection
            connection = self._beat(connection)
            if connection is None and had is not None:
                connection = self._beat(None)  # one connection may break; only a second failure is trouble
        with suppress(psycopg.Error, StorageRefused):
            if not self.fenced:
                connection = connection if connection is not None else connected(self._dsn)
                lease.let_go(connection, self._place, self._epoch)
        if connection is not None:
            connection.close()

    def _beat(self, connection: "Connection | None") -> "Connection | None":
        """Once. Returns the connection to go on with, None where it has to be made again."""
        asked_at, was_there = self._clock(), connection is not None
        try:
            if connection is None:
                connection = connected(self._dsn)
                connection.execute("SELECT set_config('statement_timeout', %s, false)", (f"{int(self.ttl_s * 500)}ms",))
            self.fenced = self.fenced or not lease.beat(connection, self._place, self._epoch)
        except (psycopg.Error, StorageRefused) as error:
            if connection is not None:
                connection.close()
            if not was_there:
                self._detail = " ".join(str(error).split())
            return None
        self._answered_s, self._detail = asked_at, ""
        if not self.fenced:
            self._deadline = asked_at + self.ttl_s
        return connection
