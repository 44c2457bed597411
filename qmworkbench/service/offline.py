"""A book on which no platform runs: what it was when last written, and commands to it under a lease taken briefly
(§10, §14).

The book's clock stands where its last input left it. A command goes through the same shell and kernel as on a running
platform, with its effects at the broker; only the market does not move.
"""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from qmworkbench.brokers.select import OpenVenue, Purpose, open_venue
from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.bus.in_process import InProcessBus
from qmworkbench.domain.chain import Record
from qmworkbench.domain.commands import AnyCommand, RestartStrategy
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import CommandAccepted, CommandReceived, CommandRefused
from qmworkbench.domain.events.reconciliation import BreakFound
from qmworkbench.domain.execution import BrokerSnapshot
from qmworkbench.ports import Broker
from qmworkbench.service.approved_hash import approved_hash
from qmworkbench.service.blocking import complete
from qmworkbench.service.book_lease import BEAT_TTL_S, BookLease, heartbeat_of, terms_of
from qmworkbench.service.chronicle import CommandAnswer
from qmworkbench.service.config import Config
from qmworkbench.service.lease import Lease
from qmworkbench.service.leased_broker import LeasedBroker, leg_name
from qmworkbench.service.log_kinds import LogKind
from qmworkbench.service.logs import SessionLog
from qmworkbench.service.recovery import Restored, restore
from qmworkbench.service.redaction import Redactor
from qmworkbench.service.shell import Shell
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.checkpoints import Checkpoints
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.projection_home import home_of
from qmworkbench.storage.projections import Projector, SequenceGap
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.storage.stores import Reader, begun, open_journal, open_reader, store_of
from qmworkbench.trading.comparison import compare
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.reconciliation import TOLERANCES
from qmworkbench.venue.exchange import Exchange, VenueError

# The clock stands still here, but what is ordered comes after what was decided: a comparison made before a halt must
# not pass for one made after it.
_A_MOMENT: Final = timedelta(milliseconds=1)


class BookEmpty(Exception):
    """There is nothing on record in this book yet; the message says how to begin."""


@dataclass(frozen=True)
class OfflineBook:
    """A book opened for as long as one command takes.

    `restored` is what it was before; `heard` gathers every event that has become durable since.
    """

    config: Config
    restored: Restored
    shell: Shell
    broker: Broker
    venue: OpenVenue
    journal: ChainedJournal[Any]
    heard: list[Event]

    @property
    def exchange(self) -> Exchange:
        """The simulated venue itself. Raises VenueError where it is played in a process of its own."""
        if self.venue.exchange is None:
            raise VenueError(
                "the venue of this book is a process of its own, and its books are not ours to open: end it (`qm venue "
                "serve`), then give the command again"
            )
        return self.venue.exchange

    @property
    def session_open(self) -> bool:
        """Whether the newest session has not been closed."""
        return bool(self.restored.unfinished)

    def command(self, command: AnyCommand, operator: str) -> CommandAnswer:
        """Give one command and carry out what follows from it. The answer is on disk when this returns."""
        if isinstance(command, RestartStrategy):
            approved = approved_hash(self.config, command.strategy_id)
            command = msgspec.structs.replace(command, params_hash=approved)
        command_id = f"cli-{uuid.uuid4().hex[:16]}"
        events = complete(
            self.shell.feed(
                CommandReceived(
                    at=self.shell.now() + _A_MOMENT,
                    command_id=command_id,
                    command=command,
                    operator=operator,
                    origin="cli",
                )
            )
        )
        complete(self.shell.durable())
        for event in events:
            if isinstance(event, CommandAccepted):
                return CommandAnswer(accepted=True, command_id=command_id, effect=event.effect)
            if isinstance(event, CommandRefused):
                return CommandAnswer(accepted=False, command_id=command_id, reason=event.reason, remedy=event.remedy)
        raise AssertionError("the kernel accepts or refuses every new command")

    def look_at_broker(self) -> BrokerSnapshot:
        """The broker's books now."""
        return snapshot(self.broker, self.shell.state.exec_cursor)

    def compare(self, seen: BrokerSnapshot) -> list[BreakFound]:
        """What differs from the broker's books, without putting it on record: for a book whose session is closed."""
        return compare(self.shell.state, seen, TOLERANCES)


@contextmanager
def open_offline(config: Config, command: str) -> Iterator[OfflineBook]:
    """Take the lease of a book that nobody holds, and open it for a command. `command` is what the lease says
    meanwhile.

    Raises BookEmpty, LeaseTaken, StorageRefused, VenueError, NoBroker.
    """
    paths = config.paths
    demand_book(config)
    with ExitStack() as opening:
        lease = opening.enter_context(Lease.acquire(paths.lease, process_id=uuid.uuid4().hex[:12], command=command))
        # A command has effects at the broker too: it holds the book as a platform does.
        store = store_of(paths)
        terms = terms_of(lease, store, ttl_s=BEAT_TTL_S)
        journal = opening.enter_context(open_journal(paths, book=config.book, terms=terms))
        heartbeat = heartbeat_of(journal, store, BEAT_TTL_S)
        if heartbeat is not None:
            opening.callback(heartbeat.stop)
        restored = restore(journal, Checkpoints(paths.checkpoints))
        session = restored.state.session
        if session is None:
            raise BookEmpty(_nothing_there(config))
        intents = restored.state
        venue = opening.enter_context(
            open_venue(
                session.environment,
                path=paths.venue,
                instruments=session.instruments,
                model=config.venue_model(),
                currency=session.account_currency,
                initial_cash=config.settings.initial_cash,
                wire=config.served(),
                leg_names=lambda entry, leg: leg_name(intents, entry, leg),
                purpose=Purpose.COMMAND,
            )
        )
        broker = venue.broker
        bus = InProcessBus()
        log = opening.enter_context(
            SessionLog(
                paths.session(session.session_id).logs,
                process_id=lease.holder.process_id,
                session_id=session.session_id,
                redactor=Redactor(config.secrets),
            )
        )
        bus.follow(log.receive)
        heard: list[Event] = []
        bus.follow(lambda _, events: heard.extend(events))
        log.event(LogKind.OPERATOR, "book.opened", command=command, user=lease.holder.user)
        shell = Shell(
            Kernel(restored.state),
            journal,
            LeasedBroker(broker, BookLease(lease, heartbeat)),
            snapshot=snapshot,
            bus=bus,
        )
        opening.callback(_project, paths, journal)
        yield OfflineBook(
            config=config,
            restored=restored,
            shell=shell,
            broker=broker,
            venue=venue,
            journal=journal,
            heard=heard,
        )


def _project(paths: BookPaths, journal: ChainedJournal[Any]) -> None:
    """Bring the tables up to the journal. They can be made from it again: their trouble stops no command."""
    with suppress(StorageRefused, SQLAlchemyError, SequenceGap):
        projector = Projector(home_of(paths))
        try:
            projector.catch_up(journal)
        finally:
            projector.close()


def demand_book(config: Config) -> None:
    """Raise BookEmpty where the book was never begun."""
    if not begun(config.paths):
        raise BookEmpty(_nothing_there(config))


def read_state(config: Config) -> Restored:
    """The book as its journal has it, without a lease and without writing: for looking, beside a writer too.

    Raises BookEmpty, StorageRefused.
    """
    demand_book(config)
    with open_reader(config.paths) as reader:
        restored = restore(_Readable(reader), Checkpoints(config.paths.checkpoints))
    if restored.state.session is None:
        raise BookEmpty(_nothing_there(config))
    return restored


class _Readable:
    """A reader in the form that restoring asks for: the head as it was when reading began."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.head = reader.head()

    def records(self, after_seq: int = 0) -> Iterator[Record]:
        return self._reader.records(after_seq, upto_seq=self.head[0])

    def hash_at(self, seq: int) -> str | None:
        return self._reader.hash_at(seq)


def _nothing_there(config: Config) -> str:
    return f"book {config.book!r} has no session yet ({config.paths.root}): run one with `qm day`"
