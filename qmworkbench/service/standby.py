"""A second platform that waits beside the first and takes the book over when that one's lease lapses (§19, DESIGN §3).

It waits for a death, not for an end: a platform that lets the book go on purpose is waited for again, and a session
that was closed has nothing to take over. It needs the book's directory, with the bars the session was decided with: it
runs on the same machine, or where that directory is shared.
"""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Final

from qmworkbench.domain.events.session import SessionClosed
from qmworkbench.service import lease as directory
from qmworkbench.service.plan import AlreadyClosed, DayPlan, DayRefused
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.stores import Store, open_reader, place_of

_POLL_S: Final = 0.25
_CLOSED_EVERY_S: Final = 5.0


def demand_standby_possible(book: str, store: Store) -> None:
    """Raise DayRefused where a book cannot have a standby."""
    if store.kind != "postgres":
        raise DayRefused(
            f"book {book!r} lies in {store.kind}: a standby needs a book that several processes can reach, "
            "which is one in PostgreSQL (--store postgres, with --fresh for a new book)"
        )


@dataclass(frozen=True)
class Watched:
    """What looking at a holder came to: `over`, with the epoch and beat it `lapsed` at where that was seen; else what
    is waited for, in words.
    """

    waits_for: str = ""
    over: bool = False
    lapsed: tuple[int, int] | None = None


def wait_for_lapse(
    plan: DayPlan, *, say: Callable[[str], None], stop: Callable[[], bool] = lambda: False
) -> DayPlan | None:
    """Wait until whoever runs the book shows life no more; returns the plan to take it over with, None where `stop`
    ended the waiting.

    On return the directory's lease is free to be taken, of a process that hangs as well: that one is fenced. Raises
    AlreadyClosed once the session is closed, and DayRefused.
    """
    demand_standby_possible(plan.book, plan.store)
    told, closed_at_s = "", 0.0
    while not stop():
        lies = place_of(plan.paths)
        if lies is None:
            found = Watched("no platform has begun this book yet")
        else:
            found = _watched(plan, *lies, stop=stop, say=say)
            if found.over or time.monotonic() > closed_at_s:
                _demand_open(plan)
                closed_at_s = time.monotonic() + _CLOSED_EVERY_S
            if found.over:
                return replace(plan, standby=True, lapsed=found.lapsed)
        if found.waits_for != told:
            say(f"standby: {found.waits_for}")
            told = found.waits_for
        time.sleep(_POLL_S)
    return None


def _watched(
    plan: DayPlan, address: str, place: str, *, stop: Callable[[], bool], say: Callable[[str], None]
) -> Watched:
    """As _look_on; a database that is away is no sign that the holder is."""
    import psycopg

    try:
        return _look_on(plan, address, place, stop=stop, say=say)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return Watched("the book is only being laid out, or is of an older version; waiting for a platform to run it")
    except (psycopg.Error, StorageRefused) as error:
        return Watched(f"the database cannot be asked ({' '.join(str(error).split())}); waiting")


def _look_on(
    plan: DayPlan, address: str, place: str, *, stop: Callable[[], bool], say: Callable[[str], None]
) -> Watched:
    """Watch the present holder until it is over with it, or it has let go."""
    from qmworkbench.storage.postgres import lease
    from qmworkbench.storage.postgres.connection import connected

    watch, told, look_at_s = lease.Watch(), "", time.monotonic() + _CLOSED_EVERY_S
    with closing(connected(address, readonly=True)) as connection:
        while not stop():
            held = lease.holder(connection, place)
            if not held.ttl_s:
                return Watched("nobody runs the book; waiting for a platform to watch")
            if not lease.is_locked(connection, place) and not directory.is_held(plan.paths.lease):
                say(f"standby: {held.sentence()} has died; taking over")
                return Watched(over=True)
            if watch.silent(held):
                say(f"standby: {held.sentence()} shows no life; taking over")
                _push_aside(plan, held.process_id)
                return Watched(over=True, lapsed=(held.epoch, held.beat))
            if held.sentence() != told:
                say(f"standby: {held.sentence()} runs the book; waiting")
                told = held.sentence()
            time.sleep(_POLL_S)
            if time.monotonic() > look_at_s:
                _demand_open(plan)
                look_at_s = time.monotonic() + _CLOSED_EVERY_S
    return Watched("stopped")


def _push_aside(plan: DayPlan, process_id: str) -> None:
    """Fence a process of this machine that hangs with the directory's lock, and let the next one have a new lock."""
    holder = directory.holder_of(plan.paths.lease)
    if holder is None or holder.process_id != process_id or not directory.is_held(plan.paths.lease):
        return
    directory.fence(plan.paths.lease, by="standby", reason="it showed no life in PostgreSQL")
    plan.paths.lease.unlink(missing_ok=True)  # it keeps its lock, on a file that nobody looks at any more


def _demand_open(plan: DayPlan) -> None:
    """Raise AlreadyClosed where the session was closed meanwhile; a database that is away does not say."""
    with suppress(StorageRefused), open_reader(plan.paths) as reader:
        closed = [event.session_id for _, event in reader.session_events() if isinstance(event, SessionClosed)]
        if plan.session_id in closed:
            raise AlreadyClosed(f"session {plan.session_id} was run to its close: there is nothing to take over")
