"""Component health: status, latency, last success and detail of the ten components (§6, §7)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

COMPONENTS: Final = (
    "api",
    "bus",
    "store",
    "market_data",
    "execution_broker",
    "scanner",
    "allocator",
    "risk_manager",
    "execution",
    "analytics",
)
# Whether a component is critical is a property of the component (DESIGN §5): without these nothing may be traded.
CRITICAL: Final = frozenset({"store", "execution_broker", "risk_manager", "execution"})


class HealthStatus(StrEnum):
    """The three words of §7. Worst last."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"

    @property
    def severity(self) -> int:
        return tuple(HealthStatus).index(self)


class ComponentHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One component. `latency_ms` None where nothing was timed yet, `last_success` None where it never succeeded.

    `detail` says what is wrong, and is never empty on anything but healthy.
    """

    component: str
    status: HealthStatus
    latency_ms: float | None = None
    last_success: datetime | None = None
    detail: str = ""
    critical: bool = False


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """The platform's health as served: the worst of its components, where a failed one that is not critical only
    degrades.
    """

    status: HealthStatus
    version: str
    journal_seq: int
    durable_seq: int
    at: datetime
    components: tuple[ComponentHealth, ...]

    @property
    def critical_down(self) -> tuple[str, ...]:
        """The critical components that are not healthy."""
        return tuple(c.component for c in self.components if c.critical and c.status is not HealthStatus.HEALTHY)


class HealthBoard:
    """What is known of each component. Whoever does the work notes how it went; nobody polls."""

    def __init__(self, components: Sequence[str] = COMPONENTS) -> None:
        self._known: dict[str, ComponentHealth] = {
            name: ComponentHealth(
                component=name,
                status=HealthStatus.FAILED,
                detail="not started",
                critical=name in CRITICAL,
            )
            for name in components
        }

    def succeeded(self, component: str, at: datetime, latency_ms: float | None = None, detail: str = "") -> None:
        """The component did its work at `at` (wall time)."""
        self._set(component, HealthStatus.HEALTHY, at, latency_ms, detail)

    def degraded(self, component: str, detail: str) -> None:
        """It works, but not as it should."""
        self._set(component, HealthStatus.DEGRADED, None, None, detail)

    def failed(self, component: str, detail: str) -> None:
        """It does not work."""
        self._set(component, HealthStatus.FAILED, None, None, detail)

    def of(self, component: str) -> ComponentHealth:
        return self._known[component]

    def components(self) -> tuple[ComponentHealth, ...]:
        """Worst first, then in the order of §7."""
        return tuple(sorted(self._known.values(), key=lambda known: -known.status.severity))

    def report(self, *, version: str, journal_seq: int, durable_seq: int, at: datetime) -> HealthReport:
        """The whole platform: failed if a critical component is, degraded if anything else is not healthy."""
        known = self.components()
        worst = max((c.status.severity for c in known if c.critical), default=0)
        if worst == 0 and any(c.status is not HealthStatus.HEALTHY for c in known):
            worst = HealthStatus.DEGRADED.severity
        return HealthReport(
            status=tuple(HealthStatus)[worst],
            version=version,
            journal_seq=journal_seq,
            durable_seq=durable_seq,
            at=at,
            components=known,
        )

    def _set(
        self, component: str, status: HealthStatus, at: datetime | None, latency_ms: float | None, detail: str
    ) -> None:
        if component not in self._known:
            raise KeyError(f"{component!r} is no component of this platform: {', '.join(self._known)}")
        before = self._known[component]
        self._known[component] = ComponentHealth(
            component=component,
            status=status,
            latency_ms=before.latency_ms if latency_ms is None else round(latency_ms, 3),
            last_success=before.last_success if at is None else at,
            detail=detail,
            critical=before.critical,
        )


def changed(before: Mapping[str, ComponentHealth], now: Sequence[ComponentHealth]) -> list[ComponentHealth]:
    """Components whose status differs from what was known: what is worth a line in log and telemetry."""
    return [c for c in now if c.component not in before or before[c.component].status is not c.status]
