"""Looking at the components of a running day: what each one's own traces say of it (§7)."""

from datetime import datetime
from typing import Final

from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.events.telemetry import HealthSampled
from qmworkbench.service.health import ComponentHealth, HealthStatus
from qmworkbench.service.platform import Platform

LOOP_LAG_LIMIT_MS: Final = 500.0
ANALYTICS_LAG_LIMIT: Final = 20_000
# What is wrong with the record is shown within HEALTH_WITHIN_S, where nothing is to be recorded as well. One look in
# LOOK_EVERY_S is what every other limit leaves room for.
HEALTH_WITHIN_S: Final = 5.0
LOOK_EVERY_S: Final = 1.0
COMMIT_LIMIT_S: Final = 3.0
ANSWER_LIMIT_S: Final = HEALTH_WITHIN_S - LOOK_EVERY_S
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
    elif platform.bus.failures:
        failure = platform.bus.failures[-1]
        board.degraded("bus", f"{failure.receiver} no longer follows: {failure.error}")
    elif platform.board.of("bus").status is HealthStatus.DEGRADED:
        board.succeeded("bus", at)
    if platform.state.session is not None and not platform.state.connected:
        board.failed("execution_broker", "the execution broker does not answer")
    elif platform.state.connected:
        board.succeeded("execution_broker", at)


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


class QuietStore:
    """Counts looks at a journal that has nothing to write: whether it still could is then asked by writing."""

    def __init__(self) -> None:
        self._commits, self._looks = -1, 0

    def due(self, commits: int) -> bool:
        """Whether a record is due, now that the journal has made `commits` transactions."""
        self._looks = self._looks + 1 if commits == self._commits else 0
        self._commits = commits
        return self._looks >= QUIET_LOOKS


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
