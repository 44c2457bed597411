"""Facts of the machine, on their own stream and never replayed: lives, lateness, health (§7, §20, §21)."""

from qmworkbench.domain.events.base import Event


class ProcessStarted(Event, frozen=True, kw_only=True, tag="telemetry.process_started"):
    """A process took the book; which machine, who, with which versions."""

    process_id: str
    host: str
    pid: int
    user: str
    command: str
    versions: dict[str, str]


class ProcessEnded(Event, frozen=True, kw_only=True, tag="telemetry.process_ended"):
    """A process let the book go."""

    process_id: str
    exit_code: int
    reason: str


class BoundaryTimed(Event, frozen=True, kw_only=True, tag="telemetry.boundary_timed"):
    """`lateness_ms` is wall time after the boundary was due (0 where the replay sets no due time); the others are
    durations.
    """

    boundary: int
    lateness_ms: float
    radar_ms: float
    signals_ms: float
    decide_ms: float
    journal_ms: float


class HealthSampled(Event, frozen=True, kw_only=True, tag="telemetry.health_sampled"):
    """`status` is healthy, degraded or failed (§7)."""

    component: str
    status: str
    latency_ms: float | None
    last_success: str
    detail: str


class TimingDrifted(Event, frozen=True, kw_only=True, tag="telemetry.timing_drifted"):
    """The radar's boundaries run late beyond tolerance (§20 scanner timing drift)."""

    p95_lateness_ms: float
    tolerance_ms: float
    boundaries: int
