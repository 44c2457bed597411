"""The scheduled strategies against their catalog entries and what owners have approved, for the preflight (§3, §8;
M: Pre-Flight 5).
"""

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.operations.evidence import StrategySeen
from qmworkbench.research.lookahead.strategy_code import stale_examination
from qmworkbench.service.plan import DayPlan, market_of
from qmworkbench.service.runs import approved_set, instance_of, published
from qmworkbench.storage.approvals import ApprovalLedger
from qmworkbench.strategies import catalog
from qmworkbench.strategies.approvals import Approvals, ApprovedSet, Version, differences
from qmworkbench.trading.state import State


def strategies_seen(plan: DayPlan, before: State | None = None) -> tuple[StrategySeen, ...]:
    """One entry for each instance that is to run, and for each that was left out. The ledger is read anew, so that what
    was signed since the day was planned is told apart from what it was planned with.

    `before` is the book as it was found: what its last session ran with must be in the ledger. Raises StorageRefused.
    """
    ledger = ApprovalLedger(plan.paths.approvals, environment=plan.environment.value, book=plan.book)
    approvals = ledger.approvals()
    known = published(market_of(plan.data), plan.data.universe.symbols)
    ran = _ran_before(before)
    scheduled = []
    for spec in plan.runs:
        if spec.definition_id not in catalog.catalog():
            scheduled.append(_unknown(spec))
            continue
        approved = approved_set(instance_of(spec), known, approvals, plan.data.window.date)
        scheduled.append(_seen(spec, plan, approved, approvals, ran.get(spec.strategy_id)))
    missing = [
        StrategySeen(instance_id=name, strategy_id="", known=True, left_out=why)
        for name, why in sorted(plan.left_out.items())
    ]
    return (*scheduled, *missing)


def _unknown(spec: RunSpec) -> StrategySeen:
    there = f"{spec.definition_id} is not in the catalog: {', '.join(catalog.catalog())}"
    return StrategySeen(instance_id=spec.strategy_id, strategy_id=spec.definition_id, known=False, detail=there)


def _seen(
    spec: RunSpec, plan: DayPlan, approved: ApprovedSet, approvals: Approvals, before: RunSpec | None
) -> StrategySeen:
    definition = catalog.get(spec.definition_id)
    grids, date = plan.data.grids(), plan.data.window.date.isoformat()
    waiting = approvals.pending(spec.strategy_id)
    return StrategySeen(
        instance_id=spec.strategy_id,
        strategy_id=spec.definition_id,
        known=True,
        owner=spec.owner,
        status=spec.status,
        version=spec.version,
        params_hash=spec.params_hash,
        approved_hash=approved.hash,
        changed=_changed(spec, approved, plan),
        params_version=approved.version,
        approved_by=approved.by,
        approved_on=approved.at.date().isoformat() if approved.at is not None else "",
        effective_from=approved.effective_from,
        proposals=(_proposal(waiting),) if waiting is not None else (),
        coming=tuple(_signed(version) for version in approvals.coming(spec.strategy_id, date)),
        needs_history_days=definition.history_sessions(spec.params, grids[-1].boundaries),
        has_history_days=len(grids) - 1,
        fits_market=market_of(plan.data).value in spec.asset_classes,
        unrecorded=_unrecorded(before, approvals),
        unexamined=stale_examination(definition),
    )


def _changed(spec: RunSpec, approved: ApprovedSet, plan: DayPlan) -> tuple[str, ...]:
    """What differs from the approved set, and where that was set; a new version of the strategy is a difference too."""
    told = []
    for change in differences(approved.params, spec.params):
        where = plan.set_at.get(f"{spec.strategy_id}.{change.name}", "")
        told.append(f"{change} ({where})" if where else str(change))
    if approved.definition_version != spec.version:
        told.append(f"the strategy itself: {approved.definition_version} → {spec.version}")
    return tuple(told)


def _proposal(version: Version) -> str:
    put = version.proposed
    what = ", ".join(map(str, put.changes)) or f"{put.definition_version} with the same parameters"
    return f"version {version.number} proposed by {put.by} on {put.at.date()}: {what}"


def _signed(version: Version) -> str:
    signed = version.approved
    assert signed is not None, "only signed versions are to come"
    return f"version {version.number}, signed by {signed.by}, from {signed.effective_from} on"


def _ran_before(state: State | None) -> dict[str, RunSpec]:
    if state is None or state.session is None:
        return {}
    return {name: run.spec for name, run in state.session.runs.items()}


def _unrecorded(before: RunSpec | None, approvals: Approvals) -> str:
    """A record cut off at the ledger's end leaves a sound chain; what a session ran with gives it away."""
    if before is None or not before.params_version:
        return ""
    version = approvals.version(before.strategy_id, before.params_version)
    if version is not None and version.approved is not None:
        return ""
    return (
        f"the last session ran with version {before.params_version}"
        f"{f', signed by {before.approved_by}' if before.approved_by else ''}, of which the ledger has no approval"
    )
