"""The scheduled strategies against their catalog entries, for the preflight (§8; M: Pre-Flight 5)."""

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.operations.evidence import StrategySeen
from qmworkbench.service.plan import DayPlan, market_of
from qmworkbench.strategies import catalog


def strategies_seen(plan: DayPlan) -> tuple[StrategySeen, ...]:
    """One entry for each instance that is to run."""
    return tuple(_seen(spec, plan) for spec in plan.runs)


def _seen(spec: RunSpec, plan: DayPlan) -> StrategySeen:
    definition = catalog.catalog().get(spec.definition_id)
    if definition is None:
        return StrategySeen(
            instance_id=spec.strategy_id,
            strategy_id=spec.definition_id,
            known=False,
            detail=f"{spec.definition_id} is not in the catalog: {', '.join(catalog.catalog())}",
        )
    approved = definition.parameters({})
    changed = [f"{name}: {approved[name]} → {value}" for name, value in spec.params.items() if approved[name] != value]
    grid = plan.data.grids()
    return StrategySeen(
        instance_id=spec.strategy_id,
        strategy_id=spec.definition_id,
        known=True,
        owner=spec.owner,
        status=spec.status,
        version=spec.version,
        params_hash=spec.params_hash,
        approved_hash=definition.hash({}),
        changed=tuple(changed),
        needs_history_days=definition.history_sessions(spec.params, grid[-1].boundaries),
        has_history_days=len(grid) - 1,
        fits_market=market_of(plan.data).value in spec.asset_classes,
    )
