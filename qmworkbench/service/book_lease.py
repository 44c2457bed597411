"""The right to send for a book: its directory's lease and, for one in PostgreSQL, the beat in the database (§19).

A process that was fenced sends nothing at all. One that merely could not renew, because the database is away, sends
nothing it decides; an emergency needs the broker alone and still goes out.
"""

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from qmworkbench.service.lease import Lease, LeaseLost
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.stores import Store
from qmworkbench.storage.times import stored_time

if TYPE_CHECKING:
    from qmworkbench.storage.postgres.heartbeat import Heartbeat
    from qmworkbench.storage.postgres.lease import Terms

# How long the writer of a book in PostgreSQL may send after its last beat; another one waits for as long.
BEAT_TTL_S: Final = 10.0


class LeaseLapsed(LeaseLost):
    """The lease could not be renewed in time; nobody is known to have taken the book over."""


class BookLease:
    """What is asked before each send. `heartbeat` None: the directory's lease is all there is."""

    def __init__(self, lease: Lease, heartbeat: "Heartbeat | None" = None) -> None:
        self._lease = lease
        self._heartbeat = heartbeat

    def check(self) -> None:
        """Raise LeaseLost where this process was fenced, LeaseLapsed where its time is over."""
        self.demand_unfenced()
        trouble = self.trouble()
        if trouble:
            raise LeaseLapsed(f"nothing is sent: {trouble}")

    def demand_unfenced(self) -> None:
        """As `check`, for an emergency: a database that is away does not stop it. Raises LeaseLost."""
        self._lease.check()
        if self._heartbeat is not None and self._heartbeat.fenced:
            raise LeaseLost(f"nothing further may be sent by this process: {self._heartbeat.trouble()}")

    def fenced(self) -> str:
        """Who has the book instead, in words; "" while nobody has: what merely lapsed is not gone."""
        try:
            self.demand_unfenced()
        except LeaseLost as lost:
            return str(lost)
        return ""

    def trouble(self) -> str:
        """What keeps this process from sending, as far as the database knows; "" where nothing does."""
        return "" if self._heartbeat is None else self._heartbeat.trouble()

    def unanswered(self, limit_s: float) -> str:
        """Why the database may be away, sooner than anything lapses: what health has to say within its time."""
        return "" if self._heartbeat is None else self._heartbeat.unanswered(limit_s)


class EmergencyLease:
    """The lease as an emergency asks it: who was fenced is out, who could not renew is not."""

    def __init__(self, lease: BookLease) -> None:
        self.check = lease.demand_unfenced


def terms_of(
    lease: Lease,
    store: Store,
    *,
    ttl_s: float,
    standby: bool = False,
    lapsed: tuple[int, int] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> "Terms | None":
    """On what terms the holder of a directory's lease takes a book in PostgreSQL; None for one that lies elsewhere.

    Who held the directory's lock on this machine and lost it without letting go has ended: it is not waited for.
    `lapsed` is the epoch and beat of a holder that was seen to show no life for long enough (service/standby.py).
    """
    if store.kind != "postgres":
        return None
    from qmworkbench.storage.postgres.lease import Terms

    before, now = lease.took_over, lease.holder
    return Terms(
        host=now.host,
        pid=now.pid,
        since=stored_time(now.since),
        process_id=now.process_id,
        ttl_s=ttl_s,
        ended=before.process_id if before is not None and before.host == platform.node() else "",
        standby=standby,
        lapsed=lapsed,
        say=say,
    )


def heartbeat_of(journal: ChainedJournal[Any], store: Store, ttl_s: float) -> "Heartbeat | None":
    """The beat of the one that has just taken a book in PostgreSQL; None for one that lies elsewhere."""
    if store.kind != "postgres":
        return None
    from qmworkbench.storage.postgres.heartbeat import Heartbeat
    from qmworkbench.storage.postgres.journal import PostgresJournal

    assert isinstance(journal, PostgresJournal), "the store says so"
    return Heartbeat(store.address, journal.place, journal.epoch, ttl_s)
