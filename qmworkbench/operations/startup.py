"""Startup verification: every service is up in its order, and the screens and feeds answer (§6)."""

from qmworkbench.domain.checks import Check
from qmworkbench.operations.lines import Line, listed
from qmworkbench.operations.market_evidence import UNHEARD, ComponentSeen, PreMarketEvidence

_SECTION = "§6 Startup Verification"

SERVICES_UP = Line(
    check_id="startup.services",
    section=_SECTION,
    title="All required services are up, in order",
    looked_at="services that reported ready",
    expectation="every service of the startup order, one after the other",
    remedy="do not proceed; see which service is missing and why in the log",
)
API_HEALTHY = Line(
    check_id="startup.api_health",
    section=f"{_SECTION}; M: Pre-Flight 2",
    title="The API reports healthy",
    looked_at="GET /api/health",
    expectation="200 and healthy",
    remedy="read the components in its answer, lowest first",
)
PAGE_LOADS = Line(
    check_id="startup.page",
    section=_SECTION,
    title="The command center loads",
    looked_at="the page, asked for over loopback",
    expectation="it answers",
    remedy="restart the page; the session does not need it, `qm status` and `qm emergency` work without it",
)
DATA_CONNECTED = Line(
    check_id="startup.data_broker",
    section=f"{_SECTION}; §23",
    title="The data broker is connected",
    looked_at="market_data and the feed's state",
    expectation="healthy, feed good; where the last session's ended badly, entries wait until today's bars are seen",
    remedy="do not trade; check the feed, then start again",
)
SCANNER_ACTIVE = Line(
    check_id="startup.scanner",
    section=_SECTION,
    title="Scanner and allocator are active",
    looked_at="scanner and allocator",
    expectation="healthy",
    remedy="see their detail; without them nothing new is traded, positions keep their exits",
)
RUNS_STARTED = Line(
    check_id="startup.runs",
    section=f"{_SECTION}; M: Pre-Flight 1 (runs fresh)",
    title="Every scheduled strategy has its run",
    looked_at="runs of this session",
    expectation="one run for each scheduled strategy",
    remedy="see why the run was refused or has ended; a strategy without a run does not trade",
)


def startup_checks(seen: PreMarketEvidence) -> list[Check]:
    """§6 Startup Verification."""
    known = {component.component: component for component in seen.components}
    return [
        _services(seen),
        _api(seen),
        _page(seen),
        _data(known, seen.feed_state),
        _scanner(known),
        _runs(seen),
    ]


def _healthy(component: ComponentSeen | None) -> bool:
    return component is not None and component.status == "healthy"


def _services(seen: PreMarketEvidence) -> Check:
    missing = [name for name in seen.services_expected if name not in seen.services]
    value = f"{len(seen.services)} of {len(seen.services_expected)} ready"
    if missing:
        return SERVICES_UP.judged(False, value, detail=f"not ready: {listed(missing, 11)}")
    in_order = [name for name in seen.services if name in seen.services_expected] == list(seen.services_expected)
    return SERVICES_UP.judged(in_order, value, detail=" → ".join(seen.services))


def _api(seen: PreMarketEvidence) -> Check:
    api = seen.api
    if not api.served:
        return API_HEALTHY.not_applicable(api.detail or "this process serves no API", value="no API")
    latency = f" in {api.latency_ms:.0f} ms" if api.latency_ms is not None else ""
    answered = f"{api.status_code} {api.status}{latency}" if api.status_code is not None else "no answer"
    if api.status_code == 200 and api.status == "degraded":
        return API_HEALTHY.warned(answered, api.detail or "a component that is not critical is degraded")
    return API_HEALTHY.judged(api.status_code == 200 and api.status == "healthy", answered, detail=api.detail)


def _page(seen: PreMarketEvidence) -> Check:
    page = seen.page
    if not page.wanted:
        return PAGE_LOADS.not_applicable("headless: no page was asked for", value="no page")
    if page.loads:
        return PAGE_LOADS.judged(True, page.address or "loads", detail=page.detail)
    return PAGE_LOADS.warned(
        "does not answer", page.detail or "the page is its own process; the session goes on without it"
    )


def _data(known: dict[str, ComponentSeen], feed_state: str) -> Check:
    market = known.get("market_data")
    status = market.status if market is not None else "does not report"
    return DATA_CONNECTED.judged(
        _healthy(market) and feed_state in ("good", UNHEARD),
        f"{status}, feed {feed_state}",
        detail=market.detail if market is not None else "",
    )


def _scanner(known: dict[str, ComponentSeen]) -> Check:
    names = ("scanner", "allocator")
    value = ", ".join(f"{name} {known[name].status if name in known else 'does not report'}" for name in names)
    return SCANNER_ACTIVE.judged(all(_healthy(known.get(name)) for name in names), value)


def _runs(seen: PreMarketEvidence) -> Check:
    scheduled = [strategy.instance_id for strategy in seen.strategies if not strategy.left_out]
    missing = [name for name in scheduled if name not in seen.runs]
    return RUNS_STARTED.judged(
        bool(scheduled) and not missing,
        f"{len(seen.runs)} running: {listed(seen.runs)}",
        detail=f"without a run: {listed(missing)}" if missing else "",
    )
