"""Looking at the components of a running day: what each one's own traces say of it (§7)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.events.telemetry import HealthSampled
from qmworkbench.service.health import ComponentHealth, HealthStatus, changed
from qmworkbench.service.lease import uptime_s
from qmworkbench.service.platform import Platform

LOOP_LAG_LIMIT_MS: Final = 500.0
ANALYTICS_LAG_LIMIT: Final = 20_000
# What is wrong with the record is shown within HEALTH_WITHIN_S, where nothing is to be recorded as well. One look in
# LOOK_EVERY_S is what every other limit leaves room for.
HEALTH_WITHIN_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
COMMIT_LIMIT_S: Final = 3.0
ANSWER_LIMIT_S: Final = HEALTH_WITHIN_S - LOOK_EVERY_S
SAMPLE_EVERY: Final = 10
CLOCK_JUMP_S: Final = 0.5
CLOCK_TOLD_S: Final = 60.0
# After so many looks without a commit the store's own sample is written: a disk that is full or gone is found that way.
QUIET_LOOKS: Final = 2


def look(platform: Platform, *, serving: bool, loop_lag_ms: float) -> None:
    """Judge what nobody notes by itself. `loop_lag_ms` is how late the event loop was for its last appointment."""
    board, at = platform.board, platform.wall()
    if serving:
        if loop_lag_ms > LOOP_LAG_LIMIT_MS:
            board.degraded("api", f"the event loop answers {loop_lag_ms:.0f} ms late")
        else:
            board.succeeded("api", at, loop_lag_ms)
    _store(platform, at)
    _feed(platform, at)
    _analytics(platform, at)
    away = platform.bus.health
    if not away.connected:
        board.degraded("bus", f"Redis does not answer ({away.detail}); {away.waiting} publications wait for it")
    elif away.detail:
        board.degraded("bus", away.detail)
    elif platform.bus.failures:
        failure = platform.bus.failures[-1]
        board.degraded("bus", f"{failure.receiver} no longer follows: {failure.error}")
    elif platform.board.of("bus").status is HealthStatus.DEGRADED:
        board.succeeded("bus", at)
    if platform.state.session is not None and not platform.state.connected:
        board.failed("execution_broker", "the execution broker does not answer")
    elif (silent_s := platform.venue_silent_s()) > ANSWER_LIMIT_S:
        # The boundary itself waits at the venue's door, and the broker is asked nothing meanwhile.
        board.degraded("execution_broker", f"the venue has not answered for {silent_s:.0f} s, and the boundary waits")
    elif platform.state.connected:
        # As long as it is asked nothing it may be gone: when it last answered is told, not when we last believed in it.
        board.succeeded("execution_broker", at - timedelta(seconds=platform.broker_silent_s()))


def _store(platform: Platform, at: datetime) -> None:
    failure = platform.shell.failed or platform.journal.failure
    if failure is not None:
        platform.board.failed("store", str(failure))
        platform.board.failed("execution", "nothing is sent after the journal or the kernel failed")
        return
    waits_s = platform.journal.writing_s
    trouble = f"a commit has been under way for {waits_s:.0f} s" if waits_s > COMMIT_LIMIT_S else ""
    trouble = trouble or platform.book_lease.trouble() or platform.book_lease.unanswered(ANSWER_LIMIT_S)
    if trouble:
        platform.board.failed("store", f"{trouble}: nothing is decided on that is not on record")
    elif platform.board.of("store").detail:
        platform.board.succeeded("store", at)


def _feed(platform: Platform, at: datetime) -> None:
    state = platform.state
    # How the last session's feed ended says nothing of today's line; entries wait all the same until bars are seen.
    if state.feed is not FeedState.GOOD and platform.day.boundary_at is not None:
        platform.board.degraded("market_data", f"{state.feed}: {state.feed_detail}")
    if platform.lateness.drifted:
        platform.board.degraded(
            "scanner",
            f"boundaries run late: 95 % of the last ones within {platform.lateness.p95_ms:.0f} ms, tolerated are "
            f"{platform.lateness.tolerance_ms:.0f} ms",
        )


def _analytics(platform: Platform, at: datetime) -> None:
    projections = platform.projections
    if projections is None:
        return
    if projections.error:
        platform.board.failed("analytics", f"projections stopped: {projections.error}")
        return
    lag = projections.lag()
    if lag > ANALYTICS_LAG_LIMIT:
        platform.board.degraded("analytics", f"{lag} durable decisions are not projected yet")
    else:
        platform.board.succeeded("analytics", at, detail=f"{lag} behind")


class HealthRounds:
    """Looks at a platform round by round: what changed is sampled, all of it every tenth round.

    A store that had nothing to write is asked whether it still could, by writing its own sample.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._known: dict[str, ComponentHealth] = {}
        self._rounds = self._quiet = 0
        self._commits = -1
        self._clock = ClockWatch()

    def once(self, *, serving: bool, loop_lag_ms: float) -> None:
        """One look, and its telemetry; a journal that has failed takes none."""
        platform = self._platform
        look(platform, serving=serving, loop_lag_ms=loop_lag_ms)
        if told := self._clock.look(platform.wall):
            platform.board.degraded("market_data", told)
        components = platform.board.components()
        news = changed(self._known, components) if self._rounds % SAMPLE_EVERY else list(components)
        if self._store_was_quiet() and not news:
            news = [platform.board.of("store")]
        platform.shell.telemetry([sample(component, platform.wall()) for component in news])
        self._known = {component.component: component for component in components}
        self._rounds += 1

    def _store_was_quiet(self) -> bool:
        commits = self._platform.journal.commits
        self._quiet = self._quiet + 1 if commits == self._commits else 0
        self._commits = commits
        return self._quiet >= QUIET_LOOKS


class ClockWatch:
    """Holds the time of day against a clock that cannot be set: no rule hangs on it, yet people compare by it.

    A jump is told for CLOCK_TOLD_S; the time of day is then taken as it has become.
    """

    def __init__(self, uptime: Callable[[], float] = uptime_s) -> None:
        self._uptime = uptime
        self._apart_s: float | None = None
        self._told, self._until_s = "", 0.0

    def look(self, wall: Callable[[], datetime]) -> str:
        """What happened to the time of day, "" where it went on as it should."""
        up_s = self._uptime()
        apart_s = wall().timestamp() - up_s
        if self._uptime() - up_s > CLOCK_JUMP_S / 5:
            return self._told if up_s < self._until_s else ""  # held up between the two: this look proves nothing
        jumped_s = 0.0 if self._apart_s is None else apart_s - self._apart_s
        self._apart_s = apart_s
        if abs(jumped_s) > CLOCK_JUMP_S:
            way = "back" if jumped_s < 0 else "forward"
            self._told = f"the machine's clock was set {way} by {abs(jumped_s):.1f} s: compare times with care"
            self._until_s = up_s + CLOCK_TOLD_S
        return self._told if up_s < self._until_s else ""


def sample(component: ComponentHealth, at: datetime) -> HealthSampled:
    """One component's health as telemetry keeps it."""
    return HealthSampled(
        at=at,
        component=component.component,
        status=component.status,
        latency_ms=component.latency_ms,
        last_success=component.last_success.isoformat() if component.last_success else "",
        detail=component.detail,
    )
