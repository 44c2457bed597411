"""What a direct emergency stands on: the platform fenced off, the broker's door, the fallback log (§15)."""

import os
import platform
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Final

from qmworkbench.brokers.alpaca.adoption import nobody
from qmworkbench.brokers.select import LegNames, Purpose, open_venue
from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.instruments import Instrument, instrument_for
from qmworkbench.ports import Broker, JournalFailed
from qmworkbench.service.config import Config
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.service.lease import fence, holder_of, is_held
from qmworkbench.service.leased_broker import leg_name
from qmworkbench.service.offline import BookEmpty, read_state
from qmworkbench.storage.fallback import FallbackLog
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.sqlite import connect_readonly
from qmworkbench.storage.stores import open_reader

_LEAVE_S: Final = 5.0


class HolderStays(Exception):
    """The process that holds the book could not be ended; the message names it and what to do."""


def fence_platform(paths: BookPaths, *, operator: str, reason: str, say: Callable[[str], None]) -> None:
    """Make sure that the platform sends nothing any more: raise the epoch it checks before each send, then end its
    process.

    The epoch stops one that wakes up late; the end gives up the files it holds, which for the simulated venue is the
    only way to its books. The journal is made for being cut off anywhere. Raises HolderStays where it cannot be
    ended.
    """
    epoch = fence(paths.lease, by=operator, reason=reason)
    say(f"the platform is fenced (epoch {epoch}): what it held may not send any more")
    if not is_held(paths.lease):
        return
    holder = holder_of(paths.lease)
    if holder is None or holder.host != platform.node():
        who = holder.sentence() if holder else "a process that has not said who it is"
        raise HolderStays(f"the book is still held by {who}: end it there, then give the emergency again")
    try:
        # The lock is held, so the name in it is that of a living process; a stopped one hears nothing milder.
        os.kill(holder.pid, signal.SIGKILL)
    except OSError as error:
        raise HolderStays(
            f"{holder.sentence()} could not be ended ({error.strerror}): end it, then try again"
        ) from error
    deadline = time.monotonic() + _LEAVE_S
    while is_held(paths.lease):
        if time.monotonic() > deadline:
            raise HolderStays(
                f"{holder.sentence()} was killed and still holds the book after {_LEAVE_S:g} s: look at it"
            )
        time.sleep(0.05)
    say(f"{holder.sentence()} is ended; the session can be resumed with `qm day`, and will be halted")


@contextmanager
def open_direct(config: Config) -> Iterator[tuple[Broker, DirectRecord, str]]:
    """The broker, the record, and the id of the session the book was in, with whatever of the book can still be read.

    A venue that is served by a process of its own is reached there, whatever the configuration says: the day may have
    been told otherwise, and its file is the other process's. Raises NoBroker, VenueError: without the broker's door
    nothing can be done.
    """
    paths = config.paths
    with ExitStack() as opening:
        instruments, session_id, currency, leg_names = _known(config)
        venue = opening.enter_context(
            open_venue(
                config.environment,
                path=paths.venue,
                instruments=instruments,
                model=config.venue_model(),
                currency=currency,
                initial_cash=config.settings.initial_cash,
                wire=config.served(),
                leg_names=leg_names,
                purpose=Purpose.EMERGENCY,
            )
        )
        log, trouble = fallback_log(paths, _head(paths))
        if log is not None:
            opening.callback(log.close)
        yield venue.broker, DirectRecord(log, trouble=trouble), session_id


def _known(config: Config) -> tuple[list[Instrument], str, str, LegNames]:
    """Instruments, session, currency and what exits are called: from the journal, or the venue's own file if that is
    all there is.
    """
    leg_names: LegNames = nobody
    try:
        state = read_state(config).state
        session, leg_names = state.session, partial(leg_name, state)
    except (BookEmpty, StorageRefused, sqlite3.Error, ValueError):
        session = None
    if session is not None:
        return list(session.instruments.values()), session.session_id, session.account_currency, leg_names
    if not config.paths.venue.exists():  # it is served from elsewhere, and names its symbols itself
        return [], "unknown", config.settings.account_currency, leg_names
    query = "SELECT symbol FROM positions UNION SELECT symbol FROM orders ORDER BY symbol"
    with closing(connect_readonly(config.paths.venue)) as venue:
        symbols = [str(symbol) for (symbol,) in venue.execute(query)]
        currencies = [str(currency) for (currency,) in venue.execute("SELECT currency FROM account")]
    found = [instrument_for(symbol) for symbol in symbols]
    return found, "unknown", currencies[0] if currencies else config.settings.account_currency, leg_names


def _head(paths: BookPaths) -> tuple[int, str]:
    """The journal's last durable decision, or genesis where it cannot be read: recovery then says what it found."""
    try:
        with open_reader(paths) as reader:
            return reader.head()
    except (StorageRefused, sqlite3.Error):
        return 0, GENESIS


def fallback_log(paths: BookPaths, rooted_at: tuple[int, str]) -> tuple[FallbackLog | None, str]:
    """The book's fallback log, rooted at the last durable decision; else None and why there is none."""
    try:
        return FallbackLog(paths.fallback, rooted_at), ""
    except (StorageRefused, JournalFailed, OSError) as error:
        return None, str(error)
