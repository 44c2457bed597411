"""The parts of one trading day: opened together, wired to each other, closed in reverse (§6, DESIGN §7 "service")."""

import sys
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from importlib import metadata
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from qmworkbench.brokers.select import OpenVenue, open_venue
from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.bus.in_process import InProcessBus
from qmworkbench.domain.checks import Check, Verdict, verdict_of
from qmworkbench.domain.events.telemetry import ProcessEnded, ProcessStarted
from qmworkbench.market.feed import Delivery, FeedMonitor
from qmworkbench.ports import Broker, JournalFailed, Notifier
from qmworkbench.service.blocking import Blocking, InLine
from qmworkbench.service.book_lease import BookLease, EmergencyLease, heartbeat_of, terms_of
from qmworkbench.service.boundary import take_boundary
from qmworkbench.service.chronicle import Chronicle
from qmworkbench.service.code_version import code_version
from qmworkbench.service.ground import ground_of
from qmworkbench.service.health import HealthBoard, HealthStatus
from qmworkbench.service.lateness import Lateness
from qmworkbench.service.lease import Lease
from qmworkbench.service.leased_broker import LeasedBroker, leg_name
from qmworkbench.service.plan import AlreadyClosed, DayPlan, DayRefused
from qmworkbench.service.radar_archive import RadarArchive
from qmworkbench.service.recovery import Restored, restore
from qmworkbench.service.recovery_evidence import keep_recovery
from qmworkbench.service.shell import Shell
from qmworkbench.service.stage import Stage, StopRequested
from qmworkbench.storage.anchors import Anchors
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.chained import ChainedJournal
from qmworkbench.storage.checkpoints import Checkpoints
from qmworkbench.storage.projection_follower import ProjectionFollower
from qmworkbench.storage.projection_home import home_of
from qmworkbench.storage.projections import Projector
from qmworkbench.storage.snapshots import SnapshotStore
from qmworkbench.storage.stores import open_journal
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.phases import STARTUP_ORDER
from qmworkbench.trading.state import State, encode_state
from qmworkbench.venue.reached import heard_by, one_way

if TYPE_CHECKING:
    from qmworkbench.bus.redis_streams import RedisBus
    from qmworkbench.storage.postgres.heartbeat import Heartbeat

__all__ = ["Platform", "StopRequested", "open_platform"]

LATENESS_TOLERANCE_MS: Final = 2000.0
# How often projections catch up. A replay at full speed is over before anybody could look; there they would only
# take the interpreter from the decisions.
PROJECTION_PAUSE_S: Final = 0.25
PROJECTION_PAUSE_AT_FULL_SPEED_S: Final = 5.0


class Platform(Stage):
    """Everything a trading day works with: a stage with durable stores, evidence, and what people look at."""

    def __init__(
        self,
        plan: DayPlan,
        *,
        journal: ChainedJournal[Any],
        venue: OpenVenue,
        lease: Lease,
        heartbeat: "Heartbeat | None" = None,
        work: Blocking | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self.book_lease = BookLease(lease, heartbeat)
        door = LeasedBroker(venue.broker, self.book_lease)
        self.broker_silent_s = door.silent_s
        self.venue_silent_s = venue.silent_s
        self.emergency_broker: Broker = LeasedBroker(venue.broker, EmergencyLease(self.book_lease))
        super().__init__(plan, venue.market, door, ground_of(plan.data))
        self.lease = lease
        self.journal = journal
        self.work: Blocking = work if work is not None else InLine()
        self.session_paths = plan.paths.session(plan.session_id)
        self.bars = BarStore(self.session_paths.bars)
        self.radar_archive = RadarArchive(SnapshotStore(self.session_paths.radar))
        self.checkpoints = Checkpoints(plan.paths.checkpoints)
        # Before anything is decided: a book that was rolled back must not be traded on. Raises RolledBack.
        self.anchors = Anchors(plan.anchors) if plan.anchors is not None else None
        self.anchored = self.anchors.check(journal) if self.anchors is not None else ""
        self.bus = _bus(plan, journal)
        self.chronicle = Chronicle()
        self.bus.follow(self.chronicle.receive)
        self.board = HealthBoard()
        self.lateness = Lateness(LATENESS_TOLERANCE_MS)
        self.restored: Restored = restore(journal, self.checkpoints)
        # The kernel goes on from the restored state; the preflight judges the book as it was found.
        self.as_found = encode_state(self.restored.state)
        self.shell = Shell(
            Kernel(self.restored.state),
            journal,
            self.broker,
            snapshot=snapshot,
            work=self.work,
            bus=self.bus,
            notifier=notifier,
            horizon=lambda: self.monitor.awaited,
            decided=self.hear,
        )
        self.projections: ProjectionFollower | None = None
        taken_up_to = self.day.boundary_at if self.restored.unfinished else None
        self.monitor = FeedMonitor(plan.data.boundaries, after=taken_up_to)
        self.monitor.state = (
            self.state.feed
        )  # a feed that was bad yesterday, or before the crash, must be seen to be good
        self.boundary_listeners: list[Callable[[Delivery], None]] = []
        self.start_api: Callable[[], Awaitable[str]] | None = None
        self.start_page: Callable[[], Awaitable[str]] | None = None
        # Heads up to which this process has walked the journal's chains before: many days need not begin anew each.
        self.proven: dict[str, tuple[int, str]] = {}
        self.recovery: list[Check] = []
        self.readiness: dict[str, str] = {}
        self.notes += self.restored.notes
        self._closing = ExitStack()
        self._opened = ExitStack()

    # --- where the day stands ------------------------------------------------------------------------------

    async def take(self, delivery: Delivery) -> None:
        await take_boundary(self, delivery)

    @property
    def started(self) -> bool:
        """Whether every service has proved itself in this process: before that health says what is not up yet."""
        return len(self.readiness) == len(STARTUP_ORDER)

    def critical_down(self) -> tuple[str, ...]:
        down = [
            known.component
            for known in self.board.components()
            if known.critical and known.status is not HealthStatus.HEALTHY
        ]
        if verdict_of(self.recovery) is Verdict.NO_GO:
            down.append("recovery")
        return tuple(down)

    def found_of(self, component: str) -> str:
        return self.board.of(component).detail

    # --- what the session leaves on disk ------------------------------------------------------------------------

    def keep_recovery(self) -> None:
        """Keep the acceptance checks of a recovery with the session."""
        keep_recovery(self.session_paths.root, self.recovery)

    def put_away(self) -> None:
        """Make the closed session's bars and snapshots final."""
        self.radar_archive.close()
        self.bars.compact()

    # --- opening and closing ---------------------------------------------------------------------------------

    def on_close(self, action: Callable[[], object]) -> None:
        """Do something when the platform closes, before what was registered earlier."""
        self._closing.callback(action)

    def closes_with(self, opened: ExitStack) -> None:
        """Take charge of what was opened for this platform; it is let go of last."""
        self._opened = opened

    def close(self) -> None:
        """Let go of everything, in the reverse of the order it was opened; twice is fine."""
        self._closing.close()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bus(plan: DayPlan, journal: ChainedJournal[Any]) -> "InProcessBus | RedisBus":
    """What tells of durable decisions: in process, or on Redis for other machines as well."""
    if not plan.bus_url:
        return InProcessBus()
    from qmworkbench.bus.redis_streams import RedisBus  # the client takes half a second to import

    return RedisBus(plan.bus_url, book=plan.book, origin=journal.meta["created"])


def open_platform(
    plan: DayPlan,
    *,
    command: str = "qm day",
    work: Blocking | None = None,
    notifier: Notifier | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Platform:
    """Take a day's book and open journal, venue and stores.

    `say` hears what is waited for. Raises LeaseTaken, StorageRefused, VenueError or DayRefused, each naming what is in
    the way.
    """
    plan.paths.create()
    process_id = uuid.uuid4().hex[:12]
    with ExitStack() as opening:
        lease = Lease.acquire(plan.paths.lease, process_id=process_id, command=command)
        opening.callback(lease.release)
        terms = terms_of(lease, plan.store, ttl_s=plan.beat_ttl_s, standby=plan.standby, lapsed=plan.lapsed, say=say)
        journal = open_journal(plan.paths, book=plan.book, store=plan.store, terms=terms)
        opening.callback(journal.close)
        heartbeat = heartbeat_of(journal, plan.store, plan.beat_ttl_s)
        if heartbeat is not None:
            opening.callback(heartbeat.stop)
        intents: list[State] = []
        venue = opening.enter_context(
            open_venue(
                plan.environment,
                path=plan.paths.venue,
                instruments=plan.data.instruments,
                model=plan.venue_model,
                currency=plan.account_currency,
                initial_cash=plan.initial_cash,
                wire=plan.find_venue(),
                window=(plan.data.window.opens_at, plan.data.window.closes_at),
                leg_names=lambda entry, leg: leg_name(intents[0], entry, leg) if intents else None,
            )
        )
        platform = Platform(
            plan, journal=journal, venue=venue, lease=lease, heartbeat=heartbeat, work=work, notifier=notifier
        )
        # Its file may be elsewhere, and new: what the journal has heard of executions says it too.
        one_way(plan.paths.root, heard_by(platform.state.exec_cursor), venue.reached_by)
        intents.append(platform.state)
        opening.callback(platform.bus.close)
        opening.callback(platform.bars.close)
        # Bars are on disk before a record that names them is.
        journal.before_commit(platform.bars.sync)
        projector = Projector(home_of(plan.paths))
        opening.callback(projector.close)
        pause_s = PROJECTION_PAUSE_S if plan.speed is not None else PROJECTION_PAUSE_AT_FULL_SPEED_S
        platform.projections = ProjectionFollower(projector, journal, platform.bus, pause_s=pause_s)
        opening.callback(platform.projections.stop)
        _note_the_process(platform)
        _check_the_book(platform)
        platform.closes_with(opening.pop_all())
    return platform


def _note_the_process(platform: Platform) -> None:
    """Who works on the book, from where and with what: facts of the machine, for the telemetry stream."""
    holder, journal = platform.lease.holder, platform.journal
    versions = {name: metadata.version(name) for name in ("polars", "numpy", "msgspec")}
    started = ProcessStarted(
        at=platform.wall(),
        process_id=holder.process_id,
        host=holder.host,
        pid=holder.pid,
        user=holder.user,
        command=holder.command,
        versions={"qmworkbench": code_version(), "python": sys.version.split()[0], **versions},
    )
    journal.append_telemetry([started])

    def ended() -> None:
        with suppress(JournalFailed):
            code = 130 if platform.stop else 1 if platform.shell.failed else 0
            reason = platform.stop or str(platform.shell.failed or "ended")
            at = platform.wall()
            journal.append_telemetry([ProcessEnded(at=at, process_id=holder.process_id, exit_code=code, reason=reason)])
            journal.sync_telemetry()  # or the tables, which end next, would be a record short of the journal

    platform.on_close(ended)


def _check_the_book(platform: Platform) -> None:
    """Whether this book may run this day. Raises DayRefused."""
    plan, restored = platform.plan, platform.restored
    state, wanted = restored.state, plan.session_id
    if wanted in state.closed_sessions:
        if platform.bars.segments.exists():
            platform.put_away()  # a process that died right after the close left this to do
        raise AlreadyClosed(
            f"session {wanted} is closed and cannot run again: its journal is its record. "
            "Run it in a new book with --fresh (the old book is moved aside, never deleted), or choose another date"
        )
    unfinished = restored.unfinished
    if unfinished and unfinished != wanted:
        date = state.day.window.date
        raise DayRefused(
            f"session {unfinished} of this book was never closed: finish it first with --date {date}, "
            "or begin a new book with --fresh"
        )
    if not unfinished and state.now is not None and plan.data.window.closes_at <= state.now:
        raise DayRefused(
            f"this book has already lived through {state.now.isoformat()}, and {wanted} would end before that: "
            "time does not run backwards in a book. Begin a new one with --fresh"
        )
