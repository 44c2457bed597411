"""Component health and the conditions under which nothing may be traded (§7)."""

from typing import Final

from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.operations.lines import Line, listed
from qmworkbench.operations.market_evidence import ComponentSeen, PreMarketEvidence
from qmworkbench.operations.prestart_system import clock_check

HEALTHY: Final = "healthy"
# The ten of §7; the bus stands for Redis and the store for PostgreSQL, whatever is configured for them.
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
_CRITICAL: Final = "§7 Critical Health Conditions"

ALL_GREEN = Line(
    check_id="health.all_green",
    section="§23 Safe To Start; §7",
    title="All health checks are green",
    looked_at="each component's status",
    expectation="every component of §7 reports, and each is healthy",
    remedy="read health bottom-up: repair the lowest red component first, the rest often follows",
)
REPORTED = Line(
    check_id="health.reported",
    section="§7 Health Status Expectations",
    title="Each component says how it is",
    looked_at="status, latency, last success and detail of each component",
    expectation="a known status; a reason on anything that is not healthy",
    remedy="a component that does not report counts as failed: restart it",
)
EXECUTION_CONNECTED = Line(
    check_id="health.execution_broker",
    section=f"{_CRITICAL}; §6; §23",
    title="The execution broker is connected",
    looked_at="execution_broker and execution",
    expectation=HEALTHY,
    remedy="do not trade; check the broker's status page and the connection, then reconcile",
)
RISK_ACTIVE = Line(
    check_id="health.risk_manager",
    section=f"{_CRITICAL}; §6; §23",
    title="The Risk Manager is active",
    looked_at="risk_manager, and the limits the kernel holds",
    expectation="healthy, with the configured limits",
    remedy="do not trade; start again, and report it if the limits still differ",
)
ACCOUNT_LOADS = Line(
    check_id="health.account_summary",
    section=f"{_CRITICAL}; §6; §23",
    title="The account summary loads",
    looked_at="the account, read from the broker",
    expectation="cash, equity and buying power",
    remedy="do not trade; verify the account at the broker",
)
RECONCILED = Line(
    check_id="health.reconciled",
    section=f"{_CRITICAL}; §14; M: Pre-Flight 5",
    title="Positions reconcile with the broker",
    looked_at="the startup reconciliation",
    expectation="clean or repaired, nothing unresolved",
    remedy="see `qm reconcile`: treat the broker as right about exposure, find the cause of each break",
)
CLOCK_IN_STEP = Line(
    check_id="health.clock",
    section=_CRITICAL,
    title="The clock is not materially wrong",
    looked_at="offset against a time source",
    expectation="within limits.max_clock_skew_ms",
    remedy="start the system's time service and wait until it is in step",
)


def health_checks(seen: PreMarketEvidence) -> list[Check]:
    """§7: what each component says, and the conditions that forbid trading."""
    known = {component.component: component for component in seen.components}
    return [
        _all_green(known),
        _reported(seen.components),
        _execution(known),
        _risk(known, seen),
        _account(seen),
        _reconciled(seen),
        clock_check(CLOCK_IN_STEP, seen.clock, seen.limits),
    ]


def said_of(component: ComponentSeen | None) -> str:
    """A component's health on one line."""
    if component is None:
        return "does not report"
    latency = f", {component.latency_ms:.1f} ms" if component.latency_ms is not None else ""
    detail = f" ({component.detail})" if component.detail else ""
    return f"{component.status}{latency}{detail}"


def _all_green(known: dict[str, ComponentSeen]) -> Check:
    missing = [name for name in COMPONENTS if name not in known]
    down = [c for c in known.values() if c.status != HEALTHY]
    if missing:
        return ALL_GREEN.judged(False, f"no report from {listed(missing)}")
    critical = [c for c in down if c.critical or c.status == "failed"]
    said = "; ".join(f"{c.component} {said_of(c)}" for c in down)
    if critical:
        return ALL_GREEN.judged(False, f"{len(down)} of {len(known)} are not healthy", detail=said)
    if down:
        return ALL_GREEN.warned(f"{len(down)} of {len(known)} are degraded, none critical", said)
    return ALL_GREEN.judged(True, f"{len(known)} of {len(known)} healthy")


def _reported(components: tuple[ComponentSeen, ...]) -> Check:
    odd = [c.component for c in components if c.status not in (HEALTHY, "degraded", "failed")]
    silent = [c.component for c in components if c.status != HEALTHY and not c.detail]
    if odd or silent or not components:
        said = f"unknown status: {listed(odd)}; no reason given: {listed(silent)}"
        return REPORTED.judged(False, f"{len(components)} components", detail=said)
    return REPORTED.judged(True, f"{len(components)} components report")


def _execution(known: dict[str, ComponentSeen]) -> Check:
    names = ("execution_broker", "execution")
    holds = all(name in known and known[name].status == HEALTHY for name in names)
    return EXECUTION_CONNECTED.judged(holds, "; ".join(f"{name} {said_of(known.get(name))}" for name in names))


def _risk(known: dict[str, ComponentSeen], seen: PreMarketEvidence) -> Check:
    manager = known.get("risk_manager")
    value = f"{said_of(manager)}, limits {seen.kernel_limits_hash or 'unknown'}"
    if seen.limits is None:
        return RISK_ACTIVE.judged(False, value, detail="no limits are configured")
    same = seen.kernel_limits_hash == seen.limits.limits_hash
    return RISK_ACTIVE.judged(
        manager is not None and manager.status == HEALTHY and same,
        value,
        threshold=seen.limits.limits_hash,
        threshold_source="hash of the configured limits",
        detail="" if same else "the limits in the kernel are not the configured ones",
    )


def _account(seen: PreMarketEvidence) -> Check:
    account = seen.account.account
    if account is None:
        return ACCOUNT_LOADS.judged(False, "not loaded", detail=seen.account.detail)
    return ACCOUNT_LOADS.judged(
        True,
        f"equity {account.equity:,.2f}, cash {account.cash:,.2f}, "
        f"buying power {account.buying_power:,.2f} {account.currency}",
        detail=f"as of {account.as_of:%Y-%m-%d %H:%M:%S} UTC, transaction {account.cursor}",
    )


def _reconciled(seen: PreMarketEvidence) -> Check:
    if seen.unresolved:
        return RECONCILED.judged(False, f"{len(seen.unresolved)} unresolved", detail=listed(seen.unresolved))
    if seen.reconciliation == "repaired":
        return RECONCILED.found(
            CheckStatus.WARN,
            "repaired",
            detail="our books were corrected to the broker's; the causes are still to be found",
        )
    return RECONCILED.judged(seen.reconciliation == "clean", seen.reconciliation or "none has completed")
